use super::*;

/// A table that is kept up in thought alone, as LanceDB would keep it.
#[derive(Default)]
struct Imagined {
    makeup: Makeup,
    partitions: Option<usize>,
    next_id: u32,
    /// How many rows were written anew by gathering.
    rewritten: u64,
    /// Whether more comes while the next thing is done.
    is_busy: bool,
}

impl Imagined {
    fn new() -> Self {
        let segments = BTreeMap::from([(WORDS, vec![Segment::default()])]);
        let makeup = Makeup { fragments: Vec::new(), segments };
        Self { makeup, ..Self::default() }
    }

    fn append(&mut self, rows: u64) {
        self.makeup.fragments.push(Fragment { id: self.next_id, rows, deleted: 0 });
        self.next_id += 1;
    }

    /// Does what is due, and tells what that was.
    fn tend(&mut self) -> Vec<Step> {
        let mut done = Vec::new();
        while let Some(step) = self.makeup.next_step(self.partitions) {
            self.take(&step);
            done.push(step);
            assert!(done.len() < 100, "there is no end to it: {done:?}");
        }
        done
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Gather { fragments } => self.gather(fragments),
            Step::Index { merged, .. } => {
                self.index(WORDS, *merged);
                self.index(NEAR, *merged);
                self.meanwhile();
            }
            Step::Train { partitions, .. } => {
                self.partitions = Some(*partitions);
                self.index(WORDS, usize::MAX);
                self.meanwhile();
                self.makeup.segments.insert(NEAR, vec![Segment::default()]);
                self.index(NEAR, 1);
            }
        }
    }

    /// How many rows are in the index of words.
    fn covered(&self) -> u64 {
        let fresh: u64 = self.makeup.fresh(WORDS).map(|one| one.rows - one.deleted).sum();
        self.makeup.rows() - fresh
    }

    /// What comes while an index is made is in none.
    fn meanwhile(&mut self) {
        if std::mem::take(&mut self.is_busy) {
            self.append(30);
        }
    }

    fn gather(&mut self, ids: &[u32]) {
        let covers: Vec<_> = ids.iter().map(|id| self.makeup.cover(*id)).collect();
        assert!(covers.windows(2).all(|two| two[0] == two[1]), "LanceDB would refuse {ids:?}");
        let gathered = |one: &&Fragment| ids.contains(&one.id);
        let chosen = self.makeup.fragments.iter().filter(gathered);
        let rows = chosen.map(|one| one.rows - one.deleted).sum();
        let at = self.makeup.fragments.iter().position(|one| ids.contains(&one.id)).unwrap();
        self.makeup.fragments.retain(|one| !ids.contains(&one.id));
        self.makeup.fragments.insert(at, Fragment { id: self.next_id, rows, deleted: 0 });
        for segment in self.makeup.segments.values_mut().flatten() {
            let before = segment.fragments.len();
            segment.fragments.retain(|id| !ids.contains(id));
            if segment.fragments.len() < before {
                segment.fragments.push(self.next_id);
            }
        }
        self.next_id += 1;
        self.rewritten += rows;
    }

    fn index(&mut self, index: &'static str, merged: usize) {
        let mut fragments: Vec<u32> = self.makeup.fresh(index).map(|one| one.id).collect();
        let Some(segments) = self.makeup.segments.get_mut(index) else { return };
        for segment in segments.split_off(segments.len().saturating_sub(merged)) {
            fragments.extend(segment.fragments);
        }
        segments.push(Segment { fragments });
    }
}

#[test]
fn parts_are_merged_as_a_counter_carries() {
    assert_eq!(carried(&[], 10), 0);
    assert_eq!(carried(&[100, 10], 4), 0, "10 is more than twice 4");
    assert_eq!(carried(&[100, 10], 5), 1, "100 is more than twice 15");
    assert_eq!(carried(&[30, 10], 5), 2);
    assert_eq!(carried(&[0], 5), 1, "an empty part goes along");
}

#[test]
fn what_was_appended_is_indexed_at_once_and_many_are_gathered_before() {
    let mut table = Imagined::new();
    table.append(10);
    assert_eq!(table.tend(), [Step::Index { rows: 10, merged: 1 }]);
    assert_eq!(table.covered(), 10);
    for _ in 0..FRESH_FRAGMENTS_MAX {
        table.append(10);
    }
    assert_eq!(table.covered(), 10);
    let done = table.tend();
    let gathered = Step::Gather { fragments: (1..9).collect() };
    assert_eq!(done[..2], [gathered, Step::Index { rows: 80, merged: 1 }]);
    assert_eq!(table.covered(), 90);
    assert!(!table.makeup.has(NEAR), "there are too few rows for one");
}

#[test]
fn a_year_of_small_batches_leaves_few_parts_and_rewrites_little() {
    let mut table = Imagined::new();
    for round in 0..2_000 {
        table.append(100);
        table.is_busy = round % 7 == 0;
        table.tend();
        assert_eq!(table.makeup.fresh(WORDS).count(), 0);
        assert!(table.makeup.fragments.len() < 20, "{:?}", table.makeup.fragments);
        let segments = table.makeup.segments.values().map(Vec::len).max();
        assert!(segments <= Some(8), "{:?}", table.makeup.segments);
    }
    let times = table.rewritten / table.makeup.rows();
    assert!(times < 12, "each row was rewritten {times} times");
}

#[test]
fn vectors_are_indexed_from_some_rows_on_and_trained_anew_at_twice_as_many() {
    let mut table = Imagined::new();
    table.append(NEAR_FROM_ROWS - 1);
    assert!(!table.tend().iter().any(|step| matches!(step, Step::Train { .. })));
    table.append(1);
    let indexed = Step::Index { rows: 1, merged: 0 };
    let trained = Step::Train { rows: NEAR_FROM_ROWS, partitions: 10 };
    assert_eq!(table.tend()[..2], [indexed, trained]);
    table.append(NEAR_FROM_ROWS - 1);
    let indexed = Step::Index { rows: NEAR_FROM_ROWS - 1, merged: 1 };
    let trained = Step::Train { rows: 2 * NEAR_FROM_ROWS - 1, partitions: 20 };
    assert_eq!(table.tend()[..2], [indexed, trained]);
    table.append(NEAR_FROM_ROWS);
    assert!(!table.tend().iter().any(|step| matches!(step, Step::Train { .. })));
}

#[test]
fn a_fragment_with_many_deleted_rows_is_written_anew() {
    let mut table = Imagined::new();
    for rows in [300, 100] {
        table.append(rows);
        table.tend();
    }
    table.makeup.fragments[1].deleted = 10;
    assert_eq!(table.tend(), []);
    table.makeup.fragments[1].deleted = 11;
    assert_eq!(table.tend(), [Step::Gather { fragments: vec![1] }]);
    assert_eq!(table.makeup.rows(), 389);
    assert_eq!(table.covered(), 389);
}
