//! What the running genii knows, for completion and hints: asked for as it is needed, and kept for
//! a moment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use genii_protocols::address::NAME_MAX_LEN;
use genii_protocols::beings::BeingEntry;
use genii_protocols::{MessageInfo, Name};
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

/// What stands before the id of a being in its address, which does as well as the id.
const BEFORE_ID: &str = "being/";

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

    /// The beings whose ids begin so, in order; of many, the first. Those of an address that has begun are
    /// addresses.
    pub fn beings(&self, begin: &str) -> Vec<String> {
        let (before, begin) = match begin.strip_prefix(BEFORE_ID) {
            Some(begin) => (BEFORE_ID, begin),
            None => ("", begin),
        };
        // By their order, and not by what stands in them: of those there may be many before the first.
        let arguments =
            json!({ "matching": null, "after": last_before(begin), "limit": BEINGS_MAX });
        let beings = self.ask::<Vec<BeingEntry>>("being list", &arguments);
        let ids = beings.into_iter().flatten().map(|being| being.id);
        let good = ids.filter(|id| id.as_str().starts_with(begin));
        good.map(|id| format!("{before}{id}")).collect()
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

/// The last id that there may be before all that begin so; `None` if there can be none.
fn last_before(begin: &str) -> Option<Name> {
    let last = begin.chars().next_back()?;
    let head = &begin[..begin.len() - last.len_utf8()];
    // The letters of ids, in their order.
    let lower = match last {
        '0' => Some('-'),
        'a' => Some('9'),
        '1'..='9' | 'b'..='z' => char::from_u32(u32::from(last) - 1),
        _ => None,
    };
    let rest = NAME_MAX_LEN.saturating_sub(begin.len());
    let lower =
        lower.and_then(|lower| Name::new(&format!("{head}{lower}{}", "z".repeat(rest))).ok());
    // Where no letter may stand in its place, the last one before is what stands before it.
    lower.or_else(|| Name::new(head.trim_end_matches('-')).ok())
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Runtime;

    use super::*;
    use crate::admin::server::AdminSocket;
    use crate::commands::being::stand_ins::side_with;
    use crate::data::Data;

    /// How long anything may take.
    const DEADLINE: Duration = Duration::from_secs(30);

    #[test]
    fn the_last_id_before_those_that_begin_so_is_known() {
        let filled = |head: &str| format!("{head}{}", "z".repeat(NAME_MAX_LEN - head.len()));
        let full = "a".repeat(NAME_MAX_LEN - 1);
        let (to_0, to_a, to_b) = (format!("{full}0"), format!("{full}a"), format!("{full}b"));
        for (begin, last) in [
            ("to", Some(filled("tn"))),
            ("a", Some(filled("9"))),
            ("x-a", Some(filled("x-9"))),
            ("to0", Some(filled("to-"))),
            ("to1", Some(filled("to0"))),
            ("to-", Some("to".to_owned())),
            ("a-0", Some("a".to_owned())),
            (to_b.as_str(), Some(to_a)),
            (to_0.as_str(), Some(full)),
            ("", None),
            ("0", None),
            ("To", None),
            ("ü", None),
        ] {
            let found = last_before(begin);
            assert_eq!(found.as_ref().map(Name::as_str), last.as_deref(), "{begin:?}");
            assert!(found.is_none_or(|found| found.as_str() < begin), "{begin:?}");
        }
    }

    /// What is offered of the beings that begin so, as soon as that is so much; an answer may be late.
    fn offered(known: &Known, begin: &str, count: usize) -> Vec<String> {
        let until = Instant::now() + DEADLINE;
        loop {
            let offered = known.beings(begin);
            if offered.len() == count {
                return offered;
            }
            assert!(Instant::now() < until, "{begin:?} brings {offered:?}");
        }
    }

    #[test]
    fn a_being_is_found_by_how_its_id_or_its_address_begins_however_many_there_are() {
        // More than are offered come before it, and have in them how it begins.
        let others: Vec<String> = (0..=BEINGS_MAX).map(|it| format!("a-to-{it:03}")).collect();
        let scratch = tempfile::tempdir().unwrap();
        let data = Data::new(Some(scratch.path().to_owned())).unwrap();
        let runtime = Runtime::new().unwrap();
        let side = runtime.block_on(side_with(BEINGS_MAX + 3, &others));
        let socket = {
            let _within = runtime.enter();
            AdminSocket::open(&data.socket(), side).unwrap()
        };
        let client = runtime.block_on(Client::connect(&data)).unwrap();
        let known = Known::new(runtime.handle().clone(), client);
        assert_eq!(offered(&known, "to", 1), ["tobin"]);
        assert_eq!(offered(&known, "tobin", 1), ["tobin"]);
        assert_eq!(offered(&known, "being/to", 1), ["being/tobin"]);
        assert_eq!(offered(&known, "x00020", 3), ["x000200", "x000201", "x000202"]);
        assert_eq!(offered(&known, "a", BEINGS_MAX), others[..BEINGS_MAX]);
        assert_eq!(offered(&known, "being/", BEINGS_MAX)[0], "being/a-to-000");
        assert_eq!(offered(&known, "", BEINGS_MAX), others[..BEINGS_MAX]);
        assert_eq!(offered(&known, "y", 0), [""; 0]);
        runtime.block_on(socket.close());
    }
}
