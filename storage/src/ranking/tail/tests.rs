//! Tests of searching memories directly.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::embed::Embedder;
use crate::embed::hashed::Hashed;

fn noon() -> Timestamp {
    (UNIX_EPOCH + Duration::from_secs(20_000 * 86_400)).into()
}

fn vector(text: &str) -> Vec<f32> {
    Hashed::new().embed(&[text]).unwrap().remove(0)
}

fn kept(text: &str) -> Vector {
    Vector::new(&vector(text))
}

fn tail(texts: &[&str]) -> Tail {
    let mut tail = Tail::new();
    for (id, text) in texts.iter().enumerate() {
        // Ten apart, so that none is another's neighbour.
        tail.insert(id as u64 * 10, noon(), Analysis::new(text, None, noon()), kept(text));
    }
    tail
}

fn found(tail: &Tail, question: &str, limit: usize) -> Vec<u64> {
    let asked = Question::new(question, noon());
    let best = tail.best(&asked, limit, |_| 1.0);
    best.candidates(&asked, &Aim::new(&vector(question))).iter().map(|found| found.id).collect()
}

#[test]
fn candidates_come_by_word_and_by_spelling() {
    let tail = tail(&["the boat is mended", "milk and bread", "a chess tournament"]);
    assert_eq!(found(&tail, "boat", 1), [0]);
    assert!(found(&tail, "torunament", 1).contains(&20));
    assert!(found(&tail, "", 5).is_empty());
}

#[test]
fn candidates_come_by_day_and_by_speaker() {
    let mut tail =
        tail(&["Ann: mended it", "Bob: ate it", "Cy: on 3 May 2001 it burnt. 8 May, 2001"]);
    assert!(found(&tail, "what did Bob tell", 3).contains(&10));
    assert!(found(&tail, "what happened in May 2001?", 1).contains(&20));
    tail.remove(20);
    assert!(!found(&tail, "what happened in May 2001?", 1).contains(&20));
}

#[test]
fn neighbours_come_along() {
    let mut tail = Tail::new();
    for (id, text) in ["a", "b", "sailing", "c", "d", "e"].iter().enumerate() {
        tail.insert(id as u64, noon(), Analysis::new(text, None, noon()), Vector::default());
    }
    assert_eq!(found(&tail, "sailing", 1), [0, 1, 2, 3, 4]);
}

#[test]
fn all_are_as_those_that_are_chosen() {
    let tail = tail(&["the boat is mended", "milk and bread", "a chess tournament"]);
    let (question, aim) = (Question::new("boat", noon()), Aim::new(&vector("boat")));
    let all = tail.all(|_| 1.0);
    let all = all.candidates(&question, &aim);
    assert_eq!(all.iter().map(|candidate| candidate.id).collect::<Vec<_>>(), [0, 10, 20]);
    let chosen = tail.best(&question, 5, |_| 1.0);
    for one in chosen.candidates(&question, &aim) {
        let same = all.iter().find(|candidate| candidate.id == one.id).unwrap();
        assert_eq!((same.at, same.similarity), (one.at, one.similarity));
    }
}

#[test]
fn only_the_best_come() {
    let texts = ["boat", "boat and pot", "boat and pot and milk and bread"];
    let tail = tail(&texts);
    let ids: BTreeSet<u64> = found(&tail, "boat pot", 1).into_iter().collect();
    assert!(ids.contains(&10) && ids.len() <= 2, "{ids:?}");
}

#[test]
fn what_is_removed_is_gone_from_all_counts() {
    let mut tail = tail(&["the boat", "the boat and the pot"]);
    let question = Question::new("boat pot", noon());
    assert!(tail.remove(10) && !tail.remove(10));
    let left = tail.statistics(&question);
    assert_eq!((left.memories, left.terms), (1, 1));
    assert_eq!(left.frequencies, BTreeMap::from([("boat".to_owned(), 1)]));
    tail.remove(0);
    assert!(tail.is_empty() && tail.terms.is_empty());
}

#[test]
fn an_id_that_comes_again_replaces() {
    let mut tail = tail(&["the boat"]);
    tail.insert(0, noon(), Analysis::new("the pot", None, noon()), kept("the pot"));
    assert_eq!(tail.len(), 1);
    assert!(
        found(&tail, "boat", 5).is_empty()
            || tail.statistics(&Question::new("boat", noon())).frequencies.is_empty()
    );
    assert_eq!(found(&tail, "pot", 5), [0]);
}

#[test]
fn vectors_of_another_embedder_are_no_hindrance() {
    let tail = tail(&["the boat"]);
    let question = Question::new("boat", noon());
    let best = tail.best(&question, 5, |_| 1.0);
    assert_eq!(best.candidates(&question, &Aim::new(&[1.0; 3])).len(), 1);
    assert_eq!(best.candidates(&question, &Aim::default())[0].similarity, Some(0.0));
}

#[test]
fn what_counts_for_nothing_is_no_candidate_but_beside_one_that_is() {
    let tail = tail(&["the boat", "the boat and the pot", "milk"]);
    let question = Question::new("boat", noon());
    let best = tail.best(&question, 5, |id| if id == 0 { 0.0 } else { 1.0 });
    let ids: Vec<u64> = best
        .candidates(&question, &Aim::new(&vector("boat")))
        .iter()
        .map(|found| found.id)
        .collect();
    assert!(!ids.contains(&0) && ids.contains(&10), "{ids:?}");
    assert_eq!((best.share(0), best.share(10), best.share(1)), (Some(0.0), Some(1.0), None));
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let mut tail = tail(&["the boat", "the pot"]);
    let before = tail.all(|_| 1.0);
    tail.set_vector(0, kept("something else"));
    tail.remove(10);
    let aim = Aim::new(&vector("the boat"));
    let similarity = |snapshot: &Snapshot, id| {
        snapshot.candidate(id, &aim).and_then(|candidate| candidate.similarity)
    };
    assert!(similarity(&before, 0) > Some(0.9) && similarity(&before, 10).is_some());
    let after = tail.all(|_| 1.0);
    assert!(similarity(&after, 0) < Some(0.5) && similarity(&after, 10).is_none());
}
