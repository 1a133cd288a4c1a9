//! What is sent, before there is a letter of it, and how it gets to who takes it: the same for what is asked,
//! told or streamed, of a type, in JSON or of none. Only [`Mail::tell`] tries a shorter way first.

use std::sync::Arc;

use genii_protocols::wire::{self, WireError};
use genii_protocols::{Fault, Json, Message, Streamed};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::way::{FarWay, Way};
use super::{GIVEN_WAY_MAX, Mail, Put, told};
use crate::directory::Line;
use crate::letter::{Answer, Letter, Meta, Question, ReplyTo};
use crate::link::sending::Coming;
use crate::mailbox::NotTaken;
use crate::protocol::{Content, JsonReply};
use crate::stream::{CREDIT, Flow, Items, StreamQuestion};
use crate::untyped::{Form, UntypedReply};

/// A letter, and by what comes back what becomes of it; or why there is none.
pub(super) type Made<C> = Result<(Box<dyn Letter>, C), Box<Fault>>;

/// The way to who takes a message, and that somebody is about to ask there.
type Found = Result<(Way, Option<Coming>), Box<Fault>>;

/// Of what a letter is made, as often as it takes.
pub(super) trait Draft {
    /// By what comes back what a life here makes of it.
    type Comes;

    /// Makes a letter for a life here.
    fn letter(&mut self, mail: &Mail, line: &Line) -> Made<Self::Comes>;

    /// Takes back a letter that nobody here has taken.
    fn take_back(&mut self, letter: Box<dyn Letter>);
}

/// How far a message has got.
pub(super) enum Got<C> {
    /// Into the mailbox of a life here.
    Near(Arc<Line>, C),
    /// Nowhere yet: it is to be sent to another node.
    Far(Arc<FarWay>, Option<Coming>),
}

impl Mail {
    /// Puts a message into the mailbox of who takes messages now, waiting for room if need be, and looks for
    /// the way again where the address is let go in this moment. What is for another node is left to who calls
    /// this.
    pub(super) async fn deliver<D: Draft>(
        &self,
        draft: &mut D,
        find: impl Fn(&Self) -> Found,
        deadline: Instant,
    ) -> Result<Got<D::Comes>, Box<Fault>> {
        for _ in 0..GIVEN_WAY_MAX {
            let line = match find(self)? {
                (Way::Near(line), _) => line,
                (Way::Far(far), coming) => return Ok(Got::Far(far, coming)),
            };
            let (letter, comes) = draft.letter(self, &line)?;
            let put = match line.mailbox.push(letter) {
                Ok(()) => Put::In(line),
                Err(NotTaken::Full(letter) | NotTaken::Closed(letter)) => {
                    self.push_or_return(&line, letter, deadline).await?
                }
            };
            match put {
                Put::In(line) => return Ok(Got::Near(line, comes)),
                // It may have moved in this moment.
                Put::Nowhere(letter) => draft.take_back(letter),
            }
        }
        Err(self.restless())
    }
}

/// A message, except while it is in a letter.
pub(super) struct Held<M>(Option<M>);

impl<M: Message> Held<M> {
    pub(super) fn new(message: M) -> Self {
        Self(Some(message))
    }

    /// As it is sent to another node.
    pub(super) fn encoded(&self) -> Result<Vec<u8>, WireError> {
        wire::encode(self.0.as_ref().expect("there is no letter of it"))
    }

    fn take(&mut self) -> M {
        self.0.take().expect("the letter before has been taken back")
    }
}

/// A message that is asked.
pub(super) struct Asked<M: Message> {
    pub(super) message: Held<M>,
    pub(super) asked_at: Instant,
    pub(super) deadline: Instant,
}

impl<M: Message> Draft for Asked<M> {
    type Comes = oneshot::Receiver<Answer<M>>;

    fn letter(&mut self, mail: &Mail, _: &Line) -> Made<Self::Comes> {
        let (asker, answer) = oneshot::channel();
        let meta = Meta { asked_at: Some(self.asked_at), ..mail.meta(Some(self.deadline)) };
        let (message, reply) = (self.message.take(), ReplyTo::Asker(asker));
        let letter: Box<dyn Letter> = Box::new(Question { meta, message, reply });
        Ok((letter, answer))
    }

    fn take_back(&mut self, letter: Box<dyn Letter>) {
        self.message = Held::new(told::<M>(letter).message);
    }
}

/// A message that is answered by a stream.
pub(super) struct Wanted<M: Streamed>(pub(super) Held<M>);

impl<M: Streamed> Draft for Wanted<M> {
    type Comes = mpsc::Receiver<Flow<M>>;

    fn letter(&mut self, mail: &Mail, _: &Line) -> Made<Self::Comes> {
        let (items, flow) = mpsc::channel(CREDIT);
        let (meta, message) = (mail.meta(mail.deadline), self.0.take());
        let letter: Box<dyn Letter> =
            Box::new(StreamQuestion { meta, message, items: Items::Typed(items) });
        Ok((letter, flow))
    }

    fn take_back(&mut self, letter: Box<dyn Letter>) {
        match letter.downcast::<StreamQuestion<M>>() {
            Ok(question) => self.0 = Held::new(question.message),
            Err(_) => unreachable!("it was made here of such a message"),
        }
    }
}

/// A message in JSON, however it is sent. It is read anew for each letter.
pub(super) struct InJson<'a, C> {
    pub(super) message: &'a str,
    pub(super) content: &'a Json,
    pub(super) deadline: Option<Instant>,
    /// Where what becomes of it goes, and by what that comes back.
    pub(super) reply: fn() -> (JsonReply, C),
}

impl<C> Draft for InJson<'_, C> {
    type Comes = C;

    fn letter(&mut self, mail: &Mail, line: &Line) -> Made<C> {
        let (reply, comes) = (self.reply)();
        let letter = mail.json_letter(line, self.message, self.content, self.deadline, reply)?;
        Ok((letter, comes))
    }

    fn take_back(&mut self, _: Box<dyn Letter>) {}
}

/// A message of no known type, however it is sent. It is read anew for each letter.
pub(super) struct Untyped<'a, C> {
    pub(super) message: &'a str,
    pub(super) content: Content<'a>,
    pub(super) deadline: Option<Instant>,
    /// Where what becomes of it goes, and by what that comes back.
    pub(super) reply: fn(Form) -> (UntypedReply, C),
}

impl<C> Draft for Untyped<'_, C> {
    type Comes = C;

    fn letter(&mut self, mail: &Mail, line: &Line) -> Made<C> {
        let (reply, comes) = (self.reply)(Form::of(self.content));
        let letter = mail.untyped_letter(line, self.message, self.content, self.deadline, reply)?;
        Ok((letter, comes))
    }

    fn take_back(&mut self, _: Box<dyn Letter>) {}
}
