//! Many memories, in batches and all at once.

use std::collections::BTreeSet;

use super::*;

const WHO: [&str; 6] = ["Ann", "Bob", "Cleo", "Dan", "Eve", "Finn"];
const DOES: [&str; 10] = [
    "painted",
    "sold",
    "borrowed",
    "repaired",
    "photographed",
    "lost",
    "found",
    "planted",
    "cooked",
    "described",
];
const WHAT: [&str; 24] = [
    "boat",
    "violin",
    "lantern",
    "bicycle",
    "garden",
    "bridge",
    "carpet",
    "telescope",
    "kettle",
    "orchard",
    "piano",
    "ladder",
    "mirror",
    "letter",
    "tent",
    "statue",
    "fence",
    "clock",
    "recipe",
    "map",
    "scarf",
    "drum",
    "window",
    "candle",
];
const WHERE: [&str; 12] = [
    "Lisbon",
    "the harbour",
    "Oslo",
    "the market",
    "school",
    "the attic",
    "Kyoto",
    "the station",
    "the forest",
    "Vienna",
    "the cellar",
    "Cork",
];

/// The same each time.
struct Dice(u64);

impl Dice {
    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        words[(self.0 >> 33) as usize % words.len()]
    }
}

pub(super) fn talk(count: u64) -> Vec<NewMemory> {
    let mut dice = Dice(7);
    let mut one = |number: u64| {
        let (does, what, more) = (dice.of(&DOES), dice.of(&WHAT), dice.of(&WHAT));
        let place = dice.of(&WHERE);
        let text = format!("Yes, I {does} the {what} beside a {more} near {place}.");
        turn(number * 3, dice.of(&WHO), &text)
    };
    (1..=count).map(&mut one).collect()
}

pub(super) fn questions(count: usize) -> Vec<String> {
    let mut dice = Dice(99);
    let mut one = |_| {
        let (who, does, what) = (dice.of(&WHO), dice.of(&DOES), dice.of(&WHAT));
        format!("Who {does} the {what} near {}, was it {who}?", dice.of(&WHERE))
    };
    (0..count).map(&mut one).collect()
}

/// The index takes its hundred best by its own BM25, which knows of no neighbours and counts names and
/// days as words; a tail takes them by ours, likewise. So the last of ten may differ here and there.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_and_a_tail_together_find_what_one_tail_finds() {
    let mixed_house =
        House::with(MemoriesSettings { tail_max: 400, batch: 200, ..MemoriesSettings::default() });
    let whole_house = House::with(MemoriesSettings {
        tail_max: 10_000,
        batch: 200,
        ..MemoriesSettings::default()
    });
    let (mixed, whole) = (mixed_house.open().await, whole_house.open().await);
    for part in talk(3_000).chunks(500) {
        mixed.remember(part.to_vec()).await.unwrap();
        tend_all(&mixed).await;
        whole.remember(part.to_vec()).await.unwrap();
    }
    assert!(mixed.0.live.read().settled >= 2_600 && whole.0.live.read().settled == 0);
    let (mut same, mut firsts, mut all) = (0, 0, 0);
    for question in questions(24) {
        let (by_both, by_tail) = (found(&mixed, &question).await, found(&whole, &question).await);
        let tail: BTreeSet<u64> = by_tail.iter().copied().collect();
        same += by_both.iter().filter(|id| tail.contains(id)).count();
        firsts += usize::from(by_both[0] == by_tail[0]);
        all += by_tail.len();
    }
    println!("{same} of {all} the same, {firsts} of 24 first ones");
    assert!(same * 100 >= all * 95 && firsts >= 22, "{same} of {all}, {firsts} firsts");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_memory_at_a_time_leaves_few_files_and_a_short_tail() {
    let house = House::small();
    let memories = house.open().await;
    for new in about(1..=400) {
        memories.remember(vec![new]).await.unwrap();
    }
    tend_all(&memories).await;
    let files = files(&house.vectors()).len();
    assert!(files < 60, "{files} files");
    assert!(memories.0.live.read().tail.len() < 16);
    assert_found(&memories, [1, 200, 399, 400]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_once_are_found_while_they_wait() {
    let house = House::small();
    let memories = house.open().await;
    memories.remember(about(1..=1_000)).await.unwrap();
    assert_found(&memories, [1, 500, 1_000]).await;
    tend_all(&memories).await;
    assert_found(&memories, [1, 500, 1_000]).await;
    assert!(memories.0.live.read().settled > 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_and_who_asks_do_not_disturb_each_other() {
    let house = House::small();
    let memories = house.open().await;
    let writers = (0..4).map(|writer| {
        let own = memories.clone();
        tokio::spawn(async move {
            for number in 0..50 {
                let word = own_word(writer * 50 + number + 1);
                let text = format!("We spoke of {word} again");
                let kept = own.remember(vec![turn(number, "Ann", &text)]).await.unwrap();
                if number % 10 == 0 {
                    assert_eq!(found(&own, &word).await.first(), Some(&kept[0].id));
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    tend_all(&memories).await;
    let mut all = BTreeSet::<u64>::new();
    for number in (1..=200).step_by(10) {
        all.extend(found(&memories, &own_word(number)).await.first().copied());
    }
    assert_eq!(all.len(), 20);
}
