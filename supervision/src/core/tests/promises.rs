//! What must hold of a tree, checked against what the world knows itself.

use tokio::time::Instant;

use super::World;
use crate::spec::{ChildSpec, GiveUp, Intensity, Key};
use crate::status::Status;

impl World {
    /// No child is started before its needs are ready, or stood in for, or given up.
    pub(super) fn check_needs(&self, spec: &ChildSpec) -> Result<(), String> {
        let Some(edges) = &spec.edges else { return Ok(()) };
        for need in &edges.needs {
            let status = self.status(need);
            let stood_in_for = self.stand_ins(need).any(|by| self.ready.contains(&by));
            let given_up = !self.spec(need).policy.required
                && matches!(status, Status::Quarantined(_) | Status::Stopped(_) | Status::Blocked);
            let there = self.ready.contains(need) || status == Status::Completed;
            if !(there || stood_in_for || given_up) {
                return Err(format!("{} was started while {need} was {status}", spec.key));
            }
        }
        for bind in &edges.binds {
            if !self.ready.contains(bind) && self.status(bind) != Status::Completed {
                return Err(format!("{} was started without {bind}, its bond", spec.key));
            }
        }
        for want in &edges.wants {
            if matches!(self.status(want), Status::Declared | Status::Waiting | Status::Starting) {
                return Err(format!("{} was started before {want}", spec.key));
            }
        }
        Ok(())
    }

    /// Who may stand in for a child, directly or for one another.
    fn stand_ins(&self, key: &Key) -> impl Iterator<Item = Key> {
        let fallback = |key: &Key| self.spec(key).edges.as_ref()?.fallback.clone();
        std::iter::successors(fallback(key), move |key| fallback(key))
    }

    /// While everything stops, nothing stops before what depends on it.
    pub(super) fn check_nobody_depends_on(&self, key: &Key) -> Result<(), String> {
        let depends = |other: &&Key| {
            let edges = self.spec(other).edges.as_ref();
            edges.is_some_and(|edges| edges.before().any(|needed| needed == key))
        };
        let alive: Vec<Key> = self.alive.keys().map(|life| self.key_of[life].clone()).collect();
        match alive.iter().find(depends) {
            Some(other) => Err(format!("{key} was stopped before {other}, which depends on it")),
            None => Ok(()),
        }
    }

    pub(super) fn check_settled(&self) -> Result<(), String> {
        for (number, spec) in self.specs.iter().enumerate() {
            let Some(view) = self.tree.board.view(spec.key.as_str()) else { continue };
            if !view.status.is_settled() && !self.exits.contains_key(&self.group_of[number]) {
                return Err(format!("{} came to rest as {}", spec.key, view.status));
            }
            if view.status.is_up() != self.ready.contains(&spec.key) {
                return Err(format!("{} stands as {}, which is not so", spec.key, view.status));
            }
        }
        self.check_intensity()
    }

    pub(super) fn check_ended(&self) -> Result<(), String> {
        match (self.exits.len() == self.cores.len(), self.alive.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err("a supervisor did not end".to_owned()),
            (_, false) => Err(format!("{:?} outlived their supervisors", self.alive)),
        }
    }

    /// Restarts that nobody asked for stay within the intensity, by the journal's own account.
    fn check_intensity(&self) -> Result<(), String> {
        for (core, flags) in self.flags.iter().enumerate() {
            let intensity = flags.intensity;
            let mut shared = Vec::new();
            for spec in self.specs_of(core) {
                let restarts = self.restarts.get(&spec.key).cloned().unwrap_or_default();
                match spec.policy.give_up {
                    GiveUp::Escalate => shared.extend(restarts),
                    GiveUp::Quarantine => check_window(&spec.key, restarts, intensity)?,
                }
            }
            shared.sort();
            check_window(&Key::from(format!("group-{core}")), shared, intensity)?;
        }
        Ok(())
    }
}

fn check_window(who: &Key, times: Vec<Instant>, intensity: Intensity) -> Result<(), String> {
    let limit = intensity.restarts as usize;
    let crowded = times.windows(limit + 1).any(|run| run[limit] - run[0] <= intensity.window);
    if crowded { Err(format!("{who} restarted more often than it may")) } else { Ok(()) }
}
