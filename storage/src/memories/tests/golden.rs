//! Memories as each version of genii kept them. Of a being only its store is needed: the index is made anew.

use std::ops::RangeInclusive;

use super::renewing::{ALL, Meaning, rested};
use super::*;
use crate::golden_stores::{pack, unpack};

const KIND: &str = "memories";

/// Those that are told, but for facts.
const TOLD: RangeInclusive<u64> = 1..=24;

/// The one of them that was removed, and of which the index may have bytes.
const FORGOTTEN: u64 = 3;

/// Long after, so that none of the others is a neighbour of these.
fn lives_in(place: &str, minutes: u64) -> NewMemory {
    fact(&format!("Ann lives in {place}"), minutes)
}

/// The id of the fact that holds no longer, and of the one in its stead.
const OLD: u64 = 25;
const NEW: u64 = 26;

/// What the golden file holds.
fn kept() -> Vec<Memory> {
    let facts = [lives_in("Porto", 1_000), lives_in("Lisbon", 2_000)];
    let all = about(TOLD).into_iter().chain(facts).zip(1..);
    let mut kept: Vec<Memory> = all.map(|(new, id)| new.with_id(id)).collect();
    let old = kept.iter_mut().find(|memory| memory.id == OLD).unwrap();
    (old.until, old.replaced_by) = (Some(at(2_000)), Some(NEW));
    kept.retain(|memory| memory.id != FORGOTTEN);
    kept
}

fn file(house: &House) -> PathBuf {
    house.dir.path().join("being.redb")
}

#[tokio::test(flavor = "multi_thread")]
async fn memories_of_each_version_are_found() {
    for version in 1..=SCHEMA.version() {
        let house = House::small();
        unpack(KIND, version, &file(&house));
        let memories = house.open().await;
        assert_eq!(memories.page(None, PAGE_MAX).unwrap(), kept(), "version {version}");
        // With and without an index.
        for _ in 0..2 {
            assert_found(&memories, TOLD.filter(|id| *id != FORGOTTEN)).await;
            assert!(!found(&memories, &own_word(FORGOTTEN)).await.contains(&FORGOTTEN));
            assert_eq!(found(&memories, "Where does Ann live?").await[0], NEW);
            assert!(found(&memories, "Porto").await.contains(&OLD));
            tend_all(&memories).await;
        }
        assert_eq!(memories.count().unwrap(), kept().len() as u64);
        let next = memories.remember(vec![turn(NEW + 1, "Ann", "the blue pot")]).await.unwrap();
        assert_eq!(next[0].id, NEW + 1, "no id is given twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_memories_of_each_version_only_vectors_are_made_anew_by_another_embedder() {
    for version in 1..=SCHEMA.version() {
        let next = Meaning::new(5, 1, 0);
        let embedder = Arc::clone(&next) as Arc<dyn Embedder>;
        let house = House { embedder, ..House::small() };
        unpack(KIND, version, &file(&house));
        let memories = house.open().await;
        assert!(memories.0.live.read().renewal.is_some(), "version {version}");
        assert_found(&memories, TOLD.filter(|id| *id != FORGOTTEN)).await;
        next.allow(ALL);
        assert!(rested(&memories).await.is_none());
        assert!(memories.0.live.read().renewal.is_none());
        assert_found(&memories, TOLD.filter(|id| *id != FORGOTTEN)).await;
        assert_eq!(found(&memories, "Where does Ann live?").await[0], NEW);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the golden file of a new version; those that are there stay"]
async fn writes_the_golden_memories() {
    let house = House::small();
    let memories = house.open().await;
    memories.remember(about(TOLD)).await.unwrap();
    // Some are settled, and some not.
    tend_all(&memories).await;
    memories.remember(vec![lives_in("Porto", 1_000)]).await.unwrap();
    memories.replace(OLD, lives_in("Lisbon", 2_000)).await.unwrap();
    memories.close().await;
    let remove = |writer: &mut Writer| Memories::remove(writer, &[FORGOTTEN]);
    memories.0.store.write(remove).await.unwrap();
    memories.0.store.close().await.unwrap();
    pack(KIND, SCHEMA.version(), &file(&house));
}
