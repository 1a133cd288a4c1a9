//! What memories promise, tried.

mod asking;
mod at_hand;
mod damage;
mod failing;
mod forgetting;
mod golden;
mod makeshift;
mod many;
mod reindexing;
mod renewing;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use genii_protocols::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::embed::EmbedError;
use crate::embed::hashed::Hashed;
use crate::index::IndexShareSettings;
use crate::store::{Schema, StoreOptions};

const SCHEMA: Schema = Schema::new("memories-test", 1, &[]);

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A being's folder, and how its memories are opened.
struct House {
    dir: TempDir,
    embedder: Arc<dyn Embedder>,
    settings: MemoriesSettings,
}

impl House {
    fn new() -> Self {
        Self::with(MemoriesSettings::default())
    }

    /// One whose memories go to the index early.
    fn small() -> Self {
        Self::with(MemoriesSettings { tail_max: 16, batch: 8, ..MemoriesSettings::default() })
    }

    fn with(settings: MemoriesSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, embedder: Arc::new(Hashed::new()), settings }
    }

    fn vectors(&self) -> PathBuf {
        self.dir.path().join("vectors")
    }

    async fn open(&self) -> Memories {
        let path = self.dir.path().join("being.redb");
        let store = Store::open(path, &SCHEMA, &StoreOptions::default()).unwrap();
        let share = IndexShare::new(&IndexShareSettings::default());
        let (embedder, weights) = (Arc::clone(&self.embedder), Weights::default());
        let settings = self.settings.clone();
        Memories::open(store, self.vectors(), embedder, weights, share, settings).await.unwrap()
    }

    /// Opens it again after it went away without a word, as by `kill -9`.
    async fn after_a_crash(&self, memories: Memories) -> Memories {
        memories.0.worker.stop().await;
        memories.0.store.close().await.unwrap();
        drop(memories);
        self.open().await
    }

    async fn reopened(&self, memories: Memories) -> Memories {
        close(memories).await;
        self.open().await
    }

    /// Opens it again after its index was lost.
    async fn reopened_without_its_index(&self, memories: Memories) -> Memories {
        close(memories).await;
        fs::remove_dir_all(self.vectors()).unwrap();
        self.open().await
    }
}

async fn close(memories: Memories) {
    memories.close().await;
    memories.0.store.close().await.unwrap();
}

/// Minutes after some morning in 2024.
fn at(minutes: u64) -> Timestamp {
    (UNIX_EPOCH + Duration::from_secs(1_715_000_000 + minutes * 60)).into()
}

fn turn(number: u64, speaker: &str, text: &str) -> NewMemory {
    let (text, speaker) = (text.to_owned(), Some(speaker.to_owned()));
    let (kind, at, turn, subject) = (MemoryKind::Turn, at(number), Some(number), None);
    NewMemory { kind, text, speaker, at, turn, subject }
}

fn fact(text: &str, minutes: u64) -> NewMemory {
    let (kind, text, at) = (MemoryKind::Fact, text.to_owned(), at(minutes));
    NewMemory { kind, text, speaker: None, at, turn: None, subject: Some("Ann".to_owned()) }
}

fn asking(question: &str) -> Recall {
    let (question, asked_by, filter) = (question.to_owned(), None, RecallFilter::default());
    Recall { question, at: at(100_000), asked_by, limit: 10, filter }
}

async fn found(memories: &Memories, question: &str) -> Vec<u64> {
    ids(&memories.recall(asking(question)).await.unwrap())
}

fn ids(found: &[Recalled]) -> Vec<u64> {
    found.iter().map(|found| found.memory.id).collect()
}

/// A memory that has a word which no other has, among others.
fn own_word(number: u64) -> String {
    let letter = |digit: u64| char::from(b'a' + (digit % 20) as u8);
    let letters: String = [number / 400, number / 20, number].map(letter).iter().collect();
    format!("zq{letters}zq")
}

fn about(numbers: std::ops::RangeInclusive<u64>) -> Vec<NewMemory> {
    let texts = ["We mended the boat", "The garden needs water", "Chess on Tuesday evening"];
    let text = |number: u64| format!("{} {}", texts[number as usize % 3], own_word(number));
    numbers.map(|number| turn(number, ["Ann", "Bob"][number as usize % 2], &text(number))).collect()
}

async fn tend_all(memories: &Memories) -> usize {
    let mut steps = 0;
    while memories.tend().await.unwrap() {
        steps += 1;
        assert!(steps < 1_000, "upkeep comes to an end");
    }
    steps
}

/// Each of these memories is the best answer to its own word.
async fn assert_found(memories: &Memories, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        assert_eq!(found(memories, &own_word(number)).await.first(), Some(&number));
    }
}

/// Some of so many, from the first to the last.
fn some(count: u64) -> impl Iterator<Item = u64> {
    (1..count).step_by(count as usize / 5).chain([count])
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_found_at_once_and_after_each_step() {
    let house = House::small();
    let memories = house.open().await;
    let kept = memories.remember(about(1..=10)).await.unwrap();
    assert_eq!(kept.iter().map(|memory| memory.id).collect::<Vec<_>>(), Vec::from_iter(1..=10));
    assert_found(&memories, 1..=10).await;
    assert!(!house.vectors().exists(), "few memories have no index");
    memories.remember(about(11..=60)).await.unwrap();
    assert_found(&memories, some(60)).await;
    tend_all(&memories).await;
    assert_found(&memories, some(60)).await;
    assert!(house.vectors().exists());
    assert_eq!(memories.0.live.read().tail.len(), 12, "the newest stay in the tail");
    let memories = house.reopened(memories).await;
    assert_eq!(*memories.progress().borrow(), Progress { done: 48, total: 48 }, "it has its index");
    assert_found(&memories, some(60)).await;
    assert_eq!(memories.count().unwrap(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_the_callers_own_keeps_all_or_nothing() {
    let house = House::new();
    let memories = house.open().await;
    let write = |writer: &mut Writer| Memories::put(writer, &turn(1, "Ann", "the blue pot"));
    let memory = memories.0.store.write(write).await.unwrap();
    memories.take_in(vec![memory.clone()]).await;
    let failing = |writer: &mut Writer| {
        Memories::put(writer, &turn(2, "Ann", "the red pot"))?;
        Err::<(), _>(MemoriesError::Stopped)
    };
    assert!(memories.0.store.write(failing).await.is_err());
    assert_eq!(found(&memories, "which pot?").await, [memory.id]);
    assert_eq!(memories.get(1).unwrap(), Some(memory));
    assert_eq!(memories.get(2).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_ahead_is_what_would_have_been_made_later() {
    let new = turn(1, "Ann", "the blue pot");
    let mut answers = Vec::new();
    for is_foreseen in [false, true] {
        let house = House::new();
        let memories = house.open().await;
        let (foreseen, own) = (memories.foresee(&new), new.clone());
        let write = move |writer: &mut Writer| Memories::put(writer, &own);
        let memory = memories.0.store.write(write).await.unwrap();
        match is_foreseen {
            true => memories.take_in_foreseen(vec![(memory, foreseen)]).await,
            false => memories.take_in(vec![memory]).await,
        }
        assert!(memories.0.live.read().unembedded.is_empty(), "it has its vector");
        answers.push(memories.recall(asking("which pot does Ann mean?")).await.unwrap());
    }
    assert_eq!(ids(&answers[0]), [1]);
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_taken_in_is_found_after_the_next_opening() {
    let house = House::new();
    let memories = house.open().await;
    let write = |writer: &mut Writer| Memories::put(writer, &turn(1, "Ann", "the blue pot"));
    memories.0.store.write(write).await.unwrap();
    let memories = house.after_a_crash(memories).await;
    assert_eq!(found(&memories, "which pot?").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_says_why() {
    let house = House::new();
    let memories = house.open().await;
    let note = NewMemory { kind: MemoryKind::Note, ..turn(1, "Ann", "The key is under the pot") };
    memories.remember(vec![note]).await.unwrap();
    let found = memories.recall(asking("where is Ann's key?")).await.unwrap();
    assert_eq!(found[0].memory.text, "The key is under the pot");
    assert!(found[0].score > 0.3 && found[0].score <= 1.0);
    assert!(found[0].reasons.words.iter().any(|word| word.word == "key"));
    assert!(found[0].reasons.speaker.is_some());
    let mine = Recall { asked_by: Some("Ann".to_owned()), ..asking("where is my key?") };
    assert!(memories.recall(mine).await.unwrap()[0].reasons.speaker.is_some());
    let none = Recall { limit: 0, ..asking("where is the key?") };
    assert_eq!(memories.recall(none).await.unwrap(), []);
    assert_eq!(memories.recall(asking("")).await.unwrap(), []);
}

/// In the tail and in the index, which filter in their own ways.
#[tokio::test(flavor = "multi_thread")]
async fn filters_hold_wherever_a_memory_is() {
    for house in [House::new(), House::small()] {
        let memories = house.open().await;
        memories.remember(about(1..=40)).await.unwrap();
        memories.remember(vec![fact("Ann has a boat", 41)]).await.unwrap();
        tend_all(&memories).await;
        let check = async |filter: RecallFilter, wanted: &[u64]| {
            let recall = Recall { limit: 100, filter, ..asking("who mended the boat?") };
            let mut found = ids(&memories.recall(recall).await.unwrap());
            found.sort_unstable();
            found.retain(|id| id % 3 == 0 || *id > 40);
            assert_eq!(found, wanted, "{:?}", memories.0.settings);
        };
        let all = RecallFilter::default;
        check(RecallFilter { until: Some(at(9)), ..all() }, &[3, 6]).await;
        check(RecallFilter { from: Some(at(36)), ..all() }, &[36, 39, 41]).await;
        check(RecallFilter { kinds: vec![MemoryKind::Fact], ..all() }, &[41]).await;
        let bob = RecallFilter { speaker: Some("Bob".to_owned()), ..all() };
        check(RecallFilter { until: Some(at(16)), ..bob }, &[3, 9, 15]).await;
        check(RecallFilter { except_turns_from: Some(7), ..all() }, &[3, 6, 41]).await;
        let nobody = RecallFilter { speaker: Some("Nobody".to_owned()), ..all() };
        check(nobody, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_no_longer_holds_comes_after_the_one_that_does() {
    for house in [House::new(), House::small()] {
        let memories = house.open().await;
        memories.remember(vec![fact("Ann lives in Paris", 1)]).await.unwrap();
        // Long after, so that none of these is its neighbour.
        memories.remember(about(102..=130)).await.unwrap();
        tend_all(&memories).await;
        let new = memories.replace(1, fact("Ann lives in Rome", 50)).await.unwrap();
        let old = memories.get(1).unwrap().unwrap();
        assert_eq!((old.until, old.replaced_by), (Some(at(50)), Some(new.id)));
        assert_eq!(old.text, "Ann lives in Paris");
        // Even when the old one has the words.
        for question in ["Where does Ann live?", "Does Ann live in Paris?"] {
            let found = memories.recall(asking(question)).await.unwrap();
            let place = |id| found.iter().position(|found| found.memory.id == id);
            assert_eq!(place(new.id), Some(0), "{question}");
            let old = &found[place(1).unwrap()];
            assert!(old.score < found[0].score && old.score > 0.0);
        }
        tend_all(&memories).await;
        let memories = house.reopened(memories).await;
        assert_eq!(found(&memories, "Where does Ann live?").await[0], new.id);
        assert_eq!(found(&memories, "Paris").await.iter().filter(|id| **id == 1).count(), 1);

        let again = memories.replace(1, fact("Ann lives in Oslo", 60)).await.unwrap_err();
        assert!(again.to_string().contains("replaced by memory 31 already"), "{again}");
        let nothing = memories.replace(99, fact("Ann lives in Oslo", 60)).await.unwrap_err();
        assert!(nothing.to_string().contains("memory 99 can't be replaced"), "{nothing}");
        assert_eq!(memories.count().unwrap(), 31, "neither left anything");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memories_are_leafed_through_from_both_ends() {
    let house = House::new();
    let memories = house.open().await;
    memories.remember(about(1..=7)).await.unwrap();
    let ids = |page: Vec<Memory>| page.iter().map(|memory| memory.id).collect::<Vec<_>>();
    assert_eq!(ids(memories.page(None, 3).unwrap()), [1, 2, 3]);
    assert_eq!(ids(memories.page(Some(3), 3).unwrap()), [4, 5, 6]);
    assert_eq!(ids(memories.page(Some(u64::MAX), 3).unwrap()), [] as [u64; 0]);
    assert_eq!(ids(memories.page_before(None, 3).unwrap()), [7, 6, 5]);
    assert_eq!(ids(memories.page_before(Some(3), 9).unwrap()), [2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_memories_cost_little_to_open_and_to_ask() {
    let house = House::new();
    let memories = house.open().await;
    memories.remember(about(1..=100)).await.unwrap();
    let memories = house.reopened(memories).await;
    let memories = house.reopened(memories).await;
    assert!(memories.0.live.read().unsaved.is_empty(), "no vector was made again");
    assert_found(&memories, [1, 50, 100]).await;
    assert!(!house.vectors().exists());
}

#[test]
fn kinds_have_the_codes_that_are_stored() {
    use MemoryKind::{Fact, Note, Summary, Turn};
    assert_eq!([Turn, Note, Fact, Summary].map(MemoryKind::code), [0, 1, 2, 3]);
    assert_eq!(serde_json::to_string(&Summary).unwrap(), "\"summary\"");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
