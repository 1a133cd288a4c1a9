//! Answering somebody who asked from another node.

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{Cause, CauseKind, Fault, Rejection, wire};
use tokio::time::Instant;

use super::inlet::{Asked, Inlet};
use crate::directory::Line;
use crate::link::flowing::FarOutlet;
use crate::link::sending::NotSent;

/// How long to wait to learn why somebody ended who owed an answer.
const CAUSE_PATIENCE: Duration = Duration::from_secs(5);

/// The duty to answer somebody who asked from afar. Dropped without an answer, it tells why there
/// is none.
pub(crate) struct FarReply {
    inlet: Arc<Inlet>,
    line: Arc<Line>,
    correlation: u64,
    /// Until when who asked waits, where that is known.
    deadline: Option<Instant>,
    is_json: bool,
    /// Where items go, if many answers are wanted.
    outlet: Option<Arc<FarOutlet>>,
    is_done: bool,
}

impl FarReply {
    pub(super) fn new(
        inlet: Arc<Inlet>,
        line: Arc<Line>,
        asked: Asked,
        deadline: Option<Instant>,
        is_json: bool,
        outlet: Option<Arc<FarOutlet>>,
    ) -> Self {
        let Asked { correlation, .. } = asked;
        Self { inlet, line, correlation, deadline, is_json, outlet, is_done: false }
    }

    /// Whether the answer is to be JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Answers, with a reply or a refusal that has been encoded.
    pub(crate) fn answer(mut self, answer: Result<Vec<u8>, wire::WireError>) {
        self.is_done = true;
        match answer {
            Ok(answer) => {
                let link = self.inlet.link();
                // A stream has no such deadline: its asker waits as long as something comes.
                let deadline = self.deadline.filter(|_| self.outlet.is_none());
                if link.reply(self.correlation, answer, deadline).is_err() {
                    let (to, reason) = (self.inlet.address().clone().into(), Rejection::Unanswered);
                    let message = "an answer for which there is no room".to_owned();
                    link.fail(self.correlation, Fault::Rejected { to, message, reason });
                }
            }
            Err(error) => {
                self.inlet.link().fail(self.correlation, self.not_encoded("its answer", &error));
            }
        }
    }

    /// Says what takes the place of an answer.
    pub(crate) fn fail(mut self, fault: Fault) {
        self.is_done = true;
        self.inlet.link().fail(self.correlation, fault);
    }

    /// Whether nobody needs the answer any more.
    pub(crate) fn is_forgotten(&self) -> bool {
        let link = self.inlet.link();
        link.is_over()
            || match &self.outlet {
                Some(outlet) => outlet.is_over(),
                None => self.is_late() || link.is_forgotten_there(self.correlation),
            }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline < Instant::now())
    }

    /// Whether many answers are wanted.
    pub(crate) fn wants_many(&self) -> bool {
        self.outlet.is_some()
    }

    /// Sends one of many answers that has been encoded, as soon as there is room for it.
    ///
    /// # Errors
    /// When nobody wants it any more, or it cannot be sent; then neither can what follows.
    pub(crate) async fn item(&self, item: Result<Vec<u8>, wire::WireError>) -> Result<(), NotSent> {
        let Some(outlet) = &self.outlet else { return Err(NotSent::Lost) };
        match item {
            Ok(item) => self.inlet.link().item(outlet, self.correlation, &item).await,
            Err(error) => {
                self.inlet.link().fail(self.correlation, self.not_encoded("an item of it", &error));
                outlet.end();
                Err(NotSent::Lost)
            }
        }
    }

    /// Waits until nobody wants the rest of many answers.
    pub(crate) async fn forgotten(&self) {
        if let Some(outlet) = &self.outlet {
            outlet.gone().await;
        }
    }

    fn not_encoded(&self, what: &str, error: &wire::WireError) -> Fault {
        let reason = Rejection::Malformed { detail: format!("{what}: {error}") };
        let to = self.inlet.address().clone().into();
        Fault::Rejected { to, message: "the answer".to_owned(), reason }
    }

    /// Somebody else answers.
    pub(super) fn cancel(mut self) -> Asked {
        self.is_done = true;
        Asked { correlation: self.correlation, wants_many: self.outlet.is_some() }
    }
}

impl Drop for FarReply {
    fn drop(&mut self) {
        if self.outlet.is_some() {
            self.inlet.link().close_outlet(self.correlation);
        }
        if self.is_done || self.inlet.link().is_over() {
            return;
        }
        let (inlet, line, correlation) = (self.inlet.clone(), self.line.clone(), self.correlation);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let cause = line.cause_of_end();
            let cause = match tokio::time::timeout(CAUSE_PATIENCE, cause).await {
                Ok(cause) => (*cause).clone(),
                Err(_) => Cause::new(CauseKind::Stopped, "it has ended"),
            };
            let to = inlet.address().clone().into();
            inlet.link().fail(correlation, Fault::Down { to, cause });
        });
    }
}
