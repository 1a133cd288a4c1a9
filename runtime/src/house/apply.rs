//! Making one topology of another while the house lives.

use std::time::Duration;

use genii_protocols::Address;
use genii_supervision::{Key, Status};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{House, HouseError, ROOT};
use crate::topology::Topology;
use crate::topology::diff::{Diff, Step};

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
        Diff::between(&self.topology(), topology)
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
        let diff = self.diff(&topology);
        self.declare(&topology);
        self.0.topology.store(topology.into());
        let mut steps = Vec::with_capacity(diff.steps.len());
        for step in diff.steps {
            let error = self.take(&step).await.err().map(|error| error.to_string());
            steps.push(StepOutcome { step, error });
        }
        // Another topology may follow meanwhile, as one that mends this one.
        drop(one_at_a_time);
        // What was added and changed starts in the order of its needs, whatever that of the steps.
        let deadline = Instant::now() + SETTLE_PATIENCE;
        for outcome in &mut steps {
            if outcome.error.is_none() {
                outcome.error = self.settled(&outcome.step, deadline).await.err();
            }
        }
        Applied { steps }
    }

    /// Waits until what a step has started has settled.
    ///
    /// # Errors
    /// In words, if it is then not up.
    async fn settled(&self, step: &Step, deadline: Instant) -> Result<(), String> {
        let name = match step {
            Step::AddAgent { address } | Step::ChangeAgent { address, restart: true, .. } => {
                address.as_str()
            }
            Step::AddGroup { group } => group.as_str(),
            _ => return Ok(()),
        };
        loop {
            let board = &self.0.node.tree().board;
            let Some(view) = board.view(name) else { return Ok(()) };
            match &view.status {
                // Its group does not run, and it starts with that.
                Status::Declared if view.supervisor.as_str().is_empty() => return Ok(()),
                status if !status.is_settled() => {}
                Status::Ready | Status::Degraded(_) | Status::Completed => return Ok(()),
                // It was stopped by hand before, or lives elsewhere, and is not to run.
                Status::Stopped(_) => return Ok(()),
                status => {
                    let detail = status.detail().map(|detail| format!(": {detail}"));
                    return Err(format!("it is {status}{}", detail.unwrap_or_default()));
                }
            }
            if Instant::now() > deadline {
                return Err(format!("it is {} after {SETTLE_PATIENCE:?}", view.status));
            }
            tokio::time::sleep(SETTLE_LOOK).await;
        }
    }

    async fn take(&self, step: &Step) -> Result<(), HouseError> {
        match step {
            Step::RemoveAgent { address } => {
                let removed = match self.has_child(address.as_str()) {
                    true => self.remove(address.as_str()).await,
                    // It was temporary, and is gone already; or its group does not run.
                    false => Ok(()),
                };
                self.0.node.tree().board.undeclare(&Key::from(address.shared()));
                removed
            }
            Step::RemoveGroup { group } => match self.is_running_here(group.as_str()) {
                true => self.remove(group.as_str()).await,
                false => Ok(()),
            },
            Step::AddGroup { group } => self.add_group(group.as_str()).await,
            Step::ChangeGroup { group } => self.change_group(group.as_str()).await,
            Step::AddAgent { address } => self.add_agent(address).await,
            Step::ChangeAgent { address, restart, .. } => {
                self.change_agent(address, *restart).await
            }
        }
    }

    /// Whether somebody supervises an agent.
    fn has_child(&self, name: &str) -> bool {
        let view = self.0.node.tree().board.view(name);
        view.is_some_and(|view| !view.supervisor.as_str().is_empty())
    }

    fn is_running_here(&self, group: &str) -> bool {
        self.0.node.tree().board.view(group).is_some()
    }

    async fn remove(&self, name: &str) -> Result<(), HouseError> {
        let supervisor = self.supervisor_of(name)?;
        self.commanded(name, supervisor.terminate_child(name).await)?;
        match supervisor.delete_child(name).await {
            // One that was temporary is gone already.
            Err(genii_supervision::ChildError::NotFound) => Ok(()),
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
        let Some(group) = topology.group(name).filter(|group| self.is_here(group)) else {
            return Ok(());
        };
        // The group as its own supervisor will see it when it is next restarted as a whole.
        let child = self.group_child(group, &topology);
        self.commanded(name, self.root().replace_child(child, false).await)?;
        match self.0.node.tree().supervisor(name) {
            Some(supervisor) => self.commanded(name, supervisor.set_flags(group.flags).await),
            None => Ok(()),
        }
    }

    async fn add_agent(&self, address: &Address) -> Result<(), HouseError> {
        let topology = self.topology();
        let Some(agent) = topology.agent(address) else { return Ok(()) };
        self.renew_group(address.group(), &topology).await;
        // The agents of a group that does not run start with it.
        let Some(supervisor) = self.0.node.tree().supervisor(address.group()) else {
            return Ok(());
        };
        let child = self.agent_child(agent);
        self.commanded(address.as_str(), supervisor.add_child(child).await)
    }

    async fn change_agent(&self, address: &Address, restart: bool) -> Result<(), HouseError> {
        let topology = self.topology();
        let Some(agent) = topology.agent(address) else { return Ok(()) };
        self.renew_group(address.group(), &topology).await;
        let Some(supervisor) = self.0.node.tree().supervisor(address.group()) else {
            return Ok(());
        };
        let (name, child) = (address.as_str(), self.agent_child(agent));
        if !self.has_child(name) {
            // It was temporary, and is gone: as another it is new.
            return match restart {
                true => self.commanded(name, supervisor.add_child(child).await),
                false => Ok(()),
            };
        }
        self.commanded(name, supervisor.replace_child(child, restart).await)?;
        let view = self.0.node.tree().board.view(name);
        let is_held_back = view.is_some_and(|view| matches!(view.status, Status::Quarantined(_)));
        if is_held_back && restart {
            // What held it back may be what was changed. Whether it was is seen when it has settled.
            self.commanded(name, supervisor.free_child(name).await)?;
        }
        Ok(())
    }

    /// So that a group which is restarted as a whole returns with its new agents.
    async fn renew_group(&self, name: &str, topology: &Topology) {
        if let Some(group) = topology.group(name).filter(|group| self.is_here(group)) {
            let child = self.group_child(group, topology);
            if let Err(error) = self.root().replace_child(child, false).await {
                tracing::warn!(group = name, supervisor = ROOT, "cannot be declared anew: {error}");
            }
        }
    }
}
