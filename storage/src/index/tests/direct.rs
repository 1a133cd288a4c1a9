//! Indices that are asked directly find what LanceDB's own plan finds.

use super::*;

/// All that the indices cover, asked directly.
fn directly(index: &Index) -> Filter {
    Filter { through: index.covered(), ..Filter::default() }
}

/// The same, with a filter that leaves nothing out and needs a plan.
fn planned(index: &Index) -> Filter {
    Filter { from: Some(0), ..directly(index) }
}

async fn open_segments(index: &Index) -> Option<Arc<Segments>> {
    index.0.open.lock().await.clone()
}

/// Searches of both sorts, by both ways.
async fn assert_alike(index: &Index, ids: &[u64]) {
    assert_eq!(index.covered(), index.through(), "else rows are looked at one by one");
    let (directly, planned) = (directly(index), planned(index));
    let own: Vec<String> = ids.iter().map(|id| format!("own-{id}")).collect();
    let terms: Vec<&str> = own.iter().map(String::as_str).chain(["own-0", "nothing"]).collect();
    let found = index.words(&terms, &directly, 50).await.unwrap();
    assert_eq!(found, index.words(&terms, &planned, 50).await.unwrap());
    assert!(open_segments(index).await.is_some(), "they stay open");
    for id in ids {
        let found = index.nearest(&vector(*id), &directly, 50).await.unwrap();
        assert_eq!(found.len(), 50);
        assert_eq!(found, index.nearest(&vector(*id), &planned, 50).await.unwrap(), "near {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_find_the_same_with_several_segments_and_without_what_was_deleted() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=6_000)).await.unwrap();
    tend_all(&index).await;
    assert_alike(&index, &[1, 77, 2_900, 6_000]).await;
    let first = open_segments(&index).await.unwrap();

    index.append(entries(6_001..=6_900)).await.unwrap();
    tend_all(&index).await;
    index.append(entries(6_901..=7_000)).await.unwrap();
    tend_all(&index).await;
    assert_alike(&index, &[1, 77, 2_900, 6_500, 6_950]).await;
    let segments = open_segments(&index).await.unwrap();
    assert!(segments.near.len() > 1, "{} segments", segments.near.len());
    assert_eq!(segments.near_by_centres.len(), 1, "they have the centres of the first");
    let is_kept = |(key, near): (_, &Arc<_>)| {
        first.near.get(key).is_some_and(|before| Arc::ptr_eq(before, near))
    };
    assert!(segments.near.iter().any(is_kept), "what was open is not opened again");

    index.delete(vec![77, 2_900, 6_500]).await.unwrap();
    let gone = |hits: Vec<Hit>| hits.iter().all(|hit| ![77, 2_900, 6_500].contains(&hit.id));
    let (vector, terms) = (vector(2_900), ["own-77", "own-2900", "own-6500"]);
    assert!(gone(index.nearest(&vector, &directly(&index), 50).await.unwrap()));
    assert_eq!(index.words(&terms, &directly(&index), 50).await.unwrap(), []);
    assert_alike(&index, &[1, 3_000, 6_501, 6_950]).await;
    tend_all(&index).await;
    assert_alike(&index, &[1, 3_000, 6_501, 6_950]).await;
    let again = open(dir.path()).await;
    assert_alike(&again, &[1, 3_000, 6_501, 6_950]).await;
}

/// So many words, of which the n-th is n times rarer than the first.
fn some_words(dice: &mut Dice, most: usize) -> Vec<String> {
    let word = |dice: &mut Dice| {
        let part = (dice.next() >> 11) as f64 / (1u64 << 53) as f64;
        format!("w{}", (part * 2_000_f64.ln()).exp() as u32)
    };
    (0..2 + dice.below(most - 1)).map(|_| word(dice)).collect()
}

/// Searches for frequent words, by both ways; what was found.
async fn assert_alike_of_frequent_words(index: &Index, dice: &mut Dice) -> Vec<u64> {
    let (directly, planned) = (directly(index), planned(index));
    let mut all = Vec::new();
    for _ in 0..60 {
        let asked = some_words(dice, 6);
        let terms: Vec<&str> = asked.iter().map(String::as_str).collect();
        let found = index.words(&terms, &directly, 40).await.unwrap();
        let by_plan = index.words(&terms, &planned, 40).await.unwrap();
        let scores = |hits: &[Hit]| hits.iter().map(|hit| hit.score).collect::<Vec<_>>();
        assert_eq!(scores(&found), scores(&by_plan), "{asked:?}");
        // Of those that are as good as the last, a plan finds any.
        let last = by_plan.last().map(|hit| hit.score);
        let better = |hit: &&Hit| last.is_some_and(|last| hit.score > last);
        let ids = |hits: &[Hit]| -> BTreeSet<u64> {
            hits.iter().filter(better).map(|hit| hit.id).collect()
        };
        assert_eq!(ids(&found), ids(&by_plan), "{asked:?}");
        all.extend(found.iter().map(|hit| hit.id));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn of_frequent_words_they_find_the_best_wherever_these_are() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    let mut dice = Dice(5);
    for ids in [1..=5_000, 5_001..=6_300, 6_301..=6_700, 6_701..=6_750] {
        let entries = ids.map(|id| entry(id, &some_words(&mut dice, 30).join(" ")));
        index.append(entries.collect()).await.unwrap();
        tend_all(&index).await;
    }
    let found = assert_alike_of_frequent_words(&index, &mut dice).await;
    let in_others = found.iter().filter(|id| **id > 5_000).count();
    assert!(in_others > 100, "{in_others} of the best are in the smaller segments");
    let segments = open_segments(&index).await.unwrap();
    let mut rows = Vec::new();
    for words in &segments.words {
        let (_, own, _) = words.bm25_stats_for_terms(&[], None).await.unwrap();
        rows.push(own);
    }
    assert_eq!(rows, [5_000, 1_300, 400, 50]);

    // Much of the largest is gone, and of what was found all.
    let gone: BTreeSet<u64> = found.into_iter().chain((1..=5_000).step_by(3)).collect();
    index.delete(gone.iter().copied().collect()).await.unwrap();
    let found = assert_alike_of_frequent_words(&index, &mut dice).await;
    assert!(found.iter().all(|id| !gone.contains(id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_too_few_are_found_more_partitions_are_searched() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=9_000)).await.unwrap();
    tend_all(&index).await;
    // What is nearest is gone, so that the partitions around it have little left.
    let near: Vec<u64> = {
        let hits = index.nearest(&vector(5), &directly(&index), HITS_MAX).await.unwrap();
        hits.iter().map(|hit| hit.id).collect()
    };
    index.delete(near).await.unwrap();
    let found = index.nearest(&vector(5), &directly(&index), HITS_MAX).await.unwrap();
    assert_eq!(found.len(), HITS_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leave_to_keep_them_open_they_are_found_by_a_plan() {
    let dir = TempDir::new().unwrap();
    let share = share();
    let index = Index::create(dir.path(), &share, shape()).await.unwrap();
    index.append(entries(1..=5_000)).await.unwrap();
    tend_all(&index).await;
    let others = share.leave_open(127).expect("nobody has any");
    let found = index.nearest(&vector(9), &directly(&index), 10).await.unwrap();
    assert_eq!((found[0].id, found.len()), (9, 10));
    assert!(open_segments(&index).await.is_none());
    drop(others);
    assert_eq!(index.nearest(&vector(9), &directly(&index), 10).await.unwrap(), found);
    assert!(open_segments(&index).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_go_on_while_versions_come_and_their_files_go() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=4_500)).await.unwrap();
    tend_all(&index).await;
    let (own, is_over) = (index.clone(), Arc::new(AtomicBool::new(false)));
    let over = Arc::clone(&is_over);
    let searching = tokio::spawn(async move {
        let mut searches = 0;
        while !over.load(Ordering::SeqCst) || searches == 0 {
            let filter = Filter { through: Some(4_500), ..Filter::default() };
            let hits = own.nearest(&vector(8), &filter, 10).await.unwrap();
            assert_eq!(hits[0].id, 8);
            let hits = own.words(&["own-8"], &filter, 10).await.unwrap();
            assert_eq!(hits.iter().map(|hit| hit.id).collect::<Vec<_>>(), [8]);
            searches += 1;
        }
    });
    for round in 0..12 {
        index.append(entries(4_501 + round * 40..=4_540 + round * 40)).await.unwrap();
        tend_all(&index).await;
    }
    is_over.store(true, Ordering::SeqCst);
    searching.await.unwrap();
}
