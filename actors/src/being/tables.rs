//! What a being keeps in its store, beside its memories.

use genii_protocols::budget::Budget;
use genii_protocols::{Json, Name, Timestamp};
use genii_storage::store::{Migration, Schema, Table};
use serde::{Deserialize, Serialize};

use super::consolidating::Derived;

/// The store of a being. Each version has a golden file: `actors/tests/beings/golden.rs`.
pub(super) const SCHEMA: Schema = Schema::new("being", 3, &[REMINDERS_COME, SUMMARIES_COME]);

/// A genii that knows nothing of reminders would not heed them: it is to refuse the store.
const REMINDERS_COME: Migration =
    Migration { to: 2, what: "make room for reminders", run: |_| Ok(()) };

/// A genii that knows nothing of what summaries were made of would not forget them with it, and would
/// give the numbers of forgotten turns once more: it is to refuse the store.
const SUMMARIES_COME: Migration =
    Migration { to: 3, what: "make room for summaries", run: |_| Ok(()) };

/// Who it is. One entry.
pub(super) const ABOUT: Table<(), About> = Table::new("about");

/// What it keeps in mind at all times, in order.
pub(super) const CORE: Table<u64, Block> = Table::new("core");

/// What was said to it, and what it answered.
pub(super) const TURNS: Table<u64, StoredTurn> = Table::new("turns");

/// The number of the last turn that there was. One entry, if there is any.
pub(super) const LAST_TURN: Table<(), u64> = Table::new("last_turn");

/// The memory of the fact that holds, for each subject.
pub(super) const FACTS: Table<String, u64> = Table::new("facts");

/// Through which turn conversations are consolidated. One entry, if any is.
pub(super) const CONSOLIDATED: Table<(), u64> = Table::new("consolidated");

/// About how many tokens a question about its conversations has that is asked and not counted yet. One entry, if
/// there is one: a life that ended with it, in good order or not, has not heard what came of it.
pub(super) const ASKED: Table<(), u64> = Table::new("notes_asked");

/// When it was last asked about its conversations.
pub(super) const NOTES_ASKED_AT: Table<(), Timestamp> = Table::new("notes_asked_at");

/// What a memory was made of, for those that were made of several turns.
pub(super) const DERIVED: Table<u64, Derived> = Table::new("derived");

/// What it is to be reminded of.
pub(super) const REMINDERS: Table<u64, StoredReminder> = Table::new("reminders");

/// The number of the last reminder that was set: none has that of another. One entry, if there is any.
pub(super) const LAST_REMINDER: Table<(), u64> = Table::new("last_reminder");

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

/// What a being is to be reminded of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredReminder {
    pub(super) id: u64,
    pub(super) at: Timestamp,
    pub(super) text: String,
    /// When it was set.
    pub(super) made: Timestamp,
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

#[cfg(test)]
mod tests {
    use genii_storage::store::{Store, StoreError, StoreOptions};

    use super::*;

    #[test]
    fn a_store_from_before_reminders_is_brought_up_to_date() {
        const BEFORE: Schema = Schema::new("being", 1, &[]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("being.redb");
        let open = |schema| Store::open(&file, schema, &StoreOptions::default());
        let block = Block { title: "whom I talk to".to_owned(), text: "Ann".to_owned() };
        let old = open(&BEFORE).unwrap();
        old.write_blocking(move |writer| writer.insert(CORE, &0, &block).map(drop)).unwrap();
        old.close_blocking().unwrap();
        let new = open(&SCHEMA).unwrap();
        let read =
            new.read(|reader| Ok::<_, StoreError>((reader.get(CORE, &0)?, reader.len(REMINDERS)?)));
        let (block, reminders) = read.unwrap();
        assert_eq!((block.unwrap().text.as_str(), reminders), ("Ann", 0));
        new.close_blocking().unwrap();
        let refused = open(&BEFORE).unwrap_err().to_string();
        assert!(refused.contains("version 3"), "{refused}");
    }
}
