//! How agents live in a genii household.
//!
//! A [`Node`] is everything that lives in one process. An [`Agent`] is hosted by one ractor actor,
//! which gives it a bounded mailbox, deadlines, timers, monitors, counters and a crash report, and
//! is reached by its address: [`Node::to`] and [`Mail`].

pub mod agent;
mod aside;
mod calling_off;
pub mod catalogue;
mod cause;
pub mod cluster;
pub mod context;
pub mod dead_letters;
mod deadlines;
mod directory;
pub mod gateway;
pub mod groups;
mod heard;
mod host;
pub mod house;
mod letter;
pub mod link;
pub mod logbook;
pub mod mail;
mod mailbox;
pub mod monitor;
mod nearest;
pub mod node;
pub mod nursery;
mod post;
pub mod process;
pub mod protocol;
pub mod relay;
pub mod reply;
mod ring;
pub mod scope;
pub mod stream;
pub mod topics;
pub mod topology;
pub mod trust;
mod untyped;
mod urgent;
mod vitals;
mod watchdog;

pub use agent::{Agent, Handle, HandleLater, HandleStream, Health};
pub use catalogue::Catalogue;
pub use context::{AtWork, Context, Ender, TimerId, Worker};
pub use dead_letters::{DeadLetter, DeadLetters, Grave};
pub use groups::{GroupEvent, GroupMember, GroupMonitor};
pub use house::{House, HouseError, Member};
pub use logbook::{LogLine, Logbook};
pub use mail::Mail;
pub use monitor::WatchId;
pub use nearest::nearest;
pub use node::{Limits, Node, NodeOptions, Unheard};
pub use nursery::{Nursery, NurserySettings, Tenancy};
pub use protocol::Protocol;
pub use relay::{Relay, Relays};
pub use reply::Promise;
pub use stream::{Answers, AskerGone, JsonAnswers, JsonNext, Outlet};
pub use topics::{Arrival, Heard, Publication, Subscription};
pub use urgent::Down;
pub use vitals::Counters;
