//! Making one topology of another while the house lives.

use std::collections::BTreeSet;
use std::time::Duration;

use genii_protocols::Address;
use genii_supervision::journal::StopWhy;
use genii_supervision::{ChildError, Key, Status, SupervisorHandle, View};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{House, HouseError, ROOT, fallback_of};
use crate::topology::diff::{Diff, Step};
use crate::topology::{AgentSpec, Topology};

/// How long what a new topology starts may take to settle, before that is told instead.
const SETTLE_PATIENCE: Duration = Duration::from_secs(600);

/// How often to look whether something has settled.
const SETTLE_LOOK: Duration = Duration::from_millis(10);

/// What came of applying a topology.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Applied {
    /// The steps, in the order in which they were taken.
    pub steps: Vec<StepOutcome>,
}

/// What came of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepOutcome {
    /// The step.
    #[serde(flatten)]
    pub step: Step,
    /// Why it failed, if it did. The steps after it are taken all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl House {
    /// The difference between the topology that the house follows and another.
    pub fn diff(&self, topology: &Topology) -> Diff {
        Diff::between(&self.topology(), topology, self.0.node.name())
    }

    /// Follows another topology from now on. Only what changed restarts. The topology must have
    /// been checked. All of it is done, also when nobody waits for it any more.
    pub async fn apply(&self, topology: Topology) -> Applied {
        let house = self.clone();
        let applying = tokio::spawn(async move { house.follow(topology).await });
        match applying.await {
            Ok(applied) => applied,
            // Only a panic ends it; it is told on.
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    async fn follow(&self, topology: Topology) -> Applied {
        let one_at_a_time = self.0.changing.lock().await;
        let before = self.topology();
        let diff = self.diff(&topology);
        let at_rest: BTreeSet<String> = (diff.steps.iter().filter_map(Step::starts))
            .filter(|name| self.is_at_rest(name))
            .map(str::to_owned)
            .collect();
        self.0.topology.store(topology.into());
        self.renew_groups(&diff).await;
        // First all let go of what they do not need any more, then everything changes, and last all
        // take up what they need now: so dependencies go round in no circle at any time.
        self.let_go(&diff, &before).await;
        let changed: BTreeSet<String> =
            diff.steps.iter().filter_map(Step::changes_in).map(str::to_owned).collect();
        let mut steps = Vec::with_capacity(diff.steps.len());
        let (removals, rest): (Vec<Step>, Vec<Step>) =
            diff.steps.into_iter().partition(Step::is_removal);
        let (changes, others): (Vec<Step>, Vec<Step>) = rest.into_iter().partition(Step::is_change);
        for step in removals {
            steps.push(self.taken(step).await);
        }
        // What moves to another node can be declared there when it is gone from here.
        self.declare_changes(&before);
        for step in others {
            steps.push(self.taken(step).await);
        }
        for group in changed {
            self.reorder(&group).await;
        }
        for step in changes {
            steps.push(self.taken(step).await);
        }
        // Another topology may follow meanwhile, as one that mends this one.
        drop(one_at_a_time);
        // What was added and changed starts in the order of its needs, whatever that of the steps.
        let deadline = Instant::now() + SETTLE_PATIENCE;
        for StepOutcome { step, error } in &mut steps {
            let starts = step.starts().filter(|name| error.is_none() && !at_rest.contains(*name));
            if let Some(name) = starts {
                *error = self.settled(name, deadline).await.err();
            }
        }
        Applied { steps }
    }

    /// Whether an agent or a group is not to run when a step is done: it was made to stop, or its
    /// group does not run.
    fn is_at_rest(&self, name: &str) -> bool {
        let tree = self.0.node.tree();
        let Some(view) = tree.board.view(name) else { return false };
        let group = view.supervisor.as_str();
        // One whose group was held back returns with that.
        !self.is_held_back(group)
            && (matches!(view.status, Status::Stopped(_)) || tree.supervisor(group).is_none())
    }

    /// So that a group which is restarted as a whole returns with the agents that it has now. One
    /// that was held back may be mended by what has changed.
    async fn renew_groups(&self, diff: &Diff) {
        let topology = self.topology();
        let changed: BTreeSet<&str> = diff.steps.iter().filter_map(Step::changes_in).collect();
        let groups = changed.into_iter().filter_map(|name| topology.group(name));
        for group in groups.filter(|group| self.is_here(group)) {
            let name = group.name.as_str();
            let child = self.group_child(group, &topology);
            let mut renewed = self.root().replace_child(child, false).await;
            if renewed.is_ok() && self.is_held_back(name) {
                renewed = self.root().free_child(name).await;
            }
            if let Err(error) = renewed {
                tracing::warn!(group = name, supervisor = ROOT, "cannot be declared anew: {error}");
            }
        }
    }

    fn is_held_back(&self, name: &str) -> bool {
        let view = self.0.node.tree().board.view(name);
        view.is_some_and(|view| matches!(view.status, Status::Quarantined(_)))
    }

    /// Lets agents that change let go of what they do not need any more.
    async fn let_go(&self, diff: &Diff, before: &Topology) {
        let now = self.topology();
        for step in &diff.steps {
            let Step::ChangeAgent { address, .. } = step else { continue };
            let agents = before.agent(address).zip(now.agent(address));
            let running = self.0.node.tree().supervisor(address.group());
            let Some(((before, now), supervisor)) = agents.zip(running) else { continue };
            let edges = now.edges().within(&before.edges());
            // One that was temporary, and is gone, needs nothing.
            let _gone =
                supervisor.replace_child(self.agent_child(now).with_edges(edges), false).await;
        }
    }

    /// Makes known what is new or has moved, and forgets what is not had any more. What is there
    /// already stands as it does.
    fn declare_changes(&self, before: &Topology) {
        let (own, now) = (self.0.node.name(), self.topology());
        for agent in before.agents.iter().filter(|agent| now.agent(&agent.address).is_none()) {
            self.0.node.undeclare(&agent.address);
        }
        for agent in &now.agents {
            let home = now.node_of(agent);
            let stood = before.agent(&agent.address);
            let stays =
                stood.is_some_and(|it| before.node_of(it).unwrap_or(own) == home.unwrap_or(own));
            if stays {
                self.0.node.set_fallback(&agent.address, fallback_of(agent));
                // One that is not there was temporary.
                self.0.node.tree().board.excuse(&Key::from(agent.address.shared()));
            } else {
                self.0.node.declare(&agent.address, fallback_of(agent), home);
            }
        }
    }

    /// Puts the agents of a group into the order of the topology.
    async fn reorder(&self, group: &str) {
        let Some(supervisor) = self.0.node.tree().supervisor(group) else { return };
        let topology = self.topology();
        let order = topology.agents_of(group).map(|agent| Key::from(agent.address.shared()));
        if let Err(error) = supervisor.reorder(order.collect()).await {
            tracing::warn!(group, "its agents cannot be put into order: {error}");
        }
    }

    async fn taken(&self, step: Step) -> StepOutcome {
        let error = self.take(&step).await.err().map(|error| error.to_string());
        StepOutcome { step, error }
    }

    async fn take(&self, step: &Step) -> Result<(), HouseError> {
        match step {
            Step::RemoveAgent { address } => self.remove_agent(address).await,
            Step::RemoveGroup { group } => match self.is_running_here(group.as_str()) {
                true => self.remove(group.as_str()).await,
                false => Ok(()),
            },
            Step::AddGroup { group } => self.add_group(group.as_str()).await,
            Step::ChangeGroup { group, .. } => self.change_group(group.as_str()).await,
            Step::AddAgent { address } => self.add_agent(address).await,
            Step::ChangeAgent { address, restart, .. } => {
                self.change_agent(address, *restart).await
            }
        }
    }

    fn is_running_here(&self, group: &str) -> bool {
        self.0.node.tree().board.view(group).is_some()
    }

    async fn remove_agent(&self, address: &Address) -> Result<(), HouseError> {
        let is_supervised = self.has_child(address.as_str())
            && self.0.node.tree().supervisor(address.group()).is_some();
        match is_supervised {
            true => self.remove(address.as_str()).await,
            // It was temporary, and is gone already; or its group does not run.
            false => Ok(()),
        }
    }

    /// Whether somebody supervises an agent, or did when its group last ran.
    fn has_child(&self, name: &str) -> bool {
        let view = self.0.node.tree().board.view(name);
        view.is_some_and(|view| !view.supervisor.as_str().is_empty())
    }

    async fn remove(&self, name: &str) -> Result<(), HouseError> {
        let supervisor = self.supervisor_of(name)?;
        self.commanded(name, supervisor.terminate_child(name).await)?;
        match supervisor.delete_child(name).await {
            // One that was temporary is gone already.
            Err(ChildError::NotFound) => Ok(()),
            result => self.commanded(name, result),
        }
    }

    async fn add_group(&self, name: &str) -> Result<(), HouseError> {
        let topology = self.topology();
        match topology.group(name).filter(|group| self.is_here(group)) {
            Some(group) => {
                let child = self.group_child(group, &topology);
                self.commanded(name, self.root().add_child(child).await)
            }
            None => Ok(()),
        }
    }

    async fn change_group(&self, name: &str) -> Result<(), HouseError> {
        let topology = self.topology();
        let group = topology.group(name).filter(|group| self.is_here(group));
        match group.zip(self.0.node.tree().supervisor(name)) {
            Some((group, supervisor)) => {
                self.commanded(name, supervisor.set_flags(group.flags).await)
            }
            // One that does not run starts as it is declared now.
            None => Ok(()),
        }
    }

    async fn add_agent(&self, address: &Address) -> Result<(), HouseError> {
        let topology = self.topology();
        match topology.agent(address).zip(self.0.node.tree().supervisor(address.group())) {
            Some((agent, supervisor)) => self.add_to(&supervisor, agent).await,
            // The agents of a group that does not run start with it, and are not waited for before.
            None => {
                if topology.group(address.group()).is_some_and(|group| self.is_here(group)) {
                    let fallback = topology.agent(address).and_then(fallback_of);
                    let fallback = fallback.map(|fallback| Key::from(fallback.shared()));
                    let (key, why) = (Key::from(address.shared()), "its group does not run");
                    let board = &self.0.node.tree().board;
                    board.declare_elsewhere(&key, fallback.as_ref(), why);
                }
                Ok(())
            }
        }
    }

    async fn add_to(
        &self,
        supervisor: &SupervisorHandle,
        agent: &AgentSpec,
    ) -> Result<(), HouseError> {
        match supervisor.add_child(self.agent_child(agent)).await {
            // Its group was restarted as a whole meanwhile, and returned with it.
            Err(ChildError::AlreadyStarted | ChildError::AlreadyPresent) => Ok(()),
            result => self.commanded(agent.address.as_str(), result),
        }
    }

    async fn change_agent(&self, address: &Address, restart: bool) -> Result<(), HouseError> {
        let topology = self.topology();
        let running = self.0.node.tree().supervisor(address.group());
        let Some((agent, supervisor)) = topology.agent(address).zip(running) else {
            return Ok(());
        };
        let name = address.as_str();
        if !self.has_child(name) {
            // It was temporary, and is gone: as another it is new.
            if restart {
                self.0.node.declare(address, fallback_of(agent), topology.node_of(agent));
                return self.add_to(&supervisor, agent).await;
            }
            return Ok(());
        }
        let child = self.agent_child(agent);
        self.commanded(name, supervisor.replace_child(child, restart).await)?;
        if restart && self.is_held_back(name) {
            // What held it back may be what was changed. Whether it was is seen when it has settled.
            self.commanded(name, supervisor.free_child(name).await)?;
        }
        Ok(())
    }

    /// Waits until an agent, or a group with its agents, has settled.
    ///
    /// # Errors
    /// In words, if it is then not up.
    async fn settled(&self, name: &str, deadline: Instant) -> Result<(), String> {
        self.is_up(name, deadline).await?;
        let topology = self.topology();
        let mut failed = Vec::new();
        for agent in topology.agents_of(name) {
            let address = &agent.address;
            if let Err(error) = self.is_up(address.as_str(), deadline).await {
                failed.push(format!("{address}: {error}"));
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    }

    async fn is_up(&self, name: &str, deadline: Instant) -> Result<(), String> {
        loop {
            // It is gone: it was temporary and has ended, or its group lives elsewhere.
            let Some(view) = self.0.node.tree().board.view(name) else { return Ok(()) };
            match &view.status {
                // Its group does not run, and it starts with that; or it lives elsewhere.
                Status::Declared | Status::Stopped(_) if view.supervisor.as_str().is_empty() => {
                    return Ok(());
                }
                // It waits for its turn to stop, to start anew.
                _ if view.is_doomed => {}
                status if !status.is_settled() => {}
                // It starts with its group.
                Status::Stopped(_) if self.is_starting(&view.supervisor) => {}
                Status::Ready | Status::Degraded(_) | Status::Completed => return Ok(()),
                // Somebody wants it so.
                Status::Stopped(why) if **why == *StopWhy::Asked.to_string() => return Ok(()),
                Status::Stopped(why) => return Err(format!("it was stopped meanwhile: {why}")),
                status => {
                    let detail = status.detail().map(|detail| format!(": {detail}"));
                    return Err(format!("it is {status}{}", detail.unwrap_or_default()));
                }
            }
            if Instant::now() > deadline {
                let lacking = self.lacking(&view);
                return Err(format!("it is {} after {SETTLE_PATIENCE:?}{lacking}", view.status));
            }
            tokio::time::sleep(SETTLE_LOOK).await;
        }
    }

    /// What keeps an agent from starting, in words.
    fn lacking(&self, view: &View) -> String {
        let Some(edges) = &view.edges else { return String::new() };
        let standings = self.0.node.tree().board.standings(edges).into_iter();
        let lacking = standings.filter(|(_, standing)| !standing.lets_start());
        let names: Vec<String> = lacking.map(|(key, _)| key.to_string()).collect();
        if names.is_empty() { String::new() } else { format!(" for {}", names.join(", ")) }
    }

    fn is_starting(&self, supervisor: &Key) -> bool {
        let view = self.0.node.tree().board.view(supervisor.as_str());
        view.is_some_and(|view| !view.status.is_settled() && view.status != Status::Stopping)
    }
}
