//! What was forgotten is gone: from what is found, and from every file.

use super::renewing::{ALL, Meaning, rested};
use super::*;
use crate::index::IndexError;

/// A word that nobody else says, and that is its own stem.
const SECRET: &str = "xyloquartz";

fn holds_secret(folder: &Path) -> bool {
    let bytes = SECRET.as_bytes();
    let has = |file: &PathBuf| {
        let content = fs::read(file).unwrap();
        content.windows(bytes.len()).any(|window| window.eq_ignore_ascii_case(bytes))
    };
    files(folder).iter().any(has)
}

async fn forget(memories: &Memories, ids: Vec<u64>) {
    let removing = ids.clone();
    let write = move |writer: &mut Writer| Memories::remove(writer, &removing);
    let removed = memories.0.store.write(write).await.unwrap();
    assert_eq!(removed.iter().map(|memory| memory.id).collect::<Vec<_>>(), ids);
}

/// Those that hold the secret and are found by it. Neighbours of such are found too.
async fn secrets(memories: &Memories) -> Vec<u64> {
    let mut found = memories.recall(asking(SECRET)).await.unwrap();
    found.retain(|found| found.memory.text.contains(SECRET));
    ids(&found)
}

async fn with_secrets(house: &House) -> Memories {
    let memories = house.open().await;
    let secret = |number| turn(number, "Ann", &format!("the password is {SECRET}"));
    memories.remember(vec![secret(1)]).await.unwrap();
    memories.remember(about(2..=40)).await.unwrap();
    memories.remember(vec![secret(41)]).await.unwrap();
    tend_all(&memories).await;
    assert_eq!(secrets(&memories).await, [41, 1]);
    memories
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_takes_no_place_among_the_few_that_are_wanted() {
    let house = House::new();
    let memories = house.open().await;
    memories.remember(about(1..=40)).await.unwrap();
    let one = Recall { limit: 1, ..asking(&own_word(20)) };
    assert_eq!(ids(&memories.recall(one.clone()).await.unwrap()), [20]);
    forget(&memories, vec![20]).await;
    // Its neighbour has a share in its words until it is purged.
    let found = ids(&memories.recall(one).await.unwrap());
    assert!(found.len() == 1 && found[0].abs_diff(20) == 1, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_holds_what_was_forgotten() {
    for house in [House::new(), House::small()] {
        let memories = with_secrets(&house).await;
        assert!(holds_secret(house.dir.path()), "else this shows nothing");
        forget(&memories, vec![1, 41]).await;
        assert_eq!(secrets(&memories).await, [] as [u64; 0], "at once");
        memories.purge(&[1, 41]).await.unwrap();
        memories.0.store.rewrite().await.unwrap();
        assert!(!holds_secret(house.dir.path()));
        assert_eq!(secrets(&memories).await, [] as [u64; 0]);
        assert_found(&memories, [2, 9, 33, 40]).await;
        tend_all(&memories).await;
        let memories = house.reopened(memories).await;
        assert_found(&memories, [2, 9, 33, 40]).await;
        assert!(!holds_secret(house.dir.path()));
        memories.remember(about(41..=60)).await.unwrap();
        tend_all(&memories).await;
        let newest = memories.page_before(None, 1).unwrap();
        assert_eq!(newest[0].id, 61, "no id is given twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_purge_is_made_up_for() {
    let house = House::small();
    let memories = with_secrets(&house).await;
    forget(&memories, vec![1]).await;
    let memories = house.after_a_crash(memories).await;
    assert_eq!(secrets(&memories).await, [41]);
    forget(&memories, vec![41]).await;
    let memories = house.after_a_crash(memories).await;
    tend_all(&memories).await;
    memories.0.store.rewrite().await.unwrap();
    assert!(!holds_secret(house.dir.path()));
    assert!(memories.0.store.read(tables::forgotten).unwrap().is_empty());
    assert_found(&memories, [2, 9, 33, 40]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_can_be_forgotten() {
    let house = House::small();
    let memories = with_secrets(&house).await;
    let all: Vec<u64> = (1..=41).collect();
    forget(&memories, all.clone()).await;
    memories.purge(&all).await.unwrap();
    memories.0.store.rewrite().await.unwrap();
    assert!(!holds_secret(house.dir.path()));
    assert_eq!(memories.count().unwrap(), 0);
    assert_eq!(found(&memories, "boat").await, [] as [u64; 0]);
    tend_all(&memories).await;
    let memories = house.reopened(memories).await;
    let kept = memories.remember(about(1..=30)).await.unwrap();
    assert_eq!(kept[0].id, 42);
    tend_all(&memories).await;
    assert_eq!(found(&memories, &own_word(3)).await[0], 44);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_tail_of_removed_memories_ends_upkeep() {
    let house = House::new();
    let memories = house.open().await;
    memories.remember(about(1..=600)).await.unwrap();
    tend_all(&memories).await;
    let rest: Vec<u64> = (257..=600).collect();
    forget(&memories, rest.clone()).await;
    tend_all(&memories).await;
    memories.purge(&rest).await.unwrap();
    tend_all(&memories).await;
    assert_found(&memories, [1, 100, 256]).await;
    assert_eq!(memories.count().unwrap(), 256);
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_during_a_purge_find_the_rest() {
    let house = House::small();
    let memories = with_secrets(&house).await;
    forget(&memories, vec![1]).await;
    let (own, is_over) = (memories.clone(), Arc::new(AtomicBool::new(false)));
    let over = Arc::clone(&is_over);
    let searching = tokio::spawn(async move {
        let mut searches = 0;
        while !over.load(Ordering::SeqCst) || searches == 0 {
            assert_eq!(found(&own, &own_word(5)).await.first(), Some(&5));
            assert_eq!(secrets(&own).await, [41]);
            searches += 1;
        }
    });
    memories.purge(&[1]).await.unwrap();
    is_over.store(true, Ordering::SeqCst);
    searching.await.unwrap();
}

/// With another embedder than memories were kept with, which takes so many calls for them.
async fn with_another(house: &mut House, calls: usize) -> (Arc<Meaning>, Memories) {
    let memories = with_secrets(house).await;
    let next = Meaning::new(5, 1, calls);
    house.embedder = Arc::clone(&next) as Arc<dyn Embedder>;
    let memories = house.reopened(memories).await;
    assert!(rested(&memories).await.is_some(), "it is not done yet");
    (next, memories)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_holds_what_was_forgotten_while_vectors_are_made_anew() {
    let mut house = House::small();
    // They suffice for the tail, and for a batch before it.
    let (next, memories) = with_another(&mut house, 2).await;
    assert!(holds_secret(house.dir.path()), "else this shows nothing");
    forget(&memories, vec![1, 41]).await;
    assert_eq!(secrets(&memories).await, [] as [u64; 0], "at once");
    memories.purge(&[1, 41]).await.unwrap();
    assert!(rested(&memories).await.is_some());
    memories.0.store.rewrite().await.unwrap();
    assert!(!holds_secret(house.dir.path()));
    for number in [2, 9, 33, 40] {
        let asked = asking(&own_word(number));
        let (found, scanned) = recalling::recall(&memories, asked).await.unwrap();
        assert_eq!((found[0].memory.id, scanned), (number, 0));
    }
    next.allow(ALL);
    assert!(rested(&memories).await.is_none());
    assert!(memories.0.live.read().renewal.is_none());
    assert_found(&memories, [2, 9, 33, 40]).await;
    assert!(!holds_secret(house.dir.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_holds_what_was_forgotten_while_an_index_of_new_vectors_is_made() {
    let mut house = House::small();
    let (next, memories) = with_another(&mut house, 2).await;
    next.allow(ALL);
    memories.tend_aside();
    forget(&memories, vec![1, 41]).await;
    memories.purge(&[1, 41]).await.unwrap();
    assert!(rested(&memories).await.is_none());
    memories.0.store.rewrite().await.unwrap();
    assert!(!holds_secret(house.dir.path()));
    assert!(memories.0.live.read().renewal.is_none());
    assert_found(&memories, [2, 9, 33, 40]).await;
}

/// More than any disk has, of a file that takes none of it.
pub(super) const MUCH_BYTES: u64 = 1 << 43;

#[tokio::test(flavor = "multi_thread")]
async fn while_there_is_no_room_for_a_purge_upkeep_rests_and_tries_again_by_itself() {
    let house = House::small();
    let memories = with_secrets(&house).await;
    let ballast = house.vectors().join("ballast");
    fs::File::create(&ballast).unwrap().set_len(MUCH_BYTES).unwrap();
    forget(&memories, vec![1]).await;
    let is_no_room =
        |error: &MemoriesError| matches!(error, MemoriesError::Index(IndexError::NoSpace { .. }));
    let error = memories.purge(&[1]).await.unwrap_err();
    assert!(is_no_room(&error), "{error}");
    let mut steps = 0;
    let error = loop {
        match memories.tend().await {
            Ok(has_more) => assert!(has_more && steps < 100, "it does not come to rest"),
            Err(error) => break error,
        }
        steps += 1;
    };
    assert!(is_no_room(&error), "{error}");
    // Nothing is left to be done but the purge.
    let error = memories.tend().await.unwrap_err();
    assert!(is_no_room(&error), "{error}");
    assert_eq!(secrets(&memories).await, [41]);
    fs::remove_file(ballast).unwrap();
    let own = memories.clone();
    until("it is purged", move || own.0.live.read().forgotten.is_empty()).await;
    memories.0.store.rewrite().await.unwrap();
    assert_eq!(secrets(&memories).await, [41]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_a_purge_has_made_as_a_whole_is_told_to_be_there() {
    let house = House::small();
    let memories = house.open().await;
    memories.remember(about(1..=60)).await.unwrap();
    tend_all(&memories).await;
    let memories = house.reopened_without_its_index(memories).await;
    // It is begun, and has nothing yet.
    memories.0.index().await.unwrap();
    assert_eq!(*memories.progress().borrow(), Progress { done: 0, total: 48 });
    forget(&memories, vec![7]).await;
    memories.purge(&[7]).await.unwrap();
    tend_all(&memories).await;
    assert_eq!(*memories.progress().borrow(), Progress { done: 48, total: 48 });
}
