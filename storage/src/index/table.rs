//! The table of an index: where it is, how it is made and opened.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use lance::Dataset;
use lancedb::index::Index as IndexKind;
use lancedb::index::scalar::FtsIndexBuilder;
use lancedb::{Session, Table};

use super::error::{Cause, IndexError};
use super::folder::Generation;
use super::ids::Ids;
use super::rows::{Shape, TERMS};
use super::upkeep::{Makeup, NEAR, WORDS};

/// How far the indices of a table go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Of which version of the table that is.
    pub(super) version: u64,
    /// Everything through this id is in all of them.
    pub(super) through: Option<u64>,
    /// There is one of vectors.
    pub(super) has_near: bool,
}

/// Where a table lies.
#[derive(Debug, Clone)]
pub(super) struct Location {
    /// The folder that a person would name, for errors.
    pub(super) folder: PathBuf,
    /// The folder that holds the table's own, as text.
    within: String,
    /// The table's name.
    table: String,
}

impl Location {
    /// Of a generation within a folder of the index that lies in `folder`.
    pub(super) fn new(
        folder: &Path,
        within: &Path,
        generation: Generation,
    ) -> Result<Self, IndexError> {
        let absolute = std::path::absolute(within);
        let absolute = absolute.map_err(|error| IndexError::of(folder, "finding it", error))?;
        let Some(within) = absolute.to_str().map(str::to_owned) else {
            return Err(IndexError::PathIsNoText { folder: folder.to_owned() });
        };
        Ok(Self { folder: folder.to_owned(), within, table: generation.table() })
    }

    pub(super) async fn open(&self, session: Arc<Session>) -> Result<Table, IndexError> {
        self.guard("opening it", async {
            let database = lancedb::connect(&self.within).session(session).execute().await?;
            database.open_table(&self.table).execute().await
        })
        .await
    }

    /// Makes an empty table with an index of words that covers nothing yet: it tells how terms are
    /// told apart also where they are searched row by row.
    pub(super) async fn create(
        &self,
        session: Arc<Session>,
        shape: &Shape,
    ) -> Result<Table, IndexError> {
        self.guard("making it", async {
            let database = lancedb::connect(&self.within).session(session).execute().await?;
            let table = database.create_empty_table(&self.table, shape.schema()).execute().await?;
            let words = table.create_index(&[TERMS], IndexKind::FTS(terms_as_they_are()));
            words.name(WORDS.to_owned()).execute().await?;
            Ok::<_, lancedb::Error>(table)
        })
        .await
    }

    /// Does something with LanceDB, with its errors and panics told as errors of this index.
    pub(super) async fn guard<T, E: Into<Cause>>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, IndexError> {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(done) => done.map_err(|error| IndexError::of(&self.folder, doing, error)),
            Err(panic) => Err(IndexError::panicked(&self.folder, doing, panic)),
        }
    }
}

/// Terms are what stands between spaces, whatever it is and however long.
fn terms_as_they_are() -> FtsIndexBuilder {
    FtsIndexBuilder::default()
        .base_tokenizer("whitespace".to_owned())
        .max_token_length(None)
        .lower_case(false)
        .stem(false)
        .remove_stop_words(false)
        .ascii_folding(false)
        .with_position(false)
}

/// The highest id in a table, and how far its indices go. What is appended while older rows are gathered
/// comes before these, so that the last row need not have the highest id.
pub(super) async fn extent(dataset: &Dataset, ids: &Ids) -> lance::Result<(Option<u64>, Reach)> {
    let spans = ids.learn(dataset).await?;
    let makeup = Makeup::of(dataset).await?;
    let highest = spans.values().map(|span| *span.end()).max();
    let has_near = makeup.has(NEAR);
    let indices = [Some(WORDS), has_near.then_some(NEAR)];
    let fresh = indices.into_iter().flatten().flat_map(|index| makeup.fresh(index));
    // One without rows lacks nothing.
    let lacking = fresh.filter_map(|fragment| spans.get(&fragment.id)).map(|span| *span.start());
    let lacking = lacking.min();
    let through = lacking.map_or(highest, |lacking| lacking.checked_sub(1));
    Ok((highest, Reach { version: dataset.version().version, through, has_near }))
}
