//! A node that is none: it says on its lanes whatever a test wants.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use genii_protocols::frame::{Control, Data, Hello, Refused};
use genii_protocols::wire;
use genii_runtime::link::network::{Incoming, Lane, Network};
use genii_runtime::link::simulated::{Harbour, Waters};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::machine::name;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long the end of a lane is waited for.
const MOMENT: Duration = Duration::from_millis(300);

/// One end of a lane.
pub struct End {
    says: mpsc::UnboundedSender<Bytes>,
    hears: Incoming,
    heard: Vec<u8>,
}

/// A node that is none, by its number.
pub struct Raw {
    harbour: Arc<Harbour>,
}

/// A greeting, as of a node that understands these versions.
pub fn hello(versions: (u16, u16), incarnation: u64, link: u64) -> Hello<'static> {
    let (places, messages) = (Vec::new(), Vec::new());
    Hello { versions, incarnation, link, ended: None, places, messages }
}

/// A frame, with its length before it.
pub fn frame(said: &impl Serialize) -> Vec<u8> {
    let said = wire::encode(said).unwrap();
    let len = u32::try_from(said.len()).unwrap().to_le_bytes();
    [&len[..], &said].concat()
}

impl Raw {
    pub fn new(waters: &Waters, own: usize) -> Self {
        Self { harbour: waters.harbour_that_knows(&name(own), &[]) }
    }

    /// Opens a lane, and says something on it; `None` if it is not taken. Who calls this node is not
    /// answered.
    pub async fn open(&self, to: usize, lane: Lane, first: Vec<u8>) -> Option<End> {
        let (says, said) = mpsc::unbounded_channel();
        says.send(first.into()).unwrap();
        let outgoing = stream::unfold(said, |mut said| async move {
            said.recv().await.map(|bytes: Bytes| (bytes, said))
        });
        let open = self.harbour.open(&name(to), lane, outgoing.boxed());
        let hears = tokio::time::timeout(PATIENCE, open).await.ok()?.ok()?.incoming;
        Some(End { says, hears, heard: Vec::new() })
    }

    /// Greets a node, and opens both lanes if it is welcome.
    pub async fn greet(&self, to: usize, hello: Hello<'static>) -> Result<(End, End), Refused> {
        let link = hello.link;
        let greeting = frame(&Control::Hello(hello));
        let mut control = self.open(to, Lane::Control, greeting).await.unwrap();
        let answer = control.hear().await.unwrap();
        match wire::decode_first::<Control<'_>>(&answer).unwrap().0 {
            Control::Welcome(_) => {
                let attach = frame(&Data::Attach { link });
                Ok((control, self.open(to, Lane::Data, attach).await.unwrap()))
            }
            Control::Refused(refused) => Err(refused),
            other => panic!("{other:?} for a welcome"),
        }
    }
}

impl End {
    pub fn say(&self, bytes: Vec<u8>) {
        let _closed = self.says.send(bytes.into());
    }

    /// The next frame, or `None` when the other end has closed the lane.
    pub async fn hear(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some((length, rest)) = self.heard.split_first_chunk::<4>() {
                let len = u32::from_le_bytes(*length) as usize;
                if let Some(said) = rest.get(..len).map(<[u8]>::to_vec) {
                    self.heard.drain(..4 + len);
                    return Some(said);
                }
            }
            let more = tokio::time::timeout(PATIENCE, self.hears.next()).await;
            self.heard.extend(more.expect("it says something, or ends")?.ok()?);
        }
    }

    /// All that it says until it says nothing for a moment.
    pub async fn hear_all(&mut self) -> Vec<Vec<u8>> {
        let mut said = Vec::new();
        while let Ok(Some(frame)) = tokio::time::timeout(MOMENT, self.hear()).await {
            said.push(frame);
        }
        said
    }

    /// Whether the other end ends the lane within a moment.
    pub async fn ends(&mut self) -> bool {
        let ending = async { while let Some(Ok(_)) = self.hears.next().await {} };
        tokio::time::timeout(MOMENT, ending).await.is_ok()
    }
}
