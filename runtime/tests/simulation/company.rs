//! Groups and topics: agents that listen and are in a group, who publishes, and what must be true.

use std::collections::BTreeMap;

use genii_protocols::{Address, Name, Never, Pattern, Topic, message};
use genii_runtime::topics::{Reached, WantedBy};
use genii_runtime::{Context, GroupMember, Handle, Node};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::{Worker, log};
use crate::log::Log;
use crate::machine::{Machine, address};
use crate::script::{SENDERS, millis};

/// The agent of each node that listens and is in the group.
pub const LISTENER: usize = 0;

/// The name under which lost news are dead letters.
pub const NEWS: &str = "worker.news";

/// Who publishes: which node, which life of it, which of its senders.
pub type Publisher = (usize, u64, usize);

/// Something that is published.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct News {
    by: Publisher,
    /// Greater for each that is published in a run.
    number: u64,
}
message!(News = "worker.news" -> ());

/// What is known of what was published.
#[derive(Default)]
pub struct Company {
    published: u64,
    /// What is being published.
    awaited: BTreeMap<u64, Publisher>,
    /// What a life heard last of a publisher.
    last: BTreeMap<(u64, Publisher), u64>,
    /// Who has heard something.
    heard: BTreeMap<u64, Vec<Address>>,
}

impl Company {
    /// Something is to be published; its number.
    pub fn publishes(&mut self, by: Publisher) -> u64 {
        self.published += 1;
        self.awaited.insert(self.published, by);
        self.published
    }

    /// The senders of a node are gone, with what they were publishing.
    pub fn orphan(&mut self, node: usize, life: u64) {
        self.awaited.retain(|_, by| (by.0, by.1) != (node, life));
    }

    /// Whether nothing is being published.
    pub fn is_quiet(&self) -> bool {
        self.awaited.is_empty()
    }

    /// From one publisher to one life of a subscriber, what was published later comes later, and
    /// nothing twice.
    fn hears(&mut self, life: u64, by: &Address, news: &News) {
        let before = self.last.insert((life, news.by), news.number);
        let is_later = before.is_none_or(|before| before < news.number);
        assert!(is_later, "{by}, life {life}, hears {news:?} after {before:?}");
        self.heard.entry(news.number).or_default().push(by.clone());
    }
}

/// The group.
pub fn group() -> Name {
    Name::new("listeners").unwrap()
}

/// It listens from now on, and is in the group.
pub fn join(context: &mut Context) {
    // Either means all that is published, which comes once all the same.
    let patterns = ["news.*", "news.**"].map(|pattern| Pattern::parse(pattern).unwrap());
    context.subscribe::<News>(&patterns).unwrap();
    context.join_group(&group()).unwrap();
}

impl Handle<News> for Worker {
    async fn handle(&mut self, news: News, context: &mut Context) -> Result<(), Never> {
        let life = self.life;
        log().note(format_args!("{life} hears {news:?}"));
        log().company(|company| company.hears(life, context.address(), &news));
        Ok(())
    }
}

/// Publishes something. Who is not reached misses it, as is said.
pub async fn publish(node: &Node, log: &Log, by: Publisher, number: u64) -> Option<Reached> {
    let topic = Topic::parse(&format!("news.n{}", by.0)).unwrap();
    let published = node.publish(&topic, &News { by, number }).await;
    log.note(format_args!("published {number}: {published:?}"));
    log.company(|company| company.awaited.remove(&number));
    published.ok()
}

/// Whether all nodes see all who are in the group and listen, as their own nodes do, each of which
/// has one; else what is amiss.
pub fn agree(machines: &[&Machine]) -> Result<(), String> {
    let here = |machine: &&Machine| machine.node.group_members_here(&group());
    let wanted_here = |machine: &&Machine| {
        let own = machine.node.name().clone();
        machine.node.wanted().into_iter().filter(move |wanted| wanted.node == own)
    };
    let mut members: Vec<GroupMember> = machines.iter().flat_map(here).collect();
    let mut wanted: Vec<WantedBy> = machines.iter().flat_map(wanted_here).collect();
    members.sort();
    wanted.sort_by(|a, b| (&a.pattern, &a.node).cmp(&(&b.pattern, &b.node)));
    let are_whole = members.iter().all(|member| member.times == 1)
        && wanted.iter().all(|wanted| wanted.subscribers == 1);
    if members.len() != machines.len() || wanted.len() != machines.len() * 2 || !are_whole {
        return Err(format!("they are too few or too many: {members:?}, {wanted:?}"));
    }
    for machine in machines {
        let (seen, which) = (machine.node.group_members(&group()), machine.which);
        if seen != members {
            return Err(format!("{which:?} sees {seen:?} in the group, it is {members:?}"));
        }
        let seen = machine.node.wanted();
        if seen != wanted {
            return Err(format!("{which:?} sees {seen:?} listen, it is {wanted:?}"));
        }
    }
    Ok(())
}

/// What each publishes when all see all is heard by each who listens, once.
pub async fn all_hear_all(log: &Log, machines: &[&Machine]) {
    let all: Vec<Address> =
        machines.iter().map(|machine| address((machine.which.0, LISTENER))).collect();
    for machine in machines {
        let by = (machine.which.0, machine.which.1, SENDERS);
        let number = log.company(|company| company.publishes(by));
        let reached = publish(&machine.node, log, by, number).await;
        assert_eq!(reached, Some(Reached { here: 1, nodes: machines.len() - 1 }), "{by:?}");
        tokio::time::sleep(millis(50)).await;
        let heard = log.company(|company| company.heard.get(&number).cloned());
        let mut heard = heard.unwrap_or_default();
        heard.sort();
        assert_eq!(heard, all, "who hears what {by:?} publishes");
    }
}
