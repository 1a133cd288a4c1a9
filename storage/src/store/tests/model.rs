//! A store does what a map does, also over commits, failures and being opened again.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Key = (String, u64);
type Model = BTreeMap<Key, u64>;

#[derive(Debug, Clone)]
enum Change {
    Insert(Key, u64),
    Remove(Key),
    RemoveRange(Bound<Key>, Bound<Key>),
    RetainOdd(Bound<Key>, Bound<Key>),
}

#[derive(Debug, Clone)]
enum Step {
    Write { changes: Vec<Change>, fails: bool },
    Walk { from: Bound<Key>, to: Bound<Key>, turns: Vec<bool> },
    OpenAgain,
    Rewrite,
}

fn key() -> impl Strategy<Value = Key> {
    ("[ab\u{0}]{0,2}", 0..40_u64)
}

fn bound() -> impl Strategy<Value = Bound<Key>> {
    prop_oneof![
        key().prop_map(Bound::Included),
        key().prop_map(Bound::Excluded),
        Just(Bound::Unbounded),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        20 => (key(), any::<u64>()).prop_map(|(key, value)| Change::Insert(key, value)),
        4 => key().prop_map(Change::Remove),
        1 => (bound(), bound()).prop_map(|(from, to)| Change::RemoveRange(from, to)),
        1 => (bound(), bound()).prop_map(|(from, to)| Change::RetainOdd(from, to)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (vec(change(), 0..60), prop::bool::weighted(0.2))
            .prop_map(|(changes, fails)| Step::Write { changes, fails }),
        4 => (bound(), bound(), vec(any::<bool>(), 0..300))
            .prop_map(|(from, to, turns)| Step::Walk { from, to, turns }),
        1 => Just(Step::OpenAgain),
        1 => Just(Step::Rewrite),
    ]
}

fn is_in(key: &Key, from: &Bound<Key>, to: &Bound<Key>) -> bool {
    let is_after = match from {
        Bound::Included(from) => key >= from,
        Bound::Excluded(from) => key > from,
        Bound::Unbounded => true,
    };
    let is_before = match to {
        Bound::Included(to) => key <= to,
        Bound::Excluded(to) => key < to,
        Bound::Unbounded => true,
    };
    is_after && is_before
}

/// Makes a change in both, and says what came of it in each.
fn make(change: &Change, writer: &mut Writer, model: &mut Model) -> Result<(u64, u64), StoreError> {
    let before = model.len();
    Ok(match change {
        Change::Insert(key, value) => {
            let was_there = model.insert(key.clone(), *value).is_some();
            (writer.insert(PAIRS, key, value)?.into(), was_there.into())
        }
        Change::Remove(key) => {
            (writer.remove(PAIRS, key)?.into(), model.remove(key).is_some().into())
        }
        Change::RemoveRange(from, to) => {
            model.retain(|key, _| !is_in(key, from, to));
            let removed = writer.remove_range(PAIRS, (from.clone(), to.clone()))?;
            (removed, (before - model.len()) as u64)
        }
        Change::RetainOdd(from, to) => {
            model.retain(|key, value| !is_in(key, from, to) || *value % 2 == 1);
            let odd = |_: &Key, value: &u64| value % 2 == 1;
            let removed = writer.retain(PAIRS, (from.clone(), to.clone()), odd)?;
            (removed, (before - model.len()) as u64)
        }
    })
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("as it should")]
    OnPurpose,
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn write(store: &Store, model: &mut Model, changes: Vec<Change>, fails: bool) {
    let before = model.clone();
    let written = store.write_blocking(move |writer| {
        let mut model = before.clone();
        for change in &changes {
            let (ours, models) = make(change, writer, &mut model)?;
            assert_eq!(ours, models, "{change:?}");
            assert_eq!(writer.len(PAIRS)?, model.len() as u64);
        }
        let seen: Model = writer.range(PAIRS, ..).collect::<Result<_, _>>()?;
        assert_eq!(seen, model);
        if fails { Err(Failed::OnPurpose) } else { Ok(model) }
    });
    match written {
        Ok(after) => *model = after,
        Err(error) => assert!(matches!(error, Failed::OnPurpose) && fails, "{error}"),
    }
}

/// Walks from both ends, as the turns say, until nothing is left.
fn walk(store: &Store, model: &Model, from: Bound<Key>, to: Bound<Key>, turns: &[bool]) {
    let mut expected: Vec<_> = model
        .iter()
        .filter(|(key, _)| is_in(key, &from, &to))
        .map(|(k, v)| (k.clone(), *v))
        .collect();
    let read = store.read(|reader| {
        let mut entries = reader.range(PAIRS, (from.clone(), to.clone()));
        for turn in turns.iter().chain(std::iter::repeat(&true)) {
            let (next, model) = match turn {
                true if expected.is_empty() => (entries.next(), None),
                true => (entries.next(), Some(expected.remove(0))),
                false => (entries.next_back(), expected.pop()),
            };
            assert_eq!(next.transpose()?, model);
            if model.is_none() {
                break;
            }
        }
        assert_eq!(reader.first(PAIRS)?, model.iter().next().map(|(k, v)| (k.clone(), *v)));
        assert_eq!(reader.last(PAIRS)?, model.iter().next_back().map(|(k, v)| (k.clone(), *v)));
        assert_eq!(reader.len(PAIRS)?, model.len() as u64);
        Ok::<_, StoreError>(())
    });
    read.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn it_does_what_a_map_does(steps in vec(step(), 1..20)) {
        let folder = folder();
        let mut store = store_in(&folder);
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Write { changes, fails } => write(&store, &mut model, changes, fails),
                Step::Walk { from, to, turns } => walk(&store, &model, from, to, &turns),
                Step::Rewrite => store.rewrite_blocking().unwrap(),
                Step::OpenAgain => {
                    drop(store);
                    store = store_in(&folder);
                }
            }
        }
        walk(&store, &model, Bound::Unbounded, Bound::Unbounded, &[]);
    }
}
