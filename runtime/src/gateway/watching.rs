//! Watching what happens: the journal, as far as a caller may see it.

use std::sync::Arc;
use std::time::SystemTime;

use genii_protocols::api::{WatchReply, WatchRequest, watch_reply::Said};
use genii_protocols::{Address, Name, api};
use genii_supervision::journal::{Follow, Followed};
use genii_supervision::{Event, Journal};
use tonic::Status;

use super::caller::Caller;
use super::said::Mouth;
use crate::House;

/// What a caller watches.
pub(super) struct Watching {
    caller: Caller,
    /// An agent or a group; nothing for all.
    name: String,
    /// What has happened and is wanted.
    past: Vec<Arc<Event>>,
    /// How many of what is wanted are not kept any more.
    missed: u64,
    /// The last event that was there when this began.
    last: u64,
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
        let journal = &house.node().tree().journal;
        let follow = follow.then(|| journal.follow());
        // Numbers only rise: what comes after the look at the last one is seen by the follower too.
        let last = journal.last();
        let wants_past = from > 0 || follow.is_none();
        let mut watching =
            Self { caller: caller.clone(), name, past: Vec::new(), missed: 0, last, follow };
        if wants_past {
            watching.look_back(journal, from.max(1));
        }
        Ok(watching)
    }

    fn look_back(&mut self, journal: &Journal, from: u64) {
        let kept = journal.tail(usize::MAX, |event| event.seq >= from && event.seq <= self.last);
        let first = kept.first().map_or(self.last + 1, |event| event.seq);
        // Who begins at the beginning is told only what there is.
        self.missed = if from > 1 { first.saturating_sub(from) } else { 0 };
        self.past = kept.into_iter().filter(|event| self.concerns(event)).collect();
    }

    fn concerns(&self, event: &Event) -> bool {
        let key = event.key.as_str();
        let is_of_group = || key.split_once('/').is_some_and(|(group, _)| group == self.name);
        (self.name.is_empty() || key == self.name || is_of_group()) && self.caller.sees(key)
    }

    /// Tells what is watched.
    pub(super) async fn tell(mut self, mouth: Mouth<WatchReply>) -> Result<(), Status> {
        if self.missed > 0 {
            mouth.say(missed(self.missed)).await?;
        }
        for event in std::mem::take(&mut self.past) {
            mouth.say(happened(&event)).await?;
        }
        let Some(mut follow) = self.follow.take() else { return Ok(()) };
        loop {
            match follow.next().await {
                Some(Followed::Event(event)) if event.seq > self.last && self.concerns(&event) => {
                    mouth.say(happened(&event)).await?;
                }
                Some(Followed::Event(_)) => {}
                Some(Followed::Missed(count)) => mouth.say(missed(count)).await?,
                None => return Ok(()),
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

fn happened(event: &Event) -> WatchReply {
    let at = event.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let event = api::Event {
        seq: event.seq,
        at_unix_ms: at.as_millis().try_into().unwrap_or(i64::MAX),
        name: event.key.to_string(),
        incarnation: event.incarnation,
        what: event.what.word().to_owned(),
        text: event.what.to_string(),
    };
    WatchReply { said: Some(Said::Event(event)) }
}
