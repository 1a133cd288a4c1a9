//! Whoever listens to an answer: to the whole of it, or as it comes.

use std::time::Duration;

use genii_protocols::being::{Answered, Converse, NotAnswered, Query};
use genii_runtime::{AskerGone, Outlet, Promise};

/// How often to look whether somebody who waits for the whole still does.
const LOOK: Duration = Duration::from_millis(100);

pub(super) enum Listener {
    /// To the whole.
    Whole(Promise<Query>),
    /// As it comes.
    Pieces(Outlet<Converse>),
    /// Nobody does, since it was told and not asked. It counts as owed until it is kept: a being that owes
    /// something is not put to sleep.
    Told(Promise<Query>),
    /// Nobody does: it is kept, and that is all.
    Nobody,
}

impl Listener {
    /// Hands some words on.
    pub(super) async fn piece(&mut self, text: String) -> Result<(), AskerGone> {
        match self {
            Self::Whole(_) | Self::Told(_) | Self::Nobody => Ok(()),
            Self::Pieces(outlet) => outlet.send(text).await,
        }
    }

    /// Waits until nobody listens any more.
    pub(super) async fn gone(&self) {
        match self {
            Self::Whole(promise) => {
                while !promise.is_forgotten() {
                    tokio::time::sleep(LOOK).await;
                }
            }
            Self::Pieces(outlet) => outlet.asker_gone().await,
            // Who never listened does not stop.
            Self::Told(_) | Self::Nobody => std::future::pending().await,
        }
    }

    /// Says how it ended.
    pub(super) async fn finish(self, result: Result<Answered, NotAnswered>) {
        match self {
            Self::Whole(promise) | Self::Told(promise) => promise.settle(result),
            Self::Pieces(outlet) => outlet.finish(result).await,
            Self::Nobody => {}
        }
    }
}
