//! The board: how every child of a tree stands, and who depends on whom.
//!
//! Supervisors write here what becomes of their children, and read here whether what a child needs
//! is there, whichever supervisor has it. It is plain data behind one lock: nothing here waits, and
//! nobody is called while the lock is held.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::time::Instant;

use crate::spec::{ChildKind, ChildSpec, Edges, Key};
use crate::status::{Standing, Status};

/// How many stand-ins for stand-ins are followed.
const STAND_IN_DEPTH: usize = 8;

/// Is told that something on the board concerns one of its children.
pub(crate) trait Poke: Send + Sync + 'static {
    /// `about` has changed, or what depends on it has.
    fn poke(&self, about: &Key);
}

/// One who must be told of a change, and what to look at.
#[derive(Clone)]
pub(crate) struct Concern {
    who: Arc<dyn Poke>,
    about: Key,
}

impl Concern {
    pub(crate) fn poke(&self) {
        self.who.poke(&self.about);
    }
}

/// A child stands otherwise than before.
pub struct Change {
    /// Which child.
    pub key: Key,
    /// Which life of it.
    pub incarnation: u64,
    /// How it stood.
    pub before: Status,
    /// How it stands.
    pub now: Status,
    /// It was forgotten, and its name is free.
    pub is_forgotten: bool,
    pub(crate) concerns: Vec<Concern>,
}

/// What the board knows of a child.
#[derive(Debug, Clone)]
pub struct View {
    /// Its name.
    pub key: Key,
    /// Its supervisor's name; empty for a root.
    pub supervisor: Key,
    /// Whether it supervises others.
    pub kind: ChildKind,
    /// Whether the house cannot start without it.
    pub required: bool,
    /// How it stands.
    pub status: Status,
    /// Since when it stands so.
    pub since: Instant,
    /// Which life of it; zero before the first.
    pub incarnation: u64,
    /// How often it was restarted because it ended.
    pub restarts: u32,
    /// What it needs of others.
    pub edges: Option<Arc<Edges>>,
    /// It is to stop as soon as nothing that is to stop too depends on it.
    pub is_doomed: bool,
}

struct Entry {
    view: View,
    /// Its supervisor, to be told of what concerns it; `None` while it is only declared.
    owner: Option<Arc<dyn Poke>>,
    /// It has failed since it was last ready, so that a stand-in may take over while it restarts.
    has_failed: bool,
    /// It lives elsewhere, or with a supervisor that does not run. A stand-in may take over at any
    /// time: whether it is about to come is not known here.
    is_elsewhere: bool,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    /// For each key, those that need, bind or want it.
    dependents: HashMap<Key, Vec<Key>>,
    /// For each key, those it is the fallback of.
    stands_in_for: HashMap<Key, Vec<Key>>,
    /// How those stand that are forgotten, while others depend on them.
    gone: HashMap<Key, Standing>,
    /// Those that have been, for who comes to depend on them.
    excused: HashSet<Key>,
}

/// How every child of a tree stands.
#[derive(Default)]
pub struct Board {
    inner: RwLock<Inner>,
}

/// The name is taken by a child of another supervisor, or by one that lives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is already a child of {supervisor}")]
pub struct Taken {
    /// The name.
    pub key: Key,
    /// Who has it.
    pub supervisor: Key,
}

impl Board {
    /// Says that a child will come, so that those who need it wait for it and are not blocked; also
    /// one that was declared elsewhere before.
    pub fn declare(&self, key: &Key) {
        let mut inner = self.inner.write();
        inner.returns(key);
        let known = inner.entries.get(key);
        let is_known =
            known.is_some_and(|it| !it.view.supervisor.as_str().is_empty() || it.owner.is_some());
        if !is_known {
            inner.unlink(key);
            inner.entries.insert(key.clone(), Entry::declared(key));
        }
    }

    /// Says that a child lives elsewhere, or with a supervisor that does not run, and is not to be
    /// had: those who need it go on with its stand-in, or without it.
    pub fn declare_elsewhere(&self, key: &Key, fallback: Option<&Key>, why: impl Into<Arc<str>>) {
        let mut inner = self.inner.write();
        let entry = inner.entries.entry(key.clone()).or_insert_with(|| Entry::declared(key));
        if entry.owner.is_none() {
            entry.view.required = false;
            entry.view.status = Status::Stopped(why.into());
            entry.is_elsewhere = true;
            inner.fall_back(key, fallback);
        }
    }

    /// Says who stands in for a child that was declared elsewhere; nothing if it was not.
    pub(crate) fn fall_back_elsewhere(&self, key: &Key, fallback: Option<&Key>) -> Vec<Change> {
        let mut inner = self.inner.write();
        if !inner.entries.get(key).is_some_and(|entry| entry.is_elsewhere) {
            return Vec::new();
        }
        let concerns = inner.concerns(key, false);
        match inner.fall_back(key, fallback) {
            true => inner.unchanged(key, concerns),
            false => Vec::new(),
        }
    }

    /// Says how a child stands that was declared elsewhere; nothing if it was not.
    pub(crate) fn stand_elsewhere(
        &self,
        key: &Key,
        incarnation: u64,
        status: Status,
    ) -> Vec<Change> {
        {
            let inner = self.inner.read();
            let Some(entry) = inner.entries.get(key) else { return Vec::new() };
            if entry.owner.is_some() || !entry.view.supervisor.as_str().is_empty() {
                return Vec::new();
            }
        }
        self.set(key, Write { status, incarnation, restarts: 0, now: Instant::now() })
    }

    /// Says that a child has been, if it is not there, and that those who come to need it go on
    /// without it. Nothing changes for who has needed it all along. To be taken back by
    /// [`Board::undeclare`], or by its return.
    pub fn excuse(&self, key: &Key) {
        let mut inner = self.inner.write();
        if !inner.entries.contains_key(key) {
            inner.excused.insert(key.clone());
        }
    }

    /// Takes back what was declared and nobody supervises; whether there was such a child.
    pub fn undeclare(&self, key: &Key) -> bool {
        let mut inner = self.inner.write();
        inner.returns(key);
        let is_nobodys = inner.entries.get(key).is_some_and(|entry| entry.owner.is_none());
        if is_nobodys {
            inner.unlink(key);
            inner.entries.remove(key);
        }
        is_nobodys
    }

    /// How one child stands.
    pub fn view(&self, key: &str) -> Option<View> {
        self.inner.read().entries.get(key).map(|entry| entry.view.clone())
    }

    /// How all children stand, by name.
    pub fn all(&self) -> Vec<View> {
        let mut views: Vec<View> =
            self.inner.read().entries.values().map(|entry| entry.view.clone()).collect();
        views.sort_by(|a, b| a.key.cmp(&b.key));
        views
    }

    /// Those that need, bind or want a child.
    pub fn dependents(&self, key: &str) -> Vec<Key> {
        self.inner.read().dependents.get(key).cloned().unwrap_or_default()
    }

    /// How something stands for those who need it.
    pub fn standing(&self, key: &Key) -> Standing {
        self.inner.read().standing(key, 0)
    }

    /// How everything stands that a child needs or binds, in the order of its edges.
    pub fn standings(&self, edges: &Edges) -> Vec<(Key, Standing)> {
        let inner = self.inner.read();
        let each = edges.needs.iter().chain(&edges.binds);
        each.map(|key| (key.clone(), inner.standing(key, 0))).collect()
    }

    /// The life of something that is bound to, if it is up. Stand-ins do not count.
    pub(crate) fn binding(&self, key: &Key) -> Option<u64> {
        let inner = self.inner.read();
        let view = &inner.entries.get(key)?.view;
        view.status.is_up().then_some(view.incarnation)
    }

    /// Whether who wants it only for the order may start.
    pub(crate) fn is_past_start(&self, key: &Key) -> bool {
        let inner = self.inner.read();
        let status = inner.entries.get(key).map(|entry| &entry.view.status);
        !matches!(status, Some(Status::Declared | Status::Waiting | Status::Starting))
    }

    /// Whether somebody who is to stop too, and depends on it, still lives. With `all`, everybody
    /// is to stop.
    pub(crate) fn holds_up_stop(&self, key: &Key, all: bool) -> bool {
        let inner = self.inner.read();
        let Some(dependents) = inner.dependents.get(key) else { return false };
        dependents
            .iter()
            .filter_map(|dependent| inner.entries.get(dependent))
            .any(|dependent| dependent.view.status.is_alive() && (all || dependent.view.is_doomed))
    }

    pub(crate) fn doom(&self, key: &Key, doomed: bool) {
        if let Some(entry) = self.inner.write().entries.get_mut(key) {
            entry.view.is_doomed = doomed;
        }
    }

    /// Takes a child in.
    pub(crate) fn enter(
        &self,
        supervisor: &Key,
        spec: &ChildSpec,
        owner: Arc<dyn Poke>,
    ) -> Result<(), Taken> {
        let mut inner = self.inner.write();
        if let Some(entry) = inner.entries.get(&spec.key) {
            let free = entry.owner.is_none()
                || (entry.view.supervisor == *supervisor && !entry.view.status.is_alive());
            if !free {
                let (key, supervisor) = (spec.key.clone(), entry.view.supervisor.clone());
                return Err(Taken { key, supervisor });
            }
            inner.unlink(&spec.key);
        }
        inner.returns(&spec.key);
        let incarnation = inner.entries.get(&spec.key).map_or(0, |entry| entry.view.incarnation);
        let entry = Entry {
            view: View {
                supervisor: supervisor.clone(),
                kind: spec.policy.kind,
                required: spec.policy.required,
                edges: spec.edges.clone(),
                incarnation,
                ..Entry::declared(&spec.key).view
            },
            owner: Some(owner),
            has_failed: false,
            is_elsewhere: false,
        };
        inner.entries.insert(spec.key.clone(), entry);
        inner.link(&spec.key);
        Ok(())
    }

    /// A child is declared anew.
    pub(crate) fn amend(&self, spec: &ChildSpec) -> Vec<Change> {
        let mut inner = self.inner.write();
        inner.unlink(&spec.key);
        let Some(entry) = inner.entries.get_mut(&spec.key) else { return Vec::new() };
        entry.view.edges = spec.edges.clone();
        entry.view.required = spec.policy.required;
        inner.link(&spec.key);
        let concerns = inner.concerns(&spec.key, true);
        inner.unchanged(&spec.key, concerns)
    }

    /// Forgets a child.
    pub(crate) fn leave(&self, key: &Key) -> Vec<Change> {
        let mut inner = self.inner.write();
        inner.unlink(key);
        let concerns = inner.concerns(key, true);
        let Some(entry) = inner.entries.remove(key) else { return Vec::new() };
        if inner.dependents.contains_key(key) {
            let standing = match entry.view.status {
                Status::Completed => Standing::Met,
                _ if entry.view.required => Standing::Stuck,
                _ => Standing::Excused,
            };
            inner.gone.insert(key.clone(), standing);
        }
        vec![Change {
            key: key.clone(),
            incarnation: entry.view.incarnation,
            before: entry.view.status,
            now: Status::Stopped("it was removed".into()),
            is_forgotten: true,
            concerns,
        }]
    }

    /// Forgets the children of a supervisor that is itself forgotten.
    pub(crate) fn leave_children_of(&self, supervisor: &Key) -> Vec<Change> {
        let of_it = |view: &View| view.supervisor == *supervisor && !view.status.is_alive();
        let children: Vec<Key> =
            self.all().into_iter().filter(of_it).map(|view| view.key).collect();
        children.iter().flat_map(|key| self.leave(key)).collect()
    }

    /// Writes how a child stands now.
    pub(crate) fn set(&self, key: &Key, write: Write) -> Vec<Change> {
        let mut inner = self.inner.write();
        let Some(entry) = inner.entries.get_mut(key) else { return Vec::new() };
        let before = std::mem::replace(&mut entry.view.status, write.status.clone());
        entry.has_failed = match &write.status {
            Status::Down(_) | Status::Quarantined(_) => true,
            Status::Ready | Status::Degraded(_) | Status::Completed | Status::Stopped(_) => false,
            _ => entry.has_failed,
        };
        entry.view.restarts = write.restarts;
        let new_life =
            std::mem::replace(&mut entry.view.incarnation, write.incarnation) != write.incarnation;
        if before == write.status && !new_life {
            return Vec::new();
        }
        if before.word() != write.status.word() || new_life {
            entry.view.since = write.now;
        }
        let has_ended = before.is_alive() && !write.status.is_alive();
        let concerns = inner.concerns(key, has_ended);
        vec![Change {
            key: key.clone(),
            incarnation: write.incarnation,
            before,
            now: write.status,
            is_forgotten: false,
            concerns,
        }]
    }

    /// A supervisor is gone: what was its child is nobody's, and does not live.
    pub(crate) fn orphan(&self, key: &Key, write: Write) -> Vec<Change> {
        let changes = self.set(key, write);
        if let Some(entry) = self.inner.write().entries.get_mut(key) {
            entry.owner = None;
            entry.view.is_doomed = false;
        }
        changes
    }
}

/// How a child stands now, as its supervisor writes it.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) status: Status,
    pub(crate) incarnation: u64,
    pub(crate) restarts: u32,
    pub(crate) now: Instant,
}

impl Entry {
    fn declared(key: &Key) -> Self {
        let view = View {
            key: key.clone(),
            supervisor: Key::from(""),
            kind: ChildKind::Worker,
            required: true,
            status: Status::Declared,
            since: Instant::now(),
            incarnation: 0,
            restarts: 0,
            edges: None,
            is_doomed: false,
        };
        Self { view, owner: None, has_failed: false, is_elsewhere: false }
    }
}

impl Inner {
    fn standing(&self, key: &Key, depth: usize) -> Standing {
        let Some(entry) = self.entries.get(key) else {
            let excused = || self.excused.contains(key).then_some(Standing::Excused);
            return self.gone.get(key).cloned().or_else(excused).unwrap_or(Standing::Stuck);
        };
        let stand_in = || self.stand_in(entry, depth).map(Standing::StandIn);
        let given_up = || if entry.view.required { Standing::Stuck } else { Standing::Excused };
        match &entry.view.status {
            Status::Ready | Status::Degraded(_) | Status::Completed => Standing::Met,
            Status::Down(_) => stand_in().unwrap_or(Standing::Coming),
            Status::Declared | Status::Waiting | Status::Starting
                if entry.has_failed || entry.is_elsewhere =>
            {
                stand_in().unwrap_or(Standing::Coming)
            }
            Status::Declared | Status::Waiting | Status::Starting => Standing::Coming,
            Status::Stopping => stand_in().unwrap_or(Standing::Coming),
            Status::Blocked | Status::Stopped(_) | Status::Quarantined(_) => {
                stand_in().unwrap_or_else(given_up)
            }
        }
    }

    /// What it was before it was forgotten does not matter any more.
    fn returns(&mut self, key: &Key) {
        self.gone.remove(key);
        self.excused.remove(key);
    }

    fn stand_in(&self, entry: &Entry, depth: usize) -> Option<Key> {
        let fallback = entry.view.edges.as_ref()?.fallback.as_ref()?;
        if depth == STAND_IN_DEPTH {
            return None;
        }
        // One that has done its work and gone meets a need, but cannot stand in for anybody.
        let is_up = self.entries.get(fallback).is_some_and(|entry| entry.view.status.is_up());
        match self.standing(fallback, depth + 1) {
            Standing::Met if is_up => Some(fallback.clone()),
            Standing::StandIn(other) => Some(other),
            _ => None,
        }
    }

    /// Says who stands in for a child; whether that is another than before.
    fn fall_back(&mut self, key: &Key, fallback: Option<&Key>) -> bool {
        let Some(entry) = self.entries.get(key) else { return false };
        let before = entry.view.edges.as_deref().cloned().unwrap_or_default();
        if before.fallback.as_ref() == fallback {
            return false;
        }
        self.unlink(key);
        let edges = Edges { fallback: fallback.cloned(), ..before };
        if let Some(entry) = self.entries.get_mut(key) {
            entry.view.edges = (!edges.is_empty()).then(|| edges.into());
        }
        self.link(key);
        true
    }

    /// A child stands as it did, but others are to look at it.
    fn unchanged(&self, key: &Key, concerns: Vec<Concern>) -> Vec<Change> {
        let Some(entry) = self.entries.get(key) else { return Vec::new() };
        vec![Change {
            key: key.clone(),
            incarnation: entry.view.incarnation,
            before: entry.view.status.clone(),
            now: entry.view.status.clone(),
            is_forgotten: false,
            concerns,
        }]
    }

    /// Who must be told when `key` changes: the supervisors of those that depend on it, or on
    /// something it stands in for; and, when it has ended, of those it depends on, which may be
    /// waiting for that to stop.
    fn concerns(&self, key: &Key, has_ended: bool) -> Vec<Concern> {
        let mut concerns = Vec::new();
        self.concern_dependents(key, &mut concerns, 0);
        if has_ended {
            let edges = self.entries.get(key).and_then(|entry| entry.view.edges.as_ref());
            for needed in edges.iter().flat_map(|edges| edges.before()) {
                self.concern(needed, needed, &mut concerns);
            }
        }
        concerns
    }

    fn concern_dependents(&self, key: &Key, concerns: &mut Vec<Concern>, depth: usize) {
        for dependent in self.dependents.get(key).into_iter().flatten() {
            self.concern(dependent, key, concerns);
        }
        if depth < STAND_IN_DEPTH {
            for replaced in self.stands_in_for.get(key).into_iter().flatten() {
                self.concern_dependents(replaced, concerns, depth + 1);
            }
        }
    }

    fn concern(&self, child: &Key, about: &Key, concerns: &mut Vec<Concern>) {
        let Some(owner) = self.entries.get(child).and_then(|entry| entry.owner.as_ref()) else {
            return;
        };
        let known = concerns
            .iter()
            .any(|concern| concern.about == *about && Arc::ptr_eq(&concern.who, owner));
        if !known {
            concerns.push(Concern { who: owner.clone(), about: about.clone() });
        }
    }

    fn link(&mut self, key: &Key) {
        let Some(edges) = self.entries.get(key).and_then(|entry| entry.view.edges.clone()) else {
            return;
        };
        for needed in edges.before() {
            let dependents = self.dependents.entry(needed.clone()).or_default();
            if !dependents.contains(key) {
                dependents.push(key.clone());
            }
        }
        if let Some(fallback) = &edges.fallback {
            self.stands_in_for.entry(fallback.clone()).or_default().push(key.clone());
        }
    }

    fn unlink(&mut self, key: &Key) {
        let Some(edges) = self.entries.get(key).and_then(|entry| entry.view.edges.clone()) else {
            return;
        };
        for needed in edges.before() {
            remove_from(&mut self.dependents, needed, key);
            if !self.dependents.contains_key(needed) {
                self.gone.remove(needed);
            }
        }
        if let Some(fallback) = &edges.fallback {
            remove_from(&mut self.stands_in_for, fallback, key);
        }
    }
}

fn remove_from(map: &mut HashMap<Key, Vec<Key>>, of: &Key, key: &Key) {
    if let Some(keys) = map.get_mut(of) {
        keys.retain(|other| other != key);
        if keys.is_empty() {
            map.remove(of);
        }
    }
}
