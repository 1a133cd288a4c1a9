//! The index lost, behind, or made by something else.

use std::num::NonZeroUsize;

use super::*;
use crate::embed::{EmbedFor, Places};

/// What the embedder below can't take.
const UNFIT: &str = "unembeddable";

/// The default embedder under another name, which tells what it was asked.
struct Renamed {
    inner: Hashed,
    name: String,
    is_quick: bool,
    embedded: AtomicUsize,
    is_broken: AtomicBool,
    /// How many calls it has refused.
    refused: AtomicUsize,
    places: Option<Places>,
}

impl Renamed {
    fn new(name: &str, is_quick: bool) -> Arc<Self> {
        let (inner, name) = (Hashed::new(), name.to_owned());
        let (embedded, is_broken) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (refused, places) = (AtomicUsize::new(0), None);
        Arc::new(Self { inner, name, is_quick, embedded, is_broken, refused, places })
    }

    /// One that is not quick, and takes one call of each sort at a time.
    fn with_places(name: &str) -> Arc<Self> {
        let (one, no_wait) = (NonZeroUsize::MIN, Duration::ZERO);
        let Some(own) = Arc::into_inner(Self::new(name, false)) else { unreachable!() };
        Arc::new(Self { places: Some(Places::new(one, no_wait, one)), ..own })
    }
}

impl Embedder for Renamed {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }

    fn is_quick(&self) -> bool {
        self.is_quick
    }

    fn places(&self) -> Option<&Places> {
        self.places.as_ref()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let is_unfit = texts.iter().any(|text| text.contains(UNFIT));
        if is_unfit || self.is_broken.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            let (model, cause) = (self.name.clone(), "out of order".to_owned());
            return Err(EmbedError::Model { model, cause });
        }
        self.embedded.fetch_add(texts.len(), Ordering::SeqCst);
        self.inner.embed(texts)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_index_loses_nothing() {
    let house = House::small();
    let memories = house.open().await;
    memories.remember(about(1..=60)).await.unwrap();
    tend_all(&memories).await;
    let memories = house.reopened_without_its_index(memories).await;
    assert_found(&memories, some(60)).await;
    tend_all(&memories).await;
    assert_found(&memories, some(60)).await;
    assert_eq!(memories.0.index().await.unwrap().count().await.unwrap(), 48);
    let progress = *memories.progress().borrow();
    assert_eq!(progress, Progress { done: 48, total: 48 });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_deleted_while_it_is_used_is_made_anew() {
    let house = House::small();
    let memories = house.open().await;
    memories.remember(about(1..=60)).await.unwrap();
    tend_all(&memories).await;
    fs::remove_dir_all(house.vectors()).unwrap();
    assert_found(&memories, some(60)).await;
    memories.remember(about(61..=90)).await.unwrap();
    // The step that finds it lost fails; those after it make it anew.
    let mut failures = 0;
    loop {
        match memories.tend().await {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => failures += 1,
        }
        assert!(failures < 5);
    }
    assert_found(&memories, some(90)).await;
    let memories = house.after_a_crash(memories).await;
    tend_all(&memories).await;
    assert_found(&memories, some(90)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_is_made_anew() {
    let house = House::small();
    let memories = house.open().await;
    memories.remember(about(1..=60)).await.unwrap();
    tend_all(&memories).await;
    memories.close().await;
    memories.0.store.close().await.unwrap();
    drop(memories);
    for file in files(&house.vectors()) {
        fs::write(file, "nonsense").unwrap();
    }
    let memories = house.open().await;
    assert_found(&memories, some(60)).await;
    tend_all(&memories).await;
    assert_found(&memories, some(60)).await;
    assert_eq!(memories.0.index().await.unwrap().count().await.unwrap(), 48);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_store_and_the_index_loses_and_doubles_nothing() {
    let house = House::small();
    let memories = house.open().await;
    memories.0.worker.stop().await;
    memories.remember(about(1..=40)).await.unwrap();
    let memories = house.after_a_crash(memories).await;
    assert_found(&memories, some(40)).await;

    // The batch is in the index, and was not written down as settled.
    memories.0.worker.stop().await;
    let batch = memories.0.store.read(|reader| tables::some(reader, 1..=8, 8)).unwrap();
    let vectors = memories.0.vectors_for(&batch).await.unwrap();
    let index = memories.0.index().await.unwrap();
    index.append(upkeep::entries(index.shape(), batch, &vectors)).await.unwrap();
    drop(index);
    let memories = house.after_a_crash(memories).await;
    assert_found(&memories, some(40)).await;
    tend_all(&memories).await;
    assert_found(&memories, some(40)).await;
    let settled = memories.0.live.read().settled;
    let counted = memories.0.index().await.unwrap().count().await.unwrap();
    assert_eq!(counted as u64, settled);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_embedder_makes_vectors_anew_and_recall_goes_on() {
    let mut house = House::small();
    let memories = house.open().await;
    memories.remember(about(1..=200)).await.unwrap();
    tend_all(&memories).await;
    memories.close().await;
    memories.0.store.close().await.unwrap();
    drop(memories);

    let other = Renamed::new("another", false);
    house.embedder = Arc::clone(&other) as Arc<dyn Embedder>;
    let memories = house.open().await;
    let mut progress = memories.progress();
    let began = *progress.borrow_and_update();
    assert!(began.total > 0 && began.done < began.total, "{began:?}");
    assert_found(&memories, [1, 99, 200]).await;
    progress.wait_for(|progress| progress.done == progress.total).await.unwrap();
    tend_all(&memories).await;
    assert_found(&memories, some(200)).await;
    memories.flush().await;
    assert!(other.embedded.load(Ordering::SeqCst) >= 200);

    let before = other.embedded.load(Ordering::SeqCst);
    let memories = house.reopened(memories).await;
    tend_all(&memories).await;
    assert_eq!(other.embedded.load(Ordering::SeqCst), before, "none is made twice");
    assert_found(&memories, [1, 99, 200]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_embedder_keeps_nobody_waiting() {
    let mut house = House::new();
    let slow = Renamed::new("slow", false);
    house.embedder = Arc::clone(&slow) as Arc<dyn Embedder>;
    let memories = house.open().await;
    memories.remember(about(1..=5)).await.unwrap();
    assert_found(&memories, 1..=5).await;
    let own = memories.clone();
    until("vectors are made", move || own.0.live.read().unembedded.is_empty()).await;
    memories.flush().await;
    let before = slow.embedded.load(Ordering::SeqCst);
    let memories = house.reopened(memories).await;
    assert_eq!(slow.embedded.load(Ordering::SeqCst), before);
    assert!(memories.0.live.read().unembedded.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_with_the_embedder_is_answered_by_words_and_what_is_kept_waits() {
    let mut house = House::new();
    let busy = Renamed::with_places("busy");
    house.embedder = Arc::clone(&busy) as Arc<dyn Embedder>;
    let memories = house.open().await;
    let places = busy.places().unwrap();
    let asking = places.take(EmbedFor::Question).await.unwrap();
    let keeping = places.take(EmbedFor::Memories).await.unwrap();
    memories.remember(about(1..=5)).await.unwrap();
    assert_found(&memories, 1..=5).await;
    assert_eq!(busy.embedded.load(Ordering::SeqCst), 0);
    // It ends without its vectors, and makes them later.
    let memories = house.reopened(memories).await;
    assert_eq!(busy.embedded.load(Ordering::SeqCst), 0);
    drop((asking, keeping));
    let own = memories.clone();
    until("vectors are made", move || own.0.live.read().unembedded.is_empty()).await;
    assert_eq!(busy.embedded.load(Ordering::SeqCst), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broken_embedder_could_not_do_is_made_up_for() {
    for is_quick in [true, false] {
        let mut house = House::small();
        let broken = Renamed::new("broken", is_quick);
        house.embedder = Arc::clone(&broken) as Arc<dyn Embedder>;
        let memories = house.open().await;
        broken.is_broken.store(true, Ordering::SeqCst);
        memories.remember(about(1..=30)).await.unwrap();
        assert_eq!(memories.count().unwrap(), 30, "they are kept all the same");
        let error = memories.tend().await.unwrap_err();
        assert!(error.to_string().contains("found by their words only"), "{error}");
        assert!(error.to_string().contains("broken failed: out of order"), "{error}");
        assert_found(&memories, some(30)).await;
        broken.is_broken.store(false, Ordering::SeqCst);
        assert_found(&memories, some(30)).await;
        tend_all(&memories).await;
        assert_found(&memories, some(30)).await;
        assert!(memories.0.live.read().unembedded.is_empty());
    }
}

/// Also when it is told alone, and no other text shows that the model is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_the_model_cannot_take_is_found_by_its_words_and_keeps_none_waiting() {
    for is_quick in [true, false] {
        let mut house = House::small();
        let picky = Renamed::new("picky", is_quick);
        house.embedder = Arc::clone(&picky) as Arc<dyn Embedder>;
        let memories = house.open().await;
        memories.remember(vec![turn(1, "Ann", UNFIT)]).await.unwrap();
        tend_all(&memories).await;
        assert!(memories.0.live.read().unembedded.is_empty());
        memories.remember(about(2..=40)).await.unwrap();
        memories.remember(vec![turn(41, "Ann", UNFIT)]).await.unwrap();
        tend_all(&memories).await;
        assert!(memories.0.live.read().unembedded.is_empty());
        assert!(memories.0.live.read().settled >= 24);
        assert_found(&memories, [2, 20, 40]).await;
        // The question can't be embedded either.
        let found = found(&memories, UNFIT).await;
        assert!(found.contains(&1) && found.contains(&41), "{found:?}");
        memories.flush().await;
        let before = picky.refused.load(Ordering::SeqCst);
        let memories = house.reopened(memories).await;
        tend_all(&memories).await;
        assert_eq!(picky.refused.load(Ordering::SeqCst), before, "it is not tried again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_its_vector_is_settled_while_the_embedder_fails() {
    let mut house = House::small();
    let broken = Renamed::new("broken", false);
    house.embedder = Arc::clone(&broken) as Arc<dyn Embedder>;
    let memories = house.open().await;
    // So that each step is taken here.
    memories.0.worker.stop().await;
    memories.remember(about(1..=12)).await.unwrap();
    memories.0.embed_all().await.unwrap();
    broken.is_broken.store(true, Ordering::SeqCst);
    memories.remember(about(13..=24)).await.unwrap();
    let mut steps = 0;
    let error = loop {
        match memories.0.tend().await {
            Ok(has_more) => assert!(has_more && steps < 100, "it is told that vectors are missing"),
            Err(error) => break error,
        }
        steps += 1;
    };
    assert!(matches!(error, MemoriesError::Embed(_)), "{error}");
    assert_eq!(memories.0.live.read().settled, 12);
    assert_eq!(memories.0.index().await.unwrap().covered(), Some(12));
    assert_found(&memories, some(24)).await;
    broken.is_broken.store(false, Ordering::SeqCst);
    while memories.0.tend().await.unwrap() {}
    assert!(memories.0.live.read().unembedded.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_that_failed_is_tried_again_though_nobody_calls() {
    let mut house = House::new();
    let broken = Renamed::new("broken", false);
    house.embedder = Arc::clone(&broken) as Arc<dyn Embedder>;
    let memories = house.open().await;
    broken.is_broken.store(true, Ordering::SeqCst);
    memories.remember(about(1..=3)).await.unwrap();
    // The texts, and the trial after them.
    until("it has failed", || broken.refused.load(Ordering::SeqCst) >= 2).await;
    broken.is_broken.store(false, Ordering::SeqCst);
    let own = memories.clone();
    until("vectors are made", move || own.0.live.read().unembedded.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_nothing_to_embed_waits_for_no_place() {
    let mut house = House::new();
    let busy = Renamed::with_places("busy");
    house.embedder = Arc::clone(&busy) as Arc<dyn Embedder>;
    let memories = house.open().await;
    let _others = busy.places().unwrap().take(EmbedFor::Memories).await.unwrap();
    let tended = tokio::time::timeout(PATIENCE, memories.tend()).await;
    assert!(!tended.expect("it waits for nobody").unwrap());
    tokio::time::timeout(PATIENCE, memories.flush()).await.expect("nor does a flush");
}
