//! An index that can't be written, and a store that is of another time.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn without_an_index_everything_is_found_and_memory_stays_bounded() {
    let house = House::small();
    fs::write(house.vectors(), "in the way").unwrap();
    let memories = house.open().await;
    for part in 0..10 {
        memories.remember(about(part * 20 + 1..=part * 20 + 20)).await.unwrap();
    }
    let error = memories.tend().await.unwrap_err();
    assert!(error.to_string().starts_with("the memories are safe, but their index"), "{error}");
    assert!(memories.0.live.read().tail.len() <= TAIL_GROWTH_MAX * 16);
    assert_found(&memories, some(200)).await;
    fs::remove_file(house.vectors()).unwrap();
    tend_all(&memories).await;
    assert_found(&memories, some(200)).await;
    assert!(memories.0.live.read().settled >= 180);
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
