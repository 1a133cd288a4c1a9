//! What is known of each being, on the disk.

use std::ops::Bound;
use std::path::Path;

use genii_protocols::{Name, NodeName, Timestamp};
use genii_storage::store::{Schema, Store, StoreError, StoreOptions, Table};
use genii_supervision::StartError;
use serde::{Deserialize, Serialize};

const SCHEMA: Schema = Schema::new("beings", 1, &[]);

/// The beings, by id.
const BEINGS: Table<String, Entry> = Table::new("beings");

/// The file, in the folder of the beings. No being can have its name: it has a dot in it.
const FILE: &str = "registry.redb";

/// What is known of a being.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) id: Name,
    pub(super) name: String,
    pub(super) node: NodeName,
    pub(super) created: Timestamp,
    pub(super) stage: Stage,
}

/// How far the making or the end of a being has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// It is being made, and nobody was told of it.
    Coming,
    /// It is there.
    Living,
    /// It is being deleted.
    Going,
}

pub(super) struct Book {
    store: Store,
}

impl Book {
    /// Opens it, or makes it. Blocking.
    pub(super) fn open(folder: &Path) -> Result<Self, StartError> {
        let store = Store::open(folder.join(FILE), &SCHEMA, &StoreOptions::default());
        store.map(|store| Self { store }).map_err(|error| StartError::of(&error))
    }

    pub(super) async fn close(&self) {
        if let Err(error) = self.store.close().await {
            tracing::warn!("the book of beings was not closed in order: {error}");
        }
    }

    pub(super) fn len(&self) -> Result<u64, StoreError> {
        self.store.read(|reader| reader.len(BEINGS))
    }

    pub(super) fn get(&self, id: &Name) -> Result<Option<Entry>, StoreError> {
        self.store.read(|reader| reader.get(BEINGS, &id.as_str().to_owned()))
    }

    /// Those that live, behind an id, in whose id or name some text stands; and the id behind which
    /// there are more.
    pub(super) fn page(
        &self,
        after: Option<Name>,
        limit: usize,
        matching: Option<String>,
    ) -> Result<(Vec<Entry>, Option<Name>), StoreError> {
        let matching = matching.map(|text| text.to_lowercase());
        let is_meant = |entry: &Entry| {
            let has = |text: &str| text.to_lowercase().contains(matching.as_deref().unwrap_or(""));
            entry.stage == Stage::Living && (has(entry.id.as_str()) || has(&entry.name))
        };
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str().to_owned()));
        self.store.read(|reader| {
            let mut found = Vec::new();
            for entry in reader.range(BEINGS, (from, Bound::Unbounded)) {
                let (_, entry) = entry?;
                if !is_meant(&entry) {
                    continue;
                }
                if found.len() == limit {
                    let more = found.last().map(|last: &Entry| last.id.clone());
                    return Ok((found, more));
                }
                found.push(entry);
            }
            Ok((found, None))
        })
    }

    /// All of them, whatever their stage.
    pub(super) fn all(&self) -> Result<Vec<Entry>, StoreError> {
        self.store.read(|reader| reader.range(BEINGS, ..).map(|entry| Ok(entry?.1)).collect())
    }

    pub(super) async fn put(&self, entry: Entry) -> Result<(), StoreError> {
        let put = self.store.write(move |writer| {
            writer.insert(BEINGS, &entry.id.as_str().to_owned(), &entry).map(drop)
        });
        put.await
    }

    pub(super) async fn strike(&self, id: &Name) -> Result<(), StoreError> {
        let id = id.as_str().to_owned();
        self.store.write(move |writer| writer.remove(BEINGS, &id).map(drop)).await
    }

    pub(super) async fn rename(&self, id: Name, name: String) -> Result<(), StoreError> {
        let renamed = self.store.write(move |writer| {
            let id = id.as_str().to_owned();
            if let Some(entry) = writer.get(BEINGS, &id)? {
                writer.insert(BEINGS, &id, &Entry { name: name.clone(), ..entry })?;
            }
            Ok::<_, StoreError>(())
        });
        renamed.await
    }
}
