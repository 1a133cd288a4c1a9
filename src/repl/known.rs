//! What the running genii knows, for completion and hints: asked for as it is needed, and kept for
//! a moment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use genii_protocols::MessageInfo;
use genii_protocols::beings::BeingEntry;
use genii_runtime::house::Row;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::admin::client::Client;
use crate::commands::groups::Group;
use crate::commands::messages::Answers;
use crate::commands::nodes::NodeRow;
use crate::commands::topics::Said as Topics;

/// How long a person who types waits for completion.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(2);

/// How many agents' messages are remembered.
const AGENTS_MAX: usize = 1_000;

/// How many beings are offered.
const BEINGS_MAX: usize = 200;

/// What is known.
pub struct Known {
    runtime: Handle,
    client: Client,
    addresses: Mutex<Option<(Instant, Vec<String>)>>,
    messages: Mutex<HashMap<String, (Instant, Vec<MessageInfo>)>>,
}

impl Known {
    /// Knows nothing yet.
    pub fn new(runtime: Handle, client: Client) -> Self {
        Self { runtime, client, addresses: Mutex::default(), messages: Mutex::default() }
    }

    /// The addresses of all agents, in order.
    pub fn addresses(&self) -> Vec<String> {
        let mut known = self.addresses.lock();
        if let Some((asked, addresses)) = &*known
            && asked.elapsed() < FRESH
        {
            return addresses.clone();
        }
        let rows = self.ask::<Vec<Row>>("ps", &json!({ "groups": [], "state": null }));
        let names = rows.into_iter().flatten().map(|row| row.name).collect::<Vec<_>>();
        known.insert((Instant::now(), names)).1.clone()
    }

    /// The groups of all agents, in order.
    pub fn groups(&self) -> Vec<String> {
        let addresses = self.addresses();
        let groups = addresses.iter().filter_map(|address| address.split_once('/'));
        let mut groups: Vec<String> = groups.map(|(group, _)| group.to_owned()).collect();
        groups.dedup();
        groups
    }

    /// The patterns that are subscribed to, in order.
    pub fn patterns(&self) -> Vec<String> {
        let topics = self.ask::<Topics>("topics", &json!({}));
        let patterns = topics.into_iter().flat_map(|topics| topics.patterns);
        let mut patterns: Vec<String> = patterns.map(|wanted| wanted.pattern.to_string()).collect();
        patterns.dedup();
        patterns
    }

    /// The groups that agents have joined, in order.
    pub fn process_groups(&self) -> Vec<String> {
        let groups = self.ask::<Vec<Group>>("groups", &json!({ "group": null }));
        groups.into_iter().flatten().map(|group| group.group.to_string()).collect()
    }

    /// The machines of the household.
    pub fn nodes(&self) -> Vec<String> {
        let nodes = self.ask::<Vec<NodeRow>>("nodes", &json!({}));
        nodes.into_iter().flatten().map(|row| row.node).collect()
    }

    /// The ids of beings that begin so, in order; of many, the first.
    pub fn beings(&self, begin: &str) -> Vec<String> {
        let begin = (!begin.is_empty()).then_some(begin);
        let arguments = json!({ "matching": begin, "limit": BEINGS_MAX });
        let beings = self.ask::<Vec<BeingEntry>>("being list", &arguments);
        beings.into_iter().flatten().map(|being| being.id.to_string()).collect()
    }

    /// The messages that an agent answers.
    pub fn messages(&self, address: &str) -> Vec<MessageInfo> {
        let mut known = self.messages.lock();
        if let Some((asked, messages)) = known.get(address)
            && asked.elapsed() < FRESH
        {
            return messages.clone();
        }
        if known.len() >= AGENTS_MAX {
            known.clear();
        }
        let answers =
            self.ask::<Answers>("messages", &json!({ "address": address, "message": null }));
        let messages = answers.map(|answers| answers.messages).unwrap_or_default();
        known.insert(address.to_owned(), (Instant::now(), messages.clone()));
        messages
    }

    /// Asks the running genii; nothing if it does not know, or is not there.
    fn ask<T: DeserializeOwned>(&self, command: &str, arguments: &Value) -> Option<T> {
        let mut client = self.client.clone();
        let asked = self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, client.ask(command, arguments)).await
        });
        serde_json::from_value(asked.ok()?.ok()?).ok()
    }
}
