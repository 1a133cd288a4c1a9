//! Heavy work on a thread of its own, so that searches and appends go on beside it.
//!
//! LanceDB computes in three places: where its futures are polled, in rayon's pool of whoever calls,
//! and in a pool of the process for pieces of a search. Work aside is polled by the one thread of a
//! rayon pool made for it, with a runtime of its own, so it takes one core at most and none of the
//! runtime's workers. It also opens the table for itself, with caches of its own: what is cached holds
//! readers that live on the runtime that made them, and a search must never wait for this one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rayon::ThreadPoolBuilder;
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::IndexError;

/// How many threads read and write files for work aside.
const FILE_THREADS: usize = 2;

/// Does heavy work aside, with a permit of the share. If whoever waits stops waiting, the work stops
/// at its next pause, and leaves nothing but files that belong to no version. `held` is let go of when
/// the work has really ended, be it given up or not.
pub(super) async fn aside<T, F, W>(
    permit: OwnedSemaphorePermit,
    held: impl Send + 'static,
    folder: &Path,
    doing: &'static str,
    work: W,
) -> Result<T, IndexError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, IndexError>>,
    W: FnOnce() -> F + Send + 'static,
{
    let (mut tell, told) = oneshot::channel();
    let thread = ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|_| "genii-index".to_owned())
        .build()
        .map_err(|error| IndexError::NoThread { cause: error.to_string() })?;
    let at = folder.to_owned();
    thread.spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(work, &mut tell)));
        drop((held, permit));
        let outcome =
            outcome.unwrap_or_else(|panic| Some(Err(IndexError::panicked(&at, doing, panic))));
        // Nobody listens any more if the work was given up.
        outcome.map(|outcome| tell.send(outcome));
    });
    let ended = |_| Err(IndexError::of(folder, doing, "its thread ended before it"));
    told.await.unwrap_or_else(ended)
}

/// The outcome of some work, unless it is given up before.
fn run<T, F, W>(
    work: W,
    wanted: &mut oneshot::Sender<Result<T, IndexError>>,
) -> Option<Result<T, IndexError>>
where
    F: Future<Output = Result<T, IndexError>>,
    W: FnOnce() -> F,
{
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(FILE_THREADS)
        .thread_name("genii-index-io")
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Some(Err(IndexError::NoThread { cause: error.to_string() })),
    };
    runtime.block_on(async {
        tokio::select! {
            done = work() => Some(done),
            () = wanted.closed() => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::super::share::{IndexShare, IndexShareSettings};
    use super::*;

    fn share(heavy_at_once: usize) -> IndexShare {
        IndexShare::new(&IndexShareSettings { heavy_at_once, ..IndexShareSettings::default() })
    }

    async fn turn<T, F, W>(share: &IndexShare, work: W) -> Result<T, IndexError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, IndexError>>,
        W: FnOnce() -> F + Send + 'static,
    {
        aside(share.permit().await, (), Path::new("/b"), "a test", work).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_so_much_is_done_at_once() {
        let (share, busy) = (share(2), Arc::new(AtomicUsize::new(0)));
        let works = (0..6).map(|_| {
            let (share, busy) = (share.clone(), Arc::clone(&busy));
            tokio::spawn(async move {
                turn(&share, move || async move {
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
        let error = turn::<(), _, _>(&share, panics).await.unwrap_err();
        assert!(matches!(error, IndexError::Damaged { .. }), "{error:?}");
        let next = turn(&share, || async { Ok(7) }).await;
        assert_eq!(next.unwrap(), 7);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_nobody_waits_for_stops_and_makes_room() {
        let share = share(1);
        let forever = || std::future::pending::<Result<(), IndexError>>();
        let waits = turn(&share, forever);
        assert!(timeout(Duration::from_millis(20), waits).await.is_err());
        let next = turn(&share, || async { Ok(7) });
        assert_eq!(timeout(Duration::from_secs(10), next).await.unwrap().unwrap(), 7);
    }
}
