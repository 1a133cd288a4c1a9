//! Links: agents that tie their lives to those of others, and what must be true of their ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use genii_protocols::{Address, Never, message};
use genii_runtime::{Context, Handle};
use genii_supervision::journal::What;
use genii_supervision::{Event, Failure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::agent::{BROKEN, Break, Worker, log};
use crate::log::Log;
use crate::machine::{Machine, address};
use crate::script::{AGENTS, millis};

/// The agent of each node that links itself to others.
pub const LINKER: usize = 1;

/// What the end of a life says that was ended by a link, after whose end it was.
const LINKED: &str = ", to which it is linked, has ended";

/// How long it may take until the end of a life has ended those that are linked to it on another node.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tie your life to the one that is behind an address now.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tie {
    pub address: String,
}
message!(Tie = "worker.tie" -> ());

/// Be tied to nobody any more by your own doing; say which life you are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Untie {}
message!(Untie = "worker.untie" -> u64);

/// What is known of those who are linked.
#[derive(Default)]
pub struct Ties {
    /// Whom each life has tied itself to, in all its time; and whose life that is.
    tied: BTreeMap<u64, BTreeSet<Address>>,
    linkers: BTreeMap<u64, Address>,
    /// Who has failed by itself, in any of its lives.
    broken: BTreeSet<Address>,
    /// Who was ended by a link, and what is said of it.
    ended: Vec<(Address, Failure)>,
}

impl Ties {
    fn ties(&mut self, life: u64, own: &Address, to: Address) {
        self.linkers.insert(life, own.clone());
        self.tied.entry(life).or_default().insert(to);
    }

    /// Whether some life of one has tied itself to the other.
    fn has_tied(&self, one: &Address, other: &Address) -> bool {
        let of_it = |(life, to): (&u64, &BTreeSet<Address>)| {
            self.linkers.get(life) == Some(one) && to.contains(other)
        };
        self.tied.iter().any(of_it)
    }

    /// An event of the journal of a node.
    pub fn reads(&mut self, event: &Event) {
        let (What::Crashed { failure }, Ok(own)) =
            (&event.what, Address::parse(event.key.as_str()))
        else {
            return;
        };
        if failure.message.contains(LINKED) {
            self.ended.push((own, (**failure).clone()));
        } else if failure.message.contains(BROKEN) {
            self.broken.insert(own);
        }
    }

    /// Whoever was ended by a link was linked, and the reason that is given for it is true.
    pub fn are_true(&self) {
        for (own, failure) in &self.ended {
            let (other, _) = failure.message.split_once(LINKED).expect("it was looked for");
            let other = Address::parse(other).expect("it names an address");
            let are_tied = self.has_tied(own, &other) || self.has_tied(&other, own);
            assert!(are_tied, "{own} was never linked to {other}: {failure}");
            let why = failure.chain.join(": ");
            let is_true = match () {
                () if why.contains(BROKEN) => self.broken.contains(&other),
                () if why.contains(LINKED) => self.ended.iter().any(|(ended, _)| *ended == other),
                // Its node is gone for this one, or there was no such life, which who ties itself
                // hears alone.
                () if why.contains("cannot be reached") => true,
                () => why.contains("there is no such life") && self.has_tied(own, &other),
            };
            assert!(is_true, "{own} was ended by {other}, which is not true: {failure}");
        }
    }
}

impl Handle<Tie> for Worker {
    async fn handle(&mut self, tie: Tie, context: &mut Context) -> Result<(), Never> {
        let (to, life) = (Address::parse(&tie.address).unwrap(), self.life);
        log().note(format_args!("{life} ties itself to {to}"));
        log().ties(|ties| ties.ties(life, context.address(), to.clone()));
        self.ties.push(context.link(&to));
        Ok(())
    }
}

impl Handle<Untie> for Worker {
    async fn handle(&mut self, _: Untie, context: &mut Context) -> Result<u64, Never> {
        let life = self.life;
        self.ties.drain(..).for_each(|tie| context.unwatch(tie));
        log().note(format_args!("{life} is tied to nobody by its own doing"));
        Ok(life)
    }
}

impl Machine {
    /// Its linker is to tie itself to an agent. Whether it does is of no interest.
    pub fn tie(&self, to: &Address) {
        let (mail, tie) = (self.linker(), Tie { address: to.to_string() });
        tokio::spawn(async move { drop(mail.ask_within(tie, millis(500)).await) });
    }

    /// It is to be tied to nobody.
    pub fn untie(&self) {
        let mail = self.linker();
        tokio::spawn(async move { drop(mail.ask_within(Untie {}, millis(500)).await) });
    }

    fn linker(&self) -> genii_runtime::Mail {
        self.node.to(address((self.which.0, LINKER)))
    }

    /// How an agent was ended by a link since an event, if it was.
    fn ended_since(&self, seq: u64, agent: &Address) -> Option<Failure> {
        let events = self.node.tree().journal.from(seq + 1, usize::MAX);
        events.into_iter().find_map(|event| match &event.what {
            What::Crashed { failure } if event.key.as_str() == agent.as_str() => {
                Some((**failure).clone())
            }
            _ => None,
        })
    }
}

/// The linker of a node ties itself to an agent of another; then either of the two fails, and the other
/// ends with it, with the true cause. All see all when this is called.
pub async fn ends_with_the_other(one: &Machine, other: &Machine, whose: usize, linker_fails: bool) {
    let (linker, to) = (address((one.which.0, LINKER)), address((other.which.0, whose)));
    tie(one, &to).await;
    let (fails, ends) = if linker_fails { (&linker, &to) } else { (&to, &linker) };
    let on = if linker_fails { other } else { one };
    let since = on.node.tree().journal.last();
    one.node.to(fails.clone()).ask(Break {}).await.unwrap_err();
    let began = Instant::now();
    let failure = loop {
        if let Some(failure) = on.ended_since(since, ends) {
            break failure;
        }
        assert!(began.elapsed() < PATIENCE, "{ends} does not end with {fails}");
        tokio::time::sleep(millis(10)).await;
    };
    let is_named = failure.message == format!("{fails}{LINKED}");
    assert!(is_named && failure.chain.join(": ").contains(BROKEN), "{ends} ended so: {failure}");
}

/// The linker of a node that is tied to an agent of another is none the worse when a person stops that.
pub async fn bears_a_stop(one: &Machine, other: &Machine) {
    let to = address((other.which.0, AGENTS.len() - 1));
    let life = tie(one, &to).await;
    other.house.stop(to.as_str()).await.unwrap();
    tokio::time::sleep(millis(50)).await;
    assert_eq!(one.linker().ask(Untie {}).await.unwrap(), life, "its life goes on");
    other.house.start(to.as_str()).await.unwrap();
}

/// Whom the linker of a node has let go of ends without it, and it without that.
pub async fn bears_whom_it_let_go(one: &Machine, other: &Machine, whose: usize) {
    let (linker, to) = (address((one.which.0, LINKER)), address((other.which.0, whose)));
    let life = tie(one, &to).await;
    assert_eq!(one.linker().ask(Untie {}).await.unwrap(), life);
    // Until the other end has heard of it.
    tokio::time::sleep(millis(50)).await;
    for (fails, bears, on) in [(&to, &linker, one), (&linker, &to, other)] {
        let since = on.node.tree().journal.last();
        one.node.to(fails.clone()).ask(Break {}).await.unwrap_err();
        tokio::time::sleep(millis(50)).await;
        let ended = on.ended_since(since, bears);
        assert!(ended.is_none(), "{bears} ended with {fails}: {ended:?}");
        until_ready(one, other, fails).await;
    }
}

async fn until_ready(one: &Machine, other: &Machine, agent: &Address) {
    let began = Instant::now();
    while [one, other].iter().any(|machine| machine.state(agent) != Some("ready")) {
        assert!(began.elapsed() < PATIENCE * 5, "{agent} does not come back");
        tokio::time::sleep(millis(10)).await;
    }
}

/// Nobody is linked from now on: who ends takes nobody along.
pub async fn untie_all(machines: &[&Machine]) {
    for machine in machines {
        machine.linker().ask(Untie {}).await.unwrap();
    }
    // Until the others have heard of it.
    tokio::time::sleep(millis(50)).await;
}

/// Returns when the other end knows of it; the life that is tied.
async fn tie(one: &Machine, to: &Address) -> u64 {
    let linker = one.linker();
    let life = linker.ask(Untie {}).await.unwrap();
    linker.ask(Tie { address: to.to_string() }).await.unwrap();
    tokio::time::sleep(millis(50)).await;
    life
}

/// Looks at what the journal of a node says of ends.
pub fn read(log: &Log, machine: &Machine) {
    let events = machine.node.tree().journal.tail(usize::MAX, |_| true);
    log.ties(|ties| events.iter().for_each(|event| ties.reads(event)));
}
