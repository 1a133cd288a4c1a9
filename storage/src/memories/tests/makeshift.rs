//! What stands in for the index while it is made anew.

use std::ops::RangeInclusive;

use super::many::{questions, talk};
use super::*;
use crate::memories::makeshift::Makeshift;
use crate::memories::scan::walk;
use crate::ranking::{Question, Statistics};
use crate::vector::Aim;

/// One with an index of many memories, of which more than a few are not read at each recall.
fn house(scanned_max: u64) -> House {
    House::with(MemoriesSettings {
        tail_max: 16,
        batch: 8,
        scanned_max,
        ..MemoriesSettings::default()
    })
}

/// Opened again without its index, which cannot be made anew.
async fn without_its_index(house: &House, memories: Memories) -> Memories {
    close(memories).await;
    fs::remove_dir_all(house.vectors()).unwrap();
    fs::write(house.vectors(), "in the way").unwrap();
    house.open().await
}

/// One of 400 memories, without its index.
async fn of_400_without_an_index() -> (House, Memories) {
    let house = house(50);
    let memories = house.open().await;
    memories.remember(about(1..=400)).await.unwrap();
    tend_all(&memories).await;
    let memories = without_its_index(&house, memories).await;
    (house, memories)
}

/// What some memories add to the counts, by looking at each in the store.
fn counted(memories: &Memories, question: &Question, ids: RangeInclusive<u64>) -> Statistics {
    let mut counts = Statistics::default();
    let counted = walk(&memories.0.store, ids, |gists| {
        gists.iter().for_each(|(_, gist)| tables::count_one(&mut counts, question, gist));
        true
    });
    counted.unwrap();
    counts
}

fn stands_in(memories: &Memories) -> bool {
    memories.0.makeshift.stands_in()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_without_an_index_is_what_is_found_by_looking_at_all() {
    let mut houses = [house(50), house(u64::MAX)];
    let mut found_by = Vec::new();
    for house in &mut houses {
        let memories = house.open().await;
        memories.remember(talk(1_000)).await.unwrap();
        tend_all(&memories).await;
        let memories = without_its_index(house, memories).await;
        let mut all = Vec::new();
        for question in questions(24) {
            all.push(found(&memories, &question).await);
        }
        assert_eq!(stands_in(&memories), house.settings.scanned_max == 50);
        close(memories).await;
        found_by.push(all);
    }
    let (makeshift, scan) = (&found_by[0], &found_by[1]);
    let (mut same, mut all) = (0, 0);
    for (by_makeshift, by_scan) in makeshift.iter().zip(scan) {
        assert_eq!(by_makeshift[0], by_scan[0]);
        same += by_makeshift.iter().filter(|id| by_scan.contains(id)).count();
        all += by_scan.len();
    }
    assert!(same * 100 >= all * 95, "{same} of {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_brings_what_is_forgotten_or_came_after_it_no_more_and_no_less_than_the_store() {
    let (_house, memories) = of_400_without_an_index().await;
    assert_found(&memories, some(400)).await;
    assert!(stands_in(&memories));
    // What cannot be settled leaves the tail for the store.
    memories.remember(about(401..=520)).await.unwrap();
    assert_found(&memories, [1, 399, 401, 470, 520]).await;
    let write = |writer: &mut Writer| Memories::remove(writer, &[200]);
    memories.0.store.write(write).await.unwrap();
    memories.0.forget(&[200]);
    assert!(!found(&memories, &own_word(200)).await.contains(&200));
    assert_found(&memories, [1, 199, 201, 520]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_some_memories_only_all_are_looked_at() {
    let (_house, memories) = of_400_without_an_index().await;
    let filter = RecallFilter { until: Some(at(8)), ..RecallFilter::default() };
    let recall = Recall { filter, ..asking("the boat, the garden, chess") };
    let mut found = ids(&memories.recall(recall).await.unwrap());
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4, 5, 6, 7]);
    assert!(!stands_in(&memories));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_when_the_index_is_there_again() {
    let (house, memories) = of_400_without_an_index().await;
    assert_found(&memories, some(400)).await;
    assert!(stands_in(&memories));
    fs::remove_file(house.vectors()).unwrap();
    tend_all(&memories).await;
    assert!(!stands_in(&memories));
    assert_found(&memories, some(400)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_room_for_one_all_are_looked_at() {
    let (_house, memories) = of_400_without_an_index().await;
    let all = memories.0.access.share().leave_makeshift(96 << 20).unwrap();
    assert_found(&memories, some(400)).await;
    assert!(!stands_in(&memories));
    drop(all);
    assert_found(&memories, some(400)).await;
    assert!(stands_in(&memories));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_counts_is_what_the_store_counts() {
    let (_house, memories) = of_400_without_an_index().await;
    let question = Question::new("Who mended the boat on Tuesday evening?", at(9));
    let makeshift = memories.0.makeshift(&(1..=380)).unwrap().unwrap();
    for after in [0, 100, 380] {
        let counts = counted(&memories, &question, after + 1..=380);
        assert_eq!(makeshift.statistics(&question, after), counts, "after {after}");
    }
}

/// Forgets memories, of which some may not be there. The makeshift of those through 380 after that.
async fn after_forgetting(memories: &Memories, ids: &'static [u64]) -> Arc<Makeshift> {
    let write = move |writer: &mut Writer| Memories::remove(writer, ids);
    memories.0.store.write(write).await.unwrap();
    memories.0.forget(ids);
    memories.0.makeshift(&(1..=380)).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_taken_out_of_it() {
    const GONE: [u64; 8] = [9, 1, 380, 8, 200, 7, 9, 9_999];
    let (_house, memories) = of_400_without_an_index().await;
    drop(memories.0.makeshift(&(1..=380)).unwrap());
    let makeshift = after_forgetting(&memories, &GONE).await;
    let mut with_word = makeshift.words(&["boat"], 0, 400);
    with_word.sort_unstable();
    let left = (1..=380).filter(|number| number % 3 == 0 && !GONE.contains(number));
    assert_eq!(with_word, left.collect::<Vec<u64>>());
    // What is behind those that went has its own words and its own vector still, and they have none.
    for number in [2, 10, 199, 200, 201, 379] {
        let terms = Question::new(&own_word(number), at(9)).search_terms();
        let with_word = makeshift.words(&terms.split(' ').collect::<Vec<_>>(), 0, 400);
        let text = about(number..=number).remove(0).text;
        let vectors = memories.0.embedder.embed(&[text.as_str()]).unwrap();
        let nearest = makeshift.nearest(&Aim::new(&vectors[0]), 0, 1);
        let is_found = [with_word, nearest].map(|ids| ids == [number]);
        assert_eq!(is_found, [!GONE.contains(&number); 2], "{number}");
    }
    let question = Question::new("Who mended the boat on Tuesday evening?", at(9));
    for after in [0, 100, 200, 379] {
        let counts = counted(&memories, &question, after + 1..=380);
        assert_eq!(makeshift.statistics(&question, after), counts, "after {after}");
    }
    assert_eq!((makeshift.count_after(0), makeshift.count_after(199)), (374, 179));
    drop(makeshift);
    memories.0.forget(&[3]);
    let left = memories.0.makeshift(&(1..=380)).unwrap().unwrap();
    assert_eq!(
        left.count_after(0),
        373,
        "it was not made anew, for that one is in the store still"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_made_anew_where_nothing_can_be_taken_out_of_it() {
    let (_house, memories) = of_400_without_an_index().await;
    let used = memories.0.makeshift(&(1..=380)).unwrap().unwrap();
    let other = after_forgetting(&memories, &[7]).await;
    assert!(!Arc::ptr_eq(&used, &other), "who uses it goes on with what there was");
    assert_eq!((used.count_after(0), other.count_after(0)), (380, 379));
    drop((used, other));
    let left_of = |forgotten: u64| {
        // They are in the store still: what was taken out shows.
        memories.0.forget(&(1..=forgotten).collect::<Vec<u64>>());
        memories.0.makeshift(&(1..=380)).unwrap().unwrap().count_after(0)
    };
    assert_eq!(left_of(20), 379 - 19, "20 of them are taken out, but for one that is not there");
    assert_eq!(left_of(2_000), 379, "too many");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_outgrows_its_room_is_given_up_and_all_are_looked_at() {
    let house = house(50);
    let memories = house.open().await;
    let rare = |number: u64| {
        let words = (0..300).map(|word| own_word(word) + &own_word(number));
        let text = [own_word(number)].into_iter().chain(words).collect::<Vec<_>>().join(" ");
        turn(number, "Ann", &text)
    };
    memories.remember((1..=400).map(rare).collect()).await.unwrap();
    tend_all(&memories).await;
    let memories = without_its_index(&house, memories).await;
    let share = memories.0.access.share();
    let others = share.leave_makeshift(95 << 20).unwrap();
    assert_found(&memories, some(400)).await;
    assert!(!stands_in(&memories));
    assert!(share.leave_makeshift(1 << 20).is_some(), "what it had is given back");
    drop(others);
}
