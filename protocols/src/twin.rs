//! What is said to `core/system-digital-twin`: the live model of the house.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Address, NodeName, message};

/// Describe every agent of the house as it stands now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct DescribeHouse {}
message!(DescribeHouse = "twin.describe_house" -> HouseModel);

/// The house as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HouseModel {
    /// The node that describes it.
    pub node: NodeName,
    /// Every agent, by address.
    pub agents: Vec<AgentModel>,
    /// The agents in the waves in which they start.
    pub waves: Vec<Vec<Address>>,
}

/// An agent as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentModel {
    /// Where it is reached.
    pub address: Address,
    /// What it is.
    pub kind: String,
    /// How it stands, in one word: `ready`, `degraded`, `down`, ...
    pub state: String,
    /// What lies behind the word.
    pub detail: Option<String>,
    /// For how many seconds it stands so.
    pub for_seconds: f64,
    /// Which life of it.
    pub incarnation: u64,
    /// How often it was restarted because it ended.
    pub restarts: u32,
    /// Whether the house cannot start without it.
    pub required: bool,
    /// Must be ready before it starts.
    pub needs: Vec<Address>,
    /// As needs, and it restarts with them.
    pub binds: Vec<Address>,
    /// Start before it.
    pub wants: Vec<Address>,
    /// Stands in for it.
    pub fallback: Option<Address>,
    /// Who needs, binds or wants it.
    pub needed_by: Vec<Address>,
    /// Messages that wait for it.
    pub depth: u64,
    /// Messages it has handled.
    pub handled: u64,
    /// How many milliseconds 99 of 100 of its handlers took at most.
    pub p99_ms: Option<f64>,
}

/// Describe one agent as it stands now.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DescribeAgent {
    /// Which agent.
    pub address: Address,
}
message!(DescribeAgent = "twin.describe_agent" -> AgentModel, refused by UnknownAgent);

/// There is no such agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{address} is not in this house{}", nearest.as_ref().map(|n| format!("; did you mean {n}?")).unwrap_or_default())]
pub struct UnknownAgent {
    /// The address that was asked for.
    pub address: Address,
    /// The one that was probably meant.
    pub nearest: Option<Address>,
}

/// Say what would stop, restart, degrade or fall back if some agents went. Touches nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WhatIf {
    /// The agents that go.
    pub goes: Vec<Address>,
    /// How they go.
    #[serde(default)]
    pub how: HowItGoes,
}
message!(WhatIf = "twin.what_if" -> Consequences, refused by UnknownAgent);

/// How an agent goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HowItGoes {
    /// It is stopped, and stays so.
    #[default]
    Stops,
    /// It crashes, and is restarted.
    Crashes,
}

/// What would follow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Consequences {
    /// Would stop and stay so: those that go, and those bound to them.
    pub stops: Vec<Consequence>,
    /// Would be restarted, by the strategy of their group or because they are bound.
    pub restarts: Vec<Consequence>,
    /// Would go on without something that they need, or with a stand-in for it.
    pub degrades: Vec<Consequence>,
    /// Would be stood in for.
    pub falls_back: Vec<Consequence>,
    /// How many agents would notice nothing.
    pub untouched: u64,
}

/// What would happen to one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Consequence {
    /// Which agent.
    pub address: Address,
    /// The chain from what goes to this agent.
    pub through: Vec<Address>,
    /// Who stands in, where somebody does.
    pub stand_in: Option<Address>,
}
