//! What becomes of a child when something it needs goes or returns.

use tokio::time::Instant;

use super::{Action, Core, Ix, Phase};
use crate::journal::{StopWhy, What};
use crate::spec::Key;
use crate::start::NeedChange;
use crate::status::{Standing, Status};
use std::sync::Arc;

impl Core {
    /// Something changed that concerns children here: what they need, or what must stop before
    /// them.
    pub(crate) fn needs_changed(&mut self, about: &Key, now: Instant) {
        let concerned = self.needed_by.get(about).cloned().unwrap_or_default();
        // Who is blocked no more is expected again, before anybody starts who needs it.
        for &ix in &concerned {
            self.unblock(ix, now);
        }
        for ix in concerned {
            let Some(child) = self.children.get(&ix) else { continue };
            match child.phase {
                Phase::Waiting => self.try_start(ix, now),
                Phase::Starting => self.follow_bindings(ix, about, now),
                Phase::Up => {
                    self.follow_bindings(ix, about, now);
                    self.refresh_standings(ix, now);
                }
                Phase::Idle | Phase::Stopping | Phase::Killing => {}
            }
        }
        self.advance(now);
    }

    /// A child goes when the life goes that it is bound to.
    fn follow_bindings(&mut self, ix: Ix, about: &Key, now: Instant) {
        let child = &self.children[&ix];
        let bound = child.rare.as_ref().map(|rare| &rare.bound[..]).unwrap_or_default();
        let bound_to = bound.iter().find(|(key, _)| key == about);
        let broken =
            bound_to.is_some_and(|(key, life)| self.tree.board.binding(key) != Some(*life));
        if broken && child.doom.is_none() {
            let then = self.after_restart_of_another(ix);
            self.doom(ix, then, StopWhy::Bound(about.clone()), false, now);
        } else if !broken {
            self.bind(ix);
        }
    }

    /// Binds a child that lives to the lives of what it came to be bound to since it started.
    pub(super) fn bind(&mut self, ix: Ix) {
        let child = &self.children[&ix];
        let Some(edges) = child.spec.edges.as_ref().filter(|edges| !edges.binds.is_empty()) else {
            return;
        };
        let bound = child.rare.as_ref().map(|rare| &rare.bound[..]).unwrap_or_default();
        let is_bound = |key: &&Key| bound.iter().any(|(known, _)| known == *key);
        let new = edges.binds.iter().filter(|key| !is_bound(key));
        let new: Vec<(Key, u64)> =
            new.filter_map(|key| Some((key.clone(), self.tree.board.binding(key)?))).collect();
        if !new.is_empty() {
            self.child(ix).rare().bound.extend(new);
        }
    }

    /// Tells a child that is up what has changed among its needs, and shows it as degraded while
    /// it lacks one.
    pub(super) fn refresh_standings(&mut self, ix: Ix, now: Instant) {
        let unmet = |(_, standing): &(Key, Standing)| *standing != Standing::Met;
        let edges = self.children[&ix].spec.edges.as_ref();
        let standings = edges.map(|edges| self.tree.board.standings(edges)).unwrap_or_default();
        let lacks: Vec<_> = standings.into_iter().filter(unmet).collect();
        // Few children ever lack anything, and only those pay for it.
        if !lacks.is_empty() || self.children[&ix].rare.is_some() {
            let before = std::mem::replace(&mut self.child(ix).rare().lacks, lacks.clone());
            self.tell_changes(ix, &before, &lacks);
        }
        self.publish_up(ix, now);
    }

    fn tell_changes(&mut self, ix: Ix, before: &[(Key, Standing)], after: &[(Key, Standing)]) {
        let mut tell = |key: &Key, standing: &Standing| {
            let change = NeedChange { key: key.clone(), standing: standing.clone() };
            self.actions.push(Action::Tell { ix, change });
        };
        for (key, standing) in after {
            if !before.contains(&(key.clone(), standing.clone())) {
                tell(key, standing);
            }
        }
        for (key, _) in before {
            if !after.iter().any(|(other, _)| other == key) {
                tell(key, &Standing::Met);
            }
        }
    }

    /// Shows how a child that is up stands.
    pub(super) fn publish_up(&mut self, ix: Ix, now: Instant) {
        let why = self.degradation(ix);
        let view = self.tree.board.view(self.children[&ix].key().as_str());
        let was_degraded = matches!(view.map(|view| view.status), Some(Status::Degraded(_)));
        match why {
            Some(why) => {
                let status = Status::Degraded(why.clone());
                let known = self.tree.board.view(self.children[&ix].key().as_str());
                if known.is_none_or(|view| view.status != status) {
                    self.record(ix, What::Degraded { why });
                }
                self.set_status(ix, status, now);
            }
            None => {
                if was_degraded {
                    self.record(ix, What::Recovered);
                }
                self.set_status(ix, Status::Ready, now);
            }
        }
    }

    fn degradation(&self, ix: Ix) -> Option<Arc<str>> {
        let rare = self.children[&ix].rare.as_ref()?;
        let own = rare.own_degradation.iter().map(ToString::to_string);
        let lacks = rare.lacks.iter().map(|(key, standing)| self.lack(key, standing));
        let reasons: Vec<String> = own.chain(lacks).collect();
        (!reasons.is_empty()).then(|| reasons.join("; ").into())
    }

    fn lack(&self, key: &Key, standing: &Standing) -> String {
        let status = self.tree.board.view(key.as_str()).map(|view| view.status);
        let word = status.as_ref().map_or("gone", Status::word);
        match standing {
            Standing::StandIn(by) => format!("{by} stands in for {key}, which is {word}"),
            _ => format!("{key} is {word}"),
        }
    }
}
