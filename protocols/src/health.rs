//! What is said to `pc2-core/health-monitor`: rounds of checks, their history, and objectives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::twin::UnknownAgent;
use crate::{Address, TimeSpan, Timestamp, message};

/// Check one agent, or all of them, now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct CheckHealth {
    /// Which agent; all if it does not say.
    #[serde(default)]
    pub address: Option<Address>,
}
message!(CheckHealth = "health.check" -> HealthRound, refused by UnknownAgent);

/// A round of checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthRound {
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: TimeSpan,
    /// What was found, by address.
    pub checks: Vec<HealthCheck>,
}

/// What was found of one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheck {
    /// Which agent.
    pub address: Address,
    /// When.
    pub at: Timestamp,
    /// How it is.
    pub health: HealthState,
    /// What lies behind that.
    pub detail: Option<String>,
    /// How many milliseconds it took to look up from its work and answer.
    pub answered_in_ms: Option<f64>,
}

/// How an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// As it should be.
    Well,
    /// It works, but not as it should.
    Degraded,
    /// It says itself that it does not do its work.
    Ill,
    /// It runs, and does not look into its mailbox.
    Unresponsive,
    /// It does not run, and should.
    Down,
    /// It is not to run: somebody stopped it, or it has done its work. Does not count against it.
    Off,
}

/// Show how every agent has been.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ShowHealth {}
message!(ShowHealth = "health.show" -> HealthReport);

/// How every agent has been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReport {
    /// How many rounds there have been.
    pub rounds: u64,
    /// When the last was.
    pub last_round: Option<Timestamp>,
    /// Every agent, those that fall short first.
    pub agents: Vec<AgentHealth>,
}

/// How one agent has been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentHealth {
    /// What was found last.
    pub last: HealthCheck,
    /// What it is held to.
    pub objective: Objective,
    /// The share of checks within the objective's window that found it working; 0 to 1.
    pub availability: Option<f64>,
    /// The share of the failures that the objective allows which are not used up; negative when it
    /// falls short.
    pub budget_left: Option<f64>,
    /// Whether it meets its objective.
    pub meets_objective: bool,
}

/// What an agent is held to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Objective {
    /// The share of checks that must find it working; above 0, below 1.
    pub target: f64,
    /// The time over which that is counted.
    pub window: TimeSpan,
}

/// Show the last checks of one agent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ShowHealthHistory {
    /// Which agent.
    pub address: Address,
    /// At most so many; 20 if it does not say.
    #[serde(default)]
    pub limit: Option<u32>,
}
message!(ShowHealthHistory = "health.history" -> HealthHistory, refused by UnknownAgent);

/// The last checks of one agent, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthHistory {
    /// The checks.
    pub checks: Vec<HealthCheck>,
}

/// Hold an agent, or all that have no objective of their own, to an objective.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SetObjective {
    /// Which agent; all others if it does not say.
    #[serde(default)]
    pub address: Option<Address>,
    /// What it is held to.
    pub objective: Objective,
}
message!(SetObjective = "health.set_objective" -> (), refused by BadObjective);

/// An objective that nothing can be held to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{why}")]
pub struct BadObjective {
    /// What is wrong with it.
    pub why: String,
}
