//! What is remembered of turns, made again where that is lost and the turns are not.
//!
//! A turn names what it is remembered as. Both are forgotten together, and an answer that is forgotten alone is
//! named no more. So what a turn names and is not there is lost. It is kept once more under its id, and stands
//! where it stood. Facts that are told in such a turn are found as when it was said, unless a later one holds, and
//! come last: no turn names them.

use std::collections::BTreeSet;
use std::ops::Bound;

use genii_protocols::Name;
use genii_storage::memories::{Memories, Memory, MemoryKind, NewMemory};
use genii_storage::store::{Reader, Remains, StoreError, Writer};

use crate::being::character::Character;
use crate::being::tables::{ABOUT, StoredTurn, TURNS};
use crate::being::{conversation, facts, reminding};

/// How many turns are read at a time: each may be long.
const TURNS_AT_ONCE: usize = 64;

/// Whether memories are lost that turns may tell. Where the list of tables is damaged none is made again: a table
/// from before the last write may have turns that this forgot.
pub(super) fn is_due(remains: &Remains) -> bool {
    remains.are_all && Memories::are_lost(remains)
}

/// Makes again what is remembered of turns, as far as it is lost. Done once more, it makes nothing.
pub(super) fn remember_again(writer: &mut Writer, id: &Name) -> Result<(), StoreError> {
    let (name, told) = (called(writer, id)?, told_facts(writer)?);
    let mut from: Bound<u64> = Bound::Unbounded;
    loop {
        let turns = writer.range(TURNS, (from, Bound::Unbounded)).take(TURNS_AT_ONCE);
        let turns = turns.collect::<Result<Vec<(u64, StoredTurn)>, StoreError>>()?;
        let Some((last, _)) = turns.last() else { return Ok(()) };
        from = Bound::Excluded(*last);
        for (_, turn) in &turns {
            if remember(writer, turn, &name)? {
                tell_facts(writer, turn, &told)?;
            }
        }
    }
}

/// Makes again what a turn is remembered as, if that is lost; whether what was said was.
fn remember(writer: &mut Writer, turn: &StoredTurn, name: &str) -> Result<bool, StoreError> {
    let put_again = |writer: &mut Writer, place: usize, text: &str, speaker: Option<String>| {
        let new = conversation::remembered(text, speaker, turn.at, Some(turn.id));
        let memory = turn.memories.get(place);
        memory.map_or(Ok(false), |memory| Memories::put_again(writer, *memory, &new))
    };
    if let Some(answer) = &turn.answer {
        put_again(writer, 1, answer, Some(name.to_owned()))?;
    }
    put_again(writer, 0, &turn.said, turn.speaker.clone())
}

/// Keeps the facts that are told in a turn, but for those of which one of that turn is left.
fn tell_facts(
    writer: &mut Writer,
    turn: &StoredTurn,
    told: &BTreeSet<(u64, String)>,
) -> Result<(), StoreError> {
    let speaker = turn.speaker.as_deref();
    // What a being reminds itself of tells nothing of whoever it talks with.
    if speaker == Some(reminding::SPEAKER) {
        return Ok(());
    }
    let is_lost = |fact: &NewMemory| {
        let subject = fact.subject.clone();
        subject.is_some_and(|subject| !told.contains(&(turn.id, subject)))
    };
    let facts = facts::of(&turn.said, speaker, turn.at).into_iter().filter(is_lost);
    let of_this_turn = |fact: NewMemory| NewMemory { turn: Some(turn.id), ..fact };
    let facts: Vec<NewMemory> = facts.map(of_this_turn).collect();
    facts::put(writer, &facts, None).map(drop)
}

/// What it is called, and says its answers as.
fn called(reader: &Reader, id: &Name) -> Result<String, StoreError> {
    let about = reader.get(ABOUT, &())?;
    let character = about.and_then(|about| Character::try_from(&about.character).ok());
    Ok(character.map_or_else(|| id.to_string(), |character| character.called().to_owned()))
}

/// Of which turn each fact is that is left, and about what.
fn told_facts(reader: &Reader) -> Result<BTreeSet<(u64, String)>, StoreError> {
    let mut told = BTreeSet::new();
    for memory in Memories::all(reader) {
        let Memory { kind, turn, subject, .. } = memory?;
        if let (MemoryKind::Fact, Some(turn), Some(subject)) = (kind, turn, subject) {
            told.insert((turn, subject));
        }
    }
    Ok(told)
}
