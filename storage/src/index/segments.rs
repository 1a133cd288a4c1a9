//! The segments of a version's indices, open and asked directly.
//!
//! A search without a filter has nothing to plan. LanceDB plans it all the same, and opens each segment of
//! vectors anew for it, which takes as long as the search. So the segments stay open from one search to the
//! next, and are asked as LanceDB's own plan would ask them, but for what one of them tells of the others:
//! how good a hit has to be to be wanted, and which partitions are the nearest.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt64Type};
use arrow_array::{ArrayRef, Float32Array, RecordBatch};
use futures_util::future::{try_join, try_join_all};
use lance::Dataset;
use lance::Error;
use lance::index::prefilter::{DatasetPreFilter, PreFilter};
use lance::index::{DatasetIndexExt, DatasetIndexInternalExt};
use lance::table::format::{Fragment, IndexMetadata};
use lance_index::metrics::NoOpMetricsCollector;
use lance_index::scalar::inverted::query::{FtsSearchParams, Operator, try_collect_query_tokens};
use lance_index::scalar::inverted::{InvertedIndex, prepare_bm25_query};
use lance_index::vector::{ApproxMode, DEFAULT_QUERY_PARALLELISM, Query, VectorIndex};
use lancedb::DistanceType;
use tokio::sync::OwnedSemaphorePermit;

use super::rows::{TERMS, VECTOR};
use super::search::{DISTANCE, Found, PROBES, ROW_ID};
use super::upkeep::{NEAR, WORDS};

/// What a segment is known by.
type Key = [u8; 16];

/// No row is too bad. LanceDB begins with it, too.
const NO_FLOOR: f32 = 0.0;

/// By what a score becomes one that is surely lower, though both be sums in another order.
const JUST_BELOW: f32 = 0.999;

/// The segments of the indices of one version of a table.
pub(super) struct Segments {
    version: u64,
    /// The largest first.
    pub(super) words: Vec<Arc<InvertedIndex>>,
    /// To be kept open from one version to the next.
    pub(super) near: BTreeMap<Key, Arc<dyn VectorIndex>>,
    /// The same, to be asked: those together whose partitions are about the same centres, which mostly are all.
    pub(super) near_by_centres: Vec<Vec<Arc<dyn VectorIndex>>>,
    /// The rows that each index may tell of: those that it covers and that are not deleted.
    in_words: Arc<dyn PreFilter>,
    in_near: Arc<dyn PreFilter>,
    /// Leave to stay open.
    _leave: OwnedSemaphorePermit,
}

impl Segments {
    /// Opens those of a version, but for the ones that are open already.
    pub(super) async fn open(
        dataset: &Arc<Dataset>,
        before: Option<&Self>,
        leave: OwnedSemaphorePermit,
    ) -> lance::Result<Self> {
        let all = dataset.load_indices().await?;
        let named = |name: &str| {
            let segments = all.iter().filter(|segment| segment.name == name);
            segments.cloned().collect::<Vec<_>>()
        };
        let (mut of_words, of_near) = (named(WORDS), named(NEAR));
        of_words.sort_by_key(|segment| Reverse(rows_in(dataset, segment)));
        let words = async {
            let open = of_words.iter().map(|segment| async {
                let index =
                    dataset.open_scalar_index(TERMS, &segment.uuid, &NoOpMetricsCollector).await?;
                let words = index.as_any().downcast_ref::<InvertedIndex>().cloned();
                words.map(Arc::new).ok_or_else(|| Error::index("it is no index of words"))
            });
            try_join_all(open).await
        };
        let near = async {
            let open = of_near.iter().map(|segment| async {
                let key = *segment.uuid.as_bytes();
                let known = before.and_then(|before| before.near.get(&key)).cloned();
                let open = match known {
                    Some(known) => known,
                    None => {
                        let uuid = &segment.uuid;
                        dataset.open_vector_index(VECTOR, uuid, &NoOpMetricsCollector).await?
                    }
                };
                Ok::<_, Error>((key, open))
            });
            try_join_all(open).await
        };
        let (words, near) = try_join(words, near).await?;
        let near: BTreeMap<Key, Arc<dyn VectorIndex>> = near.into_iter().collect();

        let mut in_words = DatasetPreFilter::new(Arc::clone(dataset), &of_words, None);
        let gone = words.iter().map(|segment| segment.deleted_fragments().clone());
        if let Some(gone) = gone.reduce(|gone, more| gone | more).filter(|gone| !gone.is_empty()) {
            in_words.set_deleted_fragments(gone);
        }
        let in_near = DatasetPreFilter::new(Arc::clone(dataset), &of_near, None);
        try_join(in_words.wait_for_ready(), in_near.wait_for_ready()).await?;
        Ok(Self {
            version: dataset.version().version,
            words,
            near_by_centres: by_centres(near.values()),
            near,
            in_words: Arc::new(in_words),
            in_near: Arc::new(in_near),
            _leave: leave,
        })
    }

    pub(super) fn are_of(&self, dataset: &Dataset) -> bool {
        self.version == dataset.version().version
    }

    /// Where rows lie that hold at least one of the terms, and how well they fit: the best of the largest segment,
    /// and of each other one those that are no worse than all of these.
    pub(super) async fn words(&self, terms: &str, limit: usize) -> lance::Result<Vec<Found>> {
        let Some((largest, others)) = self.words.split_first() else { return Ok(Vec::new()) };
        let terms = try_collect_query_tokens(terms, &mut largest.tokenizer())?;
        let params = FtsSearchParams::new().with_limit(Some(limit));
        // A word is rare or frequent in all of them together, so that their scores can be compared.
        let prepared = prepare_bm25_query(&self.words, terms, &params, None, None).await?;
        let (prepared, params) = (Arc::new(prepared), Arc::new(params));
        let search = |segment: &Arc<InvertedIndex>, above: f32| {
            let (segment, prepared, params) =
                (Arc::clone(segment), Arc::clone(&prepared), Arc::clone(&params));
            let among = Arc::clone(&self.in_words);
            async move {
                let (by, metrics) = (Operator::Or, Arc::new(NoOpMetricsCollector));
                let found = segment.bm25_search_prepared_documents_with_score_floor(
                    prepared, params, by, among, metrics, above,
                );
                let found = found.await?.into_iter().map(|found| (found.row_id, found.score.0));
                Ok::<Vec<Found>, Error>(found.collect())
            }
        };
        let mut found = search(largest, NO_FLOOR).await?;
        // What is as good as the last of these is wanted too: of equals the older is the better one.
        let last = found.iter().map(|(_, score)| *score).reduce(f32::min);
        let last = last.filter(|last| last.is_finite() && found.len() >= limit);
        let above = last.map_or(NO_FLOOR, |last| last * JUST_BELOW);
        let others = try_join_all(others.iter().map(|segment| search(segment, above)));
        found.extend(others.await?.into_iter().flatten());
        Ok(found)
    }

    /// Where the rows with the nearest vectors lie, and how far they are: the nearest of each partition that
    /// is searched. `None` if there are too few in these, and in others may be more.
    pub(super) async fn nearest(
        &self,
        unit: &[f32],
        limit: usize,
    ) -> lance::Result<Option<Vec<Found>>> {
        let query = query(unit, limit);
        let (mut wanted, mut has_more) = (Vec::new(), false);
        for segments in &self.near_by_centres {
            let (partitions, _) = segments[0].find_partitions(&query)?;
            for segment in segments {
                has_more |= partitions.len() < segment.total_partitions();
                let partitions = partitions.values().iter().map(|partition| *partition as usize);
                // In a small one most are empty.
                let own = partitions.filter(|partition| segment.partition_size(*partition) > 0);
                wanted.extend(own.map(|partition| (segment, partition)));
            }
        }
        let prepared = wanted.into_iter().map(|(segment, partition)| {
            let (query, among) = (&query, Arc::clone(&self.in_near));
            async move {
                let prepared = segment.prepare_partition_search(
                    partition,
                    query,
                    among,
                    &NoOpMetricsCollector,
                );
                Ok::<_, Error>((Arc::clone(segment), prepared.await?))
            }
        });
        let prepared = try_join_all(prepared).await?;
        let search = move || {
            let mut found = Vec::new();
            for (segment, prepared) in prepared {
                let batch = segment.search_prepared_partition(prepared, &NoOpMetricsCollector)?;
                found.extend(rows(&batch, DISTANCE));
            }
            Ok::<_, Error>(found)
        };
        let found = match tokio::task::spawn_blocking(search).await {
            Ok(found) => found?,
            Err(error) => return Err(Error::wrapped(Box::new(error))),
        };
        Ok((found.len() >= limit || !has_more).then_some(found))
    }
}

/// Segments, those together that were trained together. A segment that is put in later takes the centres of the one
/// before.
fn by_centres<'a>(
    segments: impl Iterator<Item = &'a Arc<dyn VectorIndex>>,
) -> Vec<Vec<Arc<dyn VectorIndex>>> {
    let mut all = Vec::<Vec<Arc<dyn VectorIndex>>>::new();
    for segment in segments {
        let centres = segment.ivf_model().centroids_array();
        let alike = |others: &&mut Vec<Arc<dyn VectorIndex>>| {
            centres.is_some() && others[0].ivf_model().centroids_array() == centres
        };
        match all.iter_mut().find(alike) {
            Some(others) => others.push(Arc::clone(segment)),
            None => all.push(vec![Arc::clone(segment)]),
        }
    }
    all
}

/// How many rows a segment covers.
fn rows_in(dataset: &Dataset, segment: &IndexMetadata) -> usize {
    let covers = |fragment: &&Fragment| {
        let id = u32::try_from(fragment.id).ok();
        let covered = segment.fragment_bitmap.as_ref().zip(id);
        covered.is_some_and(|(covered, id)| covered.contains(id))
    };
    let covered = dataset.fragments().iter().filter(covers);
    covered.map(|fragment| fragment.physical_rows.unwrap_or_default()).sum()
}

impl std::fmt::Debug for Segments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segments").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A search for vectors, the same as in a plan.
fn query(unit: &[f32], limit: usize) -> Query {
    let key: ArrayRef = Arc::new(Float32Array::from(unit.to_vec()));
    Query {
        column: VECTOR.to_owned(),
        key,
        k: limit,
        lower_bound: None,
        upper_bound: None,
        minimum_nprobes: PROBES,
        maximum_nprobes: Some(PROBES),
        search_effort: 0.0,
        ef: None,
        refine_factor: None,
        metric_type: Some(DistanceType::Dot.into()),
        use_index: true,
        query_parallelism: DEFAULT_QUERY_PARALLELISM,
        dist_q_c: 0.0,
        approx_mode: ApproxMode::default(),
    }
}

/// Where the rows of a batch lie, and how well they fit.
pub(super) fn rows<'a>(batch: &'a RecordBatch, fits: &str) -> impl Iterator<Item = Found> + 'a {
    let columns = batch.column_by_name(ROW_ID).zip(batch.column_by_name(fits));
    let pairs = columns.map(|(rows, fits)| {
        let rows = rows.as_primitive::<UInt64Type>().values().iter().copied();
        rows.zip(fits.as_primitive::<Float32Type>().values().iter().copied())
    });
    pairs.into_iter().flatten()
}
