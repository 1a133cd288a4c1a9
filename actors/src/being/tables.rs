//! What a being keeps in its store, beside its memories.

use genii_protocols::budget::Budget;
use genii_protocols::{Json, Name, Timestamp};
use genii_storage::store::{Schema, Table};
use serde::{Deserialize, Serialize};

/// The store of a being.
pub(super) const SCHEMA: Schema = Schema::new("being", 1, &[]);

/// Who it is. One entry.
pub(super) const ABOUT: Table<(), About> = Table::new("about");

/// What it keeps in mind at all times, in order.
pub(super) const CORE: Table<u64, Block> = Table::new("core");

/// What was said to it, and what it answered.
pub(super) const TURNS: Table<u64, StoredTurn> = Table::new("turns");

/// The memory of the fact that holds, for each subject.
pub(super) const FACTS: Table<String, u64> = Table::new("facts");

/// Something was removed, and its bytes may still lie in the file. One entry, if there is any.
pub(super) const REWRITE_OWED: Table<(), ()> = Table::new("rewrite_owed");

/// What it may spend, and what it has spent. One entry.
pub(super) const BUDGET: Table<(), Budget> = Table::new("budget");

/// Who a being is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct About {
    /// Its id, when it was made; an import may have given it another since.
    pub(super) id: Name,
    /// When it was made.
    pub(super) created: Timestamp,
    /// Its character, in our own form.
    pub(super) character: Json,
    /// The settings of its provider.
    pub(super) provider: Json,
}

/// A block of core memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Block {
    pub(super) title: String,
    pub(super) text: String,
}

/// What was said to a being, and what it answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredTurn {
    pub(super) id: u64,
    pub(super) at: Timestamp,
    pub(super) speaker: Option<String>,
    pub(super) said: String,
    pub(super) answer: Option<String>,
    /// Why there is no answer, or not the whole of it.
    pub(super) failure: Option<String>,
    /// The memories that it is remembered as.
    pub(super) memories: Vec<u64>,
}
