//! Agents in a node, on the paused clock: what a sender, an agent and a person at the house notice.

#![allow(clippy::unwrap_used)]

mod asking;
mod bonds;
mod crashing;
mod house_calls;
mod parrot;
mod streaming;
