//! Questions of those who know no types: clients, who send and get text or bytes.
//!
//! A message is read straight into its own type, and an answer written straight from it, so that
//! nothing in between is larger than what was sent.

use genii_protocols::wire::{self, WireError};
use genii_protocols::{AskError, Fault};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::link::flowing::FarFlow;
use crate::link::questions::FarAnswer;
use crate::protocol::Content;
use crate::stream::{Flowing, Source};

/// The form of a question, and so of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON text.
    Json,
    /// Bytes of the wire format.
    Wire,
}

impl Form {
    /// The form of a content.
    pub(crate) fn of(content: Content<'_>) -> Self {
        match content {
            Content::Json(_) => Self::Json,
            Content::Wire(_) => Self::Wire,
        }
    }

    fn write<T: Serialize>(self, value: &T) -> Result<Vec<u8>, Lost> {
        let written =
            match self {
                Self::Wire => wire::encode(value).map_err(|error| error.to_string()),
                Self::Json => serde_json::to_vec(value)
                    .map_err(|error| error.to_string())
                    .and_then(|text| match text.len() > wire::MESSAGE_MAX_LEN {
                        true => Err(WireError::TooLarge { len: text.len() }.to_string()),
                        false => Ok(text),
                    }),
            };
        written.map_err(Lost::Unwritable)
    }
}

impl Form {
    /// What an answer from another node says, in this form.
    pub(crate) fn settled(self, answer: &[u8]) -> UntypedAnswer {
        let settled = match self {
            Self::Wire => wire::settled(answer).map(|settled| match settled {
                Ok(reply) => Ok(reply.to_vec()),
                Err(refusal) => Err(refusal.to_vec()),
            }),
            // JSON travels as text.
            Self::Json => wire::decode::<Result<String, String>>(answer)
                .map(|settled| settled.map(String::into_bytes).map_err(String::into_bytes)),
        };
        match settled {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(refusal)) => Err(Lost::Refused(refusal)),
            Err(error) => Err(Lost::Unwritable(error.to_string())),
        }
    }

    /// An item of a stream of another node, in this form.
    fn item(self, item: &[u8]) -> UntypedAnswer {
        match self {
            Self::Wire => Ok(item.to_vec()),
            Self::Json => wire::decode::<String>(item)
                .map(String::into_bytes)
                .map_err(|error| Lost::Unwritable(error.to_string())),
        }
    }
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The agent said no, in these bytes.
    Refused(Vec<u8>),
    /// It was not answered.
    Fault(Box<Fault>),
    /// It was answered with something that cannot be sent: too large, or no JSON.
    Unwritable(String),
}

/// What comes back, in the form of the question.
pub(crate) type UntypedAnswer = Result<Vec<u8>, Lost>;

fn write<R: Serialize, E: Serialize>(form: Form, answer: Result<R, AskError<E>>) -> UntypedAnswer {
    match answer {
        Ok(reply) => form.write(&reply),
        Err(AskError::Refused(refusal)) => Err(Lost::Refused(form.write(&refusal)?)),
        Err(AskError::Fault(fault)) => Err(Lost::Fault(fault)),
    }
}

/// Where the answer to an untyped question goes.
pub(crate) enum UntypedReply {
    /// Nowhere: it was told.
    Nobody,
    /// To who asked.
    Asker(UntypedAsker),
    /// To who asked for many.
    Items(UntypedItems),
}

/// Who has asked an untyped question.
pub(crate) struct UntypedAsker {
    form: Form,
    asker: oneshot::Sender<UntypedAnswer>,
}

impl UntypedAsker {
    pub(crate) fn new(form: Form) -> (Self, oneshot::Receiver<UntypedAnswer>) {
        let (asker, answer) = oneshot::channel();
        (Self { form, asker }, answer)
    }

    pub(crate) fn send<R: Serialize, E: Serialize>(self, answer: Result<R, AskError<E>>) {
        // Nobody writes an answer for an asker that has gone.
        if !self.asker.is_closed() {
            let _has_just_gone = self.asker.send(write(self.form, answer));
        }
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        self.asker.is_closed()
    }

    pub(crate) async fn forgotten(&mut self) {
        self.asker.closed().await;
    }
}

/// What flows through an untyped stream.
pub(crate) enum UntypedFlow {
    Item(Vec<u8>),
    End(UntypedAnswer),
}

/// Where the items of an untyped stream go.
pub(crate) struct UntypedItems {
    form: Form,
    items: mpsc::Sender<UntypedFlow>,
}

impl UntypedItems {
    pub(crate) fn new(form: Form, credit: usize) -> (Self, mpsc::Receiver<UntypedFlow>) {
        let (items, flow) = mpsc::channel(credit);
        (Self { form, items }, flow)
    }

    /// Sends an item; whether somebody still wants more.
    pub(crate) async fn send<T: Serialize>(&self, item: &T) -> bool {
        match self.form.write(item) {
            Ok(item) => self.items.send(UntypedFlow::Item(item)).await.is_ok(),
            Err(lost) => {
                let _asker_has_gone = self.items.send(UntypedFlow::End(Err(lost))).await;
                false
            }
        }
    }

    pub(crate) async fn end<R: Serialize, E: Serialize>(&self, answer: Result<R, AskError<E>>) {
        let _asker_has_gone = self.items.send(UntypedFlow::End(write(self.form, answer))).await;
    }

    /// Ends at once if there is room; if there is not, the asker sees the stream break off.
    pub(crate) fn try_end(&self, fault: Fault) {
        let end = UntypedFlow::End(Err(Lost::Fault(Box::new(fault))));
        let _breaks_off = self.items.try_send(end);
    }

    pub(crate) async fn closed(&self) {
        self.items.closed().await;
    }
}

/// The answers to an untyped question for many. Dropped, it tells the agent to stop.
pub(crate) struct UntypedAnswers {
    flow: Flowing<UntypedFlow>,
    form: Form,
    source: Source,
}

impl Flowing<UntypedFlow> {
    async fn next(&mut self, form: Form) -> Option<UntypedFlow> {
        let stream = match self {
            Self::Near(flow) => return flow.recv().await,
            Self::Far(stream) => stream,
        };
        Some(match stream.next().await? {
            FarFlow::Item(item) => match form.item(&item) {
                Ok(item) => UntypedFlow::Item(item),
                lost => UntypedFlow::End(lost),
            },
            FarFlow::End(FarAnswer::Reply(answer)) => UntypedFlow::End(form.settled(&answer)),
            FarFlow::End(FarAnswer::Failed(fault)) => UntypedFlow::End(Err(Lost::Fault(fault))),
        })
    }
}

impl UntypedAnswers {
    pub(crate) fn new(flow: Flowing<UntypedFlow>, form: Form, source: Source) -> Self {
        Self { flow, form, source }
    }

    /// The next item or the end. Not to be called again after the end.
    pub(crate) async fn next(&mut self) -> UntypedFlow {
        let lost = |fault| UntypedFlow::End(Err(Lost::Fault(Box::new(fault))));
        match tokio::time::timeout(self.source.patience, self.flow.next(self.form)).await {
            Ok(Some(UntypedFlow::End(Err(Lost::Fault(fault))))) => lost(fault.of(&self.source.to)),
            Ok(Some(said)) => said,
            Ok(None) => lost(self.source.broken_off().await),
            Err(_) => lost(self.source.too_slow()),
        }
    }
}
