//! What is said to a client bit by bit, no faster than it reads.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::caller::CallerId;
use super::gate::{Call, DEADLINE_MAX};
use super::guard::Guard;
use super::room::{Held, Room};

/// How far what is said may run ahead of a client that reads slowly. What is large takes its room
/// besides. Some is needed, so that what is small travels together: clients take a flood of small
/// frames for an attack.
const SAID_CAPACITY: usize = 32;

/// How long a client may take to read one thing before what follows is given up.
const READ_PATIENCE: Duration = Duration::from_secs(60);

/// What is said to a client.
pub(super) type SaidStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One thing that is said, or why there is no more, with its room.
type Saying<T> = (Result<T, Status>, Held);

/// Where something is said to a client.
pub(super) struct Mouth<T> {
    said: mpsc::Sender<Saying<T>>,
    room: Arc<Room>,
    caller: CallerId,
}

impl<T: Message> Mouth<T> {
    /// Says something, as soon as the client has read enough of what was said before.
    ///
    /// # Errors
    /// When the client does not read; nothing more is then to be said.
    pub(super) async fn say(&self, what: T) -> Result<(), Status> {
        let saying = async {
            let held = self.room.for_item(&self.caller, what.encoded_len()).await;
            self.said.send((Ok(what), held)).await
        };
        match tokio::time::timeout(READ_PATIENCE, saying).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Status::cancelled("the client has gone")),
            Err(_) => Err(Status::resource_exhausted(format!(
                "the client has read nothing for {READ_PATIENCE:?}"
            ))),
        }
    }
}

/// Lets `work` say things to the client, until it has ended, the client has gone, its time is up, or
/// what it was let in by does not count any more. Then the work is dropped where it stands.
pub(super) fn say<T, F>(
    call: Call,
    guard: Arc<Guard>,
    room: Arc<Room>,
    work: impl FnOnce(Mouth<T>) -> F,
) -> SaidStream<T>
where
    T: Send + 'static,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let (said, listener) = mpsc::channel(SAID_CAPACITY);
    let working = work(Mouth { said: said.clone(), room, caller: call.caller.id() });
    tokio::spawn(async move {
        let deadline = call.deadline.unwrap_or_else(|| Instant::now() + DEADLINE_MAX);
        let ended = tokio::select! {
            biased;
            () = said.closed() => return,
            refused = guard.until_ended(&call.caller) => Err(refused.into()),
            () = tokio::time::sleep_until(deadline) => Err(late()),
            ended = working => ended,
        };
        if let Err(status) = ended {
            let last = said.send((Err(status), None));
            let _unread = tokio::time::timeout(READ_PATIENCE, last).await;
        }
    });
    // What was said last holds its room until the next thing is wanted: by then it has been read.
    let next = |(mut listener, held): (mpsc::Receiver<Saying<T>>, Held)| async {
        drop(held);
        let (said, held) = listener.recv().await?;
        Some((said, (listener, held)))
    };
    Box::pin(stream::unfold((listener, None), next))
}

pub(super) fn late() -> Status {
    Status::new(Code::DeadlineExceeded, "the deadline of the call has passed")
}
