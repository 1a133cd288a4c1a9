//! What was found of each agent, and whether it meets its objective.

use std::collections::{HashMap, HashSet, VecDeque};

use genii_protocols::health::{
    AgentHealth, HealthCheck, HealthReport, HealthRound, HealthState, Objective,
};
use genii_protocols::{Address, Timestamp};

/// The checks of all agents, so many of each.
pub(super) struct Records {
    history: HashMap<Address, VecDeque<HealthCheck>>,
    kept: usize,
    usual: Objective,
    own: HashMap<Address, Objective>,
    rounds: u64,
    last_round: Option<Timestamp>,
    /// Who falls short, so that it is said once.
    fallen: HashSet<Address>,
}

impl Records {
    pub(super) fn new(kept: usize, usual: Objective) -> Self {
        Self {
            history: HashMap::new(),
            kept,
            usual,
            own: HashMap::new(),
            rounds: 0,
            last_round: None,
            fallen: HashSet::new(),
        }
    }

    pub(super) fn rounds(&self) -> u64 {
        self.rounds
    }

    pub(super) fn len(&self) -> usize {
        self.history.len()
    }

    /// Takes the checks of a round in. A full round also forgets agents that were not in it. Says
    /// who has come to fall short of which objective.
    pub(super) fn take(&mut self, round: &HealthRound, is_full: bool) -> Vec<(Address, Objective)> {
        for check in &round.checks {
            let history = self.history.entry(check.address.clone()).or_default();
            if history.len() == self.kept {
                history.pop_front();
            }
            history.push_back(check.clone());
        }
        if is_full {
            self.rounds += 1;
            self.last_round = Some(round.at);
            let present: HashSet<&Address> =
                round.checks.iter().map(|check| &check.address).collect();
            self.history.retain(|address, _| present.contains(address));
        }
        let short: HashMap<Address, Objective> = (self.history.keys())
            .filter_map(|address| self.health(address, round.at))
            .filter(|health| !health.meets_objective)
            .map(|health| (health.last.address.clone(), health.objective))
            .collect();
        let news = short.iter().filter(|(address, _)| !self.fallen.contains(*address));
        let news = news.map(|(address, objective)| (address.clone(), *objective)).collect();
        self.fallen = short.into_keys().collect();
        news
    }

    pub(super) fn set_objective(&mut self, address: Option<Address>, objective: Objective) {
        match address {
            Some(address) => drop(self.own.insert(address, objective)),
            None => self.usual = objective,
        }
    }

    /// The last checks of an agent, oldest first.
    pub(super) fn history(&self, address: &Address, limit: usize) -> Option<Vec<HealthCheck>> {
        let history = self.history.get(address)?;
        Some(history.iter().skip(history.len().saturating_sub(limit)).cloned().collect())
    }

    pub(super) fn report(&self, now: Timestamp) -> HealthReport {
        let mut agents: Vec<AgentHealth> =
            self.history.keys().filter_map(|address| self.health(address, now)).collect();
        agents.sort_by(|a, b| {
            let left = |health: &AgentHealth| health.budget_left.unwrap_or(1.0);
            left(a).total_cmp(&left(b)).then_with(|| a.last.address.cmp(&b.last.address))
        });
        HealthReport { rounds: self.rounds, last_round: self.last_round, agents }
    }

    fn health(&self, address: &Address, now: Timestamp) -> Option<AgentHealth> {
        let history = self.history.get(address)?;
        let last = history.back()?.clone();
        let objective = self.own.get(address).copied().unwrap_or(self.usual);
        let since = now.micros().saturating_sub(objective.window.0.as_micros() as u64);
        let counted: Vec<bool> = history
            .iter()
            .filter(|check| check.at.micros() >= since && check.health != HealthState::Off)
            .map(|check| matches!(check.health, HealthState::Well | HealthState::Degraded))
            .collect();
        let good = counted.iter().filter(|good| **good).count() as f64;
        let availability = (!counted.is_empty()).then(|| good / counted.len() as f64);
        let allowed = 1.0 - objective.target;
        let budget_left = availability.map(|share| 1.0 - (1.0 - share) / allowed);
        let meets_objective = availability.is_none_or(|share| share >= objective.target);
        Some(AgentHealth { last, objective, availability, budget_left, meets_objective })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genii_protocols::TimeSpan;
    use std::time::{Duration, SystemTime};

    fn check(address: &str, secs_ago: u64, health: HealthState) -> HealthCheck {
        let address = Address::parse(address).unwrap();
        let at = (SystemTime::now() - Duration::from_secs(secs_ago)).into();
        HealthCheck { address, at, health, detail: None, answered_in_ms: None }
    }

    fn round(checks: Vec<HealthCheck>) -> HealthRound {
        HealthRound { at: Timestamp::now(), took: TimeSpan::default(), checks }
    }

    fn objective(target: f64, window_secs: u64) -> Objective {
        Objective { target, window: TimeSpan::from_secs(window_secs) }
    }

    #[test]
    fn an_objective_counts_working_checks_within_its_window() {
        let mut records = Records::new(100, objective(0.9, 60));
        for (ago, health) in [
            (600, HealthState::Down),
            (50, HealthState::Well),
            (40, HealthState::Degraded),
            (30, HealthState::Off),
            (20, HealthState::Unresponsive),
            (10, HealthState::Well),
        ] {
            records.take(&round(vec![check("a/1", ago, health)]), true);
        }
        let health = &records.report(Timestamp::now()).agents[0];
        assert_eq!(health.availability, Some(0.75));
        assert!(!health.meets_objective);
        assert!(health.budget_left.unwrap() < 0.0);
        let address = Address::parse("a/1").unwrap();
        records.set_objective(Some(address.clone()), objective(0.5, 60));
        let health = &records.report(Timestamp::now()).agents[0];
        assert!(health.meets_objective);
        assert!((health.budget_left.unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(records.history(&address, 2).unwrap().len(), 2);
    }

    #[test]
    fn falling_short_is_said_once_and_again_after_a_recovery() {
        let mut records = Records::new(2, objective(0.9, 60));
        let mut take = |health| records.take(&round(vec![check("a/1", 0, health)]), true).len();
        assert_eq!(take(HealthState::Well), 0);
        assert_eq!(take(HealthState::Down), 1);
        assert_eq!(take(HealthState::Down), 0);
        assert_eq!(take(HealthState::Well), 0);
        assert_eq!(take(HealthState::Well), 0);
        assert_eq!(take(HealthState::Down), 1);
    }

    #[test]
    fn agents_that_left_are_forgotten_by_a_full_round_alone() {
        let mut records = Records::new(2, objective(0.9, 60));
        let both = vec![check("a/1", 0, HealthState::Well), check("a/2", 0, HealthState::Well)];
        records.take(&round(both), true);
        records.take(&round(vec![check("a/1", 0, HealthState::Well)]), false);
        assert_eq!(records.len(), 2);
        records.take(&round(vec![check("a/1", 0, HealthState::Well)]), true);
        assert_eq!(records.len(), 1);
    }
}
