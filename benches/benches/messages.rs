//! tell and ask: genii through addresses, beside raw ractor and kameo doing the same work.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use genii_benches::agents::{self, AddOne, Increment};
use genii_benches::{Contender, compare};
use genii_runtime::Mail;
use genii_supervision::SupervisorHandle;
use tokio::runtime::Runtime;

const TELLS: u64 = 1_000_000;
const ASKS: u64 = 200_000;
const CAPACITY: usize = 1_000;

struct Raw;

enum RawMessage {
    Increment(u64),
    AddOne(u64, ractor::RpcReplyPort<u64>),
}

impl ractor::Actor for Raw {
    type Msg = RawMessage;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ractor::ActorRef<RawMessage>,
        (): (),
    ) -> Result<u64, ractor::ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ractor::ActorRef<RawMessage>,
        message: RawMessage,
        sum: &mut u64,
    ) -> Result<(), ractor::ActorProcessingErr> {
        match message {
            RawMessage::Increment(by) => *sum += by,
            RawMessage::AddOne(to, reply) => drop(reply.send(to + 1)),
        }
        Ok(())
    }
}

#[derive(kameo::Actor)]
struct Kameo(u64);

impl kameo::message::Message<Increment> for Kameo {
    type Reply = ();

    async fn handle(
        &mut self,
        Increment(by): Increment,
        _: &mut kameo::message::Context<Self, ()>,
    ) {
        self.0 += by;
    }
}

impl kameo::message::Message<AddOne> for Kameo {
    type Reply = u64;

    async fn handle(
        &mut self,
        AddOne(to): AddOne,
        _: &mut kameo::message::Context<Self, u64>,
    ) -> u64 {
        to + 1
    }
}

struct Peers {
    mail: Mail,
    raw: ractor::ActorRef<RawMessage>,
    kameo: kameo::actor::ActorRef<Kameo>,
    _house: SupervisorHandle,
}

async fn peers() -> Peers {
    use kameo::actor::Spawn;
    let (node, house) = agents::house().await;
    let address = agents::counter(&node, &house, "counter").await;
    Peers {
        mail: node.to(&address),
        raw: ractor::Actor::spawn(None, Raw, ()).await.unwrap().0,
        kameo: Kameo::spawn_with_mailbox(Kameo(0), kameo::mailbox::bounded(CAPACITY)),
        _house: house,
    }
}

/// Runs on a worker of the runtime, as an agent would.
fn timed<F>(runtime: &Runtime, work: F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let began = Instant::now();
    runtime.block_on(async { tokio::spawn(work).await.unwrap() });
    began.elapsed()
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let Peers { mail, raw, kameo, _house } = runtime.block_on(peers());

    let contenders = vec![
        Contender::new("genii, bounded mailbox", || {
            let mail = mail.clone();
            timed(&runtime, async move {
                for _ in 0..TELLS {
                    mail.tell(Increment(1)).await.unwrap();
                }
                mail.ask(AddOne(1)).await.unwrap();
            })
        }),
        Contender::new("ractor, unbounded", || {
            let raw = raw.clone();
            timed(&runtime, async move {
                for _ in 0..TELLS {
                    raw.cast(RawMessage::Increment(1)).unwrap();
                }
                ractor::call!(raw, RawMessage::AddOne, 1).unwrap();
            })
        }),
        Contender::new("kameo, bounded mailbox", || {
            let kameo = kameo.clone();
            timed(&runtime, async move {
                for _ in 0..TELLS {
                    kameo.tell(Increment(1)).await.unwrap();
                }
                kameo.ask(AddOne(1)).await.unwrap();
            })
        }),
    ];
    compare("tell", TELLS, contenders);

    let contenders = vec![
        Contender::new("genii, always with a deadline", || {
            let mail = mail.clone();
            timed(&runtime, async move {
                for n in 0..ASKS {
                    mail.ask(AddOne(n)).await.unwrap();
                }
            })
        }),
        Contender::new("ractor, with a timeout", || {
            let raw = raw.clone();
            timed(&runtime, async move {
                for n in 0..ASKS {
                    ractor::call_t!(raw, RawMessage::AddOne, 5_000, n).unwrap();
                }
            })
        }),
        Contender::new("ractor, without one", || {
            let raw = raw.clone();
            timed(&runtime, async move {
                for n in 0..ASKS {
                    ractor::call!(raw, RawMessage::AddOne, n).unwrap();
                }
            })
        }),
        Contender::new("kameo, without one", || {
            let kameo = kameo.clone();
            timed(&runtime, async move {
                for n in 0..ASKS {
                    kameo.ask(AddOne(n)).await.unwrap();
                }
            })
        }),
    ];
    compare("ask, one after another", ASKS, contenders);
}
