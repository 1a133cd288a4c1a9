//! What recall has at hand is what the store has.

use std::collections::{BTreeMap, BTreeSet};

use super::renewing::{ALL, Meaning};
use super::*;
use crate::memories::at_hand::{Brought, bytes};
use crate::vector::Aim;

/// So many memories are told; all but the newest of them are settled.
const TOLD: u64 = 700;

/// One whose memories go to the index in few batches.
fn house() -> House {
    House::with(MemoriesSettings { tail_max: 64, batch: 64, ..MemoriesSettings::default() })
}

/// With what is settled of many memories not at hand.
async fn settled(house: &House) -> Memories {
    let memories = house.open().await;
    memories.remember(about(1..=TOLD)).await.unwrap();
    tend_all(&memories).await;
    assert!(settled_through(&memories) > TOLD - 64);
    memories
}

fn settled_through(memories: &Memories) -> u64 {
    memories.0.live.read().settled
}

/// With all that is settled of many memories at hand, since it was asked.
async fn filled(house: &House) -> Memories {
    let memories = settled(house).await;
    fill(&memories).await;
    memories
}

async fn fill(memories: &Memories) {
    assert_found(memories, [1]).await;
    let all = settled_through(memories);
    until("they come to hand", || memories.0.at_hand.through() == all).await;
}

fn at_hand(memories: &Memories) -> Vec<(u64, Arc<Gist>)> {
    memories.0.at_hand.of(&(1..=TOLD).collect::<Vec<_>>(), memories.0.store.reopened())
}

/// All that is at hand is as the store has it; so many.
fn as_in_the_store(memories: &Memories) -> usize {
    let own = at_hand(memories);
    let ids: BTreeSet<u64> = own.iter().map(|(id, _)| *id).collect();
    let kept = memories.0.store.read(|reader| tables::gists_of(reader, &ids)).unwrap();
    assert!(own.iter().all(|(id, gist)| kept.get(id) == Some(&**gist)));
    assert_eq!(own.len(), kept.len());
    own.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_with_them_at_hand_is_what_is_found_without() {
    let house = house();
    let memories = settled(&house).await;
    let asked = ["Who mended the boat?", "chess on Tuesday", "the garden", &own_word(300)];
    let answers = async |memories: &Memories| {
        let mut answers = Vec::new();
        for question in asked {
            answers.push(memories.recall(asking(question)).await.unwrap());
        }
        answers
    };
    let others = memories.0.access.share().leave_at_hand(96 << 20).unwrap();
    let without = answers(&memories).await;
    assert_eq!(as_in_the_store(&memories), 0, "there is no room");
    drop(others);
    let memories = house.reopened(memories).await;
    fill(&memories).await;
    assert_eq!(as_in_the_store(&memories) as u64, settled_through(&memories));
    assert_eq!(answers(&memories).await, without);
    let share = memories.0.access.share();
    assert!(share.leave_at_hand(96 << 20).is_none());
    memories.close().await;
    assert_eq!(as_in_the_store(&memories), 0);
    assert!(share.leave_at_hand(96 << 20).is_some(), "what it had is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_later_comes_to_hand_too() {
    let house = house();
    let memories = filled(&house).await;
    memories.remember(about(TOLD + 1..=TOLD + 300)).await.unwrap();
    tend_all(&memories).await;
    fill(&memories).await;
    assert_found(&memories, some(TOLD + 300)).await;
    assert_eq!(as_in_the_store(&memories), TOLD as usize, "all of the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_no_longer_holds_is_found_after_what_replaced_it() {
    let house = house();
    let memories = house.open().await;
    memories.remember(vec![fact("Ann lives in Bergen", 1)]).await.unwrap();
    memories.remember(about(2..=TOLD)).await.unwrap();
    tend_all(&memories).await;
    assert_eq!(found(&memories, "Where does Ann live? Bergen?").await.first(), Some(&1));
    until("it comes to hand", || at_hand(&memories).iter().any(|(id, _)| *id == 1)).await;
    let new = memories.replace(1, fact("Ann lives in Oslo", 9)).await.unwrap();
    let ids = found(&memories, "Where does Ann live? Bergen?").await;
    let place = |id: u64| ids.iter().position(|found| *found == id);
    assert!(place(new.id).unwrap() < place(1).unwrap(), "{ids:?}");
    as_in_the_store(&memories);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_few_the_nearest_are_found_at_hand() {
    let house = house();
    let memories = settled(&house).await;
    let (own, all) = (&memories.0.at_hand, settled_through(&memories));
    let index = memories.0.index().await.unwrap();
    assert!(index.looks_at_each_vector());
    let vector = Hashed::new().embed(&["Who mended the boat?"]).unwrap().remove(0);
    let (aim, now) = (Aim::new(&vector), (all, memories.0.store.reopened()));
    let near = |limit| own.nearest(&aim, now, |_| true, limit);
    assert_eq!(near(9), None, "nothing is at hand yet");

    fill(&memories).await;
    // A vector's numbers have a byte each here, so that of nearly equal ones others may come first.
    let filter = RecallFilter::default().for_index(all);
    let by_index = index.nearest(&vector, &filter, 9).await.unwrap();
    let cosines: BTreeMap<u64, f32> = at_hand(&memories)
        .into_iter()
        .map(|(id, gist)| (id, gist.vector.as_ref().unwrap().cosine(&aim)))
        .collect();
    let found = near(9).unwrap();
    let least = found.iter().map(|id| cosines[id]).fold(f32::MAX, f32::min);
    assert_eq!((found.len(), by_index.len()), (9, 9));
    assert!((least - by_index[8].score).abs() < 0.01, "{least} {by_index:?}");
    // Of few that pass, each is a candidate, however far it is.
    let narrow = RecallFilter { until: Some(at(20)), ..RecallFilter::default() };
    let by_index = index.nearest(&vector, &narrow.for_index(all), 50).await.unwrap();
    let by_index: BTreeSet<u64> = by_index.iter().map(|hit| hit.id).collect();
    let passing = own.nearest(&aim, now, |brief| narrow.passes(brief), 50).unwrap();
    assert!(passing.len() > 9 && passing == by_index, "{passing:?} {by_index:?}");
    assert_eq!(own.nearest(&aim, (all + 1, now.1), |_| true, 9), None);
    assert_eq!(own.nearest(&aim, (all, now.1 + 1), |_| true, 9), None);
    assert_eq!(own.nearest(&aim, (20, now.1), |_| true, 99), Some((1..=20).collect()));

    // What has changed may be near, and is looked at; what is gone is not.
    own.changed(&[7, 8]);
    own.forgotten(&[9]);
    assert_eq!(own.nearest(&aim, now, |_| false, 9), Some(BTreeSet::from([7, 8])));
    assert!(!near(all as usize).unwrap().contains(&9));
    own.changed(&(10..=90).collect::<Vec<_>>());
    assert_eq!(near(9), None, "too many have changed");
    own.forgotten(&[7, 10, 11, 12, 100]);
    assert_eq!(near(9), None, "they still have");
    own.clear();
    let is_filled = || {
        // Whoever brought them before may not have ended yet.
        memories.fill_at_hand();
        own.through() == all
    };
    until("they come to hand again", is_filled).await;
    assert_eq!(near(9), Some(found));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_was_replaced_stays_at_hand_as_it_is_now() {
    let house = house();
    let memories = filled(&house).await;
    let (count, own) = (as_in_the_store(&memories), &memories.0.at_hand);
    let by = memories.get(2).unwrap().unwrap();
    let (old, new) = (1, by.clone());
    let write = memories.0.store.write(move |writer| Memories::outdate(writer, old, &new));
    assert!(write.await.unwrap());
    memories.outdated(old, by.id);
    assert_eq!(as_in_the_store(&memories), count);
    assert_eq!(own.of(&[old], memories.0.store.reopened())[0].1.brief.replaced_by, Some(by.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_forgotten_is_at_hand() {
    let house = house();
    let memories = filled(&house).await;
    let (all, gone) = (settled_through(&memories), Vec::from_iter(100..=400));
    let removed = gone.clone();
    let remove = move |writer: &mut Writer| Memories::remove(writer, &removed);
    memories.0.store.write(remove).await.unwrap();
    memories.purge(&gone).await.unwrap();
    assert_eq!(as_in_the_store(&memories) as u64, all - gone.len() as u64);
    for number in [100, 250, 400] {
        assert!(!found(&memories, &own_word(number)).await.contains(&number));
    }
    assert_found(&memories, [99, 401]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_while_it_was_read_is_read_again() {
    let house = house();
    let memories = settled(&house).await;
    let (at_hand, share) = (&memories.0.at_hand, memories.0.access.share());
    let read = || {
        let read = memories.0.store.read(|reader| tables::some_gists(reader, 1..=99, 99));
        read.unwrap()
    };
    let (moment, gists) = (at_hand.moment(0), read());
    at_hand.changed(&[7]);
    assert_eq!(at_hand.bring(moment, gists, 99, share), Brought::Outdated);
    assert_eq!(as_in_the_store(&memories), 0);
    assert_eq!(at_hand.bring(at_hand.moment(0), read(), 99, share), Brought::All);
    assert_eq!(as_in_the_store(&memories), 99);
    assert_eq!(at_hand.bring(moment, read(), 99, share), Brought::Outdated, "it is there already");
    at_hand.changed(&[7, 8, 500]);
    assert_eq!(as_in_the_store(&memories), 97);
    let ids: Vec<u64> = (1..=99).collect();
    let after_a_failure = at_hand.of(&ids, 1);
    assert!(after_a_failure.is_empty(), "what failed may have changed any of them");
    assert_eq!(at_hand.bring(at_hand.moment(1), read(), 99, share), Brought::All);
    assert_eq!(at_hand.of(&ids, 1).len(), 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_take_no_more_room_than_there_is() {
    let house = house();
    let memories = settled(&house).await;
    let share = memories.0.access.share();
    let ids = 1..=settled_through(&memories);
    let read = |reader: &_| tables::some_gists(reader, ids, TOLD as usize);
    let gists = memories.0.store.read(read).unwrap();
    let all: usize = gists.iter().map(|(_, gist)| bytes(&gist.clone())).sum();
    let others = share.leave_at_hand((96 << 20) - all + (4 << 10)).unwrap();
    while memories.0.fill_some() {}
    assert_eq!(as_in_the_store(&memories), 512, "the next would be more than there is room for");
    assert!(memories.0.at_hand.begin().is_none(), "it is not tried again at once");
    assert_found(&memories, some(TOLD)).await;
    let gone = Vec::from_iter(1..=TOLD / 2);
    let removed = gone.clone();
    let remove = move |writer: &mut Writer| Memories::remove(writer, &removed);
    memories.0.store.write(remove).await.unwrap();
    let third = all / 3;
    assert!(share.leave_at_hand(third).is_none());
    memories.purge(&gone).await.unwrap();
    assert!(share.leave_at_hand(third).is_some(), "what is no longer needed is given back");
    drop(others);
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_an_earlier_embedder_never_come_to_hand() {
    let mut house = house();
    house.embedder = Meaning::new(8, 0, ALL);
    let memories = filled(&house).await;
    close(memories).await;
    let turned = Meaning::new(8, 1, 0);
    house.embedder = turned.clone();
    let memories = house.open().await;
    assert!(memories.0.live.read().renewal.is_some());
    assert_found(&memories, [1]).await;
    assert!(!memories.0.fill_some());
    assert_eq!(as_in_the_store(&memories), 0);
    turned.allow(ALL);
    until("all have new vectors", || memories.0.live.read().renewal.is_none()).await;
    fill(&memories).await;
    assert_eq!(as_in_the_store(&memories) as u64, settled_through(&memories));
    assert!(at_hand(&memories).iter().all(|(_, gist)| gist.vector.is_some()));
}
