//! Streams: who asks for one, who answers it, and what must be true of it.

use std::time::Duration;

use genii_protocols::{AskError, message};
use genii_runtime::mail::Mail;
use genii_runtime::{Context, HandleStream, Outlet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::{Worker, log};
use crate::log::{Log, Outcome, Sent, Style};
use crate::script::millis;

/// Count from zero.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    pub id: u64,
    pub of: u64,
    pub gap_millis: u64,
    pub stays: bool,
}
message!(Count = "worker.count" -> u64, streams u64);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// How many items there are.
    pub of: u64,
    /// How long the agent takes for each.
    pub gap: Duration,
    /// After how many the asker goes; if there are fewer, it waits for the end.
    pub takes: u64,
    /// It has no end: after its items the agent waits until the asker goes.
    pub stays: bool,
}

/// Says in the log, when it goes, that the agent works at a stream no more, however that came.
struct Serving {
    log: Log,
    id: u64,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.log.served(self.id);
    }
}

impl HandleStream<Count> for Worker {
    async fn handle_stream(
        &mut self,
        count: Count,
        mut outlet: Outlet<Count>,
        context: &mut Context,
    ) {
        let (log, id) = (log(), count.id);
        log.handles(id, context.address());
        log.serves(id);
        let serving = Serving { log, id };
        context.spawn(async move {
            let _serving = serving;
            for number in 0..count.of {
                if count.gap_millis > 0 {
                    tokio::time::sleep(millis(count.gap_millis)).await;
                }
                if outlet.send(number).await.is_err() {
                    return;
                }
            }
            match count.stays {
                true => outlet.asker_gone().await,
                false => outlet.finish(Ok(id)).await,
            }
        });
    }
}

/// Asks for a stream, and takes from it what is wanted. Items that come in another order than that
/// of their numbers, or after the end, are a failure here and now.
pub async fn ask(mail: &Mail, log: &Log, id: u64, wanted: Wanted) -> Outcome {
    let Wanted { of, gap, takes, stays } = wanted;
    let gap_millis = u64::try_from(gap.as_millis()).unwrap();
    let mut answers = match mail.stream(Count { id, of, gap_millis, stays }).await {
        Ok(answers) => answers,
        Err(fault) => return Outcome::Failed(*fault),
    };
    for expected in 0..takes {
        let Some(item) = answers.next().await else {
            assert_eq!(answers.next().await, None, "{id} ends once");
            return match answers.finish().await {
                Ok(of) => Outcome::Answered(of),
                Err(AskError::Fault(fault)) => Outcome::Failed(*fault),
                Err(AskError::Refused(never)) => match never {},
            };
        };
        assert_eq!(item, expected, "{id}: its items come in order, each once");
        log.took(id);
    }
    Outcome::LetGo
}

/// What must be true of a stream when it has ended.
pub fn ended_well(id: u64, one: &Sent, times: usize) {
    let (Style::Stream(wanted), Some((_, outcome))) = (one.style, &one.ended) else { return };
    assert!(one.items == 0 || times == 1, "{id} has items and was not handled: {one:?}");
    match outcome {
        Outcome::Answered(_) => {
            assert!(one.items == wanted.of && !wanted.stays, "{id} ended too early: {one:?}");
        }
        Outcome::LetGo => assert_eq!(one.items, wanted.takes, "{id}: {one:?}"),
        _ => {}
    }
}
