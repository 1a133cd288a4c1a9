//! Whoever listens to an answer: to the whole of it, or as it comes.

use std::time::Duration;

use genii_protocols::being::{Answered, Converse, NotAnswered, Query};
use genii_protocols::{Destination, Fault, Message, Rejection};
use genii_runtime::{AskerGone, Grave, Outlet, Promise};

/// How often to look whether somebody who waits for the whole still does.
const LOOK: Duration = Duration::from_millis(100);

pub(super) enum Listener {
    /// To the whole.
    Whole(Promise<Query>),
    /// As it comes.
    Pieces(Outlet<Converse>),
    /// Nobody does, since it was told and not asked. It counts as owed until it is kept: a being that owes
    /// something is not put to sleep. What is not kept is a dead letter: nobody would know of it otherwise. Its
    /// grave is with whoever is about to keep it, if somebody is.
    Told(Promise<Query>, Option<Grave>),
    /// Nobody does: it is kept, and that is all.
    Nobody,
}

impl Listener {
    /// Hands some words on.
    pub(super) async fn piece(&mut self, text: String) -> Result<(), AskerGone> {
        match self {
            Self::Whole(_) | Self::Told(..) | Self::Nobody => Ok(()),
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
            Self::Told(..) | Self::Nobody => std::future::pending().await,
        }
    }

    /// Whether it was told and not asked.
    pub(super) fn is_told(&self) -> bool {
        matches!(self, Self::Told(..))
    }

    /// Where it goes if it is not kept and nobody would know of it. Whoever takes this closes it when it is.
    pub(super) fn take_grave(&mut self) -> Option<Grave> {
        match self {
            Self::Told(_, grave) => grave.take(),
            Self::Whole(_) | Self::Pieces(_) | Self::Nobody => None,
        }
    }

    /// Says that nothing was begun, since the being ends for this reason. What was told waits for that end, and
    /// is a dead letter then.
    pub(super) async fn finish_unbegun(self, why: &str) {
        match self {
            Self::Whole(_) | Self::Pieces(_) => {
                let why = why.to_owned();
                self.finish(Err(NotAnswered::Interrupted { why, turn: None })).await;
            }
            Self::Told(..) | Self::Nobody => std::future::pending().await,
        }
    }

    /// Says how it ended.
    pub(super) async fn finish(self, result: Result<Answered, NotAnswered>) {
        match self {
            Self::Whole(promise) => promise.settle(result),
            Self::Told(promise, grave) => {
                if let (Some(grave), Err(why)) = (grave, &result) {
                    bury(grave, why);
                }
                promise.settle(result);
            }
            Self::Pieces(outlet) => outlet.finish(result).await,
            Self::Nobody => {}
        }
    }
}

/// Makes a dead letter of what was told and is not kept.
pub(super) fn bury(grave: Grave, why: &NotAnswered) {
    match why {
        // It may name what was met at damage, and that may be a word that was said.
        NotAnswered::Store { .. } => {
            tracing::warn!("what a being was told is not kept: its store failed");
        }
        why => tracing::warn!("what a being was told is not kept: {why}"),
    }
    grave.bury(|to| fault(why, to));
}

/// Why what was told is lost, for its dead letter.
fn fault(why: &NotAnswered, to: Destination) -> Fault {
    let reason = match why {
        NotAnswered::Busy { max } => {
            return Fault::Overloaded { to, capacity: usize::try_from(*max).unwrap_or(usize::MAX) };
        }
        // What the store says may be long, and name what was said.
        NotAnswered::Store { .. } => Rejection::Unanswered,
        why => Rejection::Malformed { detail: why.to_string() },
    };
    Fault::Rejected { to, message: Query::NAME.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use genii_protocols::Address;

    use super::*;

    #[test]
    fn a_dead_letter_says_why_and_not_what_was_said() {
        let fault = |why: NotAnswered| fault(&why, Address::parse("being/marit").unwrap().into());
        let busy = fault(NotAnswered::Busy { max: 16 });
        assert!(matches!(busy, Fault::Overloaded { capacity: 16, .. }), "{busy:?}");
        let long = fault(NotAnswered::TooLong { tokens: 9, max: 5, turn: None }).to_string();
        assert!(long.contains('9') && long.contains('5'), "{long}");
        let why = "entry \"xylophone\" is damaged".to_owned();
        let damaged = fault(NotAnswered::Store { why }).to_string();
        assert!(!damaged.contains("xylophone"), "{damaged}");
    }
}
