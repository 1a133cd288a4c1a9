//! Who lives in a genii household.
//!
//! One file for each agent, in the folder of its group; one line for each in [`catalogue`]. An
//! agent never imports another: they meet through messages and addresses. `docs/adding-an-agent.md`
//! shows how one is added.

pub mod being;
pub mod beings;
mod catalogue;
pub mod core;
#[cfg(test)]
#[path = "../../storage/tests/golden/stores.rs"]
mod golden_stores;
pub mod pc2_core;

pub use catalogue::catalogue;

/// The topology that is built in: the agents that every house has.
pub const BUILT_IN_TOPOLOGY: &str = include_str!("house.toml");

/// The same on two machines, for those who try a household of several on one: with a need across, and
/// a stand-in across.
pub const TWO_MACHINES_TOPOLOGY: &str = include_str!("two_machines.toml");
