//! The built command, as its users meet it: real processes, real signals, real files.
#![allow(clippy::unwrap_used)]

mod ctl;
mod faults;
mod import;
mod plan;
mod processes;
mod repl;
mod support;
mod up;
