//! What would follow if something went: from the graph alone, without touching anything.

use std::collections::{BTreeMap, BTreeSet};

use genii_protocols::Address;
use genii_supervision::Strategy;

use crate::topology::{AgentSpec, Topology};

/// How something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goes {
    /// It is stopped, and stays so.
    Stops,
    /// It crashes, and returns.
    Crashes,
}

/// What happens to one agent, and because of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Which agent.
    pub address: Address,
    /// The chain from what went to this agent, what went first.
    pub through: Vec<Address>,
    /// Who stands in, where somebody does.
    pub stand_in: Option<Address>,
}

/// What would follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Impact {
    /// Would stop, and stay so until what went returns: what went itself, and what is bound to it.
    pub stops: Vec<Effect>,
    /// Would be restarted, by a strategy or a binding.
    pub restarts: Vec<Effect>,
    /// Would go on without something that they need, or with a stand-in for it.
    pub degrades: Vec<Effect>,
    /// Would be stood in for.
    pub falls_back: Vec<Effect>,
    /// How many agents would notice nothing.
    pub untouched: usize,
}

/// What would follow if these agents went.
pub fn what_if(topology: &Topology, goes: Goes, gone: &[Address]) -> Impact {
    let mut down = Down::new(topology, gone);
    if goes == Goes::Crashes {
        down.take_siblings();
    }
    down.take_bound();
    let mut impact = Impact::default();
    for (address, through) in &down.chains {
        let effect = Effect { address: address.clone(), through: through.clone(), stand_in: None };
        match goes {
            Goes::Stops => impact.stops.push(effect),
            Goes::Crashes => impact.restarts.push(effect),
        }
    }
    for address in down.chains.keys() {
        if let Some(stand_in) = down.stand_in(address) {
            let through = down.chains[address].clone();
            let effect = Effect { address: address.clone(), through, stand_in: Some(stand_in) };
            impact.falls_back.push(effect);
        }
    }
    impact.degrades = topology.agents.iter().filter_map(|agent| down.degraded(agent)).collect();
    let touched: BTreeSet<&Address> =
        down.chains.keys().chain(impact.degrades.iter().map(|effect| &effect.address)).collect();
    impact.untouched = topology.agents.len() - touched.len();
    impact
}

/// Who is down, and through whom that came.
struct Down<'a> {
    topology: &'a Topology,
    chains: BTreeMap<Address, Vec<Address>>,
}

impl<'a> Down<'a> {
    fn new(topology: &'a Topology, gone: &[Address]) -> Self {
        let known = gone.iter().filter(|address| topology.agent(address).is_some());
        let chains = known.map(|address| (address.clone(), vec![address.clone()])).collect();
        Self { topology, chains }
    }

    /// Whom the strategy of its group restarts with one that crashes.
    fn take_siblings(&mut self) {
        for address in self.chains.keys().cloned().collect::<Vec<_>>() {
            let Some(group) = self.topology.group(address.group()) else { continue };
            let siblings: Vec<&AgentSpec> = self.topology.agents_of(address.group()).collect();
            let place = siblings.iter().position(|agent| agent.address == address);
            let first = match group.flags.strategy {
                Strategy::OneForAll => 0,
                Strategy::RestForOne => place.map_or(0, |place| place + 1),
                Strategy::OneForOne | Strategy::Dynamic => continue,
            };
            for sibling in &siblings[first..] {
                self.add(&sibling.address, &address);
            }
        }
    }

    /// Who is bound to one that is down, and so on.
    fn take_bound(&mut self) {
        loop {
            let before = self.chains.len();
            for agent in &self.topology.agents {
                let bond = agent.binds.iter().find(|link| self.chains.contains_key(&link.to));
                if let Some(bond) = bond {
                    self.add(&agent.address, &bond.to.clone());
                }
            }
            if self.chains.len() == before {
                return;
            }
        }
    }

    fn add(&mut self, address: &Address, because_of: &Address) {
        if !self.chains.contains_key(address) {
            let mut chain = self.chains[because_of].clone();
            chain.push(address.clone());
            self.chains.insert(address.clone(), chain);
        }
    }

    /// Who stands in for one that is down, directly or for one another.
    fn stand_in(&self, address: &Address) -> Option<Address> {
        let fallback = |address: &Address| {
            self.topology.agent(address)?.fallback.as_ref().map(|link| link.to.clone())
        };
        std::iter::successors(fallback(address), fallback)
            .take(self.topology.agents.len())
            .find(|stand_in| !self.chains.contains_key(stand_in))
    }

    /// One that goes on, but needs one that is down.
    fn degraded(&self, agent: &AgentSpec) -> Option<Effect> {
        if self.chains.contains_key(&agent.address) {
            return None;
        }
        let need = agent.needs.iter().find(|link| self.chains.contains_key(&link.to))?;
        let mut through = self.chains[&need.to].clone();
        through.push(agent.address.clone());
        let stand_in = self.stand_in(&need.to);
        Some(Effect { address: agent.address.clone(), through, stand_in })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Report, Source, read};

    fn house() -> Topology {
        let text = r#"
[groups.g]
[groups.all]
strategy = "one-for-all"
[agents."g/base"]
kind = "noop"
fallback = "g/spare"
[agents."g/spare"]
kind = "noop"
[agents."g/user"]
kind = "noop"
needs = ["g/base"]
[agents."g/bound"]
kind = "noop"
binds = ["g/base"]
[agents."g/deep"]
kind = "noop"
needs = ["g/bound"]
[agents."g/wanting"]
kind = "noop"
wants = ["g/base"]
[agents."all/one"]
kind = "noop"
[agents."all/two"]
kind = "noop"
"#;
        let mut report = Report::default();
        let topology = read::read(&Source::new("x", text), &mut report);
        assert!(!report.has_errors(), "{report}");
        topology
    }

    fn names(effects: &[Effect]) -> Vec<String> {
        let line = |effect: &Effect| {
            let through: Vec<&str> = effect.through.iter().map(Address::as_str).collect();
            let stand_in = effect.stand_in.as_ref().map(|by| format!(" ({by})"));
            format!("{}{}", through.join(">"), stand_in.unwrap_or_default())
        };
        effects.iter().map(line).collect()
    }

    #[test]
    fn what_stops_takes_along_what_is_bound_and_degrades_what_needs_it() {
        let impact = what_if(&house(), Goes::Stops, &[Address::parse("g/base").unwrap()]);
        assert_eq!(names(&impact.stops), ["g/base", "g/base>g/bound"]);
        assert_eq!(names(&impact.falls_back), ["g/base (g/spare)"]);
        let expected = ["g/base>g/user (g/spare)", "g/base>g/bound>g/deep"];
        assert_eq!(names(&impact.degrades), expected);
        assert_eq!(impact.untouched, 4);
    }

    #[test]
    fn a_stand_in_that_goes_too_does_not_stand_in() {
        let gone = [Address::parse("g/base").unwrap(), Address::parse("g/spare").unwrap()];
        let impact = what_if(&house(), Goes::Stops, &gone);
        assert!(impact.falls_back.is_empty());
        assert_eq!(names(&impact.degrades)[0], "g/base>g/user");
    }

    #[test]
    fn a_crash_restarts_by_the_strategy() {
        let one = [Address::parse("all/one").unwrap()];
        let impact = what_if(&house(), Goes::Crashes, &one);
        assert_eq!(names(&impact.restarts), ["all/one", "all/one>all/two"]);
        assert_eq!(names(&what_if(&house(), Goes::Stops, &one).stops), ["all/one"]);
        let unknown = [Address::parse("g/none").unwrap()];
        assert_eq!(what_if(&house(), Goes::Stops, &unknown).untouched, 8);
    }
}
