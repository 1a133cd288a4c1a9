//! The homes of beings on the machines of the household.

use std::time::Duration;

use genii_protocols::beings::NoBeing;
use genii_protocols::{AskError, Destination, Message, Name, NodeName};
use genii_runtime::groups::GroupError;
use genii_runtime::{GroupMember, GroupMonitor, Node};
use genii_supervision::Status;

use super::super::errands::{Amiss, HOMES, MakeHere};
use super::failed;
use crate::being::home;

/// How long a home may take for what it does at once: a being may have to end what it does before.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Finds the homes.
pub(super) struct Homes {
    node: Node,
    group: Name,
}

impl Homes {
    pub(super) fn new(node: Node) -> Result<Self, String> {
        let group = Name::new(HOMES).map_err(|error| error.to_string())?;
        Ok(Self { node, group })
    }

    /// Watches which homes there are.
    pub(super) fn monitor(&self) -> Result<GroupMonitor, GroupError> {
        self.node.monitor_group(&self.group)
    }

    /// The machines that have one now.
    pub(super) fn nodes(&self) -> Vec<NodeName> {
        self.members().into_iter().map(|member| member.node).collect()
    }

    fn members(&self) -> Vec<GroupMember> {
        self.node.group_members(&self.group)
    }

    /// The home of a machine.
    pub(super) fn on(&self, node: &NodeName) -> Result<Destination, NoBeing> {
        let members = self.members();
        if let Some(member) = members.iter().find(|member| member.node == *node) {
            return Ok(member.destination());
        }
        if self.is_coming(node) {
            let why = format!("its home on {node} is starting; try again");
            return Err(NoBeing::Failed { why });
        }
        let others: Vec<&str> = members.iter().map(|member| member.node.as_str()).collect();
        let why = match others.as_slice() {
            [] => format!(
                "no machine has a home for beings now; `genii ctl why homes/beings` says why that of \
                 {node} does not run, unless its topology lacks it: an agent of the kind beings-home"
            ),
            others => {
                let how =
                    if self.is_away(node) { "is not linked" } else { "has no home for beings" };
                format!("{node} {how}; there are homes on {}", others.join(", "))
            }
        };
        Err(NoBeing::Failed { why })
    }

    /// Whether the home of a machine, which nobody finds now, is about to run again. Known only of this one.
    fn is_coming(&self, node: &NodeName) -> bool {
        let view = self.node.tree().board.view(home().as_str());
        node == self.node.name() && view.is_some_and(|view| is_coming(&view.status))
    }

    /// Whether a machine is out of reach: it is not linked, nor this one.
    pub(super) fn is_away(&self, node: &NodeName) -> bool {
        let is_linked = self.node.cluster().is_some_and(|cluster| cluster.is_connected(node));
        !is_linked && node != self.node.name()
    }

    /// Asks the home of a machine for something that it does at once.
    pub(super) async fn ask<M>(&self, node: &NodeName, message: M) -> Result<M::Reply, NoBeing>
    where
        M: Message<Refusal = Amiss>,
    {
        self.ask_within(node, message, PATIENCE).await
    }

    /// Has the home of a machine make a being. Refused as taken if something lies where it would live: no
    /// being that anybody knows, but it may be made of another id.
    pub(super) async fn ask_to_make(&self, node: &NodeName, make: MakeHere) -> Result<(), NoBeing> {
        let home = self.node.to(self.on(node)?);
        home.ask_within(make, PATIENCE).await.map_err(|error| match error {
            AskError::Refused(Amiss::Taken { id }) => NoBeing::Taken { id },
            error => not_done(node, error),
        })
    }

    /// Asks the home of a machine.
    pub(super) async fn ask_within<M>(
        &self,
        node: &NodeName,
        message: M,
        patience: Duration,
    ) -> Result<M::Reply, NoBeing>
    where
        M: Message<Refusal = Amiss>,
    {
        let home = self.node.to(self.on(node)?);
        home.ask_within(message, patience).await.map_err(|error| not_done(node, error))
    }
}

/// Whether a home that nobody finds, and that stands like this, comes by itself. Of one that is up, the end or
/// the beginning was just not heard of in the same moment.
fn is_coming(status: &Status) -> bool {
    use Status::{Declared, Down, Starting, Waiting};
    status.is_up() || matches!(status, Declared | Waiting | Starting | Down(_))
}

/// Why a home has not done what it was asked.
fn not_done(node: &NodeName, error: AskError<Amiss>) -> NoBeing {
    match error {
        AskError::Refused(Amiss::Taken { id }) => in_the_way(node, &id),
        AskError::Refused(Amiss::Senseless { why }) => NoBeing::Senseless { why },
        AskError::Refused(Amiss::Failed { why }) => NoBeing::Failed { why },
        AskError::Fault(fault) => failed(fault),
    }
}

/// Something lies where a being would live, and no being of the book is called so.
pub(super) fn in_the_way(node: &NodeName, id: &Name) -> NoBeing {
    let why = format!(
        "where {id} would live on {node} lies something already that the registry does not know: beings/{id} \
         in the data folder of genii there, unless its home has another folder; look at it, and move it away"
    );
    NoBeing::Failed { why }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use genii_supervision::{Failure, FailureKind};

    use super::*;

    #[test]
    fn a_home_that_comes_by_itself_is_said_to_start_and_no_other() {
        let failure = || Arc::new(Failure::new(FailureKind::Error, "it was killed"));
        let coming = [Status::Declared, Status::Waiting, Status::Starting, Status::Down(failure())];
        assert!(coming.iter().all(is_coming) && is_coming(&Status::Ready));
        let stays = [Status::Stopping, Status::Stopped("it was asked to stop".into())];
        assert!(!stays.iter().any(is_coming) && !is_coming(&Status::Quarantined(failure())));
    }
}
