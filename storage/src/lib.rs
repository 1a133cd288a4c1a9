//! What genii remembers. A plain library: it knows no agent, no actor and no network.

pub mod embed;
#[cfg(test)]
#[path = "../tests/golden/stores.rs"]
mod golden_stores;
pub mod index;
pub mod memories;
pub mod ranking;
mod said;
pub mod store;
pub mod text;
pub mod vector;
