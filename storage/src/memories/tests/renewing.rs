//! Another embedder: what there is stays, but for vectors, and two of different embedders are never compared.

use parking_lot::Mutex;

use super::forgetting::MUCH_BYTES;
use super::*;
use crate::embed::EmbedFor;
use crate::index::IndexError;
use crate::store::Table;

/// Two words that mean the same, and are spelt so that neither is found by the other.
const TOPICS: [[&str; 2]; 4] = [
    ["kitten", "feline"],
    ["tractor", "vehicle"],
    ["cottage", "dwelling"],
    ["violin", "instrument"],
];

/// How many of 60 memories are settled in a small house.
const SETTLED: u64 = 48;

/// No call is refused.
pub(super) const ALL: usize = usize::MAX;

/// An embedder that knows what the words above mean: each topic has a direction of its own. It takes so many
/// calls for memories, and then fails.
pub(super) struct Meaning {
    name: String,
    dimensions: usize,
    /// How many topics on its directions are: of two that differ in this, the directions are the same and
    /// mean something else.
    turned: usize,
    calls_left: Mutex<usize>,
    /// The texts of memories that it was given.
    embedded: Mutex<Vec<String>>,
}

impl Meaning {
    pub(super) fn new(dimensions: usize, turned: usize, calls: usize) -> Arc<Self> {
        let name = format!("meaning-{dimensions}-{turned}");
        let (calls_left, embedded) = (Mutex::new(calls), Mutex::default());
        Arc::new(Self { name, dimensions, turned, calls_left, embedded })
    }

    pub(super) fn allow(&self, calls: usize) {
        *self.calls_left.lock() = calls;
    }

    /// How often it was given a text of a memory that has a word.
    fn times(&self, word: &str) -> usize {
        self.embedded.lock().iter().filter(|text| text.contains(word)).count()
    }

    fn vector(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0; self.dimensions];
        let is_about = |topic: &[&str; 2]| topic.iter().any(|word| text.contains(word));
        if let Some(topic) = TOPICS.iter().position(is_about) {
            vector[(topic + self.turned) % TOPICS.len()] = 1.0;
        }
        vector
    }
}

impl Embedder for Meaning {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }

    fn embed_for(
        &self,
        texts: &[&str],
        of: EmbedFor,
        _since: Instant,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        if of == EmbedFor::Memories {
            let mut left = self.calls_left.lock();
            if *left == 0 {
                let (model, cause) = (self.name.clone(), "out of order".to_owned());
                return Err(EmbedError::Model { model, cause });
            }
            *left -= 1;
            self.embedded.lock().extend(texts.iter().map(|text| (*text).to_owned()));
        }
        self.embed(texts)
    }
}

/// Memories, none of which is a neighbour of another.
fn sightings(numbers: std::ops::RangeInclusive<u64>) -> Vec<NewMemory> {
    let text = |number| format!("We saw the {} {}", topic(number)[0], own_word(number));
    numbers.map(|number| turn(number * 100, "Ann", &text(number))).collect()
}

/// What a memory is about.
fn topic(number: u64) -> [&'static str; 2] {
    TOPICS[number as usize % TOPICS.len()]
}

/// The best for a question. Nothing is read from the store for it.
async fn best(memories: &Memories, question: &str) -> Vec<Recalled> {
    let (found, scanned) = recalling::recall(memories, asking(question)).await.unwrap();
    assert_eq!(scanned, 0, "{question}");
    found
}

/// Whether a memory, which is found by its own word, has a vector that is near to what a word means.
async fn is_near(memories: &Memories, number: u64, word: &str) -> bool {
    let found = best(memories, &format!("{} {word}", own_word(number))).await;
    assert_eq!(found[0].memory.id, number);
    found[0].reasons.similarity.as_ref().is_some_and(|near| near.beside.is_none())
}

/// Those that mean what is asked for are found by that, and nothing else is.
async fn assert_meant(memories: &Memories) {
    for [said, asked] in TOPICS {
        let found = best(memories, asked).await;
        assert_eq!(found.len(), 10, "{asked}");
        assert!(found.iter().all(|found| found.memory.text.contains(said)), "{asked}: {found:?}");
    }
}

/// Upkeep until it rests; what keeps it from more, if anything does.
pub(super) async fn rested(memories: &Memories) -> Option<MemoriesError> {
    for _ in 0..1_000 {
        match memories.tend().await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(error),
        }
    }
    panic!("upkeep does not come to rest");
}

/// Through which id memories have vectors of the embedder, if others have not.
fn renewed(memories: &Memories) -> Option<u64> {
    memories.0.live.read().renewal.as_ref().map(|renewal| renewal.through)
}

/// A house with 60 memories, and an embedder that comes after theirs: it takes the tail, and some batches of 8.
async fn with_another(first: &Arc<Meaning>, next: &Arc<Meaning>) -> (House, Memories) {
    let mut house = House::small();
    house.embedder = Arc::clone(first) as Arc<dyn Embedder>;
    let memories = house.open().await;
    memories.remember(sightings(1..=60)).await.unwrap();
    tend_all(&memories).await;
    assert_eq!(memories.0.live.read().settled, SETTLED);
    assert_meant(&memories).await;
    let memories = turned_to(&mut house, memories, next).await;
    (house, memories)
}

async fn turned_to(house: &mut House, memories: Memories, next: &Arc<Meaning>) -> Memories {
    house.embedder = Arc::clone(next) as Arc<dyn Embedder>;
    house.reopened(memories).await
}

/// It takes the tail, and so many batches of settled memories.
fn taking(dimensions: usize, turned: usize, batches: usize) -> Arc<Meaning> {
    Meaning::new(dimensions, turned, 1 + batches)
}

async fn is_of_words(memories: &Memories) -> bool {
    memories.0.index().await.unwrap().shape().vectors_by.is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_vectors_are_made_anew_the_old_index_tells_what_has_the_words() {
    let next = taking(4, 1, 3);
    let (_house, memories) = with_another(&Meaning::new(4, 0, ALL), &next).await;
    assert!(matches!(rested(&memories).await, Some(MemoriesError::Embed(_))));
    assert_eq!(renewed(&memories), Some(24));
    assert_eq!(*memories.progress().borrow(), Progress { done: 24, total: SETTLED });
    assert!(is_of_words(&memories).await);
    for number in some(60) {
        let found = best(&memories, &own_word(number)).await;
        assert_eq!(found[0].memory.id, number);
    }
    // What is told meanwhile is found as always.
    memories.remember(sightings(61..=63)).await.unwrap();
    assert_eq!(best(&memories, &own_word(62)).await[0].memory.id, 62);

    next.allow(ALL);
    let mut progress = memories.progress();
    memories.tend_aside();
    progress.wait_for(|progress| progress.done == progress.total).await.unwrap();
    assert!(rested(&memories).await.is_none());
    assert_eq!(renewed(&memories), None);
    assert!(!is_of_words(&memories).await);
    assert_meant(&memories).await;
    assert_eq!(best(&memories, &own_word(5)).await[0].memory.id, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_two_embedders_are_never_compared() {
    for dimensions in [4, 5] {
        let next = taking(dimensions, 1, 3);
        let (_house, memories) = with_another(&Meaning::new(4, 0, ALL), &next).await;
        assert!(rested(&memories).await.is_some());
        // 5 and 20 have new ones, and 29 and 40 old ones, which point to where the topic before theirs is now.
        for number in [5, 20] {
            assert!(is_near(&memories, number, topic(number)[1]).await, "{number}");
            assert!(!is_near(&memories, number, topic(number + 3)[1]).await, "{number}");
        }
        for number in [29, 40] {
            for word in [topic(number)[1], topic(number + 3)[1]] {
                assert!(!is_near(&memories, number, word).await, "{number} {word}");
            }
        }
        // By what they mean those in the tail are found, and their neighbours are none.
        for [said, asked] in TOPICS {
            let found = best(&memories, asked).await;
            assert!(found.iter().all(|found| found.memory.id > SETTLED), "{asked}: {found:?}");
            assert!(found.iter().all(|found| found.memory.text.contains(said)), "{asked}");
            assert_eq!(found.len(), 3, "{asked}");
        }
        next.allow(ALL);
        assert!(rested(&memories).await.is_none());
        assert_meant(&memories).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_it_goes_on_where_it_was() {
    let next = taking(4, 1, 3);
    let (house, memories) = with_another(&Meaning::new(4, 0, ALL), &next).await;
    assert!(rested(&memories).await.is_some());
    let memories = house.after_a_crash(memories).await;
    assert_eq!(renewed(&memories), Some(24));
    assert!(is_near(&memories, 5, topic(5)[1]).await);
    assert!(!is_near(&memories, 40, topic(43)[1]).await);
    next.allow(ALL);
    assert!(rested(&memories).await.is_none());
    for number in some(SETTLED) {
        assert_eq!(next.times(&own_word(number)), 1, "{number}: none is made twice");
    }
    assert_meant(&memories).await;
    let memories = house.after_a_crash(memories).await;
    assert!(renewed(&memories).is_none() && !is_of_words(&memories).await);
    assert_meant(&memories).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_the_new_index_the_old_one_goes_on() {
    let next = Meaning::new(5, 1, 0);
    let (house, memories) = with_another(&Meaning::new(4, 0, ALL), &next).await;
    let ballast = house.vectors().join("ballast");
    assert!(is_of_words(&memories).await);
    fs::File::create(&ballast).unwrap().set_len(MUCH_BYTES).unwrap();
    next.allow(ALL);
    let is_no_room = |error: Option<MemoriesError>| {
        matches!(error, Some(MemoriesError::Index(IndexError::NoSpace { .. })))
    };
    assert!(is_no_room(rested(&memories).await));
    // What is told goes to the old one, for its words.
    memories.remember(sightings(61..=100)).await.unwrap();
    assert!(is_no_room(rested(&memories).await));
    assert_eq!(renewed(&memories), Some(SETTLED));
    let progress = *memories.progress().borrow();
    assert!(progress.done < progress.total && progress.total > 80, "{progress:?}");
    let memories = house.after_a_crash(memories).await;
    assert!(is_no_room(rested(&memories).await));
    assert!(is_of_words(&memories).await);
    for number in some(100) {
        assert_eq!(best(&memories, &own_word(number)).await[0].memory.id, number);
        assert!(is_near(&memories, number, topic(number)[1]).await, "{number}");
    }
    fs::remove_file(ballast).unwrap();
    assert!(rested(&memories).await.is_none());
    assert_meant(&memories).await;
    assert_eq!(next.times(&own_word(1)), 1);
}

/// Neither what the one between has made counts for the first, nor what the first had made before.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_amid_another_and_a_change_back_begin_it_again() {
    let first = Meaning::new(4, 0, ALL);
    for third in [taking(5, 2, 2), taking(4, 0, 2)] {
        let between = taking(4, 1, 3);
        let (mut house, memories) = with_another(&first, &between).await;
        assert!(rested(&memories).await.is_some());
        assert_eq!(renewed(&memories), Some(24));
        let memories = turned_to(&mut house, memories, &third).await;
        assert!(rested(&memories).await.is_some());
        assert_eq!(renewed(&memories), Some(16));
        assert!(is_near(&memories, 5, topic(5)[1]).await);
        for number in [20, 40] {
            for [_, word] in TOPICS {
                assert!(!is_near(&memories, number, word).await, "{number} {word}");
            }
        }
        third.allow(ALL);
        assert!(rested(&memories).await.is_none());
        assert_meant(&memories).await;
        let memories = house.reopened(memories).await;
        assert!(renewed(&memories).is_none());
        assert_meant(&memories).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_lost_meanwhile_is_made_anew_of_words() {
    let next = taking(5, 1, 3);
    let (house, memories) = with_another(&Meaning::new(4, 0, ALL), &next).await;
    assert!(rested(&memories).await.is_some());
    let memories = house.reopened_without_its_index(memories).await;
    assert_found(&memories, some(60)).await;
    assert!(matches!(rested(&memories).await, Some(MemoriesError::Embed(_))));
    assert!(is_of_words(&memories).await);
    for number in some(60) {
        assert_eq!(best(&memories, &own_word(number)).await[0].memory.id, number);
    }
    next.allow(ALL);
    assert!(rested(&memories).await.is_none());
    assert_meant(&memories).await;
}

/// As it lies in the file: made by, through, how many memories and how many terms.
const AS_IT_LIES: Table<(), (String, u64, u64, u64)> = Table::new("memory_settled");

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_depends_on_what_has_changed() {
    let house = House::small();
    let memories = house.open().await;
    memories.remember(sightings(1..=60)).await.unwrap();
    tend_all(&memories).await;
    memories.0.worker.stop().await;
    let store = memories.0.store.clone();
    let loaded = |made_by: &str| {
        let live = load(&store, made_by, 16).unwrap();
        (live.settled, live.renewal.map(|renewal| (renewal.through, renewal.last)))
    };
    let (own, other) = (tables::made_by(house.embedder.name()), tables::made_by("another"));
    assert_eq!(loaded(&own), (SETTLED, None));
    assert_eq!(loaded(&other), (SETTLED, Some((0, SETTLED))));
    store.write(|writer| tables::renew(writer, 7, &Default::default())).await.unwrap();
    assert_eq!(loaded(&other), (SETTLED, Some((7, SETTLED))));
    assert_eq!(loaded(&own), (SETTLED, Some((0, SETTLED))), "a change back");
    let ended = own.clone();
    store.write(move |writer| tables::end_renewal(writer, &ended)).await.unwrap();
    assert_eq!(loaded(&own), (SETTLED, None));
    let another_analyser = |writer: &mut Writer| {
        let (_, through, memories, terms) = writer.get(AS_IT_LIES, &())?.unwrap();
        let made_by = "gist-v1 text-v0 another".to_owned();
        writer.insert(AS_IT_LIES, &(), &(made_by, through, memories, terms)).map(drop)
    };
    store.write(another_analyser).await.unwrap();
    assert_eq!(loaded(&other), (0, None), "the analysis too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vector_of_before_goes_with_a_memory_that_cannot_be_read() {
    const DAMAGED: [u64; 3] = [1, 5, SETTLED];
    let next = Meaning::new(4, 1, ALL);
    let (_house, memories) = with_another(&Meaning::new(4, 0, ALL), &next).await;
    damage::damage(&memories, damage::NO_MEMORIES, &DAMAGED).await;
    assert!(rested(&memories).await.is_none());
    assert_eq!(renewed(&memories), None);
    let gists = memories.0.store.read(|reader| tables::gists_of(reader, &(1..=SETTLED).collect()));
    let gists = gists.unwrap();
    assert!(DAMAGED.iter().all(|id| !gists.contains_key(id)), "{:?}", gists.keys());
    assert_eq!(gists.len(), SETTLED as usize - DAMAGED.len());
    assert!(gists.values().all(|gist| gist.vector.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_them_is_made_anew_when_it_is_damaged() {
    const SAID: [Table<(), u8>; 2] = [Table::new("memory_settled"), Table::new("memory_renewal")];
    for said in SAID {
        let next = taking(4, 1, 3);
        let (house, memories) = with_another(&Meaning::new(4, 0, ALL), &next).await;
        assert!(rested(&memories).await.is_some());
        next.allow(ALL);
        let write = move |writer: &mut Writer| writer.insert(said, &(), &255);
        memories.0.store.write(write).await.unwrap();
        // Until the next opening recall goes on, by words where it is not known which vectors there are.
        assert!(found(&memories, &own_word(5)).await.contains(&5));
        let memories = house.after_a_crash(memories).await;
        assert!(rested(&memories).await.is_none());
        assert_eq!(renewed(&memories), None);
        assert_meant(&memories).await;
    }
}
