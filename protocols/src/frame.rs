//! What nodes say to each other on a link; its bytes are pinned by `tests/golden`.
//!
//! A link has two lanes. On the [control](Control) lane nodes greet each other, say that they are
//! alive, and tell how their agents stand. On the [data](Data) lane messages travel. A lane carries
//! batches, and a batch is frames one after another.
//!
//! What is said often is said once and has a number from then on: the address of a receiver or a
//! sender, and the name of a message. Each end numbers what it sends.

mod brief;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use self::brief::{Brief, BriefReply, Head};
use crate::{Cause, Fault, TraceContext};

/// The oldest version of this that is understood.
///
/// Each node says in its greeting from which version to which it understands; two nodes speak the
/// newest that both do. A node understands the version before its own as well: what is new in a
/// version is said to those alone that understand it, and new frames come last in their enum. So
/// machines can be brought up to date one after another. Whoever has no version in common is
/// [refused](Refused::Version), and told why. For that, greetings and refusals keep their form in
/// all versions; a greeting may become longer at its end, and what comes after what is known of it
/// is not heeded.
pub const OLDEST: u16 = 1;

/// The newest version of this that is understood: its own.
pub const NEWEST: u16 = 2;

/// From which version on [`Control::Draining`] and [`Data::Settled`] are understood.
pub const DRAINING_SINCE: u16 = 2;

/// The largest payload in one frame, in bytes. What is larger travels in [parts](Data::Part).
pub const PAYLOAD_MAX_LEN: usize = 64 << 10;

/// How many texts may have a number.
pub const NAMES_MAX: usize = 1 << 18;

/// The longest text that may have a number, in bytes.
pub const NAME_MAX_LEN: usize = 256;

/// What one message takes of a credit at most. What is left of it may be with the receiver, who gives
/// it back a quarter at a time.
pub const COST_MAX: u32 = CREDIT_MAX / 4 * 3;

/// How many bytes may be under way in parts at a time.
pub const PARTS_MAX_LEN: usize = 128 << 20;

/// How much may be on its way to one receiver, in [costs](Letter::cost): about 4,000 small messages
/// or 1 MiB.
pub const CREDIT_MAX: u32 = 4_096;

/// What one item of a stream takes of the credit of that stream at least: 64 items may be on their
/// way, or 1 MiB.
pub const ITEM_COST_MIN: u32 = CREDIT_MAX / 64;

/// How much of what was published may be on its way to one node, in [costs](Letter::cost).
pub const PUBLISHED_MAX: u32 = 4_096;

/// A frame of the control lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control<'a> {
    /// The first frame of who calls.
    #[serde(borrow)]
    Hello(Hello<'a>),
    /// The first frame of who was called: the link may be.
    Welcome(Hello<'a>),
    /// The first and last frame of who was called: it may not.
    Refused(Refused),
    /// Say that you are alive.
    Ping(u64),
    /// It is, as of that ping.
    Pong(u64),
    /// How some agents of the sender stand.
    Standings {
        /// From here on all agents are told of, until [`Control::AllTold`].
        is_first: bool,
        /// Each agent.
        agents: Vec<Stand<'a>>,
    },
    /// The sender leaves, and is not to be waited for.
    Goodbye,
    /// Which list of the expelled the sender has.
    Expulsions(u64),
    /// That list, as the authority of the household has signed it.
    Expelled(&'a [u8]),
    /// Which agents of the sender are in which groups.
    Groups {
        /// What it is of all that the sender has to tell of them.
        told: Told,
        /// Each agent in each group.
        members: Vec<Joined<'a>>,
    },
    /// To what there are subscribers at the sender.
    Patterns {
        /// What it is of all that the sender has to tell of them.
        told: Told,
        /// Each pattern.
        patterns: Vec<Wanted<'a>>,
    },
    /// All agents were told of since the last [`Control::Standings`] that was the first; who was
    /// not is gone.
    AllTold,
    /// Where other nodes are, as the sender knows.
    Places(Vec<Place<'a>>),
    /// The sender is about to leave: what has a stand-in elsewhere is to go there from now on.
    Draining,
}

/// What a frame is of a table that its sender tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// All that there is follows, under this number, which is greater than those before.
    First(u64),
    /// How some of it stands now.
    News,
    /// All that there is has been told since the first of this number; what was not is no more.
    Last(u64),
}

/// An agent in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined<'a> {
    /// The group.
    pub group: Cow<'a, str>,
    /// The address of the agent.
    pub address: Cow<'a, str>,
    /// Which life of it.
    pub incarnation: u64,
    /// How many times it has joined; zero if it is no member any more.
    pub times: u32,
}

/// A pattern to which there are subscribers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted<'a> {
    /// The pattern.
    pub pattern: Cow<'a, str>,
    /// How many subscribers there are; zero if there are none any more.
    pub subscribers: u32,
}

/// Where a node is. Whoever is found there proves who it is by its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place<'a> {
    /// The node's name.
    pub node: Cow<'a, str>,
    /// Where it listens, as `host:port`.
    pub places: Vec<Cow<'a, str>>,
}

/// Who a node is. Its name is not in it: that comes from its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// The oldest and the newest version that it understands.
    pub versions: (u16, u16),
    /// Which life of it; a later one has a greater number.
    pub incarnation: u64,
    /// Names the link, so that its lanes find each other.
    pub link: u64,
    /// The life of the other that it has seen end, if any. It wants a later one.
    pub ended: Option<u64>,
    /// Where it listens, as `host:port`.
    pub places: Vec<Cow<'a, str>>,
    /// What its messages look like: for each that its kinds of agents answer, its name and the
    /// [digest](crate::MessageInfo::digest) of its form.
    pub messages: Vec<(Cow<'a, str>, u64)>,
}

/// Why a node does not want a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// There is no version that both understand: the oldest and the newest of who refuses.
    #[error("it speaks link versions {0} to {1}, and this node {OLDEST} to {NEWEST}")]
    Version(u16, u16),
    /// This life of the caller was seen to end; it must begin another after it.
    #[error("it has seen incarnation {0} of this node end")]
    Ended(u64),
    /// Both called each other, and the other call counts.
    #[error("both called at once")]
    Crossed,
    /// It is leaving.
    #[error("it is leaving")]
    Leaving,
}

/// How an agent stands, for who is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand<'a> {
    /// Its address.
    pub address: Cow<'a, str>,
    /// Which life of it.
    pub incarnation: u64,
    /// How it stands.
    pub standing: Standing,
    /// What lies behind that; of one that is ready, [`SUSPENDED`] if it is suspended, and [`ASLEEP`] if it sleeps.
    pub detail: Cow<'a, str>,
}

/// What lies behind the standing of an agent that is suspended. Earlier versions tell nothing of one that is
/// ready, and heed nothing that is told of it.
pub const SUSPENDED: &str = "suspended";

/// What lies behind the standing of an agent that sleeps: it takes messages, and wakes at the next. As with
/// [`SUSPENDED`], earlier versions know nothing of it.
pub const ASLEEP: &str = "asleep";

/// How an agent stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It will come.
    Coming,
    /// It takes messages.
    Ready,
    /// It takes messages, and lacks something.
    Degraded,
    /// It has failed, and will be restarted.
    Down,
    /// It does not run, and will not by itself.
    Stopped,
    /// It has done its work.
    Completed,
    /// It has failed too often.
    Quarantined,
    /// It is forgotten.
    Gone,
}

/// A frame of the data lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Data<'a> {
    /// The first frame of who calls: which link this lane is of.
    Attach {
        /// As in its [`Hello`].
        link: u64,
    },
    /// A text that has a number from now on: an address, or the name of a message. The first has
    /// the number zero, and each the next.
    Name(&'a str),
    /// A message without an answer.
    Tell(#[serde(borrow)] Letter<'a>),
    /// A message that wants one answer.
    Ask {
        /// Ties the answer to it.
        correlation: u64,
        /// The message.
        #[serde(borrow)]
        letter: Letter<'a>,
    },
    /// The answer.
    Reply {
        /// As it was asked.
        correlation: u64,
        /// A reply or a refusal, in the form in which was asked.
        #[serde(borrow)]
        answer: Payload<'a>,
    },
    /// What takes the place of an answer.
    Failed {
        /// As it was asked.
        correlation: u64,
        /// Why.
        fault: Box<Fault>,
    },
    /// So much more may be sent to a receiver.
    Credit {
        /// The receiver, by the number that the sender gave it.
        to: u32,
        /// How much, in [costs](Letter::cost).
        cost: u32,
    },
    /// The parts of this number are given up.
    Abandon {
        /// As in [`Data::Part`].
        id: u32,
    },
    /// A part of something that is too large for one frame, which comes when all parts have.
    Part {
        /// Ties the parts together.
        id: u32,
        /// The bytes.
        #[serde(borrow, with = "serde_bytes")]
        bytes: &'a [u8],
    },
    /// A message that wants many answers. Its last is a [`Data::Reply`] or [`Data::Failed`].
    Stream {
        /// Ties the answers to it.
        correlation: u64,
        /// The message.
        #[serde(borrow)]
        letter: Letter<'a>,
    },
    /// One of many answers.
    Item {
        /// As it was asked.
        correlation: u64,
        /// An item, in the form in which was asked.
        #[serde(borrow)]
        item: Payload<'a>,
    },
    /// So much more of many answers may be sent.
    More {
        /// As it was asked.
        correlation: u64,
        /// How much, in [costs](Letter::cost) of [`ITEM_COST_MIN`] at least.
        cost: u32,
    },
    /// Nobody waits for the answer any more, or wants the rest of many.
    Forget {
        /// As it was asked.
        correlation: u64,
    },
    /// The end of the life that is behind an address now is to be told.
    Watch {
        /// Ties what is told to it.
        watch: u64,
        /// The address, by number.
        to: u32,
        /// Where that life is to end too if the one that watches does: whose life that is, by number,
        /// and which.
        from: Option<(u32, u64)>,
    },
    /// It need not be told any more.
    Unwatch {
        /// As in [`Data::Watch`].
        watch: u64,
    },
    /// A life that was watched has ended, or is not there.
    Ended {
        /// As in [`Data::Watch`].
        watch: u64,
        /// Which life; zero if there was none.
        incarnation: u64,
        /// Why it ended.
        cause: Box<Cause>,
        /// Whether it ended otherwise than in good order.
        is_abnormal: bool,
    },
    /// A life has ended that watched, and to which the watched one is linked.
    Broke {
        /// As in [`Data::Watch`].
        watch: u64,
        /// Why it ended.
        cause: Box<Cause>,
        /// Whether it ended otherwise than in good order.
        is_abnormal: bool,
    },
    /// Something published, for whoever has subscribed at the receiver.
    Published(#[serde(borrow)] Publication<'a>),
    /// So much of what was published has been handed to those who had subscribed.
    Distributed {
        /// How much, in [costs](Letter::cost).
        cost: u32,
    },
    /// An admin command for the receiver, which is answered as a [`Data::Stream`] in JSON is.
    Run {
        /// Ties the answers to it.
        correlation: u64,
        /// The command, as JSON text.
        #[serde(borrow)]
        command: Payload<'a>,
    },
    /// The sender has heeded [`Control::Draining`], and none of the questions waits for an answer
    /// that it had asked before. It comes after whatever was told before.
    Settled,
}

/// Something published, on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication<'a> {
    /// What it is about.
    pub topic: &'a str,
    /// Who published it, when an agent did: its address by number, and which life of it.
    pub from: Option<(u32, u64)>,
    /// The trace that it is part of.
    pub trace: Option<TraceContext>,
    /// JSON text, or the parts that it is in.
    #[serde(borrow)]
    pub payload: Payload<'a>,
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter<'a> {
    /// Where it goes, by number.
    pub to: u32,
    /// Its name, by number.
    pub message: u32,
    /// Who sent it, when an agent did: its address by number, and which life of it.
    pub from: Option<(u32, u64)>,
    /// How many microseconds are left.
    pub deadline: Option<u64>,
    /// The trace that it is part of.
    pub trace: Option<TraceContext>,
    /// Whether it is JSON text.
    pub is_json: bool,
    /// The message, or the parts that it is in.
    #[serde(borrow)]
    pub payload: Payload<'a>,
}

impl Letter<'_> {
    /// What a message of so many bytes takes of its receiver's credit.
    pub fn cost(payload_len: usize) -> u32 {
        let cost = 1 + payload_len / 256;
        u32::try_from(cost).map_or(COST_MAX, |cost| cost.min(COST_MAX))
    }
}

/// The bytes of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload<'a> {
    /// All of them.
    Whole(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Those that came in parts of this number.
    Parts(u32),
}
