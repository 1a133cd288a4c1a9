//! Whole clusters in one process, on a simulated network and the paused clock.

#![allow(clippy::unwrap_used)]

mod accounting;
mod across;
mod asking;
mod clashes;
mod forgetting;
mod forms;
mod machine;
mod membership;
mod standing_in;
mod together;
mod worker;

// The tests take these from here, all at once.
use std::cell::Cell;
use std::time::Duration;

use genii_protocols::frame::CREDIT_MAX;
use genii_protocols::{AskError, Fault, Json, Never, NodeName, Rejection, message};
use genii_runtime::cluster::{Cluster, Membership, Timing};
use genii_runtime::link::network::Lane;
use genii_runtime::link::simulated::Waters;
use genii_runtime::{Agent, Catalogue, Context, Handle, JsonNext, Node, NodeOptions, Protocol};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use machine::{
    Machine, PATIENCE, TOPOLOGY, address, link, name, two, two_of, two_with, until, waters,
};
use worker::{
    CountTo, Crash, Dawdle, Echo, GONE, Note, Notes, Repeat, SENT, Told, Unwatch, Watch,
    WatchTwice, WontSay, Worker,
};
