//! The table of an index: where it is, how it is made and opened.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use futures_util::FutureExt;
use lance::Dataset;
use lancedb::index::Index as IndexKind;
use lancedb::index::scalar::FtsIndexBuilder;
use lancedb::{Session, Table};

use super::error::{Cause, IndexError};
use super::folder::Generation;
use super::rows::{ID, Shape, TERMS};
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

/// The highest id in a table.
pub(super) async fn through(dataset: &Dataset) -> lance::Result<Option<u64>> {
    last_of(dataset, dataset.count_rows(None).await? as u64).await
}

/// Through which id the indices of a table cover everything.
pub(super) async fn reach(dataset: &Dataset) -> lance::Result<Reach> {
    let makeup = Makeup::of(dataset).await?;
    let (words, near) = (makeup.covered(WORDS).unwrap_or(0), makeup.covered(NEAR));
    let rows = near.map_or(words, |near| near.min(words));
    let (version, through) = (dataset.version().version, last_of(dataset, rows).await?);
    Ok(Reach { version, through, has_near: near.is_some() })
}

/// The highest id among the first so many rows. They are in the order of their ids, so it is the last one's.
async fn last_of(dataset: &Dataset, rows: u64) -> lance::Result<Option<u64>> {
    let Some(last) = rows.checked_sub(1) else {
        return Ok(None);
    };
    let id = dataset.schema().project(&[ID])?;
    let batch = dataset.take(&[last], id).await?;
    let ids =
        batch.column_by_name(ID).and_then(|ids| ids.as_primitive_opt::<UInt64Type>().cloned());
    Ok(ids.and_then(|ids| ids.values().first().copied()))
}
