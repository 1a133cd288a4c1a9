//! What is made of what is left, tried.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use genii_storage::memories::NewMemory;
use genii_storage::store::{Finding, Report, Store, StoreOptions, Table, TableRemains};

use super::*;
use crate::being::conversation::remembered;
use crate::being::tables::{StoredReminder, StoredTurn};
use crate::being::{facts, reminding};

fn memory(kind: MemoryKind, turn: Option<u64>, subject: Option<&str>) -> NewMemory {
    let (text, subject) = ("Ann lives in Faro".to_owned(), subject.map(str::to_owned));
    NewMemory { kind, text, speaker: None, at: Timestamp::now(), turn, subject }
}

fn turn(id: u64, memories: Vec<u64>) -> StoredTurn {
    StoredTurn {
        id,
        at: Timestamp::now(),
        speaker: None,
        said: "Is it windy?".to_owned(),
        answer: None,
        failure: None,
        memories,
    }
}

fn lost(table: &str, lost: u64) -> TableRemains {
    let (name, gaps) = (table.to_owned(), Vec::new());
    TableRemains { name, entries: 0, bytes: 0, lost, gaps, last_number: None }
}

#[test]
fn what_is_left_agrees_with_itself() {
    let folder = tempfile::tempdir().unwrap();
    let id = Name::new("marit").unwrap();
    let store = Store::open(folder.path().join(STORE), &SCHEMA, &StoreOptions::default());
    let store = store.unwrap();
    let names = [ABOUT.name(), BUDGET.name(), LAST_TURN.name(), FACTS.name(), DERIVED.name()];
    let mut tables: Vec<_> = names.into_iter().map(|name| lost(name, 1)).collect();
    tables.push(lost(TURNS.name(), 2));
    let remains = Remains { tables, are_all: true };
    let notes = notes(&remains, &id).join("\n");
    assert!(notes.contains("called marit") && notes.contains("being budget marit"), "{notes}");
    let mended = store.write_blocking(move |writer| {
        Memories::put(writer, &memory(MemoryKind::Fact, Some(1), Some("home of ann")))?;
        Memories::put(writer, &memory(MemoryKind::Summary, None, None))?;
        writer.insert(TURNS, &1, &turn(1, vec![9]))?;
        mend(writer, &mut remains.clone(), &id)?;
        let next = Memories::put(writer, &memory(MemoryKind::Turn, None, None))?;
        let about = writer.get(ABOUT, &())?.map(|about| about.character.0);
        let budget = writer.get(BUDGET, &())?.unwrap_or_default();
        let fact = writer.get(FACTS, &"home of ann".to_owned())?;
        let (derived, last) = (writer.get(DERIVED, &2)?, writer.get(LAST_TURN, &())?);
        let is_owed = writer.contains(REWRITE_OWED, &())?;
        Ok::<_, StoreError>((next.id, about, budget, fact, derived, last, is_owed))
    });
    let (next, about, budget, fact, derived, last, is_owed) = mended.unwrap();
    assert_eq!(next, 3, "the number that comes next was not lost");
    assert_eq!(about.unwrap()["name"], "marit");
    assert!(budget.admit(Timestamp::now(), 1).is_err(), "it is told before it spends");
    assert_eq!((fact, derived), (Some(1), Some(Derived { from: 1, through: 3 })));
    assert_eq!((last, is_owed), (Some(3), false));
    store.close_blocking().unwrap();
    let tables = store::check(&folder.path().join(STORE)).unwrap().tables;
    assert!(tables.len() > 5 && tables.iter().all(|table| is_table(&table.name)), "{tables:?}");
}

#[test]
fn what_is_of_another_table_is_dropped_and_the_rest_is_mended() {
    const NO_DERIVED: Table<u64, String> = Table::new("derived");
    let folder = tempfile::tempdir().unwrap();
    let id = Name::new("marit").unwrap();
    let store = Store::open(folder.path().join(STORE), &SCHEMA, &StoreOptions::default());
    let mended = store.unwrap().write_blocking(move |writer| {
        writer.insert(NO_DERIVED, &1, &"Is it windy?".to_owned())?;
        writer.insert(DERIVED, &2, &Derived { from: 1, through: 3 })?;
        let tables = vec![TableRemains { entries: 2, ..lost(DERIVED.name(), 0) }];
        let mut remains = Remains { tables, are_all: true };
        mend(writer, &mut remains, &id)?;
        let told = remains.table(DERIVED.name()).map(|table| (table.entries, table.lost));
        let derived: Result<Vec<_>, StoreError> = writer.range(DERIVED, ..).collect();
        Ok::<_, StoreError>((told, derived?))
    });
    let left = vec![(2, Derived { from: 1, through: 3 })];
    assert_eq!(mended.unwrap(), (Some((1, 1)), left));
}

#[test]
fn what_becomes_of_the_damaged_file_is_told_as_it_is() {
    let report = |tables| Report {
        path: PathBuf::from("being.redb"),
        bytes: 0,
        finding: Finding::Whole,
        application: None,
        version: None,
        tables,
    };
    let kept = |tables| {
        let remains = Remains { tables: Vec::new(), are_all: true };
        let damaged = PathBuf::from("being.redb.damaged");
        super::kept(&Salvaged { remains, after: report(tables), damaged })
    };
    let told = kept(Vec::new());
    assert!(told.contains("is kept as being.redb.damaged") && told.contains("copy"), "{told}");
    let owed = TableReport { name: REWRITE_OWED.name().to_owned(), entries: 1, bytes: 0 };
    let told = kept(vec![owed]);
    assert!(!told.contains("kept") && told.contains("as soon as the being wakes"), "{told}");
}

#[test]
fn numbers_from_before_the_last_write_are_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let id = Name::new("marit").unwrap();
    let store = Store::open(folder.path().join(STORE), &SCHEMA, &StoreOptions::default());
    let mended = store.unwrap().write_blocking(move |writer| {
        writer.insert(TURNS, &7, &turn(7, vec![9]))?;
        writer.insert(LAST_TURN, &(), &6)?;
        let at = Timestamp::now();
        let reminder = StoredReminder { id: 4, at, text: "tea".to_owned(), made: at };
        writer.insert(REMINDERS, &4, &reminder)?;
        writer.insert(LAST_REMINDER, &(), &3)?;
        Memories::put(writer, &memory(MemoryKind::Summary, None, None))?;
        mend(writer, &mut Remains { tables: Vec::new(), are_all: false }, &id)?;
        let next = Memories::put(writer, &memory(MemoryKind::Turn, None, None))?;
        let derived = writer.get(DERIVED, &1)?;
        let (turn, reminder) = (writer.get(LAST_TURN, &())?, writer.get(LAST_REMINDER, &())?);
        Ok::<_, StoreError>((next.id, derived, turn, reminder))
    });
    let all = Some(Derived { from: 1, through: 7 });
    assert_eq!(mended.unwrap(), (10, all, Some(7), Some(4)));
}

/// The table of memories as bytes are, which nobody reads.
const MEMORIES: Table<u64, ()> = Table::new("memories");

/// Seconds after 1970.
fn at(seconds: u64) -> Timestamp {
    (UNIX_EPOCH + Duration::from_secs(seconds)).into()
}

/// Keeps a turn as it is kept when it is answered, with the facts that it tells.
fn keep_turn(
    writer: &mut Writer,
    id: u64,
    speaker: &str,
    said: &str,
    answer: Option<&str>,
) -> Result<(), StoreError> {
    let speaker = Some(speaker.to_owned());
    let new = remembered(said, speaker.clone(), at(id), Some(id));
    let mut memories = vec![Memories::put(writer, &new)?.id];
    if let Some(answer) = answer {
        let new = remembered(answer, Some("marit".to_owned()), at(id), Some(id));
        memories.push(Memories::put(writer, &new)?.id);
    }
    if speaker.as_deref() != Some(reminding::SPEAKER) {
        let told = facts::of(said, speaker.as_deref(), at(id)).into_iter();
        let told: Vec<NewMemory> = told.map(|it| NewMemory { turn: Some(id), ..it }).collect();
        facts::put(writer, &told, None)?;
    }
    let (at, said, answer) = (at(id), said.to_owned(), answer.map(str::to_owned));
    let turn = StoredTurn { id, at, speaker, said, answer, failure: None, memories };
    writer.insert(TURNS, &id, &turn).map(drop)
}

/// All memories of what is left of a store of which some memories were lost, mended twice.
fn left_of(
    are_all: bool,
    keep: impl Fn(&mut Writer) -> Result<(), StoreError> + Send + 'static,
) -> Vec<Memory> {
    let folder = tempfile::tempdir().unwrap();
    let id = Name::new("marit").unwrap();
    let store = Store::open(folder.path().join(STORE), &SCHEMA, &StoreOptions::default());
    let left = store.unwrap().write_blocking(move |writer| {
        keep(writer)?;
        for _ in 0..2 {
            let tables = vec![TableRemains { entries: 9, ..lost(MEMORIES.name(), 9) }];
            mend(writer, &mut Remains { tables, are_all }, &id)?;
        }
        Memories::all(writer).collect::<Result<Vec<Memory>, StoreError>>()
    });
    left.unwrap()
}

#[test]
fn what_is_remembered_of_turns_is_made_again_as_it_was() {
    fn keep(writer: &mut Writer) -> Result<(), StoreError> {
        for id in 1..=150 {
            let (said, answer) = (format!("Is it windy on day {id}?"), format!("Yes, on {id}."));
            keep_turn(writer, id, "Ann", &said, (id % 2 == 0).then_some(answer.as_str()))?;
        }
        keep_turn(writer, 151, "Bob", &"\u{e9}".repeat(70_000), None)
    }
    let before = left_of(true, keep);
    assert_eq!(before.len(), 150 + 75 + 1);
    let without = |gone: std::ops::RangeInclusive<u64>| {
        left_of(true, move |writer| {
            keep(writer)?;
            writer.remove_range(MEMORIES, gone.clone()).map(drop)
        })
    };
    assert!(without(1..=226) == before, "all were lost");
    assert!(without(2..=100) == before, "some were lost");
    assert!(without(226..=226) == before, "a long one was lost");
    // There it cannot be told whether a turn was forgotten.
    let of_a_damaged_list = left_of(false, move |writer| {
        keep(writer)?;
        writer.remove_range(MEMORIES, 2..=100).map(drop)
    });
    assert_eq!(of_a_damaged_list.len(), before.len() - 99);
}

#[test]
fn nothing_is_made_again_that_was_forgotten_or_never_remembered() {
    let left = left_of(true, |writer| {
        let name_memories = |writer: &mut Writer, id: u64, memories: Vec<u64>| {
            let there = writer.get(TURNS, &id)?;
            there.map_or(Ok(()), |turn| {
                writer.insert(TURNS, &id, &StoredTurn { memories, ..turn }).map(drop)
            })
        };
        keep_turn(writer, 1, "Ann", "Where is the kettle?", Some("On the stove."))?;
        // The answer of the first turn was forgotten, and all of the second, which stands there as of before.
        keep_turn(writer, 2, "Ann", "Where is the anchor?", None)?;
        Memories::remove(writer, &[2, 3])?;
        name_memories(writer, 1, vec![1])?;
        keep_turn(writer, 3, "Ann", "Is it windy?", None)?;
        name_memories(writer, 3, vec![77])?;
        keep_turn(writer, 4, "Ann", "Is it cold?", None)?;
        // What is there is left as it is, whoever names it.
        name_memories(writer, 4, vec![4])?;
        writer.remove_range(MEMORIES, ..=1).map(drop)
    });
    let texts: Vec<_> = left.iter().map(|it| (it.id, it.text.as_str())).collect();
    assert_eq!(texts, [(1, "Where is the kettle?"), (4, "Is it windy?"), (5, "Is it cold?")]);
}

#[test]
fn facts_that_are_told_in_such_turns_are_found_again_and_the_last_one_holds() {
    const PORTO: &str = "I live in Porto.";
    fn keep(writer: &mut Writer) -> Result<(), StoreError> {
        keep_turn(writer, 1, "Ann", PORTO, None)?;
        keep_turn(writer, 2, "Ann", "My dog is called Rex.", None)?;
        keep_turn(writer, 3, "Ann", "I moved to Lisbon.", None)?;
        keep_turn(writer, 4, reminding::SPEAKER, "I live in Rome.", None)
    }
    let told = |memories: Vec<Memory>| {
        let told = memories.into_iter().filter(|it| it.kind == MemoryKind::Fact);
        let mut told: Vec<_> = told.map(|it| (it.text, it.turn, it.until)).collect();
        told.sort_unstable();
        told
    };
    let without = |gone: std::ops::RangeInclusive<u64>| {
        told(left_of(true, move |writer| {
            keep(writer)?;
            writer.remove_range(MEMORIES, gone.clone()).map(drop)
        }))
    };
    let mut all = told(left_of(true, keep));
    let porto = (PORTO.to_owned(), Some(1), Some(at(3)));
    assert!(all.len() == 3 && all.contains(&porto), "{all:?}");
    assert_eq!(without(1..=7), all, "all were lost");
    assert_eq!(without(1..=1), all, "the fact is there");
    assert_eq!(without(5..=6), all, "the fact that held is lost");
    assert_eq!(without(6..=6), all, "it alone is lost");
    let gone = [1, 2, 6];
    let but_one = told(left_of(true, move |writer| {
        keep(writer)?;
        gone.iter().try_for_each(|id| writer.remove(MEMORIES, id).map(drop))
    }));
    assert_eq!(but_one, all, "what was said of the fact that held is there");
    // One that held before is known by its turn alone.
    all.retain(|fact| *fact != porto);
    assert_eq!(without(1..=2), all);
}

#[test]
fn a_fact_that_was_over_does_not_hold_again_when_what_came_after_is_lost() {
    let left = left_of(true, |writer| {
        keep_turn(writer, 1, "Ann", "I live in Porto.", None)?;
        keep_turn(writer, 2, "Ann", "We settled in Lisbon in March.", None)?;
        // As it is found by a server, in what was said.
        let settled = memory(MemoryKind::Fact, Some(2), Some("home of ann"));
        facts::put(writer, &[settled], Some(&Derived { from: 1, through: 2 }))?;
        writer.remove_range(MEMORIES, ..).map(drop)
    });
    let texts: Vec<_> = left.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, ["I live in Porto.", "We settled in Lisbon in March."]);
}
