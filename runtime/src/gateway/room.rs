//! How much of what clients send and are sent may lie in memory.
//!
//! What is small is bounded by how many calls there are. What is large takes its room before the
//! first byte of it is taken in: a client that sends waits for room, one that is answered is told
//! that there is none.

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::Status;

/// What is no longer than this, in bytes, takes no room of its own.
pub(super) const SMALL_MAX_LEN: usize = 16 << 10;

/// How much all clients together may send, and be sent, at a time, in KiB: twice 256 MiB.
const ROOM_KIB: usize = 256 << 10;

/// A message may be so much longer than what it carries: the address, the name, and so on.
const AROUND_MAX_LEN: usize = 4 << 10;

/// The longest message that a client may send or be sent, in bytes.
pub(super) const CALL_MAX_LEN: usize = MESSAGE_MAX_LEN + AROUND_MAX_LEN;

/// How long a message may take to come, from its first byte to its last, and with it the wait for
/// room.
const COMING_PATIENCE: Duration = Duration::from_secs(60);

/// What stands in front of each message: whether it is compressed, and its length.
const HEADER_LEN: usize = 5;

/// The room of a gateway.
pub(super) struct Room {
    incoming: Arc<Semaphore>,
    outgoing: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            incoming: Arc::new(Semaphore::new(ROOM_KIB)),
            outgoing: Arc::new(Semaphore::new(ROOM_KIB)),
        }
    }
}

/// Room that is held for something large; nothing for what is small.
pub(super) type Held = Option<OwnedSemaphorePermit>;

fn kib(len: usize) -> u32 {
    u32::try_from(len.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

impl Room {
    /// Room for an answer of this length.
    ///
    /// # Errors
    /// When there is none: too much waits for clients that do not read.
    pub(super) fn for_answer(&self, len: usize) -> Result<Held, Status> {
        if len <= SMALL_MAX_LEN {
            return Ok(None);
        }
        let room = self.outgoing.clone().try_acquire_many_owned(kib(len));
        room.map(Some).map_err(|_| {
            Status::resource_exhausted(format!(
                "the answer of {len} bytes was dropped: too much waits for clients that do not read"
            ))
        })
    }

    /// Room for an item of a stream, as soon as there is some.
    pub(super) async fn for_item(&self, len: usize) -> Held {
        match len <= SMALL_MAX_LEN {
            true => None,
            // It is never closed.
            false => self.outgoing.clone().acquire_many_owned(kib(len)).await.ok(),
        }
    }

    /// A body that takes its room before it comes in. `held` has the room as long as the call lasts.
    pub(super) fn metered<B>(&self, body: B, held: Arc<Mutex<Held>>, len_max: usize) -> Metered<B> {
        let incoming = self.incoming.clone();
        let patience = Box::pin(tokio::time::sleep(COMING_PATIENCE));
        let begun = BytesMut::new();
        let state = State::Header { begun };
        Metered { body: Box::pin(body), incoming, held, len_max, state, patience, is_idle: false }
    }
}

/// A body of messages, each of which takes its room before it comes in.
pub(super) struct Metered<B> {
    body: Pin<Box<B>>,
    incoming: Arc<Semaphore>,
    held: Arc<Mutex<Held>>,
    len_max: usize,
    state: State,
    /// Until when the message must have come that has begun to.
    patience: Pin<Box<Sleep>>,
    /// At least one message has come, and another has not begun to.
    is_idle: bool,
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
        let len = u32::from_be_bytes([come[1], come[2], come[3], come[4]]) as usize;
        if len > self.len_max {
            let limit = self.len_max;
            return Err(Status::resource_exhausted(format!(
                "the message has {len} bytes, more than the limit of {limit}"
            )));
        }
        // Room for the bytes, and for the message that is made of them.
        *self.held.lock() = None;
        let incoming = self.incoming.clone();
        self.state = match len <= SMALL_MAX_LEN {
            true => State::Coming { come, left: HEADER_LEN + len },
            false => State::Waiting {
                come,
                len,
                room: Box::pin(async move { incoming.acquire_many_owned(2 * kib(len)).await.ok() }),
            },
        };
        Ok(())
    }

    fn take(&mut self, data: Bytes) -> Result<(), Status> {
        if self.is_idle && !data.is_empty() {
            self.is_idle = false;
            self.patience.as_mut().reset(tokio::time::Instant::now() + COMING_PATIENCE);
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
            self.is_idle = rest.is_empty();
            let begun = BytesMut::from(&rest[..]);
            self.state = State::Header { begun };
        }
        Some(part)
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
            if !self.is_idle && self.patience.as_mut().poll(context).is_ready() {
                let late = format!("the message did not come within {COMING_PATIENCE:?}");
                return Poll::Ready(Some(Err(Status::deadline_exceeded(late).into())));
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
