//! Heavy work on a thread of its own, so that searches and appends go on beside it.
//!
//! LanceDB computes in three places: where its futures are polled, in rayon's pool of whoever calls,
//! and in a pool of the process for pieces of a search. Work aside is polled by the one thread of a
//! rayon pool made for it, with a runtime of its own, so it takes one core at most and none of the
//! runtime's workers. It also opens the table for itself, with caches of its own: what is cached holds
//! readers that live on the runtime that made them, and a search must never wait for this one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rayon::ThreadPoolBuilder;
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::IndexError;
use super::share::IndexShare;

/// How many threads read and write files for work aside.
const FILE_THREADS: usize = 2;

/// Does heavy work aside when it is its turn. If whoever waits stops waiting, the work stops at its
/// next pause, and leaves nothing but files that belong to no version.
pub(super) async fn aside<T, F, W>(
    share: &IndexShare,
    folder: &Path,
    doing: &'static str,
    work: W,
) -> Result<T, IndexError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, IndexError>>,
    W: FnOnce() -> F + Send + 'static,
{
    let permit = share.heavy().acquire_owned().await.expect("the semaphore is never closed");
    let (tell, told) = oneshot::channel();
    let thread = ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|_| "genii-index".to_owned())
        .build()
        .map_err(|error| IndexError::NoThread { cause: error.to_string() })?;
    let at = folder.to_owned();
    thread.spawn(move || turn(permit, &at, doing, work, tell));
    told.await.unwrap_or_else(|_| Err(stopped(folder.to_owned(), doing)))
}

/// One piece of work from its beginning to its end, on its own thread.
fn turn<T, F, W>(
    permit: OwnedSemaphorePermit,
    folder: &Path,
    doing: &'static str,
    work: W,
    mut tell: oneshot::Sender<Result<T, IndexError>>,
) where
    F: Future<Output = Result<T, IndexError>>,
    W: FnOnce() -> F,
{
    let wanted = &mut tell;
    let outcome = catch_unwind(AssertUnwindSafe(|| run(work, wanted)));
    drop(permit);
    let outcome = outcome.unwrap_or_else(|panic| Err(IndexError::panicked(folder, doing, panic)));
    // Nobody listens any more if the work was given up.
    let _ = tell.send(outcome);
}

fn run<T, F, W>(
    work: W,
    wanted: &mut oneshot::Sender<Result<T, IndexError>>,
) -> Result<T, IndexError>
where
    F: Future<Output = Result<T, IndexError>>,
    W: FnOnce() -> F,
{
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(FILE_THREADS)
        .thread_name("genii-index-io")
        .build()
        .map_err(|error| IndexError::NoThread { cause: error.to_string() })?;
    runtime.block_on(async {
        tokio::select! {
            done = work() => done,
            () = wanted.closed() => Err(IndexError::NoThread { cause: "it was given up".to_owned() }),
        }
    })
}

/// The thread ended without a word, which only the end of the process explains.
fn stopped(folder: PathBuf, doing: &'static str) -> IndexError {
    IndexError::of(&folder, doing, "the thread ended before its work")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::super::share::IndexShareSettings;
    use super::*;

    fn share(heavy_at_once: usize) -> IndexShare {
        IndexShare::new(&IndexShareSettings { heavy_at_once, ..IndexShareSettings::default() })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_so_much_is_done_at_once() {
        let (share, busy) = (share(2), Arc::new(AtomicUsize::new(0)));
        let works = (0..6).map(|_| {
            let (share, busy) = (share.clone(), Arc::clone(&busy));
            tokio::spawn(async move {
                aside(&share, Path::new("/"), "a test", move || async move {
                    let together = busy.fetch_add(1, Ordering::SeqCst) + 1;
                    tokio::task::yield_now().await;
                    busy.fetch_sub(1, Ordering::SeqCst);
                    Ok(together)
                })
                .await
            })
        });
        for work in works.collect::<Vec<_>>() {
            assert!(work.await.unwrap().unwrap() <= 2);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_aside_is_an_error_and_the_next_has_its_turn() {
        let share = share(1);
        let panics = || async { panic!("a posting without words") };
        let error = aside::<(), _, _>(&share, Path::new("/b"), "a test", panics).await.unwrap_err();
        assert!(matches!(error, IndexError::Damaged { .. }), "{error:?}");
        let next = aside(&share, Path::new("/b"), "a test", || async { Ok(7) }).await;
        assert_eq!(next.unwrap(), 7);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_nobody_waits_for_stops_and_makes_room() {
        let share = share(1);
        let forever = || std::future::pending::<Result<(), IndexError>>();
        let waits = aside(&share, Path::new("/"), "a test", forever);
        assert!(timeout(Duration::from_millis(20), waits).await.is_err());
        let next = aside(&share, Path::new("/"), "a test", || async { Ok(7) });
        assert_eq!(timeout(Duration::from_secs(10), next).await.unwrap().unwrap(), 7);
    }
}
