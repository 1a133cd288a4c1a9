//! Searching: by words and by nearness, among all entries or some of them.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt64Type};
use futures_util::TryStreamExt;
use lancedb::expr::{DfExpr, col, lit};
use lancedb::index::scalar::{FtsQuery, FullTextSearchQuery, MatchQuery, Operator};
use lancedb::query::{ExecutableQuery, QueryBase, Select};
use lancedb::{DistanceType, Table};

use super::rows::{AT, ID, KIND, SPEAKER, TERMS, VECTOR};

/// How many hits one search gives at most.
pub const HITS_MAX: usize = 1_000;

/// How many terms one search looks for at most; of more, it takes the first.
pub const TERMS_MAX: usize = 256;

/// How many partitions of the index of vectors are searched at least.
const PROBES: usize = 10;

/// Which entries a search is among. The default is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
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

/// One entry that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// The memory's id.
    pub id: u64,
    /// How well it fits; more is better. Of words: BM25. Of vectors: the cosine of the angle.
    pub score: f32,
}

impl Filter {
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

/// Entries that hold at least one of the terms, the best first.
pub(super) async fn words(
    table: &Table,
    terms: &[&str],
    filter: &Filter,
    limit: usize,
) -> lancedb::Result<Vec<Hit>> {
    let terms = &terms[..terms.len().min(TERMS_MAX)];
    let terms = MatchQuery::new(terms.join(" "))
        .with_column(Some(TERMS.to_owned()))
        .with_operator(Operator::Or);
    let mut query = table
        .query()
        .full_text_search(FullTextSearchQuery::new_query(FtsQuery::Match(terms)))
        .select(Select::columns(&[ID, "_score"]))
        .limit(limit);
    if let Some(expr) = filter.expr() {
        query = query.only_if_expr(expr);
    }
    let found = query.execute().await?.try_collect::<Vec<_>>().await?;
    Ok(ranked(&found, "_score", |score| score))
}

/// The entries with the nearest vectors, the nearest first.
pub(super) async fn nearest(
    table: &Table,
    unit: Vec<f32>,
    filter: &Filter,
    limit: usize,
) -> lancedb::Result<Vec<Hit>> {
    let mut query = table
        .query()
        .nearest_to(unit)?
        .column(VECTOR)
        .distance_type(DistanceType::Dot)
        // More partitions are searched by themselves when a filter leaves too few entries.
        .minimum_nprobes(PROBES)?
        .maximum_nprobes(None)?
        .select(Select::columns(&[ID, "_distance"]))
        .limit(limit);
    if let Some(expr) = filter.expr() {
        query = query.only_if_expr(expr);
    }
    let found = query.execute().await?.try_collect::<Vec<_>>().await?;
    // Of unit vectors, LanceDB's distance is one less the cosine.
    Ok(ranked(&found, "_distance", |distance| 1.0 - distance))
}

/// The hits of all batches, the best first, and of equals the older.
fn ranked(batches: &[RecordBatch], column: &str, score: fn(f32) -> f32) -> Vec<Hit> {
    let of = |batch: &RecordBatch| {
        let ids = batch.column_by_name(ID)?.as_primitive_opt::<UInt64Type>()?.clone();
        let scores = batch.column_by_name(column)?.as_primitive_opt::<Float32Type>()?.clone();
        Some((0..batch.num_rows()).map(move |row| (ids.value(row), scores.value(row))))
    };
    let found = batches.iter().filter_map(of).flatten();
    let mut hits: Vec<Hit> = found.map(|(id, raw)| Hit { id, score: score(raw) }).collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    hits
}
