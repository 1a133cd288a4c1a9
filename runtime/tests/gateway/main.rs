//! The gateway, as its clients meet it: real sockets and real TLS, in one process.
#![allow(clippy::unwrap_used)]

mod access;
mod bounds;
mod closing;
mod distance;
mod garbage;
mod managing;
mod messages;
mod place;
mod raw;
mod reflection;
mod topics;
