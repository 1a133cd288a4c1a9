//! Speaking to a running genii: gRPC over a Unix socket that only its owner can reach.

pub mod client;
pub mod server;

/// How large one thing that is said may be, in bytes.
pub const SAID_MAX_LEN: usize = 64 * 1024 * 1024;
