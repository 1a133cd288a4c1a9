//! Upkeep: what keeps an index small and quick while it grows by a few entries at a time.
//!
//! Every append makes one more fragment (a file of rows) that is in no index, and would be searched row by
//! row, and one more version of the table. Left alone, both would grow without end. So:
//!
//! | when | then |
//! |---|---|
//! | [`FRESH_FRAGMENTS_MAX`] fragments are not indexed yet | they are gathered into one |
//! | rows are not indexed yet | they become a segment of each index, merged with the newest segments that are not much larger |
//! | fragments of one segment are alike in size | they are gathered into one |
//! | more than a tenth of a fragment's rows is deleted | it is written anew without them |
//! | there are [`NEAR_FROM_ROWS`] rows, or twice as many as at the last time | the index of vectors is trained anew |
//! | there is an older version | its files are removed |
//!
//! Segments and fragments are merged as a binary counter carries: each row is written anew only as
//! often as the logarithm of their number tells, and no more than that many segments remain. Both
//! indices have the same segments, because only fragments that the same ones cover can be gathered.

use std::collections::BTreeMap;

use lance::Dataset;
use lance::index::DatasetIndexExt;

/// From how many fragments on they are gathered before they are indexed.
pub(super) const FRESH_FRAGMENTS_MAX: usize = 8;

/// From how many rows on there is an index of vectors. Below, comparing with all of them is as quick
/// and finds more.
pub(super) const NEAR_FROM_ROWS: u64 = 4_096;

/// How many rows a partition of vectors should have.
const ROWS_PER_PARTITION: u64 = 400;

/// A newer part is merged with an older that is at most so many times as large.
const MERGE_RATIO: u64 = 2;

/// A fragment is written anew when more than one in so many rows is deleted.
const DELETED_ONE_IN: u64 = 10;

/// The index of words.
pub(super) const WORDS: &str = "words";

/// The index of vectors.
pub(super) const NEAR: &str = "near";

/// What a table consists of at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Makeup {
    /// The fragments, the oldest first.
    pub(super) fragments: Vec<Fragment>,
    /// The segments of each index, the oldest first.
    pub(super) segments: BTreeMap<&'static str, Vec<Segment>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) id: u32,
    /// How many rows it was written with.
    pub(super) rows: u64,
    /// How many of them are deleted.
    pub(super) deleted: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Segment {
    /// The fragments it covers.
    pub(super) fragments: Vec<u32>,
}

/// One thing to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Write these fragments anew as one.
    Gather { fragments: Vec<u32> },
    /// Put what is not indexed yet into the indices, merged with so many of their newest segments.
    Index { rows: u64, merged: usize },
    /// Make the index of vectors anew, and that of words one segment too.
    Train { rows: u64, partitions: usize },
}

impl Makeup {
    pub(super) async fn of(dataset: &Dataset) -> lance::Result<Self> {
        let fragments = dataset.fragments().iter().map(|fragment| Fragment {
            id: u32::try_from(fragment.id).unwrap_or(u32::MAX),
            rows: fragment.physical_rows.unwrap_or_default() as u64,
            deleted: fragment
                .deletion_file
                .as_ref()
                .and_then(|file| file.num_deleted_rows)
                .unwrap_or_default() as u64,
        });
        let fragments: Vec<Fragment> = fragments.collect();
        let mut segments = BTreeMap::<_, Vec<Segment>>::new();
        for index in dataset.load_indices().await?.iter() {
            let Some(name) = [WORDS, NEAR].into_iter().find(|name| index.name == *name) else {
                continue;
            };
            let covers = |id: &u32| {
                index.fragment_bitmap.as_ref().is_some_and(|covered| covered.contains(*id))
            };
            let covered = fragments.iter().map(|fragment| fragment.id).filter(covers).collect();
            segments.entry(name).or_default().push(Segment { fragments: covered });
        }
        Ok(Self { fragments, segments })
    }

    /// What is to be done next, if anything. `partitions` is how many the index of vectors has.
    pub(super) fn next_step(&self, partitions: Option<usize>) -> Option<Step> {
        self.first_steps().or_else(|| self.train(partitions)).or_else(|| self.last_steps())
    }

    /// As [`Makeup::next_step`], of an index that is asked for words only: its vectors need no partitions, and
    /// where all are zeros LanceDB fails to find as many as a large one would have.
    pub(super) fn next_step_of_words(&self) -> Option<Step> {
        self.first_steps().or_else(|| self.last_steps())
    }

    fn first_steps(&self) -> Option<Step> {
        self.gather_fresh().or_else(|| self.index())
    }

    fn last_steps(&self) -> Option<Step> {
        self.gather_deleted().or_else(|| self.gather_alike())
    }

    /// Whether there is an index.
    pub(super) fn has(&self, index: &str) -> bool {
        self.segments.contains_key(index)
    }

    fn rows(&self) -> u64 {
        self.fragments.iter().map(|fragment| fragment.rows - fragment.deleted).sum()
    }

    /// The fragments that an index does not cover.
    pub(super) fn fresh(&self, index: &str) -> impl Iterator<Item = &Fragment> {
        self.fragments.iter().filter(move |fragment| !self.is_in(index, fragment.id))
    }

    fn gather_fresh(&self) -> Option<Step> {
        let mut fresh = self.alike().filter(|run| !self.is_in(WORDS, run[0].id));
        fresh.find(|run| run.len() >= FRESH_FRAGMENTS_MAX).map(gathered)
    }

    fn index(&self) -> Option<Step> {
        let fresh = |index: &&'static str| self.fresh(index).map(|fragment| fragment.rows).sum();
        let rows: u64 = self.segments.keys().map(fresh).max()?;
        let segments = self.segments.get(WORDS)?;
        let sizes: Vec<u64> = segments.iter().map(|segment| self.rows_in(segment)).collect();
        let step = Step::Index { rows, merged: carried(&sizes, rows) };
        (rows > 0).then_some(step)
    }

    fn train(&self, partitions: Option<usize>) -> Option<Step> {
        let rows = self.rows();
        let wanted = (rows / ROWS_PER_PARTITION) as usize;
        let due = partitions.is_none_or(|partitions| wanted >= 2 * partitions);
        let step = Step::Train { rows, partitions: wanted };
        (rows >= NEAR_FROM_ROWS && due).then_some(step)
    }

    fn gather_deleted(&self) -> Option<Step> {
        let due = |fragment: &&Fragment| fragment.deleted * DELETED_ONE_IN > fragment.rows;
        self.fragments.iter().find(due).map(|fragment| gathered(std::slice::from_ref(fragment)))
    }

    fn gather_alike(&self) -> Option<Step> {
        let indexed = self.alike().filter(|run| self.is_in(WORDS, run[0].id));
        let mut carried = indexed.filter_map(|run| {
            let (newest, older) = run.split_last()?;
            let sizes: Vec<u64> = older.iter().map(|fragment| fragment.rows).collect();
            let count = carried(&sizes, newest.rows);
            (count > 0).then(|| gathered(&run[older.len() - count..]))
        });
        carried.next()
    }

    /// Runs of fragments that the same segments cover. Only such may be gathered.
    fn alike(&self) -> impl Iterator<Item = &[Fragment]> {
        self.fragments.chunk_by(|a, b| self.cover(a.id) == self.cover(b.id))
    }

    fn is_in(&self, index: &str, id: u32) -> bool {
        let segments = self.segments.get(index).map(Vec::as_slice).unwrap_or_default();
        segments.iter().any(|segment| segment.fragments.contains(&id))
    }

    /// Which segments of which indices cover a fragment.
    fn cover(&self, id: u32) -> Vec<(&'static str, usize)> {
        let of = |(index, segments): (&&'static str, &Vec<Segment>)| {
            let covers = |(_, segment): &(usize, &Segment)| segment.fragments.contains(&id);
            let at = segments.iter().enumerate().filter(covers).map(|(at, _)| (*index, at));
            at.collect::<Vec<_>>()
        };
        self.segments.iter().flat_map(of).collect()
    }

    fn rows_in(&self, segment: &Segment) -> u64 {
        let covered = |fragment: &&Fragment| segment.fragments.contains(&fragment.id);
        self.fragments.iter().filter(covered).map(|fragment| fragment.rows).sum()
    }
}

fn gathered(fragments: &[Fragment]) -> Step {
    Step::Gather { fragments: fragments.iter().map(|fragment| fragment.id).collect() }
}

/// How many of the newest parts are merged with so many rows that come in, as a counter carries.
fn carried(sizes: &[u64], incoming: u64) -> usize {
    let mut sum = incoming;
    let is_carried = |size: &&u64| {
        let is_small = **size <= MERGE_RATIO * sum;
        sum += **size;
        is_small
    };
    sizes.iter().rev().take_while(is_carried).count()
}

#[cfg(test)]
mod tests;
