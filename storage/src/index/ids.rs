//! Which memory a row is of, without reading the row. What a search finds lies in as many places of the
//! files as there are hits, and reading their ids there takes longer than the search itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use futures_util::TryStreamExt;
use lance::Dataset;
use parking_lot::Mutex;

use super::rows::ID;

/// LanceDB's name for where a row lies: the number of its fragment, and its place in that.
const ROW: &str = "_rowaddr";

/// Which ids the fragments of a dataset lie between.
pub(super) type Spans = BTreeMap<u32, RangeInclusive<u64>>;

/// The ids of all rows, as far as somebody asked for them.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// By the number of the fragment. What a fragment holds never changes, and its number is never that
    /// of another.
    of: Mutex<BTreeMap<u32, Arc<Runs>>>,
}

/// The ids of a fragment. Mostly each is one more than the one before, which takes no room.
#[derive(Debug, Default, PartialEq)]
struct Runs {
    runs: Vec<Run>,
    /// The lowest and the highest of all.
    span: Option<(u64, u64)>,
}

#[derive(Debug, PartialEq)]
struct Run {
    /// The place of its first row.
    place: u32,
    /// The id of that row.
    id: u64,
}

impl Ids {
    /// The ids of some rows of a dataset, in their order. Reads those of their fragments if nobody has
    /// before.
    pub(super) async fn of(
        &self,
        dataset: &Dataset,
        rows: &[u64],
    ) -> lance::Result<Vec<Option<u64>>> {
        let fragments: BTreeSet<u32> = rows.iter().map(|row| fragment_of(*row)).collect();
        let mut known = BTreeMap::new();
        for fragment in fragments {
            known.insert(fragment, self.runs(dataset, fragment).await?);
        }
        let id = |row: &u64| known[&fragment_of(*row)].id_at(*row as u32);
        Ok(rows.iter().map(id).collect())
    }

    /// Reads the ids of a dataset that are not known yet, and forgets those of other fragments. From the
    /// lowest to the highest of each fragment that has rows.
    pub(super) async fn learn(&self, dataset: &Dataset) -> lance::Result<Spans> {
        let mut spans = Spans::new();
        let numbers: BTreeSet<u32> = numbers(dataset).collect();
        for fragment in &numbers {
            let runs = self.runs(dataset, *fragment).await?;
            spans.extend(runs.span.map(|(lowest, highest)| (*fragment, lowest..=highest)));
        }
        self.of.lock().retain(|fragment, _| numbers.contains(fragment));
        Ok(spans)
    }

    async fn runs(&self, dataset: &Dataset, fragment: u32) -> lance::Result<Arc<Runs>> {
        let known = self.of.lock().get(&fragment).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let read = Arc::new(read(dataset, fragment).await?);
        self.of.lock().insert(fragment, Arc::clone(&read));
        Ok(read)
    }
}

impl Runs {
    fn push(&mut self, place: u32, id: u64) {
        if self.id_at(place) != Some(id) {
            self.runs.push(Run { place, id });
        }
        let (lowest, highest) = self.span.unwrap_or((id, id));
        self.span = Some((lowest.min(id), highest.max(id)));
    }

    fn id_at(&self, place: u32) -> Option<u64> {
        let at = self.runs.partition_point(|run| run.place <= place).checked_sub(1)?;
        Some(self.runs[at].id + u64::from(place - self.runs[at].place))
    }
}

fn fragment_of(row: u64) -> u32 {
    (row >> 32) as u32
}

fn numbers(dataset: &Dataset) -> impl Iterator<Item = u32> {
    dataset.fragments().iter().filter_map(|fragment| u32::try_from(fragment.id).ok())
}

/// Those of a fragment that is not there are none.
async fn read(dataset: &Dataset, fragment: u32) -> lance::Result<Runs> {
    let Some(fragment) = dataset.get_fragment(fragment as usize) else {
        return Ok(Runs::default());
    };
    let mut scanner = fragment.scan();
    scanner.project(&[ID])?.with_row_address().scan_in_order(true);
    let mut rows = scanner.try_into_stream().await?;
    let mut runs = Runs::default();
    while let Some(batch) = rows.try_next().await? {
        for (row, id) in column(&batch, ROW).zip(column(&batch, ID)) {
            runs.push(row as u32, id);
        }
    }
    Ok(runs)
}

/// The numbers of a column; none if there is no such column.
fn column<'a>(batch: &'a RecordBatch, name: &str) -> impl Iterator<Item = u64> + 'a {
    let column = batch.column_by_name(name);
    let numbers = column.and_then(|column| column.as_primitive_opt::<UInt64Type>());
    numbers.map(|numbers| numbers.values().iter().copied()).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_follow_one_another_take_no_room_and_gaps_are_kept() {
        let mut runs = Runs::default();
        let rows = [(0, 5), (1, 6), (2, 7), (3, 20), (4, 21), (7, 24), (8, 99), (9, 3)];
        rows.iter().for_each(|(place, id)| runs.push(*place, *id));
        assert_eq!((runs.runs.len(), runs.span), (4, Some((3, 99))));
        for (place, id) in rows {
            assert_eq!(runs.id_at(place), Some(id));
        }
        assert_eq!(Runs::default().id_at(0), None);
    }
}
