//! Watching what happens: the journal, as far as a caller may see it.

use std::sync::Arc;
use std::time::SystemTime;

use genii_protocols::api::{WatchReply, WatchRequest, watch_reply::Said};
use genii_protocols::{Address, Name, api};
use genii_supervision::journal::Follow;
use genii_supervision::{Event, Tree};
use tonic::Status;

use super::caller::Caller;
use super::said::Mouth;
use crate::House;

/// How many events are taken out of the journal at a time.
const PAGE_LEN: usize = 100;

/// What a caller watches.
pub(super) struct Watching {
    tree: Arc<Tree>,
    caller: Caller,
    /// An agent or a group; nothing for all.
    name: String,
    /// The number of the next event to look at.
    next: u64,
    /// The last event that was there when this began.
    last: u64,
    /// Tells when there is more, where that is wanted.
    follow: Option<Follow>,
}

impl Watching {
    /// Begins to watch, so that nothing is missed from now on.
    ///
    /// # Errors
    /// When there is no such agent or group, or it is beyond the caller.
    pub(super) fn begin(
        house: &House,
        caller: &Caller,
        request: WatchRequest,
    ) -> Result<Self, Status> {
        let WatchRequest { name, from, follow } = request;
        check(house, caller, &name)?;
        let tree = house.node().tree().clone();
        let follow = follow.then(|| tree.journal.follow());
        let last = tree.journal.last();
        let next = match (from, &follow) {
            (0, Some(_)) => last + 1,
            (from, _) => from,
        };
        Ok(Self { tree, caller: caller.clone(), name, next, last, follow })
    }

    fn concerns(&self, event: &Event) -> bool {
        let key = event.key.as_str();
        let is_of_group = || key.split_once('/').is_some_and(|(group, _)| group == self.name);
        (self.name.is_empty() || key == self.name || is_of_group()) && self.caller.sees(key)
    }

    /// Tells what is watched, no faster than it is read. Who reads so slowly that the journal forgets
    /// what comes next is told how much that was.
    pub(super) async fn tell(mut self, mouth: Mouth<WatchReply>) -> Result<(), Status> {
        loop {
            let page = self.tree.journal.from(self.next, PAGE_LEN);
            for event in &page {
                // Who begins at the beginning is told only what there is. Notes may have gone from the midst.
                let gap = event.seq.saturating_sub(self.next);
                if gap > 0 && self.next > 0 {
                    mouth.say(missed(gap)).await?;
                }
                if self.follow.is_none() && event.seq > self.last {
                    return Ok(());
                }
                self.next = event.seq + 1;
                if self.concerns(event) {
                    mouth.say(happened(event, &self.caller)).await?;
                }
            }
            match &mut self.follow {
                _ if !page.is_empty() => {}
                None => return Ok(()),
                // What it tells of is read out of the journal, which forgets later.
                Some(follow) => {
                    if follow.next().await.is_none() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Whether there is such an agent or group, and the caller may see it.
fn check(house: &House, caller: &Caller, name: &str) -> Result<(), Status> {
    if name.is_empty() {
        return Ok(());
    }
    let parsed = match name.contains('/') {
        true => Address::parse(name).map(drop),
        false => Name::new(name).map(drop),
    };
    parsed.map_err(|error| Status::invalid_argument(error.to_string()))?;
    caller.check_sight(name)?;
    let is_there =
        house.node().tree().board.view(name).is_some() || house.topology().group(name).is_some();
    match is_there {
        true => Ok(()),
        false => Err(Status::not_found(format!("there is no agent or group {name} here"))),
    }
}

fn missed(count: u64) -> WatchReply {
    WatchReply { said: Some(Said::Missed(count)) }
}

/// An event, with its text if that is about nobody whom the caller does not reach.
fn happened(event: &Event, caller: &Caller) -> WatchReply {
    let text = event.what.to_string();
    let at = event.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let event = api::Event {
        seq: event.seq,
        at_unix_ms: at.as_millis().try_into().unwrap_or(i64::MAX),
        name: event.key.to_string(),
        incarnation: event.incarnation,
        what: event.what.word().to_owned(),
        text: if caller.may_read(&text) { text } else { String::new() },
    };
    WatchReply { said: Some(Said::Event(event)) }
}
