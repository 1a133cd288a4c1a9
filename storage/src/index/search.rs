//! Searching: by words and by nearness, among all entries or some of them.

use arrow_array::Float32Array;
use futures_util::TryStreamExt;
use lance::Dataset;
use lance::dataset::scanner::Scanner;
use lance_index::scalar::FullTextSearchQuery;
use lance_index::scalar::inverted::query::{FtsQuery, MatchQuery, Operator};
use lancedb::DistanceType;
use lancedb::expr::{DfExpr, col, lit};

use super::ids::Ids;
use super::rows::{AT, ID, KIND, SPEAKER, TERMS, VECTOR};
use super::segments;

/// How many hits one search gives at most.
pub const HITS_MAX: usize = 1_000;

/// How many terms one search looks for at most; of more, it takes the first.
pub const TERMS_MAX: usize = 256;

/// How many partitions of the index of vectors are searched at least.
pub(super) const PROBES: usize = 10;

/// LanceDB's names for where a row lies, which of a table like ours is its address, and for how well it
/// fits.
pub(super) const ROW_ID: &str = "_rowid";
const SCORE: &str = "_score";
pub(super) const DISTANCE: &str = "_distance";

/// Where a row lies, and how well it fits.
pub(super) type Found = (u64, f32);

/// Which entries a search is among. The default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those through this id; newer ones need not be found, which is quicker where they are not indexed yet.
    pub through: Option<u64>,
    /// Those from this time on, in microseconds since 1970.
    pub from: Option<i64>,
    /// Those before this time, in microseconds since 1970.
    pub until: Option<i64>,
    /// Those of these kinds; of all kinds, if there are none.
    pub kinds: Vec<u8>,
    /// Those by this speaker.
    pub speaker: Option<String>,
    /// None of these.
    pub except: Vec<u64>,
}

/// Where a search looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// In the indices alone.
    Indices,
    /// Also, row by row, at what is in none yet.
    All,
}

/// One entry that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// The memory's id.
    pub id: u64,
    /// How well it fits; more is better. Of words: BM25. Of vectors: the cosine of the angle.
    pub score: f32,
}

impl Filter {
    /// Whether it leaves out nothing that is old enough.
    pub(super) fn takes_all(&self) -> bool {
        self.expr().is_none()
    }

    /// As an expression over values, not as text, so that no name can be read as a piece of one.
    fn expr(&self) -> Option<DfExpr> {
        let from = self.from.map(|from| col(AT).gt_eq(lit(from)));
        let until = self.until.map(|until| col(AT).lt(lit(until)));
        let kinds = || self.kinds.iter().map(|kind| lit(*kind)).collect();
        let kinds = (!self.kinds.is_empty()).then(|| col(KIND).in_list(kinds(), false));
        let speaker = self.speaker.as_ref().map(|name| col(SPEAKER).eq(lit(name.as_str())));
        let except = || self.except.iter().map(|id| lit(*id)).collect();
        let except = (!self.except.is_empty()).then(|| col(ID).in_list(except(), true));
        [from, until, kinds, speaker, except].into_iter().flatten().reduce(DfExpr::and)
    }
}

/// The ids of these, for the deletion of their entries.
pub(super) fn among(ids: &[u64]) -> DfExpr {
    col(ID).in_list(ids.iter().map(|id| lit(*id)).collect(), false)
}

/// Whether there is any of these.
pub(super) async fn has_any(dataset: &Dataset, these: DfExpr) -> lance::Result<bool> {
    let mut scanner = dataset.scan();
    scanner.project::<&str>(&[])?.with_row_id().filter_expr(these);
    Ok(scanner.count_rows().await? > 0)
}

/// Where rows lie that hold at least one of the terms, and how well they fit, by LanceDB's own plan.
pub(super) async fn words(
    dataset: &Dataset,
    terms: String,
    filter: &Filter,
    within: Within,
    limit: usize,
) -> lance::Result<Vec<Found>> {
    let terms =
        MatchQuery::new(terms).with_column(Some(TERMS.to_owned())).with_operator(Operator::Or);
    let mut scanner = dataset.scan();
    scanner.full_text_search(FullTextSearchQuery::new_query(FtsQuery::Match(terms)))?;
    hits(scanner, filter, within, limit, SCORE).await
}

/// Where the rows with the nearest vectors lie, and how far they are, by LanceDB's own plan.
pub(super) async fn nearest(
    dataset: &Dataset,
    unit: Vec<f32>,
    filter: &Filter,
    within: Within,
    limit: usize,
) -> lance::Result<Vec<Found>> {
    let mut scanner = dataset.scan();
    scanner
        .nearest(VECTOR, &Float32Array::from(unit), limit)?
        .distance_metric(DistanceType::Dot.into())
        .minimum_nprobes(PROBES)
        // No more than these, or LanceDB searches two hundred by itself: what it reckons from how near
        // the partitions are was measured with vectors that are not of one length. More are still
        // searched when a filter leaves too few entries.
        .search_effort(0.0)?;
    hits(scanner, filter, within, limit, DISTANCE).await
}

async fn hits(
    mut scanner: Scanner,
    filter: &Filter,
    within: Within,
    limit: usize,
    fits: &str,
) -> lance::Result<Vec<Found>> {
    scanner.disable_scoring_autoprojection();
    scanner.project(&[fits])?.with_row_id().prefilter(true);
    scanner.limit(Some(limit as i64), None)?;
    if let Some(expr) = filter.expr() {
        scanner.filter_expr(expr);
    }
    if within == Within::Indices {
        scanner.fast_search();
    }
    let batches: Vec<_> = scanner.try_into_stream().await?.try_collect().await?;
    Ok(batches.iter().flat_map(|batch| segments::rows(batch, fits)).collect())
}

/// What was found as entries, so many of the best, the best first, and of equals the older.
pub(super) async fn ranked(
    dataset: &Dataset,
    ids: &Ids,
    found: Vec<Found>,
    score: fn(f32) -> f32,
    limit: usize,
) -> lance::Result<Vec<Hit>> {
    let (rows, fits): (Vec<u64>, Vec<f32>) = found.into_iter().unzip();
    let ids = ids.of(dataset, &rows).await?;
    let found = ids.into_iter().zip(fits);
    let mut hits: Vec<Hit> =
        found.filter_map(|(id, fit)| id.map(|id| Hit { id, score: score(fit) })).collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    hits.truncate(limit);
    Ok(hits)
}
