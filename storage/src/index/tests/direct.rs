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
