//! How much of what clients send and are sent may lie in memory.
//!
//! What is small is bounded by how many calls there are. What is large takes its room before the
//! first byte of it is taken in: a client that sends waits for room, one that is answered is told
//! that there is none. One client has a quarter of it at most, which is enough for one message of
//! any length, and holds it no longer than it may take to send it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use genii_protocols::wire::MESSAGE_MAX_LEN;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::HeaderMap;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::caller::CallerId;
use super::shares::{Share, Shares};

/// What is no longer than this, in bytes, takes no room of its own.
pub(super) const SMALL_MAX_LEN: usize = 16 << 10;

/// A message may be so much longer than what it carries: the address, the name, and so on.
const AROUND_MAX_LEN: usize = 4 << 10;

/// The longest message that a client may send or be sent, in bytes.
pub(super) const CALL_MAX_LEN: usize = MESSAGE_MAX_LEN + AROUND_MAX_LEN;

/// How long a message may take to come, from its first byte to its last, and with it the wait for
/// room.
const COMING_PATIENCE: Duration = Duration::from_secs(60);

/// How long a call may take to end when its one message has come.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// What stands in front of each message: whether it is compressed, and its length.
const HEADER_LEN: usize = 5;

/// The room of a gateway.
pub(super) struct Room {
    /// In KiB, of which each message takes twice its length: for its bytes, and for what is made of
    /// them.
    incoming: Arc<Shares>,
    /// In KiB.
    outgoing: Shares,
}

impl Default for Room {
    fn default() -> Self {
        let longest = kib(CALL_MAX_LEN) as usize;
        Self { incoming: Arc::new(Shares::new(2 * longest)), outgoing: Shares::new(longest) }
    }
}

/// Room that is held for something large; nothing for what is small.
pub(super) type Held = Option<Share>;

/// What is to come, of whom.
pub(super) struct Expected {
    pub(super) caller: CallerId,
    /// How long one message may be.
    pub(super) len_max: usize,
    /// Whether one message comes, and no other.
    pub(super) is_single: bool,
    /// When the call ends.
    pub(super) deadline: Option<Instant>,
}

fn kib(len: usize) -> u32 {
    u32::try_from(len.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

impl Room {
    /// Room for an answer of this length.
    ///
    /// # Errors
    /// When there is none: too much waits for clients that do not read.
    pub(super) fn for_answer(&self, caller: &CallerId, len: usize) -> Result<Held, Status> {
        if len <= SMALL_MAX_LEN {
            return Ok(None);
        }
        let room = self.outgoing.try_take(caller, kib(len));
        room.map(Some).ok_or_else(|| {
            Status::resource_exhausted(format!(
                "the answer of {len} bytes was dropped: too much waits for clients that do not read"
            ))
        })
    }

    /// Room for an item of a stream, as soon as there is some.
    pub(super) async fn for_item(&self, caller: &CallerId, len: usize) -> Held {
        match len <= SMALL_MAX_LEN {
            true => None,
            false => self.outgoing.take(caller, kib(len)).await,
        }
    }

    /// A body that takes its room before it comes in. `held` has the room as long as the call lasts.
    pub(super) fn metered<B>(
        &self,
        body: B,
        held: Arc<Mutex<Held>>,
        expected: Expected,
    ) -> Metered<B> {
        let patience = Box::pin(tokio::time::sleep_until(expected.until(COMING_PATIENCE)));
        Metered {
            body: Box::pin(body),
            incoming: self.incoming.clone(),
            held,
            expected,
            state: State::Header { begun: BytesMut::new() },
            patience,
            stage: Stage::Coming,
        }
    }
}

impl Expected {
    /// Until when something must have come that may take so long.
    fn until(&self, patience: Duration) -> Instant {
        let until = Instant::now() + patience;
        self.deadline.map_or(until, |deadline| deadline.min(until))
    }
}

/// A body of messages, each of which takes its room before it comes in.
pub(super) struct Metered<B> {
    body: Pin<Box<B>>,
    incoming: Arc<Shares>,
    held: Arc<Mutex<Held>>,
    expected: Expected,
    state: State,
    stage: Stage,
    /// Until when what is to come must have come.
    patience: Pin<Box<Sleep>>,
}

/// For what is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// For a message, also if it has not begun to come because it is the first.
    Coming,
    /// For another message, which may take as long as it likes to begin.
    Idle,
    /// For the end, after the only message.
    Ending,
}

enum State {
    /// The length of a message comes.
    Header { begun: BytesMut },
    /// It has come, with some more, and there is no room yet.
    Waiting { come: Bytes, len: usize, room: BoxFuture<'static, Held> },
    /// So much is still to come, of which some is here.
    Coming { come: Bytes, left: usize },
}

impl<B: Body<Data = Bytes>> Metered<B> {
    /// The length of the next message has come.
    fn begin(&mut self, come: Bytes) -> Result<(), Status> {
        if self.stage == Stage::Ending {
            return Err(Status::invalid_argument("a call has one message, and another has come"));
        }
        let len = u32::from_be_bytes([come[1], come[2], come[3], come[4]]) as usize;
        let limit = self.expected.len_max;
        if len > limit {
            return Err(Status::resource_exhausted(format!(
                "the message has {len} bytes, more than the limit of {limit}"
            )));
        }
        // Room for the bytes, and for the message that is made of them.
        *self.held.lock() = None;
        let caller = &self.expected.caller;
        self.state = match len <= SMALL_MAX_LEN {
            true => State::Coming { come, left: HEADER_LEN + len },
            false => State::Waiting {
                come,
                len,
                room: Box::pin(self.incoming.take(caller, 2 * kib(len))),
            },
        };
        Ok(())
    }

    fn take(&mut self, data: Bytes) -> Result<(), Status> {
        if self.stage == Stage::Idle && !data.is_empty() {
            self.begin_stage(Stage::Coming);
        }
        match &mut self.state {
            State::Coming { come, .. } => *come = data,
            State::Waiting { .. } => {}
            State::Header { begun } => {
                begun.extend_from_slice(&data);
                if begun.len() >= HEADER_LEN {
                    let come = std::mem::take(begun).freeze();
                    self.begin(come)?;
                }
            }
        }
        Ok(())
    }

    /// Hands on what is here of the message that comes.
    fn hand_on(&mut self) -> Option<Bytes> {
        let State::Coming { come, left } = &mut self.state else { return None };
        if come.is_empty() {
            return None;
        }
        let part = come.split_to(come.len().min(*left));
        *left -= part.len();
        if *left == 0 {
            let rest = std::mem::take(come);
            self.state = State::Header { begun: BytesMut::from(&rest[..]) };
            self.begin_stage(match (self.expected.is_single, rest.is_empty()) {
                (true, _) => Stage::Ending,
                (false, true) => Stage::Idle,
                (false, false) => Stage::Coming,
            });
        }
        Some(part)
    }

    fn begin_stage(&mut self, stage: Stage) {
        let patience = if stage == Stage::Ending { END_PATIENCE } else { COMING_PATIENCE };
        self.patience.as_mut().reset(self.expected.until(patience));
        self.stage = stage;
    }

    /// Why it is waited for no longer.
    fn late(&self) -> Status {
        Status::deadline_exceeded(match self.stage {
            _ if self.expected.deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                "the deadline of the call has passed before its message had come".to_owned()
            }
            Stage::Ending => {
                format!("the call did not end within {END_PATIENCE:?} of its message")
            }
            Stage::Coming | Stage::Idle => {
                format!("the message did not come within {COMING_PATIENCE:?}")
            }
        })
    }
}

impl<B: Body<Data = Bytes>> Body for Metered<B>
where
    B::Error: Into<tonic::codegen::StdError>,
{
    type Data = Bytes;
    type Error = tonic::codegen::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            let is_waited_for = self.stage != Stage::Idle;
            if is_waited_for && self.patience.as_mut().poll(context).is_ready() {
                return Poll::Ready(Some(Err(self.late().into())));
            }
            if let Some(part) = self.hand_on() {
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            if let State::Waiting { come, len, room } = &mut self.state {
                let room = ready!(room.as_mut().poll(context));
                let (come, left) = (std::mem::take(come), HEADER_LEN + *len);
                *self.held.lock() = room;
                self.state = State::Coming { come, left };
                continue;
            }
            // A header may have come with the end of the message before.
            if matches!(&self.state, State::Header { begun } if begun.len() >= HEADER_LEN) {
                self.take(Bytes::new())?;
                continue;
            }
            match ready!(self.body.as_mut().poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.take(data)?,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// A body that is handed out in slices, holds something until the last of them, and breaks off when it
/// must.
pub(super) struct Sliced<B, H> {
    body: Pin<Box<B>>,
    rest: Bytes,
    /// Why it breaks off, when it does.
    until: Option<BoxFuture<'static, Status>>,
    has_ended: bool,
    _held: H,
}

impl<B, H> Sliced<B, H> {
    pub(super) fn new(body: B, held: H, until: Option<BoxFuture<'static, Status>>) -> Self {
        Self { body: Box::pin(body), rest: Bytes::new(), until, has_ended: false, _held: held }
    }

    /// The last frame of a body that breaks off now.
    fn broken_off(&mut self, context: &mut Context<'_>) -> Option<Frame<Bytes>> {
        let Poll::Ready(status) = self.until.as_mut()?.as_mut().poll(context) else { return None };
        (self.until, self.has_ended) = (None, true);
        let mut trailers = HeaderMap::new();
        // A status that cannot be said is one that ends the call all the same.
        let _said = status.add_header(&mut trailers);
        Some(Frame::trailers(trailers))
    }
}

impl<B: Body<Data = Bytes>, H: Unpin> Body for Sliced<B, H> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let Some(last) = self.broken_off(context) {
            return Poll::Ready(Some(Ok(last)));
        }
        if self.rest.is_empty() {
            match ready!(self.body.as_mut().poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        let len = self.rest.remaining().min(SMALL_MAX_LEN);
        let slice = self.rest.split_to(len);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
