//! Reading indices before they are asked. What a search has to fetch from files it waits for, a piece at a
//! time for each word and each partition of vectors in each segment; read at once, all of it takes little
//! longer than some searches.

use std::collections::BTreeSet;

use lance::Dataset;
use lance::index::DatasetIndexExt;
use parking_lot::Mutex;

use super::upkeep::{NEAR, WORDS};

/// What segments are told apart by.
type Key = [u8; 16];

/// Which segments were read.
#[derive(Debug, Default)]
pub(super) struct Warmth {
    warm: Mutex<BTreeSet<Key>>,
}

impl Warmth {
    /// Reads the segments that were not read yet into the cache of the dataset's session: those of words,
    /// which are small, and those of vectors if they have room with all others in so many bytes.
    pub(super) async fn warm(&self, dataset: &Dataset, most: u64) -> lance::Result<()> {
        let segments = dataset.load_indices().await?;
        let bytes: u64 = segments.iter().filter_map(|segment| segment.total_size_bytes()).sum();
        let (mut all, mut cold) = (BTreeSet::new(), Vec::new());
        for segment in segments.iter() {
            all.insert(*segment.uuid.as_bytes());
            let is_wanted = segment.name == WORDS || (segment.name == NEAR && bytes <= most);
            if is_wanted && !self.warm.lock().contains(segment.uuid.as_bytes()) {
                cold.push(segment);
            }
        }
        for segment in cold {
            let read = dataset.prewarm_index_segments(&segment.name, &[segment.uuid]).await;
            // What finds no room is read when it is asked for, and what is damaged told by whoever does.
            if let Err(error) = read {
                tracing::debug!(%error, index = segment.name, "not all of it was read ahead");
            }
        }
        *self.warm.lock() = all;
        Ok(())
    }
}
