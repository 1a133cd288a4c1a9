//! What is known of each being, on the disk.

use std::collections::HashMap;
use std::ops::Bound;
use std::path::Path;

use genii_protocols::{Name, NodeName, Timestamp};
use genii_storage::store::{Reader, Schema, Store, StoreError, StoreOptions, Table};
use genii_supervision::StartError;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::beings::home::folders::make_folder;

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

/// How far the making, the end or a move of a being has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// It is being made, and nobody was told of it.
    Coming,
    /// It is there.
    Living,
    /// It is being deleted.
    Going,
    /// It lives where it did, and is about to move.
    Moving {
        /// To this machine.
        to: NodeName,
    },
    /// It has moved. What was left behind is still to be removed.
    Arriving {
        /// On this machine.
        from: NodeName,
    },
}

impl Entry {
    /// Whether there is such a being, for whoever asks.
    pub(super) fn is_there(&self) -> bool {
        !matches!(self.stage, Stage::Coming | Stage::Going)
    }
}

pub(super) struct Book {
    store: Store,
    /// How many beings each machine has.
    counts: Mutex<HashMap<NodeName, u64>>,
}

impl Book {
    /// Opens it, or makes it. Blocking.
    pub(super) fn open(folder: &Path) -> Result<Self, StartError> {
        make_folder(folder).map_err(|error| {
            let why = format!("its folder {} cannot be made: {error}", folder.display());
            StartError::failed(why)
        })?;
        let store = Store::open(folder.join(FILE), &SCHEMA, &StoreOptions::default());
        let store = store.map_err(|error| StartError::of(&error))?;
        let book = Self { store, counts: Mutex::default() };
        let mut counts = HashMap::new();
        for entry in book.all().map_err(|error| StartError::of(&error))? {
            *counts.entry(entry.node).or_default() += 1;
        }
        *book.counts.lock() = counts;
        Ok(book)
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

    /// How many beings a machine has.
    pub(super) fn count_on(&self, node: &NodeName) -> u64 {
        self.counts.lock().get(node).copied().unwrap_or_default()
    }

    /// Those that live, behind an id, in whose id or name some text stands; and the id behind which
    /// there are more. Aside, since that may be many to look at.
    pub(super) async fn page(
        &self,
        after: Option<Name>,
        limit: usize,
        matching: Option<String>,
    ) -> Result<(Vec<Entry>, Option<Name>), StoreError> {
        let store = self.store.clone();
        let read = move || store.read(|reader| page(reader, after, limit, matching));
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|_| Err(StoreError::Stopped { path: self.store.path().to_owned() }))
    }

    /// All of them, whatever their stage.
    pub(super) fn all(&self) -> Result<Vec<Entry>, StoreError> {
        self.store.read(|reader| reader.range(BEINGS, ..).map(|entry| Ok(entry?.1)).collect())
    }

    /// Writes down what is known of a being. Two do not do so for the same being at the same time.
    pub(super) async fn put(&self, entry: Entry) -> Result<(), StoreError> {
        let node = entry.node.clone();
        let put = self.store.write(move |writer| {
            let id = entry.id.as_str().to_owned();
            let before: Option<Entry> = writer.get(BEINGS, &id)?;
            // What it is called it says itself, also while something else is done with it.
            let name = before.as_ref().map_or(&entry.name, |before| &before.name).clone();
            writer.insert(BEINGS, &id, &Entry { name, ..entry.clone() })?;
            Ok::<_, StoreError>(before.map(|before| before.node))
        });
        let before = put.await?;
        self.moved(before, Some(node));
        Ok(())
    }

    pub(super) async fn strike(&self, id: &Name) -> Result<(), StoreError> {
        let id = id.as_str().to_owned();
        let taken = self.store.write(move |writer| writer.take(BEINGS, &id)).await?;
        self.moved(taken.map(|entry: Entry| entry.node), None);
        Ok(())
    }

    fn moved(&self, from: Option<NodeName>, to: Option<NodeName>) {
        let mut counts = self.counts.lock();
        if let Some(count) = from.and_then(|from| counts.get_mut(&from)) {
            *count = count.saturating_sub(1);
        }
        if let Some(to) = to {
            *counts.entry(to).or_default() += 1;
        }
    }

    /// A being is called so. Nothing is written if that is known.
    pub(super) async fn rename(&self, id: Name, name: String) -> Result<(), StoreError> {
        if self.get(&id)?.is_none_or(|entry| entry.name == name) {
            return Ok(());
        }
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

fn page(
    reader: &Reader,
    after: Option<Name>,
    limit: usize,
    matching: Option<String>,
) -> Result<(Vec<Entry>, Option<Name>), StoreError> {
    let matching = matching.map(|text| text.to_lowercase());
    let is_meant = |entry: &Entry| {
        let has = |text: &str| text.to_lowercase().contains(matching.as_deref().unwrap_or(""));
        entry.is_there() && (has(entry.id.as_str()) || has(&entry.name))
    };
    let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_str().to_owned()));
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
}
