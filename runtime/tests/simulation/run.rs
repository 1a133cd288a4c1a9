//! One run: a script, from its first operation until all is quiet, and what must be true then.

use std::time::Duration;

use genii_protocols::Fault;
use genii_runtime::cluster::Membership;
use genii_runtime::link::simulated::Waters;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::agent::write_into;
use crate::check;
use crate::company;
use crate::linking;
use crate::log::{Log, Outcome, Style};
use crate::machine::{Machine, address, extra, name};
use crate::script::{AGENTS, EXTRAS_MAX, Op, SPARE, Script, millis};
use crate::watching::is_told_truly;

/// How long it may take after all has healed until everybody agrees.
const SETTLE: Duration = Duration::from_secs(20);

/// How long they must agree: what has stalled before is given up by then, and who was
/// greeted and did not come.
const HOLD: Duration = Duration::from_millis(2_600);

/// How often to look whether they do. Looking costs more than all else in a run.
const LOOK: Duration = Duration::from_millis(100);

/// How long who asks waits, unless the script says otherwise.
const PATIENCE: Duration = Duration::from_secs(2);

/// A run.
pub struct Run {
    waters: Waters,
    machines: Vec<Option<Machine>>,
    /// Which life each node is in, or was in last.
    lives: Vec<u64>,
    /// What people have told agents and houses to do, which may take a while.
    doing: Vec<JoinHandle<()>>,
    /// The machines that are being put away.
    leaving: Vec<Vec<JoinHandle<()>>>,
    /// See [`Script::is_rolling`].
    is_rolling: bool,
    /// The node that is drained in a rolling restart. Nobody sends from it until it is back and all
    /// see all: it ends with those who would, and has yet to learn where others are.
    resting: Option<usize>,
    log: Log,
}

impl Run {
    /// Runs a script, and checks what must be true; returns all that happened.
    pub async fn of(seed: u64, script: &Script) -> Log {
        let log = Log::new();
        write_into(&log);
        let waters = Waters::new(seed, (Duration::from_micros(50), Duration::from_millis(3)));
        let mut run = Self {
            waters,
            machines: (0..script.nodes).map(|_| None).collect(),
            lives: vec![0; script.nodes],
            doing: Vec::new(),
            leaving: (0..script.nodes).map(|_| Vec::new()).collect(),
            is_rolling: script.is_rolling,
            resting: None,
            log: log.clone(),
        };
        run.settle().await;
        let tasks = run.tasks().await;
        for op in &script.ops {
            log.note(format_args!("{op:?}"));
            run.put_away_drained();
            run.act(op).await;
            run.machines.iter_mut().flatten().for_each(Machine::write_down);
        }
        run.settle().await;
        run.probe().await;
        linking::untie_all(&run.machines.iter().flatten().collect::<Vec<_>>()).await;
        run.all_are_told_truly().await;
        run.all_end_together(seed).await;
        company::all_hear_all(&log, &run.machines.iter().flatten().collect::<Vec<_>>()).await;
        run.machines.iter_mut().flatten().for_each(Machine::write_down);
        check::what_was_sent(&log, script.nodes);
        if script.is_rolling {
            check::nothing_covered_is_lost(&log, script.nodes);
        }
        run.is_without_leaks(tasks).await;
        run.end().await;
        log.ties(|ties| ties.are_true());
        log
    }

    async fn act(&mut self, op: &Op) {
        let waters = self.waters.clone();
        match *op {
            Op::Tell { from, sender, to, count } => {
                self.send((from, sender), to, Style::Tell, (count, 0));
            }
            Op::TryTell { from, sender, to, count } => {
                self.send((from, sender), to, Style::TryTell, (count, 0));
            }
            Op::LargeTell { from, sender, to, kib } => {
                self.send((from, sender), to, Style::Tell, (1, kib << 10));
            }
            Op::Ask { from, sender, to, count } => {
                self.send((from, sender), to, Style::Ask { patience: PATIENCE }, (count, 0));
            }
            Op::SlowAsk { from, sender, to, takes, patience } => {
                let style = Style::Ask { patience: millis(patience) };
                if let Some(machine) = self.who_sends(from) {
                    machine.send(sender, &address(to), style, takes, 0);
                }
            }
            Op::Stream { from, sender, to, wanted } => {
                self.send((from, sender), to, Style::Stream(wanted), (1, 0));
            }
            Op::LargeAsk { from, sender, to, kib } => {
                self.send((from, sender), to, Style::Ask { patience: PATIENCE }, (1, kib << 10));
            }
            Op::Cut { one, other } => waters.cut(&name(one), &name(other)),
            Op::CutWay { from, to } => waters.cut_way(&name(from), &name(to)),
            Op::Heal { one, other } => waters.heal(&name(one), &name(other)),
            Op::Slow { one, other, millis: by } => {
                waters.slow(&name(one), &name(other), millis(by));
            }
            Op::Stall { one, other } => waters.stall(&name(one), &name(other)),
            Op::Reset { one, other, lane } => waters.reset(&name(one), &name(other), lane),
            Op::Pause { node } => waters.pause(&name(node)),
            Op::Resume { node } => waters.resume(&name(node)),
            Op::Crash { node } => self.crash(node),
            Op::Leave { node } => {
                let leaving = self.machines[node].take().map(Machine::leave);
                self.leaving[node].extend(leaving);
            }
            Op::Drain { node, patience } => self.drain(node, millis(patience)).await,
            Op::Restart { node } => self.restart(node).await,
            Op::CrashAgent { from, to } => {
                if let Some(machine) = &self.machines[from] {
                    machine.break_agent(&address(to));
                }
            }
            Op::Publish { from, sender, count } => {
                if let Some(machine) = self.who_sends(from) {
                    (0..count).for_each(|_| machine.publish(sender));
                }
            }
            Op::Watch { node, whom } => {
                if let Some(machine) = &self.machines[node] {
                    machine.watch(&address(whom));
                }
            }
            Op::Unwatch { node } => {
                self.machines[node].as_ref().map(Machine::unwatch);
            }
            Op::Tie { node, to } => {
                if let Some(machine) = &self.machines[node] {
                    machine.tie(&address(to));
                }
            }
            Op::Untie { node } => {
                self.machines[node].as_ref().map(Machine::untie);
            }
            Op::StopAgent { agent } => self.command(agent, true),
            Op::StartAgent { agent } => self.command(agent, false),
            Op::Extras { node, count } => {
                self.doing
                    .extend(self.machines[node].as_ref().map(|machine| machine.follow(count)));
            }
            Op::Wait { millis: wait } => tokio::time::sleep(millis(wait)).await,
        }
    }

    fn send(
        &self,
        (from, sender): (usize, usize),
        to: (usize, usize),
        style: Style,
        (count, fill): (usize, usize),
    ) {
        // One that is slow takes longer for some.
        let takes = |number: usize| if to.1 == 1 && number.is_multiple_of(4) { 15 } else { 0 };
        if let Some(machine) = self.who_sends(from) {
            for number in 0..count {
                machine.send(sender, &address(to), style, takes(number), fill);
            }
        }
    }

    /// The node, if it is there and its senders send.
    fn who_sends(&self, from: usize) -> Option<&Machine> {
        self.machines[from].as_ref().filter(|_| self.resting != Some(from))
    }

    async fn drain(&mut self, node: usize, patience: Duration) {
        if self.is_rolling {
            // One after another: as people are told to, who restart a household.
            self.all_back().await;
            while !self.log.is_quiet_on(node) {
                tokio::time::sleep(LOOK).await;
            }
            self.resting = Some(node);
        }
        if let Some(machine) = &mut self.machines[node] {
            machine.drain(patience);
        }
    }

    /// Those who have drained are gone.
    fn put_away_drained(&mut self) {
        for (machine, leaving) in self.machines.iter_mut().zip(&mut self.leaving) {
            let drained = machine.take_if(|machine| machine.has_drained());
            leaving.extend(drained.map(Machine::put_away));
        }
    }

    /// Waits for those who drain.
    async fn all_drained(&mut self) {
        let began = Instant::now();
        while self.machines.iter().flatten().any(Machine::drains) {
            assert!(began.elapsed() < SETTLE * 6, "who drains comes to an end");
            self.put_away_drained();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits for those who drain, starts those who are gone, and waits until all see all.
    async fn all_back(&mut self) {
        self.all_drained().await;
        for node in 0..self.machines.len() {
            self.restart(node).await;
        }
        let began = Instant::now();
        while let Err(lacks) = self.agrees() {
            assert!(began.elapsed() < SETTLE, "after {SETTLE:?} {lacks}");
            tokio::time::sleep(LOOK).await;
        }
        self.resting = None;
    }

    fn crash(&mut self, node: usize) {
        let waters = self.waters.clone();
        let gone = self.machines[node].take().map(|machine| machine.crash(&waters));
        self.leaving[node].extend(gone);
    }

    async fn restart(&mut self, node: usize) {
        if self.machines[node].is_some() {
            return;
        }
        self.lives[node] += 1;
        let (nodes, which) = (self.machines.len(), (node, self.lives[node]));
        self.machines[node] = Some(Machine::boot(&self.waters, nodes, which, &self.log).await);
    }

    /// A person stops or starts an agent on its node.
    fn command(&mut self, agent: (usize, usize), stops: bool) {
        let Some(machine) = &self.machines[agent.0] else { return };
        let (house, address) = (machine.house.clone(), address(agent));
        self.doing.push(tokio::spawn(async move {
            // One that is stopped, or started, already is none the worse.
            let _done = match stops {
                true => house.stop(address.as_str()).await,
                false => house.start(address.as_str()).await,
            };
        }));
    }

    /// All is healed, everybody is there and well; returns when everybody has agreed on it.
    async fn settle(&mut self) {
        self.log.note("settle");
        let nodes = self.machines.len();
        for one in 0..nodes {
            self.waters.resume(&name(one));
            for other in 0..one {
                self.waters.heal(&name(one), &name(other));
            }
        }
        self.all_drained().await;
        for node in 0..nodes {
            self.restart(node).await;
        }
        self.all_done().await;
        for machine in self.machines.iter().flatten() {
            self.doing.push(machine.follow(0));
        }
        for agent in (0..nodes).flat_map(|node| (0..AGENTS.len()).map(move |it| (node, it))) {
            self.command(agent, false);
        }
        self.all_done().await;
        let (began, mut agreed) = (Instant::now(), Instant::now());
        while agreed.elapsed() < HOLD {
            if let Err(lacks) = self.agrees() {
                assert!(began.elapsed() < SETTLE, "after {SETTLE:?} {lacks}");
                agreed = Instant::now();
            }
            tokio::time::sleep(LOOK).await;
        }
        while !self.log.is_quiet() {
            assert!(
                began.elapsed() < SETTLE * 10,
                "something that was sent or is streamed does not end"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What people do, and machines that are put away, come to an end.
    async fn all_done(&mut self) {
        let leaving = self.leaving.iter_mut().flat_map(std::mem::take);
        for doing in std::mem::take(&mut self.doing).into_iter().chain(leaving) {
            let done = tokio::time::timeout(SETTLE * 3, doing).await;
            done.expect("what people do ends").expect("nobody panics");
        }
    }

    /// Whether everybody sees everybody, and all agents as their own nodes do; else what is amiss.
    fn agrees(&self) -> Result<(), String> {
        let machines: Vec<&Machine> = self.machines.iter().flatten().collect();
        company::agree(&machines)?;
        for one in &machines {
            for other in machines.iter().filter(|other| other.which != one.which) {
                let (own, its) = (one.which, other.which);
                let seen = one.membership(its.0);
                if seen != Some(Membership::Alive) {
                    return Err(format!("{own:?} sees {its:?} as {seen:?}"));
                }
                for agent in 0..AGENTS.len() {
                    let address = address((its.0, agent));
                    let (seen, truth) = (one.state(&address), other.state(&address));
                    if seen != truth || truth != Some("ready") {
                        return Err(format!("{own:?} sees {address} as {seen:?}, it is {truth:?}"));
                    }
                }
                let known = one.cluster.members().into_iter().find(|it| it.node == name(its.0));
                let known = known.map_or(0, |member| member.addresses);
                if known != AGENTS.len() {
                    return Err(format!("{own:?} knows {known} addresses of {its:?}"));
                }
            }
        }
        Ok(())
    }

    /// Everybody reaches every agent, and finds nobody where nobody is.
    async fn probe(&self) {
        let machines: Vec<&Machine> = self.machines.iter().flatten().collect();
        for one in &machines {
            for other in &machines {
                // The spare one is never addressed.
                for agent in 0..SPARE {
                    let to = address((other.which.0, agent));
                    let outcome = one.probe(crate::script::SENDERS, &to, PATIENCE).await;
                    let said = matches!(outcome, Outcome::Answered(_));
                    assert!(said, "{:?} asks {to}: {outcome:?}", one.which);
                }
                for number in 0..EXTRAS_MAX {
                    let to = extra(other.which.0, number);
                    let outcome = one.probe(crate::script::SENDERS, &to, PATIENCE).await;
                    let is_none = matches!(outcome, Outcome::Failed(Fault::NotFound { .. }));
                    assert!(is_none, "{:?} asks {to}, which is gone: {outcome:?}", one.which);
                }
            }
        }
    }

    /// Each node is told once, and truly, of the ends of agents of the next.
    async fn all_are_told_truly(&mut self) {
        let nodes = self.machines.len();
        for node in 0..nodes {
            let (one, other) = self.neighbours(node);
            is_told_truly(&self.log, one, other).await;
            self.all_back().await;
        }
        self.settle().await;
    }

    /// On a node an agent ends with one of the next that it has linked itself to, and that with it; and
    /// bears that it is stopped. One node a run: it takes as long as a script.
    async fn all_end_together(&mut self, seed: u64) {
        let seed = usize::try_from(seed).expect("seeds are small");
        let (node, whose) = (seed % self.machines.len(), seed % AGENTS.len());
        for linker_fails in [false, true] {
            let (one, other) = self.neighbours(node);
            linking::ends_with_the_other(one, other, whose, linker_fails).await;
            self.all_back().await;
        }
        let (one, other) = self.neighbours(node);
        linking::bears_whom_it_let_go(one, other, whose).await;
        linking::bears_a_stop(one, other).await;
        self.settle().await;
    }

    /// A node, and the next.
    fn neighbours(&self, node: usize) -> (&Machine, &Machine) {
        let machine = |node: usize| self.machines[node].as_ref().expect("all are there");
        (machine(node), machine((node + 1) % self.machines.len()))
    }

    /// How many tasks there are when all is quiet.
    async fn tasks(&self) -> usize {
        tokio::time::sleep(millis(50)).await;
        tokio::runtime::Handle::current().metrics().num_alive_tasks()
    }

    async fn is_without_leaks(&self, before: usize) {
        let tasks = self.tasks().await;
        assert_eq!(tasks, before, "tasks are left over, or lacking");
        let others = self.machines.len() - 1;
        for machine in self.machines.iter().flatten() {
            let (which, figures) = (machine.which, machine.cluster.figures());
            assert_eq!(figures.links, others, "{which:?}: {figures:?}");
            assert_eq!((figures.half_open, figures.questions), (0, 0), "{which:?}: {figures:?}");
            assert_eq!(figures.addresses, others * AGENTS.len(), "{which:?}: {figures:?}");
            assert_eq!(figures.nonsense, 0, "{which:?}: {figures:?}");
            // Each receiver tells in steps of a quarter.
            let step = genii_protocols::frame::CREDIT_MAX as usize / 4;
            assert!(figures.unheard <= figures.receivers * step, "{which:?}: {figures:?}");
        }
        // Two lanes of two directions for each two.
        let pairs = self.machines.len() * others / 2;
        assert_eq!(self.waters.passages(), pairs * 4, "lanes are left open");
    }

    /// All leave.
    async fn end(&mut self) {
        for node in 0..self.machines.len() {
            let leaving = self.machines[node].take().map(Machine::leave);
            self.leaving[node].extend(leaving);
        }
        self.all_done().await;
        let tasks = self.tasks().await;
        assert_eq!(tasks, 0, "tasks outlive their nodes");
    }
}
