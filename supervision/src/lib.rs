//! Who watches whom in a genii household.
//!
//! OTP's supervisors in full, on ractor actors, and what OTP lacks: a dependency graph over the
//! tree, readiness apart from being started, backoff, quarantine, stand-ins, and a state called
//! degraded that has a reason. `docs/supervision.md` is the contract in prose and lists which of
//! OTP's own test cases hold here.
//!
//! | module | what it holds |
//! |---|---|
//! | [`spec`] | what is declared about children and supervisors |
//! | [`start`] | how a child comes to life, says that it is ready, and is told of its needs |
//! | [`supervisor`] | the supervisor as a ractor actor, and the handle to command it |
//! | [`tree`] | what the supervisors of one tree share |
//! | [`status`] | the ways in which a child may stand |
//! | [`board`] | how every child stands, who depends on whom |
//! | [`journal`], [`crash`] | what happened, and why |
//! | [`exit`] | why an actor ended |
//! | [`graph`] | waves, critical path, cycles and the smallest cut, of any graph |
//! | `core` | what a supervisor decides, free of tokio and ractor |

mod backoff;
pub mod board;
mod core;
pub mod crash;
pub mod exit;
pub mod graph;
pub mod journal;
pub mod spec;
pub mod start;
pub mod status;
pub mod supervisor;
pub mod tree;

pub use board::{Board, Change, Taken, View};
pub use core::{ChildError, ChildInfo, Counts, KILL_GRACE, StartedChild};
pub use crash::CrashReport;
pub use exit::{Exit, ExitReason, Failure, FailureKind};
pub use journal::{Event, Journal, StopWhy, What};
pub use spec::{
    AutoShutdown, Backoff, ChildKind, ChildPolicy, ChildSpec, Edges, GiveUp, Intensity, Key,
    Restart, Shutdown, SpecError, StartOrder, Strategy, SupervisorFlags, SupervisorSpec,
};
pub use start::{Control, NeedChange, Place, Report, Start, StartError, Started};
pub use status::{Standing, Status};
pub use supervisor::{Supervisor, SupervisorHandle};
pub use tree::{Observer, Tree, TreeOptions};
