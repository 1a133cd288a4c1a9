//! Saving what can be read of a being whose store nothing mends, while it sleeps, and giving up the rest.
//!
//! | what is lost | what becomes of it |
//! |---|---|
//! | an entry that is another table's, or makes no sense in its own | it is dropped, and counts as lost |
//! | a turn, a memory, a fact, a reminder, a block of core memory | it is gone, and none that comes later has its number, as far as what is left tells which that was |
//! | a memory of a turn that is left | it is made again of the turn, if the list of tables is whole (`remembering`) |
//! | what was made of memories, and the index | it is made anew |
//! | which fact of a subject holds | what the facts themselves say |
//! | of which turns a summary was made | it counts as made of all of them, and goes with any that is forgotten |
//! | of which turns the facts of a summary were made | they count as of the one turn that each names: it is told that they may outlive others |
//! | whether all tables were found | what is said of numbers, facts and summaries counts as lost |
//! | who it is | it has its id for a name, and no provider, until somebody says otherwise |
//! | what it may spend | nothing, until somebody says otherwise |
//! | that something was removed and may still lie in the file | that counts as so |

mod remembering;

use std::path::Path;

use genii_protocols::budget::{Budget, BudgetLimits};
use genii_protocols::{Json, Name, Timestamp};
use genii_storage::memories::{Memories, Memory, MemoryKind};
use genii_storage::store::{
    self, OpenError, Reader, Remains, SalvageError, Salvaged, StoreError, TableReport, Writer,
};

use crate::beings::home::folders::{STORE, remove_folder};

use super::consolidating::Derived;
use super::mind::INDEX_FOLDER;
use super::tables::{
    ABOUT, ASKED, About, BUDGET, CONSOLIDATED, CORE, DERIVED, FACTS, LAST_REMINDER, LAST_TURN,
    NOTES_ASKED_AT, REMINDERS, REWRITE_OWED, SCHEMA, TURNS,
};

/// What could be saved of the store of a being. Blocking.
///
/// # Errors
/// When it is in use, missing, or the system fails.
pub(crate) fn remains(folder: &Path) -> Result<Remains, OpenError> {
    store::remains(&folder.join(STORE), is_table)
}

/// Makes the store of a being anew of what can be read of it. Blocking.
///
/// # Errors
/// When too little can be read, or the system fails; the store is then as it was.
pub(crate) fn salvage(folder: &Path, id: &Name) -> Result<Salvaged, SalvageError> {
    let (file, index) = (folder.join(STORE), folder.join(INDEX_FOLDER));
    store::salvage(&file, &SCHEMA, is_table, Memories::is_made_anew, |writer, remains| {
        mend(writer, remains, id)?;
        if !is_of_a_being(remains) {
            return Err("nothing that can be read is of a being".into());
        }
        // It is made anew of what is left. Last: until here it may be that nothing can be saved.
        if let Err(error) = remove_folder(&index) {
            return Err(format!("its index cannot be removed: {error}").into());
        }
        Ok(())
    })
}

/// Whether anything can be read that is of a being.
fn is_of_a_being(remains: &Remains) -> bool {
    let is_of_it = |name: &str| is_table(name) && !Memories::is_made_anew(name);
    remains.tables.iter().any(|table| is_of_it(&table.name) && table.entries > 0)
}

/// What is told before that is done of a damaged file that will not be kept, if it will not.
pub(crate) fn not_kept(remains: &Remains) -> Option<String> {
    let owed = REWRITE_OWED.name();
    let is_owed = remains.table(owed).is_some_and(|table| table.entries > 0);
    (is_owed || remains.has_lost(owed)).then(|| {
        "something was removed, or may have been, that may still lie in the damaged file: it will not be \
         kept for long, so copy it elsewhere before, if you need it"
            .to_owned()
    })
}

/// What becomes of the damaged file of a being that was saved, in words.
pub(crate) fn kept(Salvaged { after, damaged, .. }: &Salvaged) -> String {
    let damaged = damaged.display();
    let is_owed = |table: &TableReport| table.name == REWRITE_OWED.name() && table.entries > 0;
    if after.tables.iter().any(is_owed) {
        return format!(
            "something was removed, or may have been, that may still lie in the damaged file {damaged}: \
             it goes as soon as the being wakes"
        );
    }
    format!(
        "the damaged file is kept as {damaged}, until something is removed for good (by forgetting, \
         another character or core memory, or cancelling a reminder) or the being moves; copy it \
         elsewhere if you need it"
    )
}

/// Whether a being has a table of this name.
fn is_table(name: &str) -> bool {
    let own = [
        ABOUT.name(),
        ASKED.name(),
        NOTES_ASKED_AT.name(),
        BUDGET.name(),
        CONSOLIDATED.name(),
        CORE.name(),
        DERIVED.name(),
        FACTS.name(),
        LAST_REMINDER.name(),
        LAST_TURN.name(),
        REMINDERS.name(),
        REWRITE_OWED.name(),
        TURNS.name(),
    ];
    own.contains(&name) || Memories::has_table(name)
}

/// The highest number that a turn or a reminder is taken to have had: what was imported may say anything of
/// itself.
const NUMBER_MAX: u64 = u64::MAX / 2;

/// What its owner is to know of what is lost beside the entries themselves.
pub(crate) fn notes(remains: &Remains, id: &Name) -> Vec<String> {
    let has = |table: &str| remains.table(table).is_some_and(|table| table.entries > 0);
    let mut notes = Vec::new();
    if !remains.are_all {
        notes.push(
            "the list of its tables is damaged: one may be missing, or be as it was before the last \
             write"
                .to_owned(),
        );
    }
    if !has(ABOUT.name()) {
        notes.push(format!(
            "who it is cannot be read: it will be called {id} and answer offline, until `being character \
             {id}` and `being provider {id}` say otherwise"
        ));
    }
    if remains.has_lost(BUDGET.name()) && !has(BUDGET.name()) {
        notes.push(format!(
            "what it may spend cannot be read: it will ask nothing until `being budget {id}` says what, \
             such as `--requests-per-day none`"
        ));
    }
    if remembering::is_due(remains) && has(TURNS.name()) {
        notes.push(
            "what is lost of memories is made again where it is of a turn that can be read: what was said and \
             answered, and the facts that plain rules find there"
                .to_owned(),
        );
    }
    if remains.has_lost(DERIVED.name()) {
        notes.push(
            "of which turns some notes were made cannot be read: a summary of these goes with any turn \
             that is forgotten, but a fact may stay that was found there; it can be forgotten by its \
             words"
                .to_owned(),
        );
    }
    notes
}

/// Brings to agree what its tables say of each other.
fn mend(writer: &mut Writer, remains: &mut Remains, id: &Name) -> Result<(), StoreError> {
    keep_readable(writer, remains)?;
    if !writer.contains(ABOUT, &())? {
        writer.insert(ABOUT, &(), &nobody(id))?;
    }
    if remains.has_lost(BUDGET.name()) && !writer.contains(BUDGET, &())? {
        let limits = BudgetLimits { requests_per_day: Some(0), ..BudgetLimits::default() };
        writer.insert(BUDGET, &(), &Budget::new(limits))?;
    }
    if remains.has_lost(REWRITE_OWED.name()) {
        writer.insert(REWRITE_OWED, &(), &())?;
    }
    let named = last_named(writer)?;
    Memories::mend(writer, remains, named)?;
    let last_turn = mend_numbers(writer, remains)?;
    mend_notes(writer, remains, last_turn)?;
    match remembering::is_due(remains) {
        // Last, when it is known which facts hold.
        true => remembering::remember_again(writer, id),
        false => Ok(()),
    }
}

/// Drops what it could not wake with: a seal does not say of which table an entry is. [`Memories::mend`] does
/// so with memories.
fn keep_readable(writer: &mut Writer, remains: &mut Remains) -> Result<(), StoreError> {
    remains.keep_readable(writer, ABOUT)?;
    remains.keep_readable(writer, ASKED)?;
    remains.keep_readable(writer, NOTES_ASKED_AT)?;
    remains.keep_readable(writer, BUDGET)?;
    remains.keep_readable(writer, CONSOLIDATED)?;
    remains.keep_readable(writer, CORE)?;
    remains.keep_readable(writer, DERIVED)?;
    remains.keep_readable(writer, FACTS)?;
    remains.keep_readable(writer, LAST_REMINDER)?;
    remains.keep_readable(writer, LAST_TURN)?;
    remains.keep_readable(writer, REMINDERS)?;
    remains.keep_readable(writer, REWRITE_OWED)?;
    remains.keep_readable(writer, TURNS)
}

/// One of whom nothing is known.
fn nobody(id: &Name) -> About {
    About {
        id: id.clone(),
        created: Timestamp::now(),
        character: Json(serde_json::json!({ "name": id.as_str() })),
        provider: Json::default(),
    }
}

/// The highest id of a memory that something else names.
fn last_named(reader: &Reader) -> Result<u64, StoreError> {
    let mut last = reader.last(DERIVED)?.map_or(0, |(memory, _)| memory);
    for entry in reader.range(FACTS, ..) {
        last = last.max(entry?.1);
    }
    for entry in reader.range(TURNS, ..) {
        last = entry?.1.memories.into_iter().fold(last, u64::max);
    }
    Ok(last)
}

/// Sees to it that no turn and no reminder is given the number of one that may have been lost; the number of the
/// last turn.
fn mend_numbers(writer: &mut Writer, remains: &Remains) -> Result<u64, StoreError> {
    // What is said from before the last write knows nothing of what was kept with that.
    let is_certain = |said: Option<u64>| remains.are_all && said.is_some();
    let after = |last: u64, table: &str| {
        let lost = remains.table(table).map_or(0, |table| table.lost);
        last.saturating_add(lost).min(NUMBER_MAX).max(last)
    };
    let said = writer.get(LAST_REMINDER, &())?;
    if !is_certain(said) {
        let last = writer.last(REMINDERS)?.map_or(0, |(reminder, _)| reminder);
        let last = after(last, REMINDERS.name()).max(said.unwrap_or(0));
        writer.insert(LAST_REMINDER, &(), &last)?;
    }
    let said = writer.get(LAST_TURN, &())?;
    if let Some(last) = said.filter(|_| is_certain(said)) {
        return Ok(last);
    }
    let last = writer.last(TURNS)?.map_or(0, |(turn, _)| turn);
    let mut last = last.max(writer.get(CONSOLIDATED, &())?.unwrap_or(0));
    for memory in Memories::all(writer) {
        last = last.max(memory?.turn.unwrap_or(0));
    }
    let last = after(last, TURNS.name()).max(said.unwrap_or(0));
    writer.insert(LAST_TURN, &(), &last)?;
    Ok(last)
}

/// Says again, as far as memories tell it, which facts hold and what summaries were made of.
fn mend_notes(writer: &mut Writer, remains: &Remains, last_turn: u64) -> Result<(), StoreError> {
    // A table from before the last write may lack what that says of them.
    let is_lacking = |table: &str| !remains.are_all || remains.has_lost(table);
    let (are_facts, are_derived) = (is_lacking(FACTS.name()), is_lacking(DERIVED.name()));
    if !are_facts && !are_derived {
        return Ok(());
    }
    let (mut facts, mut summaries) = (Vec::new(), Vec::new());
    for memory in Memories::all(writer) {
        let Memory { id, kind, subject, replaced_by, .. } = memory?;
        match (kind, subject) {
            (MemoryKind::Fact, Some(subject)) if replaced_by.is_none() => facts.push((subject, id)),
            (MemoryKind::Summary, _) => summaries.push(id),
            _ => {}
        }
    }
    // The newest first: it is the one that holds.
    for (subject, id) in facts.into_iter().rev().filter(|_| are_facts) {
        if !writer.contains(FACTS, &subject)? {
            writer.insert(FACTS, &subject, &id)?;
        }
    }
    for id in summaries.into_iter().filter(|_| are_derived) {
        if !writer.contains(DERIVED, &id)? {
            writer.insert(DERIVED, &id, &Derived { from: 1, through: last_turn })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
