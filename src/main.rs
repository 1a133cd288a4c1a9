//! The `genii` command.

// They would panic where nobody reads; `screen::say` and `screen::complain` do not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod admin;
mod being;
mod chat;
mod cli;
mod commands;
mod ctl;
mod data;
mod doubt;
mod fault;
mod household;
mod import;
mod load;
mod logging;
mod plan;
mod reader;
mod repl;
mod report;
mod schema;
mod screen;
mod settings;
mod tenant;
mod token;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: this program may have been called to keep an agent's process.
    if let Some(code) = genii_runtime::process::keeper::run_if_asked() {
        return code;
    }
    // Or to be the process of a being.
    if let Some(code) = tenant::run_if_asked() {
        return code;
    }
    cli::run()
}
