//! Searches, appends, deletions and upkeep at the same time.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use lance::dataset::index::DatasetIndexRemapperOptions;
use lance::dataset::optimize::{CompactionOptions, commit_compaction, plan_compaction};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Searches again and again until it is told to stop; how often it did.
fn searcher(index: Index, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut times = 0;
        while !stop.load(Ordering::SeqCst) {
            let through = index.through().unwrap();
            let own = format!("own-{through}");
            assert_eq!(found(&index, &[&own], &Filter::default()).await, BTreeSet::from([through]));
            let hits = index.nearest(&vector(3), &Filter::default(), 1).await.unwrap();
            assert_eq!(hits[0].id, 3);
            times += 1;
        }
        times
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn searches_go_on_while_the_index_grows_and_is_tended() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=10)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let searchers = [(); 2].map(|()| searcher(index.clone(), Arc::clone(&stop)));
    let appended = AtomicU64::new(10);
    let tended = async {
        while appended.load(Ordering::SeqCst) < 2_410 {
            tend_all(&index).await;
            tokio::task::yield_now().await;
        }
    };
    let grown = async {
        for round in 0..40 {
            let first = 11 + round * 60;
            index.append(entries(first..=first + 59)).await.unwrap();
            appended.store(first + 59, Ordering::SeqCst);
        }
    };
    tokio::join!(tended, grown);
    tend_all(&index).await;
    stop.store(true, Ordering::SeqCst);
    for searcher in searchers {
        assert!(searcher.await.unwrap() > 0);
    }
    assert_eq!(index.count().await.unwrap(), 2_410);
    for index in [index, open(dir.path()).await] {
        assert_eq!((index.through(), index.covered()), (Some(2_410), Some(2_410)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn how_far_an_index_goes_is_known_though_rows_come_while_older_ones_are_gathered() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    for n in 0..8 {
        index.append(entries(n * 10 + 1..=n * 10 + 10)).await.unwrap();
    }
    let mut aside = (*index.0.dataset().await.unwrap()).clone();
    let options = CompactionOptions::default();
    let plan = plan_compaction(&aside, &options).await.unwrap();
    let mut gathered = Vec::new();
    for task in plan.compaction_tasks() {
        gathered.push(task.execute(&aside).await.unwrap());
    }
    index.append(entries(81..=90)).await.unwrap();
    let remap = Arc::new(DatasetIndexRemapperOptions::default());
    commit_compaction(&mut aside, gathered, remap, &options).await.unwrap();
    drop(index);
    let index = open(dir.path()).await;
    assert_eq!((index.through(), index.covered()), (Some(90), Some(0)));
    index.append(entries(90..=91)).await.unwrap();
    assert_eq!(index.count().await.unwrap(), 91, "none is in it twice");
    tend_all(&index).await;
    assert_eq!((index.through(), index.covered()), (Some(91), Some(91)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_and_goes_while_vectors_are_indexed_is_found_and_gone() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=4_200)).await.unwrap();
    assert_eq!(index.tend().await.unwrap(), Tended::Indexed { rows: 4_200 });
    let mut progress = index.progress();
    let training = tokio::spawn({
        let index = index.clone();
        async move { index.tend().await.unwrap() }
    });
    progress.wait_for(|progress| !progress.stage.is_empty()).await.unwrap();
    index.append(entries(4_201..=4_203)).await.unwrap();
    index.delete(vec![7, 4_202]).await.unwrap();
    let trained = training.await.unwrap();
    assert_eq!(trained, Tended::Trained { rows: 4_200, partitions: 10 });
    assert_eq!(*progress.borrow_and_update(), Progress::default(), "it is over");
    for index in [index, open(dir.path()).await] {
        for id in [7, 4_202] {
            let hits = index.nearest(&vector(id), &Filter::default(), 5).await.unwrap();
            assert!(hits.iter().all(|hit| hit.id != id), "{id} in {hits:?}");
        }
        for id in [8, 4_201, 4_203] {
            let hits = index.nearest(&vector(id), &Filter::default(), 1).await.unwrap();
            assert_eq!(hits[0].id, id);
        }
        assert_eq!(index.count().await.unwrap(), 4_201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_that_was_given_up_leaves_the_index_whole_and_no_files() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=4_200)).await.unwrap();
    assert_eq!(index.tend().await.unwrap(), Tended::Indexed { rows: 4_200 });
    let mut progress = index.progress();
    let given_up = async {
        tokio::select! {
            tended = index.tend() => panic!("it was too quick: {tended:?}"),
            _ = progress.wait_for(|progress| progress.stage == "shuffle") => (),
        }
    };
    timeout(Duration::from_secs(60), given_up).await.unwrap();
    let hits = index.nearest(&vector(3), &Filter::default(), 1).await.unwrap();
    assert_eq!(hits[0].id, 3);
    let done = tend_all(&index).await;
    assert!(done.contains(&Tended::Trained { rows: 4_200, partitions: 10 }), "{done:?}");
    index.append(entries(4_201..=4_201)).await.unwrap();
    tend_all(&index).await;
    let vector_indices = |file: &&PathBuf| file.ends_with("auxiliary.idx");
    // Of what was trained, and of what came after it.
    assert_eq!(files(dir.path()).iter().filter(vector_indices).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_index_that_waits_for_its_turn_to_be_tended_is_in_nobody_s_way() {
    let dir = TempDir::new().unwrap();
    let share = share();
    let index = Index::create(dir.path(), &share, shape()).await.unwrap();
    for n in 0..8 {
        index.append(entries(n * 2 + 1..=n * 2 + 2)).await.unwrap();
    }
    let others = share.permit().await;
    let waiting = tokio::spawn({
        let index = index.clone();
        async move { index.tend().await.unwrap() }
    });
    let in_time = Duration::from_secs(30);
    timeout(in_time, index.append(entries(17..=18))).await.unwrap().unwrap();
    timeout(in_time, index.delete(vec![3])).await.unwrap().unwrap();
    assert_eq!(found(&index, &["all"], &Filter::default()).await.len(), 17);
    assert!(!waiting.is_finished());
    drop(others);
    // The ninth goes along if it came before it was decided what to do.
    let tended = waiting.await.unwrap();
    assert!(matches!(tended, Tended::Gathered { files: 8 | 9 }), "{tended:?}");
    assert_eq!(found(&index, &["all"], &Filter::default()).await.len(), 17);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_append_that_nobody_waits_for_goes_on_to_its_end() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    let at_once = Duration::ZERO;
    assert!(timeout(at_once, index.append(entries(1..=5))).await.is_err());
    // Appends have their turn one after the other, so the first has ended when the second has.
    index.append(entries(6..=6)).await.unwrap();
    assert_eq!((index.count().await.unwrap(), index.through()), (6, Some(6)));
}
