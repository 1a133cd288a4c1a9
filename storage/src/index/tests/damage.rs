//! Files that were damaged: the index works, or says that it is to be made anew.

use super::*;

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Delete,
    Empty,
    Truncate,
    FlipBytes,
    Nonsense,
}

const HARMS: [Harm; 5] =
    [Harm::Delete, Harm::Empty, Harm::Truncate, Harm::FlipBytes, Harm::Nonsense];

fn harm(file: &Path, harm: Harm, dice: &mut Dice) {
    let mut bytes = fs::read(file).unwrap();
    match harm {
        Harm::Delete => return fs::remove_file(file).unwrap(),
        Harm::Empty => bytes.clear(),
        Harm::Truncate => bytes.truncate(dice.below(bytes.len().max(1))),
        Harm::FlipBytes => {
            for _ in 0..8 {
                let at = dice.below(bytes.len().max(1));
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x55);
            }
        }
        Harm::Nonsense => bytes.iter_mut().for_each(|byte| *byte = dice.next() as u8),
    }
    fs::write(file, bytes).unwrap();
}

/// Everything that can be done with an index; the first error, if there is one.
async fn use_it(index: &Index) -> Result<(), IndexError> {
    let last = index.through().unwrap_or_default();
    index.words(&["all", "own-3"], &Filter::default(), 10).await?;
    index.nearest(&vector(3), &Filter { kinds: vec![1], ..Filter::default() }, 10).await?;
    index.append(entries(last + 1..=last + 9)).await?;
    index.delete(vec![2, last + 2]).await?;
    while index.tend().await? != Tended::Nothing {}
    index.words(&["all", "own-3"], &Filter::default(), 10).await.map(drop)
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

/// Harms one file in a copy of an index, and tells what came of it.
async fn outcome(whole: &Path, name: &Path, how: Harm, dice: &mut Dice) -> &'static str {
    let dir = TempDir::new().unwrap();
    copy(whole, dir.path());
    harm(&dir.path().join(name), how, dice);
    let opened = Index::open(dir.path(), &share(), shape()).await;
    let told = match opened.unwrap_or_else(|error| panic!("{how:?} of {name:?}: {error}")) {
        Opened::Ready(index) => match use_it(&index).await {
            Ok(()) => return "works",
            Err(error) if error.asks_for_anew() => "said when used",
            Err(error) => panic!("{how:?} of {name:?}: {error:?}"),
        },
        Opened::Absent => "absent",
        Opened::ToBeMadeAnew { .. } => "said when opened",
    };
    let anew = Index::create(dir.path(), &share(), shape()).await.unwrap();
    anew.append(entries(1..=3)).await.unwrap();
    assert_eq!(found(&anew, &["all"], &Filter::default()).await.len(), 3);
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_works_or_says_that_it_is_to_be_made_anew() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=1_100)).await.unwrap();
    tend_all(&index).await;
    index.append(entries(1_101..=1_110)).await.unwrap();
    index.delete(vec![4]).await.unwrap();
    drop(index);
    let mut dice = Dice(2_026);
    let mut told = BTreeSet::new();
    for file in files(dir.path()) {
        let name = file.strip_prefix(dir.path()).unwrap();
        let how = HARMS[dice.below(HARMS.len())];
        told.insert(outcome(dir.path(), name, how, &mut dice).await);
    }
    assert!(told.contains("said when used") || told.contains("said when opened"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_without_its_versions_is_to_be_made_anew() {
    let dir = TempDir::new().unwrap();
    let index = created(dir.path()).await;
    index.append(entries(1..=3)).await.unwrap();
    drop(index);
    for file in files(dir.path()) {
        if file.extension().is_some_and(|end| end == "manifest") {
            fs::remove_file(file).unwrap();
        }
    }
    let opened = Index::open(dir.path(), &share(), shape()).await.unwrap();
    assert!(matches!(opened, Opened::ToBeMadeAnew { .. }), "{opened:?}");
}
