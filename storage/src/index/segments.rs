//! The segments of a version's indices, open and asked directly.
//!
//! A search without a filter has nothing to plan. LanceDB plans it all the same, and opens each segment of
//! vectors anew for it, which takes as long as the search. So the segments stay open from one search to the
//! next, and are asked as LanceDB's own plan would ask them.

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

/// The segments of the indices of one version of a table.
pub(super) struct Segments {
    version: u64,
    words: Vec<Arc<InvertedIndex>>,
    pub(super) near: BTreeMap<Key, Arc<dyn VectorIndex>>,
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
        let (of_words, of_near) = (named(WORDS), named(NEAR));
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
            near: near.into_iter().collect(),
            in_words: Arc::new(in_words),
            in_near: Arc::new(in_near),
            _leave: leave,
        })
    }

    pub(super) fn are_of(&self, dataset: &Dataset) -> bool {
        self.version == dataset.version().version
    }

    /// Where rows lie that hold at least one of the terms, and how well they fit: the best of each segment.
    pub(super) async fn words(&self, terms: &str, limit: usize) -> lance::Result<Vec<Found>> {
        let Some(first) = self.words.first() else { return Ok(Vec::new()) };
        let terms = try_collect_query_tokens(terms, &mut first.tokenizer())?;
        let params = FtsSearchParams::new().with_limit(Some(limit));
        // A word is rare or frequent in all of them together, so that their scores can be compared.
        let prepared = prepare_bm25_query(&self.words, terms, &params, None, None).await?;
        let (prepared, params) = (Arc::new(prepared), Arc::new(params));
        let searches = self.words.iter().map(|segment| {
            let (prepared, params) = (Arc::clone(&prepared), Arc::clone(&params));
            let among = Arc::clone(&self.in_words);
            let metrics = Arc::new(NoOpMetricsCollector);
            segment.bm25_search_prepared(prepared, params, Operator::Or, among, metrics)
        });
        let found = try_join_all(searches).await?;
        Ok(found.into_iter().flat_map(|(rows, scores)| rows.into_iter().zip(scores)).collect())
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
        for segment in self.near.values() {
            let (partitions, _) = segment.find_partitions(&query)?;
            has_more |= partitions.len() < segment.total_partitions();
            wanted.extend(partitions.values().iter().map(|partition| (segment, *partition)));
        }
        let prepared = wanted.into_iter().map(|(segment, partition)| {
            let (query, among) = (&query, Arc::clone(&self.in_near));
            async move {
                let prepared = segment.prepare_partition_search(
                    partition as usize,
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
