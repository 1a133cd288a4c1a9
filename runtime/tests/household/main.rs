//! Households of nodes in one process, over real ports and mutual TLS.

#![allow(clippy::unwrap_used)]

mod expelling;
mod held;
mod nodes;
mod port;
mod refusing;
mod renewing;
mod wire;
