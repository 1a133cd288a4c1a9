//! How an agent of another node is, by its own account. Its node is asked as it is for commands, and
//! answers by itself.

use std::time::Duration;

use genii_protocols::{Address, Json, NodeName};
use serde::{Deserialize, Serialize};

use super::Cluster;
use super::running::destination;
use crate::agent::Health;
use crate::node::{Node, Unheard};
use crate::stream::JsonNext;

/// How much longer than the agent the way there and back may take.
const WAY_PATIENCE: Duration = Duration::from_secs(1);

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Examine {
    examine: Address,
    /// How long the agent may take to look up from its work.
    patience: Duration,
}

impl Examine {
    /// What a command asks, if it is one.
    pub(super) fn read(command: &Json) -> Option<Self> {
        Self::deserialize(&command.0).ok()
    }

    /// The answer, once it is there.
    pub(super) async fn answer(self, node: Node) -> Json {
        // Only of those that live here: nobody is sent on.
        let health = node.health_here(&self.examine, self.patience).await;
        Json(serde_json::to_value(health).unwrap_or_default())
    }
}

impl Cluster {
    /// How an agent of another node is.
    pub(crate) async fn health(
        &self,
        node: &NodeName,
        address: &Address,
        patience: Duration,
    ) -> Result<Health, Unheard> {
        let away = |why: String| Unheard::Away { node: node.clone(), why };
        let ask = Examine { examine: address.clone(), patience };
        let ask = Json(serde_json::to_value(ask).map_err(|error| away(error.to_string()))?);
        let asking = async {
            let mut answers =
                self.run(node, &ask).await.map_err(|fault| away(fault.to_string()))?;
            match answers.next().await {
                JsonNext::Item(health) => serde_json::from_value(health.0)
                    .unwrap_or_else(|error| Err(away(error.to_string()))),
                JsonNext::End(Ok(_)) => Err(away("it says nothing".to_owned())),
                JsonNext::End(Err(error)) => Err(away(error.to_string())),
            }
        };
        let asked = tokio::time::timeout(patience + WAY_PATIENCE, asking).await;
        asked.unwrap_or_else(|_| Err(away("no answer in time".to_owned())))
    }

    /// Waits until another node answers a question of which nothing comes; `false` if it cannot be asked now.
    pub(super) async fn answers(&self, node: &NodeName) -> bool {
        let nobody = destination(node).address;
        let ask = Examine { examine: nobody, patience: Duration::ZERO };
        let Ok(ask) = serde_json::to_value(ask) else { return false };
        match self.run(node, &Json(ask)).await {
            Ok(mut answers) => {
                let _whatever_it_says = answers.next().await;
                true
            }
            Err(_) => false,
        }
    }
}
