//! Whole trees of supervisors against scripted crashes, on an invented clock.
//!
//! A [`World`] holds some supervisors that share one tree, children with random needs among them,
//! and for every life of every child a script: how long its start takes and how it goes, how long
//! it lives and how it ends, whether it heeds being asked to stop. It does what the supervisors
//! want, checks every single thing they want against what it knows itself, and runs until nothing
//! moves any more.

mod promises;
mod random;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::time::Instant;

use super::{Action, Core, Gone, Ix};
use crate::board::Poke;
use crate::exit::{ExitReason, Failure, FailureKind};
use crate::journal::{Event, What};
use crate::spec::{ChildSpec, Key, StartOrder, SupervisorFlags, SupervisorSpec};
use crate::start::StartError;
use crate::status::Status;
use crate::tree::{Observer, Tree, TreeOptions};

use random::{random_child, random_flags};

/// How many faults a child has in it; then it is well, so that the tree can come to rest.
const FAULTS_PER_CHILD: u32 = 12;

/// How many events a run may take. A run that takes more is one that does not settle.
const EVENTS_MAX: usize = 50_000;

#[derive(Debug, Clone)]
enum Happens {
    Started { core: usize, ix: Ix, incarnation: u64, gone: Option<Gone> },
    Ends { core: usize, ix: Ix, incarnation: u64, reason: ExitReason },
    Poke { core: usize, about: Key },
    Operate(Operation),
    EndAll,
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Terminate(usize),
    Restart(usize),
    Cycle(usize),
    Kill(usize),
    Release(usize),
    Degrade(usize),
}

struct World {
    tree: Arc<Tree>,
    cores: Vec<Core>,
    specs: Vec<ChildSpec>,
    /// Which supervisor has the child.
    group_of: Vec<usize>,
    flags: Vec<SupervisorFlags>,
    now: Instant,
    queue: BTreeMap<(Instant, u64), Happens>,
    next_event: u64,
    pokes: Arc<Mutex<Vec<(usize, Key)>>>,
    dice: fastrand::Rng,
    faults: Vec<u32>,
    /// The lives that have been started and have not gone, by supervisor and number.
    alive: HashMap<(usize, Ix), u64>,
    key_of: HashMap<(usize, Ix), Key>,
    ready: HashSet<Key>,
    exits: HashMap<usize, ExitReason>,
    ending: bool,
    recorded: Arc<Mutex<Vec<Arc<Event>>>>,
    /// When a child was restarted because it had ended. A release forgives what was before.
    restarts: HashMap<Key, Vec<Instant>>,
}

struct Recorder(Arc<Mutex<Vec<Arc<Event>>>>);

impl Observer for Recorder {
    fn recorded(&self, event: &Arc<Event>) {
        self.0.lock().push(event.clone());
    }
}

struct Bell {
    core: usize,
    pokes: Arc<Mutex<Vec<(usize, Key)>>>,
}

impl Poke for Bell {
    fn poke(&self, about: &Key) {
        self.pokes.lock().push((self.core, about.clone()));
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let groups = dice.usize(1..4);
        let count = dice.usize(2..14);
        let group_of: Vec<usize> = (0..count).map(|_| dice.usize(..groups)).collect();
        let flags: Vec<_> = (0..groups).map(|_| random_flags(&mut dice)).collect();
        let specs: Vec<_> = (0..count).map(|n| random_child(&mut dice, n)).collect();
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let observer = Box::new(Recorder(recorded.clone()));
        let tree = Tree::new(TreeOptions { seed, observer, ..TreeOptions::default() });
        for spec in &specs {
            tree.board.declare(&spec.key);
        }
        let pokes = Arc::new(Mutex::new(Vec::new()));
        let cores = (0..groups)
            .map(|core| {
                let spec = SupervisorSpec::new(format!("group-{core}")).with_flags(flags[core]);
                let bell = Arc::new(Bell { core, pokes: pokes.clone() });
                Core::new(&spec, tree.clone(), bell, 1)
            })
            .collect();
        Self {
            tree,
            cores,
            faults: vec![0; count],
            specs,
            group_of,
            flags,
            now: Instant::now(),
            queue: BTreeMap::new(),
            next_event: 0,
            pokes,
            dice,
            alive: HashMap::new(),
            key_of: HashMap::new(),
            ready: HashSet::new(),
            exits: HashMap::new(),
            ending: false,
            recorded,
            restarts: HashMap::new(),
        }
    }

    fn run(&mut self, operations: usize) -> Result<(), String> {
        for core in 0..self.cores.len() {
            let mut first: Vec<_> = self.specs_of(core).cloned().collect();
            // In a sequence nobody may stand before what it needs; in a graph anybody may.
            if self.flags[core].start_order == StartOrder::Graph {
                self.dice.shuffle(&mut first);
            }
            let now = self.now;
            self.step(core, |it| it.begin(first, now))?;
        }
        for _ in 0..operations {
            let at = self.now + self.millis(0..20_000);
            let operation = self.random_operation();
            self.schedule(at, Happens::Operate(operation));
        }
        self.run_until_still()?;
        self.check_settled()?;
        self.schedule(self.now, Happens::EndAll);
        self.run_until_still()?;
        self.check_ended()
    }

    fn specs_of(&self, core: usize) -> impl Iterator<Item = &ChildSpec> {
        let groups = self.group_of.iter();
        self.specs
            .iter()
            .zip(groups)
            .filter(move |(_, group)| **group == core)
            .map(|(spec, _)| spec)
    }

    fn run_until_still(&mut self) -> Result<(), String> {
        for _ in 0..EVENTS_MAX {
            let event = self.queue.first_key_value().map(|(&(at, _), _)| at);
            let timer = (0..self.cores.len())
                .filter(|core| !self.exits.contains_key(core))
                .filter_map(|core| Some((self.cores[core].next_timer()?, core)))
                .min();
            match (event, timer) {
                (None, None) => return Ok(()),
                (Some(at), timer) if timer.is_none_or(|(tick, _)| at <= tick) => {
                    self.now = self.now.max(at);
                    let (_, happens) = self.queue.pop_first().expect("there is a first event");
                    self.happen(happens)?;
                }
                (_, Some((at, core))) => {
                    self.now = self.now.max(at);
                    let now = self.now;
                    self.step(core, |it| it.tick(now))?;
                }
                (Some(_), None) => unreachable!("the guard above takes an event without a timer"),
            }
        }
        Err("the tree does not settle".to_owned())
    }

    fn happen(&mut self, happens: Happens) -> Result<(), String> {
        let now = self.now;
        match happens {
            Happens::Started { core, ix, incarnation, gone } => {
                if self.alive.get(&(core, ix)) != Some(&incarnation) {
                    return Ok(());
                }
                match gone {
                    Some(gone) => self.life_ends(core, ix, incarnation, gone),
                    None => {
                        self.ready.insert(self.key_of[&(core, ix)].clone());
                        self.step(core, |it| it.ready(ix, incarnation, now))
                    }
                }
            }
            Happens::Ends { core, ix, incarnation, reason } => {
                self.life_ends(core, ix, incarnation, Gone::Exited(reason))
            }
            Happens::Poke { core, about } => self.step(core, |it| it.needs_changed(&about, now)),
            Happens::Operate(operation) => self.operate(operation),
            Happens::EndAll => {
                self.ending = true;
                self.tree.begin_ending();
                let mut order: Vec<usize> = (0..self.cores.len()).collect();
                self.dice.shuffle(&mut order);
                for core in order {
                    self.step(core, |it| it.end(ExitReason::Shutdown(None), now))?;
                }
                Ok(())
            }
        }
    }

    fn life_ends(
        &mut self,
        core: usize,
        ix: Ix,
        incarnation: u64,
        gone: Gone,
    ) -> Result<(), String> {
        if self.alive.get(&(core, ix)) != Some(&incarnation) {
            return Ok(());
        }
        self.alive.remove(&(core, ix));
        self.ready.remove(&self.key_of[&(core, ix)]);
        let now = self.now;
        self.step(core, |it| it.gone(ix, incarnation, gone, now))
    }

    fn step(&mut self, core: usize, event: impl FnOnce(&mut Core)) -> Result<(), String> {
        if self.exits.contains_key(&core) {
            return Ok(());
        }
        event(&mut self.cores[core]);
        for action in self.cores[core].take_actions() {
            self.act(core, action)?;
        }
        self.count_restarts();
        let pokes = std::mem::take(&mut *self.pokes.lock());
        for (core, about) in pokes {
            let at = self.now + self.millis(0..3);
            self.schedule(at, Happens::Poke { core, about });
        }
        Ok(())
    }

    fn count_restarts(&mut self) {
        for event in std::mem::take(&mut *self.recorded.lock()) {
            let restarts = self.restarts.entry(event.key.clone()).or_default();
            match &event.what {
                What::Restarting { because_of: None, .. } => restarts.push(self.now),
                What::Released => restarts.clear(),
                _ => {}
            }
        }
    }

    fn act(&mut self, core: usize, action: Action) -> Result<(), String> {
        match action {
            Action::Start { ix, incarnation, spec } => self.start(core, ix, incarnation, &spec),
            Action::Stop { ix } => self.stop(core, ix),
            Action::Kill { ix } => {
                let heeds = self.dice.u8(..) > 10;
                let after = self.millis(0..20);
                if heeds {
                    self.ends_in(core, ix, after, ExitReason::Killed);
                }
                Ok(())
            }
            Action::Abandon { ix } => {
                self.alive.remove(&(core, ix));
                self.ready.remove(&self.key_of[&(core, ix)]);
                Ok(())
            }
            Action::Tell { .. } | Action::Up => Ok(()),
            Action::Exit(reason) => {
                let left = self.alive.keys().filter(|(other, _)| *other == core).count();
                self.exits.insert(core, reason);
                if left > 0 {
                    Err(format!("group-{core} ended before {left} children"))
                } else {
                    Ok(())
                }
            }
        }
    }

    fn start(
        &mut self,
        core: usize,
        ix: Ix,
        incarnation: u64,
        spec: &ChildSpec,
    ) -> Result<(), String> {
        self.key_of.insert((core, ix), spec.key.clone());
        if self.alive.insert((core, ix), incarnation).is_some() {
            return Err(format!("{} was started while it lived", spec.key));
        }
        if self.ending {
            return Err(format!("{} was started while the tree was ending", spec.key));
        }
        self.check_needs(spec)?;
        let number = self.number_of(&spec.key);
        let (takes, gone) = self.how_it_starts(number);
        let ready_at = self.now + takes;
        match &gone {
            Some(Gone::Exited(ExitReason::Shutdown(_))) => return Ok(()),
            _ => self
                .schedule(ready_at, Happens::Started { core, ix, incarnation, gone: gone.clone() }),
        }
        if gone.is_none() && self.has_fault(number) {
            let after = self.millis(0..9_000);
            let reason = self.random_end();
            self.schedule(ready_at + after, Happens::Ends { core, ix, incarnation, reason });
        }
        Ok(())
    }

    /// A start that ends as `Shutdown` stands for one that never comes to anything.
    fn how_it_starts(&mut self, number: usize) -> (Duration, Option<Gone>) {
        let takes = self.millis(0..200);
        if !self.has_fault(number) {
            return (takes, None);
        }
        let gone = match self.dice.u8(..6) {
            0 => Some(Gone::NotStarted(StartError::failed("scripted"))),
            1 => Some(Gone::NotStarted(StartError::refused("scripted"))),
            2 => Some(Gone::Exited(ExitReason::Shutdown(None))),
            3 => Some(Gone::Ignored),
            _ => None,
        };
        (takes, gone)
    }

    fn has_fault(&mut self, number: usize) -> bool {
        let fault = self.faults[number] < FAULTS_PER_CHILD && self.dice.bool();
        self.faults[number] += u32::from(fault);
        fault
    }

    fn random_end(&mut self) -> ExitReason {
        match self.dice.u8(..5) {
            0 => ExitReason::Normal,
            1 => ExitReason::Shutdown(None),
            2 => ExitReason::Killed,
            _ => ExitReason::Failed(Arc::new(Failure::new(FailureKind::Error, "scripted"))),
        }
    }

    /// A child is asked to stop: in time, late, or never, sometimes with a reason of its own.
    fn stop(&mut self, core: usize, ix: Ix) -> Result<(), String> {
        let key = self.key_of[&(core, ix)].clone();
        if self.ending {
            self.check_nobody_depends_on(&key)?;
        }
        let reason =
            if self.dice.u8(..) < 40 { self.random_end() } else { ExitReason::Shutdown(None) };
        let after = match self.dice.u8(..10) {
            0 => return Ok(()),
            1 => self.millis(0..9_000),
            _ => self.millis(0..50),
        };
        self.ends_in(core, ix, after, reason);
        Ok(())
    }

    fn ends_in(&mut self, core: usize, ix: Ix, after: Duration, reason: ExitReason) {
        if let Some(&incarnation) = self.alive.get(&(core, ix)) {
            self.schedule(self.now + after, Happens::Ends { core, ix, incarnation, reason });
        }
    }

    fn operate(&mut self, operation: Operation) -> Result<(), String> {
        let now = self.now;
        let (Operation::Terminate(n)
        | Operation::Restart(n)
        | Operation::Cycle(n)
        | Operation::Kill(n)
        | Operation::Release(n)
        | Operation::Degrade(n)) = operation;
        let (core, key) = (self.group_of[n], self.specs[n].key.clone());
        match operation {
            Operation::Terminate(_) => {
                self.step(core, |it| it.terminate_child(&key, Box::new(|_| ()), now))
            }
            Operation::Restart(_) => {
                self.step(core, |it| it.restart_child(&key, Box::new(|_| ()), now))
            }
            Operation::Cycle(_) => {
                self.step(core, |it| it.cycle_child(&key, Box::new(|_| ()), now))
            }
            Operation::Release(_) => {
                self.step(core, |it| it.release_child(&key, Box::new(|_| ()), now))
            }
            Operation::Kill(_) | Operation::Degrade(_) => {
                let living = self.key_of.iter().find(|(_, known)| **known == key);
                let Some((&(core, ix), _)) = living else { return Ok(()) };
                if matches!(operation, Operation::Kill(_)) {
                    self.ends_in(core, ix, Duration::ZERO, ExitReason::Killed);
                    return Ok(());
                }
                let Some(&incarnation) = self.alive.get(&(core, ix)) else { return Ok(()) };
                let why = self.dice.bool().then(|| "scripted".into());
                self.step(core, |it| it.degraded(ix, incarnation, why, now))
            }
        }
    }

    fn random_operation(&mut self) -> Operation {
        let number = self.dice.usize(..self.specs.len());
        match self.dice.u8(..6) {
            0 => Operation::Terminate(number),
            1 => Operation::Restart(number),
            2 => Operation::Cycle(number),
            3 => Operation::Kill(number),
            4 => Operation::Release(number),
            _ => Operation::Degrade(number),
        }
    }

    fn schedule(&mut self, at: Instant, happens: Happens) {
        self.next_event += 1;
        self.queue.insert((at, self.next_event), happens);
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.dice.u64(range))
    }

    fn number_of(&self, key: &Key) -> usize {
        self.specs.iter().position(|spec| spec.key == *key).expect("all children are declared")
    }

    fn status(&self, key: &Key) -> Status {
        self.tree.board.view(key.as_str()).map_or(Status::Declared, |view| view.status)
    }

    fn spec(&self, key: &Key) -> &ChildSpec {
        &self.specs[self.number_of(key)]
    }

    fn story(&self) -> String {
        let events = self.tree.journal.tail(400, |_| true);
        let lines =
            events.iter().map(|event| format!("{} {} {}", event.seq, event.key, event.what));
        let mut story: Vec<String> = lines.collect();
        for spec in &self.specs {
            let (status, edges) = (self.status(&spec.key), &spec.edges);
            story.push(format!("{}: {status} {:?} {edges:?}", spec.key, spec.policy));
        }
        story.push(format!("groups {:?} {:?}", self.group_of, self.flags));
        story.join("\n")
    }
}

fn check(seed: u64, operations: usize) -> Result<(), TestCaseError> {
    let mut world = World::new(seed);
    world
        .run(operations)
        .map_err(|fault| TestCaseError::fail(format!("seed {seed}: {fault}\n{}", world.story())))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_tree_holds_its_promises_against_any_crashes(seed in any::<u64>()) {
        check(seed, 0)?;
    }

    #[test]
    fn any_tree_holds_its_promises_against_any_commands(seed in any::<u64>(), count in 0..30_usize) {
        check(seed, count)?;
    }
}
