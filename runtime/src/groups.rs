//! Process groups, like OTP's `pg`: agents under a name, known on every node.
//!
//! An agent joins a group on the node where it lives, and each node tells the others of its own. So
//! members are known everywhere a moment after they have joined, and no node has to agree with
//! another. The members of a node that is lost are gone at once, and return when it does.

mod monitor;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use genii_protocols::frame::{Control, Joined, Told};
use genii_protocols::{Address, Destination, Name, NodeName, Sender};
use parking_lot::Mutex;

pub use monitor::{GroupEvent, GroupMonitor};

use crate::heard::{Changed, Heard, TooMany};
use crate::link::sending::Link;
use crate::node::Node;
use crate::ring::Ring;

/// In how many groups the agents of a node may be, all together. More are refused; a node that tells
/// of more speaks nonsense.
pub const MEMBERSHIPS_MAX: usize = 1 << 16;

/// How many monitors of groups a node may have; more are refused.
pub const MONITORS_MAX: usize = 4_096;

/// A life that is in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupMember {
    /// The node where it lives.
    pub node: NodeName,
    /// Its address.
    pub address: Address,
    /// Which life of it.
    pub incarnation: u64,
    /// How many times it has joined; it is a member until it has left as many times.
    pub times: u32,
}

impl GroupMember {
    /// Where it is reached: its address, pinned to its node.
    pub fn destination(&self) -> Destination {
        Destination { address: self.address.clone(), node: Some(self.node.clone()) }
    }
}

/// Why an agent did not join, or did not leave, or a group is not watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// It has no life on this node.
    #[error("{0} does not run on this node; an agent joins where it lives")]
    NotHere(Address),
    /// It is in no such group.
    #[error("{address} is no member of {group}")]
    NoMember {
        /// The agent.
        address: Address,
        /// The group.
        group: Name,
    },
    /// The agents of this node are in as many groups as they may.
    #[error("the agents of this node have {MEMBERSHIPS_MAX} memberships, and may have no more")]
    TooMany,
    /// This node watches as many as it may.
    #[error("this node has {MONITORS_MAX} monitors of groups, and may have no more")]
    TooManyMonitors,
}

/// A life in a group, as its own node knows it.
pub(crate) type Membership = (Name, Life);

/// An address, and which life of it.
pub(crate) type Life = (Address, u64);

/// All groups that are known on a node.
pub(crate) struct Groups(Mutex<State>);

struct State {
    /// The members of each group, on all nodes, with how many times they have joined.
    groups: BTreeMap<Name, BTreeMap<(NodeName, Life), u32>>,
    /// The groups of each life here.
    own: HashMap<Life, BTreeSet<Name>>,
    /// How many memberships those are.
    memberships: usize,
    heard: Heard<Membership>,
    monitors: HashMap<Name, Vec<Arc<Ring<GroupEvent>>>>,
    monitors_count: usize,
}

impl Default for Groups {
    fn default() -> Self {
        Self(Mutex::new(State {
            groups: BTreeMap::new(),
            own: HashMap::new(),
            memberships: 0,
            heard: Heard::new(MEMBERSHIPS_MAX),
            monitors: HashMap::new(),
            monitors_count: 0,
        }))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.0.get_mut().monitors.values().flatten().for_each(|ring| ring.close());
    }
}

impl State {
    fn times(&self, node: &NodeName, (group, life): &Membership) -> u32 {
        let members = self.groups.get(group);
        let times = members.and_then(|members| members.get(&(node.clone(), life.clone())));
        times.copied().unwrap_or_default()
    }

    /// A life is so many times in a group from now on. Whoever watches the group is told.
    fn set(&mut self, node: &NodeName, (group, life): &Membership, times: u32) {
        let who = (node.clone(), life.clone());
        let members = self.groups.entry(group.clone()).or_default();
        let before = match times {
            0 => members.remove(&who),
            times => members.insert(who, times),
        };
        if members.is_empty() {
            self.groups.remove(group);
        }
        let member = member(node, life, times);
        match (before, times) {
            (None, 1..) => self.tell(group, &GroupEvent::Joined(member)),
            (Some(_), 0) => self.tell(group, &GroupEvent::Left(member)),
            _ => {}
        }
    }

    fn tell(&self, group: &Name, event: &GroupEvent) {
        for ring in self.monitors.get(group).into_iter().flatten() {
            ring.put(event.clone(), 1);
        }
    }

    /// A life here is in a group more or less than before.
    fn set_own(&mut self, own: &NodeName, membership: &Membership, times: u32) {
        let (group, life) = membership;
        let groups = self.own.entry(life.clone()).or_default();
        let before = groups.len();
        match times {
            0 => groups.remove(group),
            _ => groups.insert(group.clone()),
        };
        self.memberships = self.memberships + groups.len() - before;
        if groups.is_empty() {
            self.own.remove(life);
        }
        self.set(own, membership, times);
    }

    fn follow(&mut self, node: &NodeName, changed: Vec<Changed<Membership>>) {
        for Changed { key, count } in changed {
            self.set(node, &key, count);
        }
    }

    fn members(&self, group: &Name) -> Vec<GroupMember> {
        let members = self.groups.get(group).into_iter().flatten();
        members.map(|((node, life), times)| member(node, life, *times)).collect()
    }
}

fn member(node: &NodeName, (address, incarnation): &Life, times: u32) -> GroupMember {
    let (node, address) = (node.clone(), address.clone());
    GroupMember { node, address, incarnation: *incarnation, times }
}

impl Groups {
    // What nodes tell each other.

    /// All memberships of agents here.
    pub(crate) fn own(&self) -> Vec<Membership> {
        let state = self.0.lock();
        let of_life = |(life, groups): (&Life, &BTreeSet<Name>)| {
            let life = life.clone();
            groups.iter().map(|group| (group.clone(), life.clone())).collect::<Vec<_>>()
        };
        state.own.iter().flat_map(of_life).collect()
    }

    /// How some memberships of agents here stand, as another node is told.
    pub(crate) fn frame(
        &self,
        own: &NodeName,
        told: Told,
        memberships: &[Membership],
    ) -> Control<'static> {
        let state = self.0.lock();
        let joined = |membership: &Membership| Joined {
            group: membership.0.to_string().into(),
            address: membership.1.0.to_string().into(),
            incarnation: membership.1.1,
            times: state.times(own, membership),
        };
        Control::Groups { told, members: memberships.iter().map(joined).collect() }
    }

    /// The node at the other end of a link has these agents in groups.
    pub(crate) fn hear(
        &self,
        link: &Link,
        told: Told,
        memberships: Vec<(Membership, u32)>,
    ) -> Result<(), TooMany> {
        let mut state = self.0.lock();
        // A link that is over is forgotten, or about to be: nothing of it is to come after that.
        if link.is_over() {
            return Ok(());
        }
        let changed = state.heard.hear(&link.peer, told, memberships)?;
        state.follow(&link.peer, changed);
        Ok(())
    }

    /// Another node is gone, and its members with it.
    pub(crate) fn forget(&self, node: &NodeName) {
        let mut state = self.0.lock();
        let changed = state.heard.forget(node);
        state.follow(node, changed);
    }
}

impl Node {
    /// Lets an agent that lives here join a group. Each time counts: it is a member until it has left
    /// as many times, or its life ends.
    ///
    /// # Errors
    /// When it does not run here, or there are too many memberships.
    pub fn join_group(&self, group: &Name, address: &Address) -> Result<(), GroupError> {
        let not_here = || GroupError::NotHere(address.clone());
        let slot = self.directory().find(address).ok_or_else(not_here)?;
        let life = slot.line().ok_or_else(not_here)?.identity.clone();
        let membership = (group.clone(), life_of(&life));
        {
            let mut state = self.groups().0.lock();
            let times = state.times(self.name(), &membership);
            if times == 0 && state.memberships >= MEMBERSHIPS_MAX {
                return Err(GroupError::TooMany);
            }
            state.set_own(self.name(), &membership, times.saturating_add(1));
        }
        self.tell_groups(&[membership]);
        // It may have ended in between, and then nobody would take it out.
        let lives = slot.line().is_some_and(|line| line.identity.incarnation == life.incarnation);
        if !lives {
            self.leave_groups(&life);
            return Err(not_here());
        }
        Ok(())
    }

    /// Lets an agent that lives here leave a group, once.
    ///
    /// # Errors
    /// When it is no member.
    pub fn leave_group(&self, group: &Name, address: &Address) -> Result<(), GroupError> {
        let no_member = || GroupError::NoMember { address: address.clone(), group: group.clone() };
        let slot = self.directory().find(address).ok_or_else(no_member)?;
        let life = slot.line().ok_or_else(no_member)?.identity.clone();
        let membership = (group.clone(), life_of(&life));
        {
            let mut state = self.groups().0.lock();
            let times = state.times(self.name(), &membership).checked_sub(1);
            state.set_own(self.name(), &membership, times.ok_or_else(no_member)?);
        }
        self.tell_groups(&[membership]);
        Ok(())
    }

    /// The members of a group, on all nodes, by node and address. Nobody if there is no such group.
    pub fn group_members(&self, group: &Name) -> Vec<GroupMember> {
        self.groups().0.lock().members(group)
    }

    /// The members of a group that live here, by address.
    pub fn group_members_here(&self, group: &Name) -> Vec<GroupMember> {
        let mut members = self.group_members(group);
        members.retain(|member| member.node == *self.name());
        members
    }

    /// The groups that have members on any node, by name.
    pub fn group_names(&self) -> Vec<Name> {
        self.groups().0.lock().groups.keys().cloned().collect()
    }

    /// Watches a group: who is in it now, and who joins and leaves from then on.
    ///
    /// # Errors
    /// When this node has too many monitors.
    pub fn monitor_group(&self, group: &Name) -> Result<GroupMonitor, GroupError> {
        let mut state = self.groups().0.lock();
        if state.monitors_count >= MONITORS_MAX {
            return Err(GroupError::TooManyMonitors);
        }
        state.monitors_count += 1;
        let ring = Arc::new(Ring::new(monitor::EVENTS_MAX, monitor::EVENTS_MAX));
        state.monitors.entry(group.clone()).or_default().push(ring.clone());
        let members = state.members(group);
        drop(state);
        Ok(GroupMonitor::new(self, group.clone(), members, ring))
    }

    /// A life here has ended, and is in no group any more.
    pub(crate) fn leave_groups(&self, life: &Sender) {
        let life = life_of(life);
        let memberships: Vec<Membership> = {
            let mut state = self.groups().0.lock();
            let Some(groups) = state.own.get(&life).cloned() else { return };
            let of_life = |group| (group, life.clone());
            let memberships: Vec<Membership> = groups.into_iter().map(of_life).collect();
            for membership in &memberships {
                state.set_own(self.name(), membership, 0);
            }
            memberships
        };
        self.tell_groups(&memberships);
    }

    fn tell_groups(&self, memberships: &[Membership]) {
        if let Some(cluster) = self.cluster() {
            cluster.groups_changed(memberships);
        }
    }
}

fn life_of(life: &Sender) -> Life {
    (life.address.clone(), life.incarnation)
}
