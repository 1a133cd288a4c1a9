//! An index that can't be written, and a store that is of another time.

use tokio::sync::OwnedSemaphorePermit;

use super::live::WITH_LEAVE;
use super::*;
use crate::index::IndexError;

#[tokio::test(flavor = "multi_thread")]
async fn without_an_index_everything_is_found_and_memory_stays_bounded() {
    let house = House::small();
    fs::write(house.vectors(), "in the way").unwrap();
    let memories = house.open().await;
    let others = all_leave(&memories);
    for part in 0..10 {
        memories.remember(about(part * 20 + 1..=part * 20 + 20)).await.unwrap();
    }
    let error = memories.tend().await.unwrap_err();
    assert!(error.to_string().starts_with("the memories are safe, but their index"), "{error}");
    assert!(memories.0.live.read().tail.len() <= TAIL_GROWTH_MAX * 16);
    assert_found(&memories, some(200)).await;
    drop(others);
    fs::remove_file(house.vectors()).unwrap();
    tend_all(&memories).await;
    assert_found(&memories, some(200)).await;
    assert!(memories.0.live.read().settled >= 180);
}

/// All leave that there is for long tails.
fn all_leave(memories: &Memories) -> Vec<OwnedSemaphorePermit> {
    std::iter::from_fn(|| memories.0.access.share().leave_long_tail()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_may_hold_more_while_their_index_is_behind() {
    let house = House::small();
    let memories = house.open().await;
    memories.0.worker.stop().await;
    let leave = all_leave(&memories).len();
    memories.remember(about(1..=400)).await.unwrap();
    assert_eq!(memories.0.live.read().tail.len(), WITH_LEAVE * TAIL_GROWTH_MAX * 16);
    assert_eq!(all_leave(&memories).len(), leave - 1);
    while memories.0.live.read().has_gap() {
        memories.0.tend().await.unwrap();
    }
    // Together with what lay before it: else the next that come would lie there again.
    assert!(memories.0.live.read().tail.len() < 16);
    assert_eq!(all_leave(&memories).len(), leave, "others may have it again");
    assert_found(&memories, some(400)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_a_later_time_than_the_store_is_made_anew() {
    let house = House::small();
    let memories = house.open().await;
    memories.remember(about(1..=30)).await.unwrap();
    tend_all(&memories).await;
    let copy = house.dir.path().join("copy.redb");
    memories.0.store.backup(&copy).await.unwrap();
    memories.remember(about(31..=90)).await.unwrap();
    tend_all(&memories).await;
    memories.close().await;
    memories.0.store.close().await.unwrap();
    drop(memories);
    fs::rename(&copy, house.dir.path().join("being.redb")).unwrap();

    let memories = house.open().await;
    assert_found(&memories, some(30)).await;
    assert!(found(&memories, &own_word(60)).await.iter().all(|id| *id <= 30));
    memories.remember(about(31..=60)).await.unwrap();
    tend_all(&memories).await;
    assert_found(&memories, some(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_is_told() {
    let house = House::new();
    let memories = house.open().await;
    memories.remember(about(1..=3)).await.unwrap();
    memories.close().await;
    memories.0.store.close().await.unwrap();
    let error = memories.remember(about(4..=4)).await.unwrap_err();
    assert!(error.to_string().contains("was closed; open it again"), "{error}");
    assert!(memories.recall(asking("boat")).await.is_err());
    assert!(memories.get(1).is_err() && memories.count().is_err());
}

/// An embedder that waits until it may go on.
struct Waiting {
    inner: Hashed,
    may_go_on: Arc<AtomicBool>,
    waits: AtomicBool,
}

impl Embedder for Waiting {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }

    fn is_quick(&self) -> bool {
        false
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.waits.store(true, Ordering::SeqCst);
        while !self.may_go_on.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.inner.embed(texts)
    }
}

/// Lets somebody go on, also if the test fails.
struct Go(Arc<AtomicBool>);

impl Drop for Go {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A house whose embedder waits until it may go on.
fn held_up() -> (House, Arc<Waiting>, Go) {
    let go = Go(Arc::default());
    let (inner, may_go_on, waits) = (Hashed::new(), Arc::clone(&go.0), AtomicBool::new(false));
    let embedder = Arc::new(Waiting { inner, may_go_on, waits });
    let house = House { embedder: Arc::<Waiting>::clone(&embedder), ..House::new() };
    (house, embedder, go)
}

/// As when a being panics, and is started again with the same store.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_free_when_nobody_holds_its_memories_also_in_mid_upkeep() {
    let (house, embedder, go) = held_up();
    let memories = house.open().await;
    memories.remember(about(1..=3)).await.unwrap();
    until("upkeep makes vectors", || embedder.waits.load(Ordering::SeqCst)).await;
    drop(memories);
    let path = house.dir.path().join("being.redb");
    until("the store can be opened again", || {
        Store::open(&path, &SCHEMA, &StoreOptions::default()).is_ok()
    })
    .await;
    drop(go);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_waits_for_no_embedding() {
    let (house, embedder, go) = held_up();
    let memories = house.open().await;
    memories.remember(about(1..=3)).await.unwrap();
    until("upkeep makes vectors", || embedder.waits.load(Ordering::SeqCst)).await;
    memories.0.store.write(|writer| Memories::remove(writer, &[2])).await.unwrap();
    let purged = tokio::time::timeout(PATIENCE, memories.purge(&[2])).await;
    purged.expect("it waits for no vectors").unwrap();
    assert!(memories.0.store.read(tables::forgotten).unwrap().is_empty());
    drop(go);
    let own = memories.clone();
    until("the others get theirs", move || own.0.live.read().unembedded.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_makes_way_for_a_purge_waits_for_no_embedding_beside_it() {
    let (house, embedder, go) = held_up();
    let memories = house.open().await;
    memories.remember(about(1..=3)).await.unwrap();
    memories.0.worker.stop().await;
    embedder.waits.store(false, Ordering::SeqCst);
    let work = async {
        memories.0.worker.purge_waits().await;
        Ok(())
    };
    let purging = async {
        until("it embeds beside it", || embedder.waits.load(Ordering::SeqCst)).await;
        memories.0.worker.purging()
    };
    let both = async { tokio::join!(memories.0.embed_beside(work), purging) };
    let (done, _purging) = tokio::time::timeout(PATIENCE, both).await.expect("it makes way");
    done.unwrap();
    drop(go);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_an_index_that_was_replaced_says_nothing_of_the_new_one() {
    let house = House::small();
    let memories = house.open().await;
    memories.remember(about(1..=60)).await.unwrap();
    tend_all(&memories).await;
    let old = memories.0.index().await.unwrap();
    memories.0.store.write(|writer| Memories::remove(writer, &[3])).await.unwrap();
    memories.purge(&[3]).await.unwrap();
    let new = memories.0.index().await.unwrap();
    assert!(!new.is(&old));
    let damage = || IndexError::Damaged {
        folder: house.vectors(),
        doing: "a search",
        source: "a file is missing".into(),
    };
    memories.0.access.heed(&old, &damage()).await;
    assert!(memories.0.index().await.unwrap().is(&new));
    memories.0.access.heed(&new, &damage()).await;
    assert!(!memories.0.index().await.unwrap().is(&new));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_writes_at_an_index_that_was_closed() {
    let house = House::small();
    let memories = house.open().await;
    memories.remember(about(1..=60)).await.unwrap();
    tend_all(&memories).await;
    let index = memories.0.index().await.unwrap();
    memories.close().await;
    let refused = index.append(Vec::new()).await.unwrap_err();
    assert!(matches!(refused, IndexError::Replaced { .. }), "{refused}");
    assert!(!memories.tend().await.unwrap(), "nor is it opened again to be worked on");
}
