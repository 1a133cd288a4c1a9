//! The row of those who speak to a being, or have it forget: each has its turn in the order in which it came.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use tokio::sync::OwnedMutexGuard;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use crate::being::mind::Mind;

/// Held as long as somebody is spoken with. When the turn before ended.
pub(in crate::being) type HeldTurn = OwnedMutexGuard<Option<Instant>>;

/// A place in the row.
pub(in crate::being) struct Place(MaybeDone<BoxFuture<'static, HeldTurn>>);

impl Place {
    /// Takes the next place. Not left to the task that waits there: of two tasks the later one may run first.
    pub(in crate::being) async fn take(mind: &Mind) -> Self {
        let turn = mind.turn.clone().lock_owned();
        let mut waiting = maybe_done(unconstrained(turn).boxed());
        // To ask once is to stand in the row.
        poll_fn(|context| {
            let _come = waiting.poll_unpin(context);
            Poll::Ready(())
        })
        .await;
        Self(waiting)
    }

    /// Waits until its turn comes.
    pub(in crate::being) async fn turn(mut self) -> HeldTurn {
        (&mut self.0).await;
        let turn = Pin::new(&mut self.0).take_output();
        turn.expect("a turn that has come was not taken before")
    }
}
