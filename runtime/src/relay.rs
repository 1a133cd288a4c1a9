//! Passing on what an agent is asked to somebody who answers in its place.
//!
//! | what comes | what becomes of it |
//! |---|---|
//! | a message that was told | it is told on, in order; if that cannot be, it is a dead letter of who was asked |
//! | a question | it is asked on, in order; its reply, refusal or fault comes back as it is |
//! | a question for many answers | each comes through as it comes, and then the end as it is |
//! | the deadline of a question | it is that of what is asked on |
//! | who sent a message | so has what is passed on |
//! | an asker that goes | what was asked on for it is called off |
//! | the end of the agent | so is all that it asked on; of one that is [lasting](Relay::lasting), nothing is |
//! | an answer of the other that is a fault | it is told of the address that was asked, not of the other |
//!
//! The order is kept since what comes is on its way before the next is looked at.

use std::any::Any;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use genii_protocols::{AskError, Destination, Fault, Message, Streamed};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::agent::Agent;
use crate::context::Context;
use crate::letter::Answer;
use crate::mail::Mail;
use crate::reply::Promise;
use crate::scope;
use crate::stream::{Answers, Outlet};

/// How many questions are on their way at a time. The next waits, and all behind it.
pub const PASSING_MAX: usize = 512;

/// How long to wait for an answer, or the next of many, where who asked has set no deadline. Whoever
/// asked has gone long before.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// An agent that passes messages on: those that are in its protocol by
/// [`Protocol::pass`](crate::Protocol::pass).
pub trait Relays: Agent {
    /// To whom.
    fn relay(&self) -> &Relay;
}

/// Passes on what an agent is asked.
pub struct Relay {
    mail: Mail,
    lost: Option<Lost>,
    /// What was passed on is answered also when the agent has ended.
    is_lasting: bool,
    places: Arc<Semaphore>,
}

impl Relay {
    /// Passes on to where `mail` goes.
    pub fn new(mail: Mail) -> Self {
        let places = Arc::new(Semaphore::new(PASSING_MAX));
        Self { mail, lost: None, is_lasting: false, places }
    }

    /// As [`Relay::new`], for an agent that may end before all that it has passed on is answered: the answers
    /// come back all the same, and it owes none of them.
    pub fn lasting(mail: Mail) -> Self {
        Self { is_lasting: true, ..Self::new(mail) }
    }

    /// As [`Relay::new`], for an agent that ends when the other cannot be reached any more. Who asked then
    /// learns why the agent ended, instead of that somebody is out of reach of whom it knows nothing.
    pub fn bound(mail: Mail) -> Self {
        Self { lost: Some(Lost::default()), ..Self::new(mail) }
    }

    /// Passes a message on. It is on its way when this returns; the answer comes later.
    pub async fn pass<M: Message + Sync>(
        &self,
        message: M,
        promise: Promise<M>,
        context: &mut Context,
    ) {
        let mail = context.on_behalf(&self.mail);
        if promise.is_told() {
            if let Err(fault) = mail.tell_unburied(message).await {
                context.grave::<M>().bury(|asked| fault.of(&asked));
            }
            return;
        }
        let place = self.place().await;
        let mut asking = Box::pin(async move { mail.ask_within(message, PATIENCE).await });
        let back = self.back(context);
        if let Poll::Ready(answer) = poll!(asking.as_mut()) {
            return back.give(promise, answer);
        }
        let mut promise = promise;
        if self.is_lasting {
            promise.outlive();
        }
        self.see_to(context, async move {
            let answer = tokio::select! {
                answer = asking => answer,
                () = promise.forgotten() => return,
            };
            back.give(promise, answer);
            drop(place);
        });
    }

    /// Passes a question for many answers on. It is on its way when this returns.
    pub async fn pass_stream<M: Streamed<Item: Sync> + Sync>(
        &self,
        message: M,
        outlet: Outlet<M>,
        context: &mut Context,
    ) {
        let mail = context.on_behalf(&self.mail);
        let place = self.place().await;
        let mut opening = Box::pin(async move { mail.stream_within(message, PATIENCE).await });
        let opened = poll!(opening.as_mut());
        let back = self.back(context);
        let mut outlet = outlet;
        if self.is_lasting {
            outlet.outlive();
        }
        self.see_to(context, async move {
            let opened = match opened {
                Poll::Ready(opened) => opened,
                Poll::Pending => tokio::select! {
                    opened = opening => opened,
                    () = outlet.asker_gone() => return,
                },
            };
            let end = match opened {
                Ok(answers) => through(answers, &mut outlet).await,
                Err(fault) => Some(Err(fault.into())),
            };
            if let Some(end) = end {
                back.end(outlet, end).await;
            }
            drop(place);
        });
    }

    /// Waits for an answer beside the agent: as long as that lives, or until it is there.
    fn see_to(&self, context: &mut Context, answer: impl Future<Output = ()> + Send + 'static) {
        if !self.is_lasting {
            return context.spawn(answer);
        }
        let agent = context.line().identity.clone();
        tokio::spawn(scope::run(agent, async move {
            // Who asked is told, since the promise goes with it.
            if let Err(failure) = scope::catch(answer).await {
                tracing::error!("what was passed on is not answered: {failure}");
            }
        }));
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        let place = self.places.clone().acquire_owned().await;
        place.expect("the places of a relay are never closed")
    }

    fn back(&self, context: &Context) -> Back {
        Back { asked: context.address().into(), lost: self.lost.clone() }
    }
}

/// Hands through what comes of a stream, and returns how it ended; `None` if nobody wants the rest.
async fn through<M: Streamed<Item: Sync>>(
    mut answers: Answers<M>,
    outlet: &mut Outlet<M>,
) -> Option<Answer<M>> {
    loop {
        let item = tokio::select! {
            item = answers.next() => item,
            () = outlet.asker_gone() => return None,
        };
        match item {
            Some(item) => outlet.send(item).await.ok()?,
            None => return Some(answers.finish().await),
        }
    }
}

/// The way back.
struct Back {
    /// Who was asked.
    asked: Destination,
    lost: Option<Lost>,
}

impl Back {
    /// Gives an answer. One that tells that the other is lost goes nowhere, where the agent ends over
    /// that: its end is the answer.
    fn give<M: Message>(&self, promise: Promise<M>, answer: Answer<M>) {
        if let Some(promise) = self.held(promise, &answer) {
            promise.pass(self.of_asked(answer));
        }
    }

    /// As [`Back::give`], of how a stream has ended.
    async fn end<M: Streamed>(&self, outlet: Outlet<M>, answer: Answer<M>) {
        if let Some(outlet) = self.held(outlet, &answer) {
            outlet.pass(self.of_asked(answer)).await;
        }
    }

    /// The duty to answer; `None` if it is held until the agent ends.
    fn held<D: Send + 'static, R, E>(&self, duty: D, answer: &Result<R, AskError<E>>) -> Option<D> {
        match &self.lost {
            Some(lost) if is_lost(answer) => lost.hold(duty),
            _ => Some(duty),
        }
    }

    fn of_asked<R, E>(&self, answer: Result<R, AskError<E>>) -> Result<R, AskError<E>> {
        answer.map_err(|error| match error {
            AskError::Fault(fault) => fault.of(&self.asked).into(),
            refused => refused,
        })
    }
}

/// The duties to answer what was asked of one that is lost, until the agent ends over that.
#[derive(Clone, Default)]
struct Lost(Arc<Mutex<Vec<Box<dyn Any + Send>>>>);

impl Lost {
    /// Holds one; gives it back if there is no room.
    fn hold<D: Send + 'static>(&self, duty: D) -> Option<D> {
        let mut held = self.0.lock();
        if held.len() >= PASSING_MAX {
            return Some(duty);
        }
        held.push(Box::new(duty));
        None
    }
}

fn is_lost<R, E>(answer: &Result<R, AskError<E>>) -> bool {
    match answer {
        Err(AskError::Fault(fault)) => matches!(**fault, Fault::Unreachable { .. }),
        _ => false,
    }
}
