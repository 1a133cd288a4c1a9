//! An index that grows by a few entries at a time, as that of a being does.

use super::*;

/// How much lies in an index's folder.
#[derive(Debug, Clone, Copy)]
struct Census {
    files: usize,
    bytes: u64,
    versions: usize,
}

fn census(folder: &Path) -> Census {
    let files = files(folder);
    let bytes = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    let is_version = |file: &&PathBuf| file.extension().is_some_and(|end| end == "manifest");
    Census { files: files.len(), bytes, versions: files.iter().filter(is_version).count() }
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_small_appends_leave_few_files_and_one_version() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    let mut most = 0;
    for round in 0..300 {
        index.append(entries(round * 8 + 1..=round * 8 + 8)).await.unwrap();
        tend_all(&index).await;
        let now = census(dir.path());
        assert_eq!(now.versions, 1, "after round {round}");
        most = most.max(now.files);
    }
    let grown = census(dir.path());
    assert!(most < 60, "{most} files at the most");

    let whole = TempDir::new().unwrap();
    let at_once = created(whole.path()).await;
    at_once.append(entries(1..=2_400)).await.unwrap();
    tend_all(&at_once).await;
    let least = census(whole.path());
    assert!(grown.bytes < 2 * least.bytes, "{grown:?} and made at once {least:?}");
    for id in [1, 1_023, 1_025, 2_400] {
        let own = format!("own-{id}");
        assert_eq!(found(&index, &[&own], &Filter::default()).await, BTreeSet::from([id]));
    }
    assert_eq!(index.words(&["all"], &Filter::default(), 50).await.unwrap().len(), 50);
    assert_eq!(open(dir.path()).await.through(), Some(2_400), "rows stay in their order");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_some_thousands_on_vectors_are_indexed_and_still_found() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    let mut done = Vec::new();
    for part in 0..10 {
        index.append(entries(part * 500 + 1..=part * 500 + 500)).await.unwrap();
        done.extend(tend_all(&index).await);
    }
    let trained = |tended: &Tended| matches!(tended, Tended::Trained { partitions: 10.., .. });
    assert!(done.iter().any(trained), "{done:?}");
    assert!(done.iter().filter(|tended| trained(tended)).count() == 1, "{done:?}");
    index.append(entries(5_001..=5_010)).await.unwrap();

    let mut dice = Dice(7);
    let mut right = 0;
    for _ in 0..20 {
        let wanted = dice.vector();
        let mut all: Vec<(f32, u64)> =
            (1..=5_010).map(|id| (cosine(&wanted, &vector(id)), id)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let best: BTreeSet<u64> = all[..10].iter().map(|(_, id)| *id).collect();
        let hits = index.nearest(&wanted, &Filter::default(), 10).await.unwrap();
        right += hits.iter().filter(|hit| best.contains(&hit.id)).count();
        assert!((hits[0].score - all[0].0).abs() < 1e-4, "{hits:?}, and best is {:?}", all[0]);
    }
    assert!(right >= 190, "{right} of 200");
    let few = Filter {
        from: Some(4_990_000),
        speaker: Some("speaker-1".to_owned()),
        ..Filter::default()
    };
    let hits = index.nearest(&dice.vector(), &few, 10).await.unwrap();
    assert_eq!(hits.len(), 7, "a filter that leaves few does not leave fewer: {hits:?}");
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_were_deleted_take_no_room_for_long() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=1_500)).await.unwrap();
    tend_all(&index).await;
    let before = census(dir.path());
    index.delete((1..=1_200).collect()).await.unwrap();
    let done = tend_all(&index).await;
    assert!(done.contains(&Tended::Gathered { files: 1 }), "{done:?}");
    let after = census(dir.path());
    assert!(after.bytes * 2 < before.bytes, "{after:?}, before {before:?}");
    assert_eq!(found(&index, &["own-1300"], &Filter::default()).await, BTreeSet::from([1_300]));
    index.delete((1_201..=1_500).collect()).await.unwrap();
    tend_all(&index).await;
    assert_eq!(index.count().await.unwrap(), 0);
    assert_eq!(open(dir.path()).await.through(), None);
    index.append(entries(1_501..=1_503)).await.unwrap();
    assert_eq!(found(&index, &["all"], &Filter::default()).await.len(), 3);
}
