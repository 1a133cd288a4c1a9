//! Writers that wait share a commit, and one that fails takes nobody with it.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::*;

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no: {0}")]
    No(u64),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Holds a write back until it is opened, so that others gather behind it.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    /// The write comes through here.
    fn pass(&self) {
        let mut state = self.state.lock();
        state.0 = true;
        self.changed.notify_all();
        while !state.1 {
            assert!(!self.changed.wait_for(&mut state, PATIENCE).timed_out(), "never opened");
        }
    }

    fn wait_until_somebody_is_at_it(&self) {
        let mut state = self.state.lock();
        while !state.0 {
            assert!(!self.changed.wait_for(&mut state, PATIENCE).timed_out(), "nobody came");
        }
    }

    fn open(&self) {
        self.state.lock().1 = true;
        self.changed.notify_all();
    }
}

/// A store in which a write of key 0 is at work and waits at the gate; what is written now waits
/// for one batch together.
fn held(folder: &TempDir, options: &StoreOptions) -> (Store, Arc<Gate>, thread::JoinHandle<()>) {
    let store = Store::open(path_in(folder), &SCHEMA, options).unwrap();
    let gate = Arc::new(Gate::default());
    let (held, at) = (store.clone(), Arc::clone(&gate));
    let first = thread::spawn(move || {
        let written = held.write_blocking(move |writer| {
            at.pass();
            writer.insert(TEXTS, &0, &"first".to_owned())
        });
        written.unwrap();
    });
    gate.wait_until_somebody_is_at_it();
    (store, gate, first)
}

/// Puts a write into the queue and does not wait for it.
fn begin<T>(write: &mut (impl Future<Output = T> + Unpin)) {
    let polled = std::pin::Pin::new(write).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending));
}

#[test]
fn many_writers_share_few_commits() {
    const TASKS: u64 = 64;
    const WRITES: u64 = 20;
    let folder = folder();
    let store = store_in(&folder);
    Runtime::new().unwrap().block_on(async {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let store = store.clone();
            tasks.spawn(async move {
                for write in 0..WRITES {
                    let key = task * WRITES + write;
                    let text = format!("{task} {write}");
                    let put = move |writer: &mut Writer| writer.insert(TEXTS, &key, &text);
                    store.write(put).await.unwrap();
                    let read = store.read(|reader| reader.get(TEXTS, &key)).unwrap();
                    assert_eq!(read.unwrap(), format!("{task} {write}"));
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    assert_eq!(texts(&store).len() as u64, TASKS * WRITES);
    assert!(store.commits() < TASKS * WRITES / 2, "{} commits", store.commits());
}

#[test]
fn what_waits_is_one_batch_in_the_order_in_which_it_came() {
    let folder = folder();
    let (store, gate, first) = held(&folder, &options());
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let mut writes: Vec<_> = (1..=10_u64)
        .map(|n| {
            Box::pin(store.write(move |writer| {
                let before = writer.last(TEXTS)?.map(|(key, _)| key);
                writer.insert(TEXTS, &n, &n.to_string())?;
                Ok::<_, StoreError>(before)
            }))
        })
        .collect();
    writes.iter_mut().for_each(begin);
    gate.open();
    for (n, write) in (1..).zip(writes) {
        assert_eq!(runtime.block_on(write).unwrap(), Some(n - 1));
    }
    first.join().unwrap();
    assert_eq!(store.commits(), 2, "the one that was held, and the ten behind it");
}

#[test]
fn a_write_has_its_place_before_anybody_waits_for_it() {
    let folder = folder();
    let store = store_in(&folder);
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let put = |n: u64| store.write(move |writer| writer.insert(TEXTS, &n, &n.to_string()));
    let (first, second) = (put(1), store.write(|writer: &mut Writer| writer.last(TEXTS)));
    let last = runtime.block_on(second).unwrap();
    assert_eq!(last.map(|(key, _)| key), Some(1), "also if the one who waits comes first");
    drop(first);
    drop(put(2));
    runtime.block_on(put(3)).unwrap();
    assert_eq!(texts(&store).len(), 3, "also if nobody waits");
}

#[test]
fn no_more_share_a_commit_than_may() {
    let folder = folder();
    let (store, gate, first) = held(&folder, &StoreOptions { batch_max: 4, ..options() });
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let mut writes: Vec<_> = (1..=10)
        .map(|n| Box::pin(store.write(move |writer| writer.insert(TEXTS, &n, &n.to_string()))))
        .collect();
    writes.iter_mut().for_each(begin);
    gate.open();
    writes.into_iter().for_each(|write| assert!(!runtime.block_on(write).unwrap()));
    first.join().unwrap();
    assert_eq!(store.commits(), 1 + 3);
}

#[test]
fn one_that_fails_or_panics_takes_nobody_with_it() {
    let folder = folder();
    let (store, gate, first) = held(&folder, &options());
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let mut writes: Vec<_> = (1..=12_u64)
        .map(|n| {
            Box::pin(store.write(move |writer| {
                match n % 4 {
                    // Refuses before it has changed anything.
                    1 => return Err(Refused::No(n)),
                    // Refuses after it has.
                    2 => {
                        writer.insert(TEXTS, &n, &"a trace".to_owned())?;
                        writer.remove_range(TEXTS, ..n)?;
                        return Err(Refused::No(n));
                    }
                    3 => {
                        writer.insert(TEXTS, &n, &"a trace".to_owned())?;
                        panic!("the {n}th panics");
                    }
                    _ => writer.insert(TEXTS, &n, &n.to_string())?,
                };
                Ok(n)
            }))
        })
        .collect();
    writes.iter_mut().for_each(begin);
    gate.open();
    for (n, write) in (1..).zip(writes) {
        match (n % 4, runtime.block_on(write)) {
            (1 | 2, Err(Refused::No(said))) => assert_eq!(said, n),
            (3, Err(Refused::Store(StoreError::Panicked { message }))) => {
                assert_eq!(message, format!("the {n}th panics"));
            }
            (0, Ok(said)) => assert_eq!(said, n),
            (_, said) => panic!("{n} got {said:?}"),
        }
    }
    first.join().unwrap();
    let keys: Vec<_> = texts(&store).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [0, 4, 8, 12]);
    assert_eq!(store.commits(), 2);
}

#[test]
fn one_more_than_may_wait_is_told_so() {
    let folder = folder();
    let (store, gate, first) = held(&folder, &StoreOptions { waiting_max: 2, ..options() });
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let write = |n| Box::pin(store.write(move |writer| writer.insert(TEXTS, &n, &String::new())));
    let mut waiting = [write(1), write(2)];
    waiting.iter_mut().for_each(begin);
    let error = runtime.block_on(write(3)).unwrap_err();
    assert!(matches!(error, StoreError::Busy { waiting_max: 2, .. }), "{error}");
    gate.open();
    waiting.into_iter().for_each(|write| assert!(!runtime.block_on(write).unwrap()));
    first.join().unwrap();
    runtime.block_on(write(3)).unwrap();
    assert_eq!(texts(&store).len(), 4);
}

#[test]
fn a_write_whose_caller_is_gone_harms_nobody() {
    let folder = folder();
    let (store, gate, first) = held(&folder, &options());
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let write = |n| Box::pin(store.write(move |writer| writer.insert(TEXTS, &n, &String::new())));
    let mut gone = write(1);
    let mut stays = write(2);
    begin(&mut gone);
    begin(&mut stays);
    drop(gone);
    gate.open();
    runtime.block_on(stays).unwrap();
    first.join().unwrap();
    assert_eq!(texts(&store).len(), 3);
}

#[test]
fn a_runtime_that_has_ended_leaves_the_store_to_others() {
    let folder = folder();
    let store = store_in(&folder);
    let runtime = Runtime::new().unwrap();
    let ended = runtime.handle().clone();
    runtime.shutdown_background();
    let _entered = ended.enter();
    let mut write = Box::pin(store.write(|writer| writer.insert(TEXTS, &1, &String::new())));
    let said = write.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(said, Poll::Ready(Err(StoreError::Stopped { .. }))), "{said:?}");
    put(&store, 2, "two").unwrap();
    assert_eq!(texts(&store), [(2, "two".to_owned())]);
}

#[test]
fn what_would_wait_for_the_write_that_asks_is_refused() {
    let folder = folder();
    let store = store_in(&folder);
    type Ask = fn(&Store) -> Result<(), StoreError>;
    let write: Ask = |store| put(store, 1, "inner");
    let asked = [write, Store::rewrite_blocking, Store::close_blocking];
    for ask in asked {
        let (outer, inner) = (store.clone(), store.clone());
        let said = in_time(move || outer.write_blocking(move |_| ask(&inner)));
        assert!(matches!(said, Err(StoreError::Nested { .. })), "{said:?}");
    }
    put(&store, 1, "after").unwrap();
}

#[test]
fn a_write_that_hides_a_failure_of_the_store_is_not_acknowledged() {
    let folder = folder();
    let (store, gate, first) = held(&folder, &options());
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let mut hides = Box::pin(store.write(|writer| {
        writer.insert(TEXTS, &1, &"hidden".to_owned())?;
        // As a change does that meets damage.
        writer.generation().mark_broken();
        Ok::<_, StoreError>(())
    }));
    let mut other = Box::pin(store.write(|writer| writer.insert(TEXTS, &2, &"two".to_owned())));
    begin(&mut hides);
    begin(&mut other);
    gate.open();
    let said = runtime.block_on(hides);
    assert!(matches!(said, Err(StoreError::Damaged { .. })), "{said:?}");
    runtime.block_on(other).unwrap();
    first.join().unwrap();
    assert_eq!(texts(&store).into_iter().map(|(key, _)| key).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn threads_that_block_share_commits_and_leave_none_behind() {
    let folder = folder();
    let store = store_in(&folder);
    let writers: Vec<_> = (0..16_u64)
        .map(|thread| {
            let store = store.clone();
            thread::spawn(move || {
                (0..20).for_each(|write| put(&store, thread * 20 + write, "text").unwrap());
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(texts(&store).len(), 320);
    assert!(store.commits() < 320, "{} commits", store.commits());
}
