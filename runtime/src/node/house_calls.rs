//! What the house says to an agent, past its mailbox.

use std::time::Duration;

use genii_protocols::{Address, Json, NodeName};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Node;
use crate::agent::Health;
use crate::urgent::Urgent;

impl Node {
    /// Whether an agent looks into its mailbox, within `patience`.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn ping(&self, address: &Address, patience: Duration) -> Result<Duration, Unheard> {
        let began = Instant::now();
        self.say(address, patience, Urgent::Ping).await?;
        Ok(began.elapsed())
    }

    /// How an agent is, by its own account, on whichever node it lives.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn health(&self, address: &Address, patience: Duration) -> Result<Health, Unheard> {
        match self.cluster().zip(self.elsewhere(address)) {
            Some((cluster, (node, _))) => cluster.health(&node, address, patience).await,
            None => self.health_here(address, patience).await,
        }
    }

    /// As [`Node::health`], of an agent that lives here.
    pub(crate) async fn health_here(
        &self,
        address: &Address,
        patience: Duration,
    ) -> Result<Health, Unheard> {
        self.say(address, patience, Urgent::Health).await
    }

    /// The state of an agent.
    ///
    /// # Errors
    /// Why it did not answer.
    pub async fn snapshot(&self, address: &Address, patience: Duration) -> Result<Json, Unheard> {
        self.say(address, patience, Urgent::Snapshot).await
    }

    /// Lets an agent handle nothing until it is resumed. Messages wait, up to its capacity.
    ///
    /// # Errors
    /// Why it did not hear.
    pub async fn suspend(&self, address: &Address, patience: Duration) -> Result<(), Unheard> {
        self.say(address, patience, Urgent::Suspend).await
    }

    /// Lets an agent handle messages again.
    ///
    /// # Errors
    /// Why it did not hear.
    pub async fn resume(&self, address: &Address, patience: Duration) -> Result<(), Unheard> {
        self.say(address, patience, Urgent::Resume).await
    }

    async fn say<T>(
        &self,
        address: &Address,
        patience: Duration,
        make: impl FnOnce(oneshot::Sender<T>) -> Urgent,
    ) -> Result<T, Unheard> {
        let slot = self.0.directory.find(address).ok_or(Unheard::NotFound)?;
        let line = slot.line().ok_or(Unheard::NotRunning)?;
        let (reply, answer) = oneshot::channel();
        line.mailbox.push_urgent(make(reply)).map_err(|_| Unheard::NotRunning)?;
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Unheard::NotRunning),
            Err(_) => Err(Unheard::Busy { with: self.busy_with(&slot), patience }),
        }
    }
}

/// Why an agent did not hear, or did not answer, the house.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unheard {
    /// Nobody has this address.
    #[error("it is not known")]
    NotFound,
    /// It does not run.
    #[error("it is not running")]
    NotRunning,
    /// It did not look into its mailbox in time.
    #[error("it did not answer within {patience:.1?}{}", busy(with))]
    Busy {
        /// The handler that it is in, and for how long.
        with: Option<(String, Duration)>,
        /// How long it was given.
        patience: Duration,
    },
    /// Its node cannot be asked.
    #[error("its node {node} cannot be asked: {why}")]
    Away {
        /// Where it lives.
        node: NodeName,
        /// What is amiss.
        why: String,
    },
}

fn busy(with: &Option<(String, Duration)>) -> String {
    match with {
        Some((handler, long)) => format!("; it has been handling {handler} for {long:.1?}"),
        None => String::new(),
    }
}
