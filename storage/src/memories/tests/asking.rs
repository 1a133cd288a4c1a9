//! Candidates among some memories only: by leaving out others, or by a plan.

use std::collections::BTreeSet;

use super::many::{questions, talk};
use super::*;
use crate::embed::EmbedFor;
use crate::index::{HITS_MAX, Hit, Index};
use crate::memories::asking::By;
use crate::ranking::Question;

/// How many candidates are looked for.
const LIMIT: usize = 40;

/// So many that an index has partitions of vectors.
const TOLD: u64 = 4_500;

struct Asked {
    memories: Memories,
    index: Index,
    through: u64,
}

impl Asked {
    /// With all that is settled in an index, and at hand.
    async fn of(house: &House, told: Vec<NewMemory>) -> Self {
        let memories = house.open().await;
        for part in told.chunks(1_500) {
            memories.remember(part.to_vec()).await.unwrap();
            tend_all(&memories).await;
        }
        memories.recall(asking("Who mended the boat?")).await.unwrap();
        let settled = memories.0.live.read().settled;
        until("they come to hand", || memories.0.at_hand.through() == settled).await;
        let index = memories.0.index().await.unwrap();
        let through = index.covered().unwrap().min(settled);
        Self { memories, index, through }
    }

    async fn by_any(&self, filter: &RecallFilter, by: By<'_>) -> Option<BTreeSet<u64>> {
        let among = (&self.index, self.through);
        self.memories.best_of_any(among, filter, by, LIMIT).await.unwrap()
    }

    /// All that pass, as many as can be, the best first.
    async fn by_plan(&self, filter: &RecallFilter, by: By<'_>) -> Vec<Hit> {
        let filter = filter.for_index(self.through);
        by.search(&self.index, &filter, HITS_MAX).await.unwrap()
    }

    async fn vector(&self, question: &str) -> Vec<f32> {
        let question = vec![question.to_owned()];
        self.memories.0.embed(question, EmbedFor::Question).await.unwrap().remove(0)
    }
}

fn house() -> House {
    House::with(MemoriesSettings { tail_max: 64, batch: 500, ..MemoriesSettings::default() })
}

fn of_speaker(name: &str) -> RecallFilter {
    RecallFilter { speaker: Some(name.to_owned()), ..RecallFilter::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_out_others_finds_what_a_plan_finds() {
    let house = house();
    let asked = Asked::of(&house, talk(TOLD)).await;
    assert!(!asked.index.looks_at_each_vector());
    let day = turn(TOLD / 2 * 3, "Ann", "").at;
    let mut directly = 0;
    for filter in [
        of_speaker("Ann"),
        RecallFilter { from: Some(day), ..RecallFilter::default() },
        RecallFilter { kinds: vec![MemoryKind::Turn], ..RecallFilter::default() },
    ] {
        for question in questions(6) {
            let terms = Question::new(&question, at(100_000)).search_terms();
            let terms: Vec<&str> = terms.split(' ').collect();
            let vector = asked.vector(&question).await;
            for by in [By::Words(&terms), By::Nearness(&vector)] {
                let by_plan = asked.by_plan(&filter, by).await;
                assert!(!by_plan.is_empty(), "{question}");
                let good_enough = by_plan[LIMIT.min(by_plan.len()) - 1].score - 1e-4;
                let good = by_plan.iter().filter(|hit| hit.score >= good_enough);
                let good: BTreeSet<u64> = good.map(|hit| hit.id).collect();
                // By chance too few of the best pass, now and then.
                let Some(own) = asked.by_any(&filter, by).await else { continue };
                directly += 1;
                // Of those that are equally good each takes others.
                assert_eq!(own.len(), LIMIT.min(by_plan.len()));
                assert!(own.is_subset(&good), "{question}: {:?}", own.difference(&good));
            }
        }
    }
    assert!(directly >= 30, "{directly} of 36 were asked directly");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_others_say_it_better_a_plan_finds_those_that_pass() {
    let house = house();
    let loud = (1..=400).map(|number| turn(number, "Bob", "zebra zebra"));
    let long =
        |number| format!("Once, by the river and in the evening, I saw no zebra, number {number}.");
    let quiet = (401..=410).map(|number| turn(number, "Ann", &long(number)));
    let rest = (411..=1_000).map(|number| turn(number, "Ann", "The garden needs water again."));
    let asked = Asked::of(&house, loud.chain(quiet).chain(rest).collect()).await;
    let (ann, by) = (of_speaker("Ann"), By::Words(&["zebra"]));
    assert_eq!(asked.by_any(&ann, by).await, None, "the best of any are Bob's");
    let own: BTreeSet<u64> = (401..=410).collect();
    let by_plan = asked.by_plan(&ann, by).await;
    assert_eq!(by_plan.iter().map(|hit| hit.id).collect::<BTreeSet<_>>(), own);
    let recall = Recall { filter: ann, ..asking("Who saw a zebra?") };
    let found = asked.memories.recall(recall).await.unwrap();
    assert!(ids(&found).iter().all(|id| own.contains(id)) && found.len() == 10, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_asks_for_any_where_few_pass_or_it_is_not_known_how_many() {
    let house = house();
    let rare = turn(3, "Grace", "Yes, I sold the boat.");
    let told = talk(700).into_iter().chain([rare]).chain(talk(700)).collect();
    let asked = Asked::of(&house, told).await;
    let by = By::Words(&["boat"]);
    assert!(asked.by_any(&of_speaker("Ann"), by).await.is_some());
    assert_eq!(asked.by_any(&of_speaker("Grace"), by).await, None);
    assert_eq!(asked.by_any(&of_speaker("Nobody"), by).await, None);
    let recall = Recall { filter: of_speaker("Grace"), ..asking("Who sold the boat?") };
    assert_eq!(ids(&asked.memories.recall(recall).await.unwrap()), [701]);
    asked.memories.0.at_hand.clear();
    assert_eq!(asked.by_any(&of_speaker("Ann"), by).await, None);
}
