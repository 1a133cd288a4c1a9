//! What matches and what is quoted, and what is at hand and on the disk after something was forgotten.

use std::os::unix::fs::MetadataExt;

use futures_util::future::poll_immediate;
use genii_storage::memories::NewMemory;
use tempfile::TempDir;

use super::*;
use crate::beings::home::folders::STORE;

#[test]
fn words_match_whether_large_or_small_and_whatever_stands_between() {
    assert!(matches("The spare key is under the BLUE pot.", "blue pot"));
    assert!(matches("blue-pot", "Blue Pot"));
    assert!(!matches("the blue teapot", "blue pot"));
    assert!(!matches("blue and a pot", "blue pot"));
    assert!(!matches("anything", " , "));
}

#[test]
fn quotes_are_known_by_their_words() {
    let quotes = |texts: &[&str]| {
        let mut quotes = Quotes::default();
        texts.iter().for_each(|text| quotes.add(text));
        quotes
    };
    let some = quotes(&["The quokka sleeps until noon.", "xyzzy-42", "", " ! "]);
    assert!(some.are_in("On 1 May you told me: \u{201c}The quokka sleeps until noon.\u{201d}"));
    assert!(some.are_in("As I said, the QUOKKA sleeps until noon"));
    assert!(!some.are_in("The quokka sleeps until midnight"));
    assert!(some.are_in("On 1 May I noted: \u{201c}xyzzy-42\u{201d}"));
    assert!(!some.are_in("Is xyzzy-42 a good word?"), "few words are said by chance");
    let long = quotes(&[&"one two three four five ".repeat(100)]);
    let cut = "one two three four five ".repeat(17);
    assert!(long.are_in(&format!("I noted: \u{201c}{}\u{2026}\u{201d}", &cut[..399])));
    assert!(!quotes(&[]).are_in("anything at all"));
}

#[test]
fn where_no_blanks_stand_between_words_letters_match() {
    assert!(matches("\u{6211}\u{7684}\u{5bc6}\u{7801}\u{662f}1234\u{3002}", "\u{5bc6}\u{7801}"));
    assert!(matches("\u{6211}\u{7684}\u{5bc6}\u{7801}\u{662f}PIN1234", "\u{662f} pin1234"));
    assert!(matches("\u{732b}\u{306e}\u{30df}\u{30bd}\u{3067}\u{3059}", "\u{30df}\u{30bd}"));
    assert!(!matches("\u{5bc6}\u{7684}\u{7801}", "\u{5bc6}\u{7801}"));
    assert!(!matches("\u{6211}1234", "123"));
    // Thai: `my cat is called Miso`.
    let cat = "\u{e41}\u{e21}\u{e27}\u{e09}\u{e31}\u{e19}\u{e0a}\u{e37}\u{e48}\u{e2d}Miso";
    assert!(matches(cat, "\u{e41}\u{e21}\u{e27}"));
    assert!(matches(cat, "\u{e0a}\u{e37}\u{e48}\u{e2d} miso"));
    assert!(!matches(cat, "\u{e0a}\u{e37}\u{e2d}"), "a mark makes another letter of one");
    assert!(!matches(cat, "\u{e0a}"), "and no letter of it goes without its marks");
}

#[test]
fn what_looks_the_same_matches_however_it_is_written() {
    let muller = "Frau M\u{fc}ller kommt";
    assert!(matches(muller, "mu\u{308}ller") && matches("Mu\u{308}ller", "M\u{dc}LLER"));
    assert!(!matches(muller, "Muller"), "another name");
    assert!(matches("the pass\u{ad}word", "password"), "a hyphen that is not seen");
    assert!(matches("\u{ff30}\u{ff29}\u{ff2e} \u{ff14}\u{ff17}", "pin 47"), "wide letters");
    assert!(!matches("na\u{ef}ve", "nave") && !matches("R\u{e9}sum\u{e9}", "resume"));
}

#[test]
fn whoever_has_no_room_is_told_once_to_make_some() {
    let source = Arc::new(std::io::Error::from(std::io::ErrorKind::StorageFull));
    let of_store = StoreError::Full { path: "/b/being.redb".into(), source };
    let why = "it needs 9 bytes, and 3 are free".to_owned();
    let of_index = IndexError::NoSpace { folder: "/b/vectors".into(), why };
    let check = |told: NotKept, begins: &str| {
        assert!(told.why.starts_with(begins), "{told}");
        assert_eq!(told.why.matches("; make ").count(), 1, "{told}");
        assert_eq!(told.why.matches("; ").count(), 1, "{told}");
    };
    check(not_removed(&of_store), "it could not be forgotten: no space is left");
    let traces = "what was to be forgotten is recalled no more, but traces of it are left in ";
    for error in [MemoriesError::from(of_index), MemoriesError::from(of_store.clone())] {
        check(not_purged(&error), &format!("{traces}the index of its memories: no space is left"));
    }
    let unfinished = NotKept { why: without_words(&of_store) };
    check(not_rewritten(unfinished), &format!("{traces}its store: no space is left"));
}

/// A being with a turn for each of these texts.
async fn marit(said: impl IntoIterator<Item = String>) -> (TempDir, Arc<Mind>) {
    let folder = tempfile::tempdir().unwrap();
    let (mind, _) = Mind::of_marit(folder.path()).await;
    let turns: Vec<StoredTurn> = (1..).zip(said).map(|(id, said)| turn(id, said)).collect();
    let written = mind.store.write(move |writer: &mut Writer| {
        turns.iter().try_for_each(|turn| writer.insert(TURNS, &turn.id, turn).map(drop))
    });
    written.await.unwrap();
    *mind.recent.lock() = mind.store.read(newest_turns).unwrap();
    (folder, Arc::new(mind))
}

fn turn(id: u64, said: String) -> StoredTurn {
    StoredTurn {
        id,
        at: Timestamp::now(),
        speaker: None,
        said,
        answer: None,
        failure: None,
        memories: Vec::new(),
    }
}

#[test]
fn what_genii_says_itself_of_a_turn_is_nobodys_to_forget() {
    let failed = |why: &str| {
        let mut turn = turn(1, "Is it windy?".to_owned());
        turn.failure = Some(why.to_owned());
        not_said(&turn).count()
    };
    assert_eq!(failed(UNFINISHED), 0);
    assert_eq!(failed("it was interrupted: it moves to another machine"), 0);
    assert_eq!(failed("it was interrupted: the machine is called Gull"), 1, "whoever made that up");
    // Turns that an earlier genii kept say so.
    assert_eq!(failed("it was not answered to the end: genii ended meanwhile"), 0);
    assert_eq!(failed("the server says: quokka"), 1);
}

#[tokio::test]
async fn older_turns_come_up_in_the_place_of_those_that_are_forgotten() {
    let said = (1..=50).map(|id| match id {
        1..=10 => format!("The sea is calm on day {id}."),
        _ => format!("The quokka sleeps on day {id}."),
    });
    let (_folder, mind) = marit(said).await;
    let at_hand = || mind.recent.lock().iter().map(|turn| turn.id).collect::<Vec<u64>>();
    assert_eq!(at_hand(), (11..=50).collect::<Vec<u64>>());
    let what = Forgettable::Matching { text: "quokka".to_owned() };
    let forgotten = forget(&mind, Place::take(&mind).await, what).await.unwrap();
    assert_eq!(forgotten.turns, 40);
    assert_eq!(at_hand(), (1..=10).collect::<Vec<u64>>());
    mind.close().await;
}

#[tokio::test]
async fn who_waits_for_another_to_write_the_store_anew_finds_it_done() {
    let (folder, mind) = marit(["The sea is calm.".to_owned()]).await;
    let file = || std::fs::metadata(folder.path().join(STORE)).unwrap().ino();
    let set_owed = async |is_owed: bool| {
        let owed = mind.owed.clone();
        let written = mind.store.write(move |writer: &mut Writer| match is_owed {
            true => owed.owe(writer),
            false => writer.remove(REWRITE_OWED, &()).map(drop),
        });
        written.await.unwrap();
    };
    set_owed(true).await;
    let before = file();
    let held = mind.finishing.lock().await;
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(finish(&mind))).collect();
    for one in &mut waiting {
        assert!(poll_immediate(one).await.is_none(), "it waits");
    }
    // As whoever is at it does in the end.
    set_owed(false).await;
    drop(held);
    for one in waiting {
        one.await.unwrap();
    }
    assert_eq!(file(), before, "it was written anew");
    set_owed(true).await;
    finish(&mind).await.unwrap();
    assert_ne!(file(), before, "what comes later is seen to");
    mind.close().await;
}

fn memory(kind: MemoryKind, turn: Option<u64>, text: &str) -> NewMemory {
    let (text, at) = (text.to_owned(), Timestamp::now());
    NewMemory { kind, text, speaker: None, at, turn, subject: None }
}

/// A being of whose one turn damage has left what it is remembered as, and a summary that was made of it.
async fn who_lost_a_turn() -> (TempDir, Arc<Mind>) {
    let (folder, mind) = marit([]).await;
    let kept = mind.store.write(move |writer: &mut Writer| {
        let made = [
            memory(MemoryKind::Turn, Some(1), "Where does the quokka sleep?"),
            memory(MemoryKind::Turn, Some(1), "The quokka sleeps in the boat house."),
            memory(MemoryKind::Summary, None, "We spoke about the quokka."),
            memory(MemoryKind::Turn, Some(2), "The sea is calm."),
        ];
        let kept: Result<Vec<Memory>, StoreError> =
            made.iter().map(|memory| Memories::put(writer, memory)).collect();
        writer.insert(DERIVED, &3, &Derived { from: 1, through: 1 })?;
        writer.insert(TURNS, &2, &turn(2, "The sea is calm.".to_owned()))?;
        kept
    });
    mind.memories.take_in(kept.await.unwrap()).await;
    (folder, mind)
}

#[tokio::test]
async fn with_a_turn_that_damage_took_goes_all_that_was_made_of_it() {
    for what in [
        Forgettable::Memory { id: 1 },
        Forgettable::Turn { id: 1 },
        Forgettable::Matching { text: "where does the quokka".to_owned() },
    ] {
        let (folder, mind) = who_lost_a_turn().await;
        let asked = WouldForget { what: what.clone(), limit: None };
        let at_stake = would_forget(&mind, asked).await.unwrap();
        assert_eq!((at_stake.memories.len(), at_stake.turns.len()), (3, 0), "{what:?}");
        let forgotten = forget(&mind, Place::take(&mind).await, what.clone()).await.unwrap();
        assert_eq!(forgotten, Forgotten { memories: 3, ..Forgotten::default() }, "{what:?}");
        assert_eq!(mind.memories.page(None, PAGE_MAX).unwrap()[0].id, 4);
        let store = std::fs::read(folder.path().join(STORE)).unwrap();
        let secret = b"quokka";
        assert!(!store.windows(secret.len()).any(|window| window == secret), "{what:?}");
        // What was forgotten takes nothing with it once more.
        let again = forget(&mind, Place::take(&mind).await, Forgettable::Turn { id: 1 }).await;
        assert_eq!(again.unwrap(), Forgotten::default());
        mind.close().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_remembered_no_more_does_not_stay_in_its_turn() {
    let (_folder, mind) = marit([]).await;
    let kept = mind.store.write(move |writer: &mut Writer| {
        let answer = memory(MemoryKind::Turn, Some(1), "Aye, Ann.");
        let answer = NewMemory { speaker: Some("Marit".to_owned()), ..answer };
        let made = [memory(MemoryKind::Turn, Some(1), "Is it windy?"), answer];
        let answered = StoredTurn {
            answer: Some("Aye, Ann.".to_owned()),
            memories: vec![1, 2],
            ..turn(1, "Is it windy?".to_owned())
        };
        writer.insert(TURNS, &1, &answered)?;
        let kept = made.iter().map(|memory| Memories::put(writer, memory));
        kept.collect::<Result<Vec<Memory>, StoreError>>()
    });
    mind.memories.take_in(kept.await.unwrap()).await;
    // By who gave it: no word of it is named.
    let what = Forgettable::Matching { text: "marit".to_owned() };
    let forgotten = forget(&mind, Place::take(&mind).await, what).await.unwrap();
    assert_eq!(forgotten, Forgotten { memories: 1, answers: 1, ..Forgotten::default() });
    let left = mind.store.read::<_, StoreError>(|reader| reader.get(TURNS, &1));
    let left = left.unwrap().unwrap();
    assert_eq!((left.said.as_str(), left.answer, left.memories), ("Is it windy?", None, vec![1]));
    mind.close().await;
}
