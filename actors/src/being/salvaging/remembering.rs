//! What is remembered of turns, made again where that is lost and the turns are not.
//!
//! A turn names what it is remembered as. Both are forgotten together, and an answer that is forgotten alone is
//! named no more. So what a turn names and is not there is lost. It is kept once more under its id, and stands
//! where it stood. Facts that turns tell are found as when they were said, unless a later one holds, and come last:
//! no turn names them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use genii_protocols::Name;
use genii_storage::memories::{Memories, Memory, MemoryKind, NewMemory};
use genii_storage::store::{Reader, Remains, StoreError, Writer};

use crate::being::character::Character;
use crate::being::tables::{ABOUT, FACTS, StoredTurn, TURNS};
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
    let (name, left) = (called(writer, id)?, Left::of(writer)?);
    let mut from: Bound<u64> = Bound::Unbounded;
    loop {
        let turns = writer.range(TURNS, (from, Bound::Unbounded)).take(TURNS_AT_ONCE);
        let turns = turns.collect::<Result<Vec<(u64, StoredTurn)>, StoreError>>()?;
        let Some((last, _)) = turns.last() else { return Ok(()) };
        from = Bound::Excluded(*last);
        for (_, turn) in &turns {
            remember(writer, turn, &name)?;
            tell_facts(writer, turn, &left)?;
        }
    }
}

/// Makes again what a turn is remembered as, if that is lost.
fn remember(writer: &mut Writer, turn: &StoredTurn, name: &str) -> Result<(), StoreError> {
    let put_again = |writer: &mut Writer, place: usize, text: &str, speaker: Option<String>| {
        let new = conversation::remembered(text, speaker, turn.at, Some(turn.id));
        let memory = turn.memories.get(place);
        memory.map_or(Ok(false), |memory| Memories::put_again(writer, *memory, &new))
    };
    if let Some(answer) = &turn.answer {
        put_again(writer, 1, answer, Some(name.to_owned()))?;
    }
    put_again(writer, 0, &turn.said, turn.speaker.clone()).map(drop)
}

/// Keeps the facts that are told in a turn, as far as they are lost.
fn tell_facts(writer: &mut Writer, turn: &StoredTurn, left: &Left) -> Result<(), StoreError> {
    let is_lost = |fact: &NewMemory| {
        let subject = fact.subject.clone();
        subject.is_some_and(|subject| left.misses(turn.id, subject))
    };
    let of_this_turn = |fact: NewMemory| NewMemory { turn: Some(turn.id), ..fact };
    let facts: Vec<NewMemory> =
        told_in(turn).into_iter().filter(is_lost).map(of_this_turn).collect();
    match facts::put(writer, &facts, None) {
        // A store that gives no more numbers is saved without them.
        Err(StoreError::NoNumber { .. }) => Ok(()),
        put => put.map(drop),
    }
}

/// The facts that a turn tells.
fn told_in(turn: &StoredTurn) -> Vec<NewMemory> {
    let speaker = turn.speaker.as_deref();
    // What a being reminds itself of tells nothing of whoever it talks with.
    if speaker == Some(reminding::SPEAKER) {
        return Vec::new();
    }
    facts::of(&turn.said, speaker, turn.at)
}

/// What it is called, and says its answers as.
fn called(reader: &Reader, id: &Name) -> Result<String, StoreError> {
    let about = reader.get(ABOUT, &())?;
    let character = about.and_then(|about| Character::try_from(&about.character).ok());
    Ok(character.map_or_else(|| id.to_string(), |character| character.called().to_owned()))
}

/// What is left of facts.
struct Left {
    /// Of which turn each is, and about what.
    told: BTreeSet<(u64, String)>,
    /// About what none is told again: the last one is lost, and no turn tells it. What turns tell of that was over.
    over: BTreeSet<String>,
}

impl Left {
    fn of(reader: &Reader) -> Result<Self, StoreError> {
        let mut told = BTreeSet::new();
        for memory in Memories::all(reader) {
            let Memory { kind, turn, subject, .. } = memory?;
            if let (MemoryKind::Fact, Some(turn), Some(subject)) = (kind, turn, subject) {
                told.insert((turn, subject));
            }
        }
        Ok(Self { told, over: over(reader)? })
    }

    fn misses(&self, turn: u64, subject: String) -> bool {
        !self.over.contains(&subject) && !self.told.contains(&(turn, subject))
    }
}

/// About what the last fact is lost, and was not told in the turn that was the last when it was kept: it was
/// found later, by a server.
fn over(reader: &Reader) -> Result<BTreeSet<String>, StoreError> {
    let mut lost = Vec::new();
    for entry in reader.range(FACTS, ..) {
        let (subject, fact) = entry?;
        if Memories::find(reader, fact)?.is_none() {
            lost.push((subject, fact));
        }
    }
    let mut over = BTreeSet::new();
    if lost.is_empty() {
        return Ok(over);
    }
    let mut turns = BTreeMap::new();
    for entry in reader.range(TURNS, ..) {
        let (id, turn) = entry?;
        turns.extend(turn.memories.first().map(|memory| (*memory, id)));
    }
    for (subject, fact) in lost {
        let turn = match turns.range(..fact).next_back() {
            Some((_, turn)) => reader.get(TURNS, turn)?,
            None => None,
        };
        let told = turn.map(|turn| told_in(&turn)).unwrap_or_default();
        if !told.iter().any(|it| it.subject.as_ref() == Some(&subject)) {
            over.insert(subject);
        }
    }
    Ok(over)
}
