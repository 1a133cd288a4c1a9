use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

mod damage;
mod direct;
mod growth;
mod together;

const DIMENSIONS: usize = 8;

fn share() -> IndexShare {
    IndexShare::new(&IndexShareSettings::default())
}

fn shape() -> Shape {
    let (terms_by, vectors_by) = ("test-analyser 1", Some("test-embedder 1".to_owned()));
    Shape { dimensions: DIMENSIONS, terms_by: terms_by.to_owned(), vectors_by }
}

/// Numbers that look random and are the same each time.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSIONS).map(|_| (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
    }
}

/// The vector of a memory, which depends on its id alone.
fn vector(id: u64) -> Vec<f32> {
    Dice(id).vector()
}

fn entry(id: u64, terms: &str) -> Entry {
    let (speaker, terms) = (Some(format!("speaker-{}", id % 3)), terms.to_owned());
    Entry { id, at: id as i64 * 1_000, kind: (id % 2) as u8, speaker, terms, vector: vector(id) }
}

/// Memories with a word of their own and one that all have.
fn entries(ids: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    ids.map(|id| entry(id, &format!("all own-{id}"))).collect()
}

async fn open(folder: &Path) -> Index {
    match Index::open(folder, &share(), shape()).await.unwrap() {
        Opened::Ready(index) => index,
        other => panic!("not ready: {other:?}"),
    }
}

async fn created(folder: &Path) -> Index {
    Index::create(folder, &share(), shape()).await.unwrap()
}

async fn tend_all(index: &Index) -> Vec<Tended> {
    let mut done = Vec::new();
    loop {
        match index.tend().await.unwrap() {
            Tended::Nothing => return done,
            tended => done.push(tended),
        }
    }
}

async fn found(index: &Index, terms: &[&str], filter: &Filter) -> BTreeSet<u64> {
    let hits = index.words(terms, filter, HITS_MAX).await.unwrap();
    hits.iter().map(|hit| hit.id).collect()
}

async fn near(index: &Index, vector: &[f32], filter: &Filter) -> BTreeSet<u64> {
    let hits = index.nearest(vector, filter, HITS_MAX).await.unwrap();
    hits.iter().map(|hit| hit.id).collect()
}

/// All files beneath a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let of = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => files(&entry.path()),
        false => vec![entry.path()],
    };
    let mut files: Vec<PathBuf> = entries.flat_map(of).collect();
    files.sort();
    files
}

fn holds_bytes(folder: &Path, wanted: &str) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(wanted.len()).any(|part| part == wanted.as_bytes());
    files(folder).iter().any(|file| holds(&fs::read(file).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_is_found_at_once_by_words_and_by_vector() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    assert_eq!(index.through(), None);
    assert_eq!(found(&index, &["cat"], &Filter::default()).await, BTreeSet::new());
    assert_eq!(near(&index, &vector(1), &Filter::default()).await, BTreeSet::new());

    let texts = [(1, "cat sat mat"), (2, "dog ran"), (3, "cat cat cat"), (9, "bird flew")];
    index.append(texts.map(|(id, terms)| entry(id, terms)).to_vec()).await.unwrap();
    assert_eq!((index.through(), index.count().await.unwrap()), (Some(9), 4));

    let hits = index.words(&["cat", "bird"], &Filter::default(), 10).await.unwrap();
    let ids: Vec<u64> = hits.iter().map(|hit| hit.id).collect();
    assert_eq!(ids.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([1, 3, 9]));
    assert!(hits.windows(2).all(|two| two[0].score >= two[1].score), "{hits:?}");
    assert!(ids.iter().position(|id| *id == 3) < ids.iter().position(|id| *id == 1), "{hits:?}");

    let hits = index.nearest(&vector(2), &Filter::default(), 2).await.unwrap();
    assert_eq!((hits[0].id, hits.len()), (2, 2));
    assert!((hits[0].score - 1.0).abs() < 1e-5, "{hits:?}");
    assert_eq!(index.words(&["cat"], &Filter::default(), 0).await.unwrap(), []);
    assert_eq!(index.words(&["", " "], &Filter::default(), 9).await.unwrap(), []);
    assert_eq!(index.nearest(&[0.0; DIMENSIONS], &Filter::default(), 9).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_are_found_exactly_as_they_are() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    let long = "l".repeat(200);
    let terms = ["the", "Running", "run", "café", "cafe", "東京", "don't", "c++", "🦀", &long];
    let some = terms.iter().zip(1..).map(|(term, id)| entry(id, &format!("x {term} y")));
    index.append(some.collect()).await.unwrap();
    let check = async |index: &Index| {
        for (term, id) in terms.iter().zip(1..) {
            assert_eq!(
                found(index, &[term], &Filter::default()).await,
                BTreeSet::from([id]),
                "{term}"
            );
        }
        for term in ["The", "running", "caf", "東", "don", "c", "C++", "tokyo"] {
            assert_eq!(found(index, &[term], &Filter::default()).await, BTreeSet::new(), "{term}");
        }
    };
    check(&index).await;
    // And once they are in an index instead of being searched one by one.
    index.append(entries(11..=1_100)).await.unwrap();
    assert!(tend_all(&index).await.contains(&Tended::Indexed { rows: 1_100 }));
    check(&index).await;
    check(&open(dir.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_hold_for_both_searches() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    let names =
        ["Ann", "O'Brien", "' OR 1=1 --", "\"; DROP TABLE x", "back\\slash", "`id`", "", "名"];
    let spoken = names
        .iter()
        .zip(1..)
        .map(|(name, id)| Entry { speaker: Some((*name).to_owned()), ..entry(id, "said") });
    let unsaid = (9..=12).map(|id| Entry { speaker: None, ..entry(id, "said") });
    index.append(spoken.chain(unsaid).collect()).await.unwrap();

    let all = Filter::default;
    let check = async |filter: Filter, wanted: &[u64]| {
        let wanted = BTreeSet::from_iter(wanted.iter().copied());
        assert_eq!(found(&index, &["said"], &filter).await, wanted, "words with {filter:?}");
        assert_eq!(near(&index, &vector(5), &filter).await, wanted, "vectors with {filter:?}");
    };
    check(all(), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).await;
    check(Filter { from: Some(11_000), ..all() }, &[11, 12]).await;
    check(Filter { until: Some(3_000), ..all() }, &[1, 2]).await;
    check(Filter { from: Some(2_000), until: Some(4_000), ..all() }, &[2, 3]).await;
    check(Filter { kinds: vec![1], until: Some(6_000), ..all() }, &[1, 3, 5]).await;
    check(Filter { kinds: vec![0, 1], until: Some(3_000), ..all() }, &[1, 2]).await;
    check(Filter { kinds: vec![7], ..all() }, &[]).await;
    check(Filter { except: vec![1, 3, 99], until: Some(5_000), ..all() }, &[2, 4]).await;
    for (name, id) in names.iter().zip(1..) {
        check(Filter { speaker: Some((*name).to_owned()), ..all() }, &[id]).await;
    }
    check(Filter { speaker: Some("nobody' OR 'a'='a".to_owned()), ..all() }, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_entries_again_change_nothing() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=5)).await.unwrap();
    index.append(entries(3..=7)).await.unwrap();
    index.append(Vec::new()).await.unwrap();
    assert_eq!((index.through(), index.count().await.unwrap()), (Some(7), 7));
    let again = open(dir.path()).await;
    again.append(entries(1..=8)).await.unwrap();
    assert_eq!((again.through(), again.count().await.unwrap()), (Some(8), 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_that_does_not_fit_nothing_is_taken() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    let mut batch = entries(1..=3);
    batch[2].vector.pop();
    let error = index.append(batch).await.unwrap_err();
    assert!(matches!(error, IndexError::Unfit { id: 3, .. }), "{error}");
    assert_eq!((index.through(), index.count().await.unwrap()), (None, 0));
    let error = index.nearest(&[1.0], &Filter::default(), 3).await.unwrap_err();
    let wanted = "no search with this vector: its vector has 1 dimensions, and the index has 8";
    assert_eq!(error.to_string(), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_found_no_more() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=1_200)).await.unwrap();
    tend_all(&index).await;
    index.append(entries(1_201..=1_210)).await.unwrap();
    // Of each sort some: in an index and not, the last one, and one that was never there.
    let deleted = [5, 700, 1_205, 1_210, 9_999];
    index.delete(deleted.to_vec()).await.unwrap();
    let check = async |index: &Index| {
        assert_eq!(index.count().await.unwrap(), 1_206);
        for id in [5u64, 700, 1_205, 1_210] {
            let own = format!("own-{id}");
            assert_eq!(found(index, &[&own], &Filter::default()).await, BTreeSet::new());
            let nearest = index.nearest(&vector(id), &Filter::default(), 5).await.unwrap();
            assert!(nearest.iter().all(|hit| hit.id != id), "{id} in {nearest:?}");
        }
        assert_eq!(found(index, &["own-6"], &Filter::default()).await, BTreeSet::from([6]));
    };
    check(&index).await;
    tend_all(&index).await;
    check(&index).await;
    let again = open(dir.path()).await;
    check(&again).await;
    assert_eq!(again.through(), Some(1_209));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_told_when_it_is_opened() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("ünusual name %20 #1? (x)");
    let opened = Index::open(&folder, &share(), shape()).await.unwrap();
    assert!(matches!(opened, Opened::Absent), "{opened:?}");
    assert!(!folder.exists(), "looking makes nothing");

    let index = created(&folder).await;
    index.append(entries(1..=3)).await.unwrap();
    assert_eq!(open(&folder).await.through(), Some(3));

    let other = Shape { vectors_by: Some("test-embedder 2".to_owned()), ..shape() };
    let opened = Index::open(&folder, &share(), other.clone()).await.unwrap();
    let Opened::ToBeMadeAnew { why } = opened else { panic!("{opened:?}") };
    assert!(why.contains("made by test-analyser 1 test-embedder 1"), "{why}");
    assert!(why.contains("test-embedder 2"), "{why}");
    Index::create(&folder, &share(), other.clone()).await.unwrap();
    let opened = Index::open(&folder, &share(), other).await.unwrap();
    assert!(matches!(&opened, Opened::Ready(index) if index.through().is_none()), "{opened:?}");
}

/// As while the vectors in it are of another embedder.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_can_be_opened_for_its_words_whatever_its_vectors_are() {
    let dir = TempDir::new().unwrap();
    let made = created(dir.path()).await;
    made.append(entries(1..=40)).await.unwrap();
    tend_all(&made).await;
    let words = || Shape::of_words(shape().terms_by);
    let opened = Index::open(dir.path(), &share(), words()).await.unwrap();
    let Opened::Ready(index) = opened else { panic!("{opened:?}") };
    assert_eq!(index.shape().dimensions, DIMENSIONS);
    assert_eq!(found(&index, &["own-7"], &Filter::default()).await, BTreeSet::from([7]));
    // No vector fits, and none is compared.
    for vector in [vector(7), vec![1.0; DIMENSIONS + 1]] {
        assert!(near(&index, &vector, &Filter::default()).await.is_empty());
    }
    let blank =
        |id: u64| Entry { vector: vec![0.0; DIMENSIONS], ..entry(id, &format!("own-{id}")) };
    index.append((41..=60).map(blank).collect()).await.unwrap();
    tend_all(&index).await;
    assert_eq!(found(&index, &["own-60"], &Filter::default()).await, BTreeSet::from([60]));
    let other = Shape::of_words("test-analyser 2".to_owned());
    let opened = Index::open(dir.path(), &share(), other).await.unwrap();
    assert!(matches!(opened, Opened::ToBeMadeAnew { .. }), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_words_only_is_kept_up_without_vectors_and_is_not_taken_for_a_whole_one() {
    let dir = TempDir::new().unwrap();
    let shape_of_words = || Shape::of_words(shape().terms_by);
    let index = Index::create(dir.path(), &share(), shape_of_words()).await.unwrap();
    let blank = |id: u64| Entry { vector: vec![0.0], ..entry(id, &format!("all own-{id}")) };
    let mut done = Vec::new();
    for part in 0..5u64 {
        index.append((part * 1_000 + 1..=part * 1_000 + 1_000).map(blank).collect()).await.unwrap();
        done.extend(tend_all(&index).await);
    }
    let is_trained = |tended: &Tended| matches!(tended, Tended::Trained { .. });
    assert!(!done.iter().any(is_trained), "{done:?}");
    assert_eq!(index.covered(), Some(5_000));
    index.delete(vec![5]).await.unwrap();
    tend_all(&index).await;
    assert_eq!(found(&index, &["own-5"], &Filter::default()).await, BTreeSet::new());
    assert_eq!(found(&index, &["own-4999"], &Filter::default()).await, BTreeSet::from([4_999]));
    let again = Index::open(dir.path(), &share(), shape_of_words()).await.unwrap();
    let Opened::Ready(again) = again else { panic!("{again:?}") };
    assert_eq!(again.count().await.unwrap(), 4_999);
    let whole = Index::open(dir.path(), &share(), shape()).await.unwrap();
    assert!(matches!(whole, Opened::ToBeMadeAnew { .. }), "{whole:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_folder_can_be_made_anew_in_the_same_process() {
    let dir = TempDir::new().unwrap();
    let (folder, share) = (dir.path().join("vectors"), share());
    let old = Index::create(&folder, &share, shape()).await.unwrap();
    old.append(entries(1..=9)).await.unwrap();
    found(&old, &["all"], &Filter::default()).await;
    fs::remove_dir_all(&folder).unwrap();
    let opened = Index::open(&folder, &share, shape()).await.unwrap();
    assert!(matches!(opened, Opened::Absent), "{opened:?}");
    let new = Index::create(&folder, &share, shape()).await.unwrap();
    new.append(entries(2..=3)).await.unwrap();
    assert_eq!(found(&new, &["all"], &Filter::default()).await, BTreeSet::from([2, 3]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_of_what_is_not_there_leaves_nothing_to_be_done() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=20)).await.unwrap();
    tend_all(&index).await;
    index.delete(vec![30, 31]).await.unwrap();
    assert_eq!(index.tend().await.unwrap(), Tended::Nothing);
    index.delete(vec![20, 31]).await.unwrap();
    assert_eq!(index.count().await.unwrap(), 19);
    assert!(tend_all(&index).await.contains(&Tended::Pruned));
    index.delete(vec![20, 31]).await.unwrap();
    assert_eq!(index.tend().await.unwrap(), Tended::Nothing);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rebuild_nothing_of_the_old_one_is_left() {
    let dir = TempDir::new().unwrap();
    let (folder, share) = (dir.path(), share());
    let old = Index::create(folder, &share, shape()).await.unwrap();
    let secret = "xk7-qwzy-unusual";
    let mut all = entries(1..=1_100);
    all[600].terms = format!("said {secret} once");
    all[600].speaker = Some("nameless-vq9".to_owned());
    old.append(all.clone()).await.unwrap();
    tend_all(&old).await;
    assert_eq!(found(&old, &[secret], &Filter::default()).await, BTreeSet::from([601]));
    assert!(holds_bytes(folder, secret), "else this test would see nothing anywhere");
    old.delete(vec![601]).await.unwrap();

    all.remove(600);
    let rebuild = Rebuild::begin(folder, &share, shape()).await.unwrap();
    for part in all.chunks(500) {
        rebuild.append(part.to_vec()).await.unwrap();
        assert_eq!(found(&old, &["own-7"], &Filter::default()).await, BTreeSet::from([7]));
    }
    assert_eq!(rebuild.through(), Some(1_100));
    let new = rebuild.finish(Some(&old)).await.unwrap();

    assert!(!holds_bytes(folder, secret) && !holds_bytes(folder, "nameless-vq9"));
    assert_eq!((new.count().await.unwrap(), new.through()), (1_099, Some(1_100)));
    assert_eq!(found(&new, &["own-7"], &Filter::default()).await, BTreeSet::from([7]));
    assert_eq!(tend_all(&new).await, [Tended::Pruned], "it is fully indexed");
    let error = old.words(&["all"], &Filter::default(), 1).await.unwrap_err();
    assert!(matches!(error, IndexError::Replaced { .. }), "{error}");
    let error = old.append(entries(2_000..=2_000)).await.unwrap_err();
    assert!(matches!(error, IndexError::Replaced { .. }), "{error}");
    assert!(matches!(old.tend().await.unwrap_err(), IndexError::Replaced { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_was_given_up_leaves_the_old_one_in_its_place() {
    let dir = TempDir::new().unwrap();
    let old = created(dir.path()).await;
    old.append(entries(1..=3)).await.unwrap();
    let rebuild = Rebuild::begin(dir.path(), &share(), shape()).await.unwrap();
    rebuild.append(entries(7..=9)).await.unwrap();
    drop(rebuild);
    assert!(holds_bytes(dir.path(), "own-9"));
    let rebuild = Rebuild::begin(dir.path(), &share(), shape()).await.unwrap();
    rebuild.append(entries(5..=6)).await.unwrap();
    assert!(holds_bytes(dir.path(), "own-6"));
    rebuild.give_up().await.unwrap();
    Rebuild::find_room(dir.path(), 1.0).await.unwrap();
    let no_room = Rebuild::find_room(dir.path(), 1e15).await.unwrap_err();
    assert!(matches!(no_room, IndexError::NoSpace { .. }), "{no_room}");
    assert!(!holds_bytes(dir.path(), "own-6"), "on a full disk it would keep it so");
    let rebuild = Rebuild::begin(dir.path(), &share(), shape()).await.unwrap();
    rebuild.append(entries(7..=9)).await.unwrap();
    drop(rebuild);
    let again = open(dir.path()).await;
    assert_eq!(found(&again, &["all"], &Filter::default()).await, BTreeSet::from([1, 2, 3]));
    assert!(!holds_bytes(dir.path(), "own-9"), "what was left over is removed");
}
