//! Values of a store that can't be read, met by a being that lives on with them.

use super::*;
use crate::store::{Table, TableRemains};

/// As the tables of memories, with values that are none of theirs.
pub(super) const NO_MEMORIES: Table<u64, ()> = Table::new("memories");
const NO_GISTS: Table<u64, ()> = Table::new("memory_gists");

pub(super) async fn damage(memories: &Memories, table: Table<u64, ()>, ids: &'static [u64]) {
    let write = move |writer: &mut Writer| {
        ids.iter().try_for_each(|id| writer.insert(table, id, &()).map(drop))
    };
    memories.0.store.write(write).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_gist_is_made_anew_of_its_memory() {
    // In the tail, and in the index.
    for house in [House::new(), House::small()] {
        let memories = house.open().await;
        memories.remember(about(1..=40)).await.unwrap();
        tend_all(&memories).await;
        memories.flush().await;
        damage(&memories, NO_GISTS, &[1, 7, 40]).await;
        let memories = house.reopened(memories).await;
        assert_found(&memories, [1, 2, 7, 8, 39, 40]).await;
        assert!(memories.0.store.damage().is_some(), "it is told by the being's health");
        tend_all(&memories).await;
        assert_found(&memories, [1, 2, 7, 8, 39, 40]).await;
        assert_eq!(memories.count().unwrap(), 40);
        let forget = |writer: &mut Writer| Memories::remove(writer, &[7]);
        assert_eq!(memories.0.store.write(forget).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_memory_among_the_newest_keeps_nobody_from_the_others() {
    let house = House::new();
    let memories = house.open().await;
    memories.remember(about(1..=40)).await.unwrap();
    memories.flush().await;
    damage(&memories, NO_MEMORIES, &[5, 40]).await;
    let memories = house.reopened(memories).await;
    assert_found(&memories, [1, 4, 6, 20, 39]).await;
    assert!(memories.0.store.damage().is_some(), "it is told by the being's health");
    let error = memories.get(5).unwrap_err();
    assert!(error.to_string().contains("entry 5 of table \"memories\" of the store"), "{error}");
    let kept = memories.remember(about(41..=41)).await.unwrap();
    assert_eq!(kept[0].id, 41, "nor is its id given again");
    tend_all(&memories).await;
    assert_found(&memories, [1, 4, 6, 20, 39, 41]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_passed_over_by_upkeep() {
    let house =
        House::with(MemoriesSettings { tail_max: 100, batch: 8, ..MemoriesSettings::default() });
    let memories = house.open().await;
    memories.remember(about(1..=40)).await.unwrap();
    memories.flush().await;
    damage(&memories, NO_MEMORIES, &[2, 5]).await;
    let smaller = House { settings: House::small().settings, ..house };
    let memories = smaller.reopened(memories).await;
    tend_all(&memories).await;
    assert!(memories.0.live.read().settled >= 24);
    let settled = memories.0.live.read().settled as usize;
    assert_eq!(memories.0.index().await.unwrap().count().await.unwrap(), settled - 2);
    let newest = memories.0.store.read(|reader| tables::newest(reader, 0, 3)).unwrap();
    let newest: Vec<u64> = newest.iter().map(|(memory, _)| memory.id).collect();
    assert_eq!(newest, [38, 39, 40]);
    let first = memories.0.store.read(|reader| tables::some(reader, 1..=9, 4)).unwrap();
    let first: Vec<u64> = first.iter().map(|(memory, _)| memory.id).collect();
    assert_eq!(first, [1, 3, 4, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_after_a_loss_is_found_and_no_id_is_given_again() {
    const NEXT: Table<(), u64> = Table::new("memory_next");
    let house = House::small();
    let memories = house.open().await;
    memories.remember(about(1..=40)).await.unwrap();
    tend_all(&memories).await;
    memories.close().await;
    let lose = |writer: &mut Writer| {
        writer.remove(NEXT, &())?;
        writer.remove_range(NO_MEMORIES, 38..)
    };
    assert_eq!(memories.0.store.write(lose).await.unwrap(), 3);
    let (name, gaps) = ("memories".to_owned(), Vec::new());
    let lost = TableRemains { name, entries: 37, bytes: 0, lost: 3, gaps, last_number: Some(37) };
    let remains = Remains { tables: vec![lost], are_all: true };
    let mend = move |writer: &mut Writer| Memories::mend(writer, &mut remains.clone(), 0);
    memories.0.store.write(mend).await.unwrap();
    memories.0.store.close().await.unwrap();
    drop(memories);
    fs::remove_dir_all(house.vectors()).unwrap();
    let memories = house.open().await;
    assert_found(&memories, [1, 20, 37]).await;
    tend_all(&memories).await;
    assert_found(&memories, [1, 20, 37]).await;
    assert_eq!(memories.count().unwrap(), 37);
    let kept = memories.remember(about(41..=41)).await.unwrap();
    assert!(kept[0].id > 40, "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_highest_id_nothing_is_kept_rather_than_in_the_place_of_another() {
    let house = House::new();
    let memories = house.open().await;
    memories.remember(about(1..=2)).await.unwrap();
    let mend = |writer: &mut Writer| {
        let mut remains = Remains { tables: Vec::new(), are_all: false };
        Memories::mend(writer, &mut remains, u64::MAX)
    };
    memories.0.store.write(mend).await.unwrap();
    let refused = memories.remember(about(3..=3)).await.unwrap_err().to_string();
    assert!(refused.contains("nothing more can be kept in table \"memories\""), "{refused}");
    assert_eq!(memories.count().unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_once_more_is_found_where_it_was_and_nothing_that_was_removed() {
    let house = House::small();
    let memories = house.open().await;
    memories.remember(about(1..=40)).await.unwrap();
    tend_all(&memories).await;
    memories.0.store.write(|writer| Memories::remove(writer, &[7])).await.unwrap();
    memories.close().await;
    let keep_again = |writer: &mut Writer| {
        writer.remove_range(NO_MEMORIES, 5..=20)?;
        Memories::mend(writer, &mut Remains { tables: Vec::new(), are_all: true }, 0)?;
        let (all, ids) = (about(1..=41), 1..);
        let kept = ids.zip(&all).map(|(id, new)| Memories::put_again(writer, id, new));
        kept.collect::<Result<Vec<bool>, StoreError>>()
    };
    let kept = memories.0.store.write(keep_again).await.unwrap();
    let expected: Vec<bool> = (1..=41).map(|id| (5..=20).contains(&id) && id != 7).collect();
    assert_eq!(kept, expected, "neither what is there, nor what was removed or never given");
    memories.0.store.close().await.unwrap();
    drop(memories);
    fs::remove_dir_all(house.vectors()).unwrap();
    let memories = house.open().await;
    assert_found(&memories, [1, 5, 12, 20, 40]).await;
    tend_all(&memories).await;
    assert_found(&memories, [1, 5, 12, 20, 40]).await;
    assert!(!found(&memories, &own_word(7)).await.contains(&7));
    assert_eq!(memories.count().unwrap(), 39);
}
