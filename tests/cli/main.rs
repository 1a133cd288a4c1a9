//! The built command, as its users meet it: real processes, real signals, real files.
#![allow(clippy::unwrap_used)]

mod anywhere;
mod beings;
mod beings_killed;
mod cables;
mod clients;
mod cluster;
mod company;
mod ctl;
mod disk;
mod faults;
mod household;
mod import;
mod isolation;
mod local_cluster;
mod pausing;
mod peers;
mod plan;
mod port;
mod processes;
mod repl;
mod rolling;
mod strangers;
mod support;
mod terminal;
mod up;
