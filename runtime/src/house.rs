//! A house: a topology brought to life on a node, and everything one may ask of it.

mod apply;
mod draining;
pub mod impact;
mod nurseries;
mod rows;
pub mod why;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use genii_protocols::{Address, Json, NodeName};
use genii_supervision::{
    AutoShutdown, ChildError, ChildPolicy, ChildSpec, ExitReason, Failure, GiveUp, Intensity, Key,
    Restart, StartOrder, Supervisor, SupervisorFlags, SupervisorHandle, SupervisorSpec, View,
};

use crate::catalogue::{Catalogue, Home};
use crate::cluster::Far;
use crate::node::{Node, Unheard};
use crate::topology::{AgentSpec, GroupSpec, Topology};
use crate::vitals::Counters;

pub use apply::{Applied, StepOutcome};
pub use draining::Unfinished;
pub use rows::{ASLEEP, Counted, Row};

/// The name of the supervisor above all groups. No group can have it.
pub const ROOT: &str = "/";

/// How long the processes of a house may take to be gone after it has shut down.
const PROCESSES_PATIENCE: Duration = Duration::from_secs(10);

/// Among how many addresses of other machines one is looked for that may have been meant.
const NEAREST_MAX: usize = 10_000;

/// A house. Cheap to clone; all clones are the same house.
#[derive(Clone)]
pub struct House(Arc<Inner>);

struct Inner {
    node: Node,
    catalogue: Catalogue,
    topology: ArcSwap<Topology>,
    root: OnceLock<SupervisorHandle>,
    /// Held while the topology changes.
    changing: tokio::sync::Mutex<()>,
    /// Held while a nursery is opened.
    opening: tokio::sync::Mutex<()>,
}

/// Why the house does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HouseError {
    /// Nobody has this address.
    #[error("{address} is not in this house{}", meant(nearest))]
    NotFound {
        /// The address.
        address: String,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// It is declared, and lives on another machine.
    #[error("{address} lives on {node}")]
    Elsewhere {
        /// The name.
        address: String,
        /// Where.
        node: NodeName,
    },
    /// Its supervisor says no.
    #[error("{address}: {error}{}", remedy(error))]
    Supervisor {
        /// The address.
        address: String,
        /// What it says.
        error: ChildError,
    },
    /// The agent itself did not hear.
    #[error("{address}: {error}")]
    Unheard {
        /// The address.
        address: String,
        /// Why.
        error: Unheard,
    },
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

impl HouseError {
    /// Whether what a supervisor says names what to do already.
    pub fn has_remedy(error: &ChildError) -> bool {
        !remedy(error).is_empty()
    }
}

fn remedy(error: &ChildError) -> &'static str {
    match error {
        ChildError::Quarantined => " (`release` does that)",
        ChildError::NotRunning => " (`start` does that)",
        ChildError::Running => " (`stop` does that)",
        ChildError::Blocked(_) | ChildError::StartFailed(_) => " (`why` tells more)",
        _ => "",
    }
}

/// An agent or a group as it stands.
#[derive(Debug, Clone)]
pub struct Member {
    /// How its supervisor sees it.
    pub view: View,
    /// How it was declared, for an agent of the topology.
    pub spec: Option<AgentSpec>,
    /// What is counted about it, for an agent.
    pub counters: Option<Counters>,
    /// Whether it is suspended, as far as is known here of one that lives elsewhere.
    pub suspended: bool,
    /// The handler that it is in, and for how long.
    pub busy: Option<(String, Duration)>,
    /// Its operating-system process.
    pub pid: Option<i32>,
    /// The other node where it lives, for an agent that does.
    pub home: Option<NodeName>,
}

impl House {
    /// Begins to bring a topology to life, and returns while its agents are being started.
    ///
    /// # Errors
    /// When it is declared so that it cannot begin at all.
    pub async fn begin(
        node: Node,
        catalogue: Catalogue,
        topology: Topology,
    ) -> Result<Self, Arc<Failure>> {
        let house = Self(Arc::new(Inner {
            node,
            catalogue,
            topology: ArcSwap::from_pointee(topology),
            root: OnceLock::new(),
            changing: tokio::sync::Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }));
        house.0.node.knows(&house.0.catalogue);
        let topology = house.topology();
        house.declare(&topology);
        let mut spec = SupervisorSpec::new(ROOT).with_flags(SupervisorFlags {
            start_order: StartOrder::Graph,
            intensity: Intensity { restarts: 5, window: Duration::from_secs(60) },
            ..SupervisorFlags::default()
        });
        for group in topology.groups.iter().filter(|group| house.is_here(group)) {
            spec = spec.with_child(house.group_child(group, &topology));
        }
        let root = Supervisor::begin(spec, house.0.node.tree().clone()).await?;
        let _set_once = house.0.root.set(root);
        Ok(house)
    }

    /// Waits until all agents have settled.
    ///
    /// # Errors
    /// When a required agent cannot become ready; everything that had been started has then been
    /// stopped.
    pub async fn up(&self) -> Result<(), Arc<Failure>> {
        self.root().up().await
    }

    /// Waits until the house has ended by itself, and says why it did.
    pub async fn ended(&self) -> ExitReason {
        self.root().ended().await
    }

    /// Stops everything, in the reverse of the order in which it starts, and waits for it. Says how
    /// many processes could not be ended.
    pub async fn shutdown(&self) -> usize {
        self.0.node.tree().begin_ending();
        self.root().shutdown().await;
        self.0.node.keepers().all_gone(PROCESSES_PATIENCE).await
    }

    /// The node it lives on.
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// The kinds of agents it knows.
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }

    /// The topology that it follows.
    pub fn topology(&self) -> Arc<Topology> {
        self.0.topology.load_full()
    }

    fn root(&self) -> &SupervisorHandle {
        self.0.root.get().expect("a house is handed out when its root has begun")
    }

    // Bringing up.

    /// Makes all agents known, so that those who need one wait for it wherever it comes.
    fn declare(&self, topology: &Topology) {
        for agent in &topology.agents {
            self.0.node.declare(&agent.address, fallback_of(agent), topology.node_of(agent));
        }
    }

    fn is_here(&self, group: &GroupSpec) -> bool {
        group.node.as_ref().is_none_or(|node| node == self.0.node.name())
    }

    /// A group as a child of the root. It never takes the house down: when it has given up too
    /// often it is held back, and the rest goes on.
    fn group_child(&self, group: &GroupSpec, topology: &Topology) -> ChildSpec {
        let mut spec = SupervisorSpec::new(group.name.as_str()).with_flags(group.flags);
        for agent in topology.agents_of(group.name.as_str()) {
            spec = spec.with_child(self.agent_child(agent));
        }
        // One that shuts itself down has then done its work, and is not to return.
        let restart = match group.flags.auto_shutdown {
            AutoShutdown::Never => Restart::Permanent,
            AutoShutdown::AnySignificant | AutoShutdown::AllSignificant => Restart::Transient,
        };
        let give_up = GiveUp::Quarantine;
        let policy = ChildPolicy { give_up, restart, ..ChildPolicy::supervisor() };
        spec.into_child(policy)
    }

    fn agent_child(&self, agent: &AgentSpec) -> ChildSpec {
        let home = Home {
            address: agent.address.clone(),
            settings: Arc::new(agent.settings.clone()),
            mailbox_capacity: agent.policy.mailbox_capacity,
        };
        let child = self.0.catalogue.child(&agent.kind, &self.0.node, self, home);
        let child = child.unwrap_or_else(|| unknown_kind(agent));
        child.with_policy(agent.child_policy()).with_edges(agent.edges())
    }

    // Asking.

    /// How everything stands, agents and groups, by name.
    pub fn members(&self) -> Vec<Member> {
        let topology = self.topology();
        let views = self.0.node.tree().board.all();
        views.into_iter().map(|view| self.member_of(view, &topology)).collect()
    }

    /// Sees that an agent or a group lives here.
    ///
    /// # Errors
    /// When it lives elsewhere, or there is none of this name.
    pub fn is_own(&self, name: &str) -> Result<(), HouseError> {
        if let Some(node) = self.home_of(name) {
            return Err(HouseError::Elsewhere { address: name.to_owned(), node });
        }
        self.member(name).map(drop)
    }

    /// How one agent or group stands.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn member(&self, name: &str) -> Result<Member, HouseError> {
        let view = self.0.node.tree().board.view(name);
        let view = view.or_else(|| self.asleep(name)).ok_or_else(|| self.not_found(name))?;
        Ok(self.member_of(view, &self.topology()))
    }

    fn member_of(&self, view: View, topology: &Topology) -> Member {
        let address = Address::from_shared(view.key.shared()).ok();
        let node = &self.0.node;
        let of = address.as_ref();
        let home = of.and_then(|address| node.home_of(address));
        let is_suspended = |address: &Address| match &home {
            None => node.is_suspended(address),
            Some(_) => {
                let far = node.cluster().and_then(|cluster| cluster.find(address));
                far.is_some_and(|far| far.is_suspended())
            }
        };
        Member {
            spec: of.and_then(|address| topology.agent(address)).cloned(),
            counters: of.and_then(|address| node.counters(address)),
            suspended: of.is_some_and(is_suspended),
            busy: of.and_then(|address| node.busy(address)),
            pid: of.and_then(|address| node.process_of(address)),
            home,
            view,
        }
    }

    /// The other node where an agent or a group lives, as far as is known here.
    pub fn home_of(&self, name: &str) -> Option<NodeName> {
        let (node, own) = (&self.0.node, self.0.node.name());
        let home = match Address::parse(name) {
            Ok(address) => {
                // What lives at an address that is hidden only sends on what comes for one that has left.
                let hidden =
                    node.directory().nursery(address.group()).filter(|it| it.hides(&address));
                let left = hidden.and_then(|_| Some(node.cluster()?.find(&address)?.node.clone()));
                let known = left.or_else(|| node.home_of(&address));
                let known = known.or_else(|| node.elsewhere(&address).map(|(home, _)| home));
                // One that nobody has would be in its group.
                known.or_else(|| self.topology().group(address.group())?.node.clone())
            }
            Err(_) => match self.topology().group(name) {
                Some(group) => group.node.clone(),
                None => self.home_of_strange(name),
            },
        };
        home.filter(|home| home != own)
    }

    /// The node of a group of which only other nodes know; of several the first, as the tree has it.
    fn home_of_strange(&self, group: &str) -> Option<NodeName> {
        let told = self.told();
        let of_group = told.iter().filter(|(address, _)| address.group() == group);
        of_group.map(|(_, far)| far.node.clone()).min()
    }

    fn not_found(&self, name: &str) -> HouseError {
        let topology = self.topology();
        let home = topology.group(name).and_then(|group| group.node.as_ref());
        if let Some(node) = home.filter(|node| *node != self.0.node.name()) {
            return HouseError::Elsewhere { address: name.to_owned(), node: node.clone() };
        }
        let (views, told) = (self.0.node.tree().board.all(), self.told());
        let known = views.iter().map(|view| view.key.as_str());
        let others = told.iter().take(NEAREST_MAX).map(|(address, _)| address.as_str());
        let nearest = crate::nearest::nearest(name, known.chain(others)).map(str::to_owned);
        HouseError::NotFound { address: name.to_owned(), nearest }
    }

    /// What other nodes have told of, in no order.
    fn told(&self) -> Vec<(Address, Arc<Far>)> {
        self.0.node.cluster().map(|cluster| cluster.told()).unwrap_or_default()
    }

    // Commanding.

    /// Starts an agent or a group that was stopped or has ended; returns when it is ready.
    ///
    /// # Errors
    /// When there is none, it runs, or it cannot start.
    pub async fn start(&self, name: &str) -> Result<(), HouseError> {
        let supervisor = self.supervisor_of(name)?;
        self.commanded(name, supervisor.restart_child(name).await)
    }

    /// Stops an agent or a group; returns when it has stopped.
    ///
    /// # Errors
    /// When there is none.
    pub async fn stop(&self, name: &str) -> Result<(), HouseError> {
        let supervisor = self.supervisor_of(name)?;
        self.commanded(name, supervisor.terminate_child(name).await)
    }

    /// Stops a running agent or group and starts it again; returns when it is ready.
    ///
    /// # Errors
    /// When there is none, it does not run, or it cannot start.
    pub async fn restart(&self, name: &str) -> Result<(), HouseError> {
        let supervisor = self.supervisor_of(name)?;
        self.commanded(name, supervisor.cycle_child(name).await)
    }

    /// Kills an agent or a group, for a reason in words; it returns as after a crash.
    ///
    /// # Errors
    /// When there is none or it does not run.
    pub async fn kill(&self, name: &str, why: &str) -> Result<(), HouseError> {
        let supervisor = self.supervisor_of(name)?;
        self.commanded(name, supervisor.kill_child(name, why).await)
    }

    /// Lets an agent or a group out of quarantine; returns when it is ready. One of a nursery is made anew, as
    /// things are set by then.
    ///
    /// # Errors
    /// When there is none, it is not in quarantine, or it cannot start.
    pub async fn release(&self, name: &str) -> Result<(), HouseError> {
        let supervisor = self.supervisor_of(name)?;
        if let Some(resident) = self.held_resident(name) {
            self.commanded(name, supervisor.replace_child(resident, false).await)?;
        }
        self.commanded(name, supervisor.release_child(name).await)
    }

    /// Lets an agent handle nothing until it is resumed.
    ///
    /// # Errors
    /// When there is none, or it does not hear.
    pub async fn suspend(&self, address: &Address, patience: Duration) -> Result<(), HouseError> {
        self.heard(address, self.0.node.suspend(address, patience).await)
    }

    /// Lets an agent handle messages again.
    ///
    /// # Errors
    /// When there is none, or it does not hear.
    pub async fn resume(&self, address: &Address, patience: Duration) -> Result<(), HouseError> {
        self.heard(address, self.0.node.resume(address, patience).await)
    }

    /// The state of an agent, by its own account.
    ///
    /// # Errors
    /// When there is none, or it does not hear.
    pub async fn snapshot(
        &self,
        address: &Address,
        patience: Duration,
    ) -> Result<Json, HouseError> {
        self.heard(address, self.0.node.snapshot(address, patience).await)
    }

    fn heard<T>(&self, address: &Address, result: Result<T, Unheard>) -> Result<T, HouseError> {
        result.map_err(|error| match error {
            Unheard::NotFound => self.not_found(address.as_str()),
            Unheard::NotRunning if let Some(node) = self.home_of(address.as_str()) => {
                HouseError::Elsewhere { address: address.to_string(), node }
            }
            error => HouseError::Unheard { address: address.to_string(), error },
        })
    }

    fn commanded<T>(&self, name: &str, result: Result<T, ChildError>) -> Result<(), HouseError> {
        match result {
            Ok(_) => Ok(()),
            Err(ChildError::NotFound) => Err(self.not_found(name)),
            Err(error) => Err(HouseError::Supervisor { address: name.to_owned(), error }),
        }
    }

    /// The supervisor of an agent or a group.
    fn supervisor_of(&self, name: &str) -> Result<SupervisorHandle, HouseError> {
        let tree = self.0.node.tree();
        let view = tree.board.view(name).ok_or_else(|| self.not_found(name))?;
        if let Some(node) = self.home_of(name).filter(|_| view.supervisor.as_str().is_empty()) {
            return Err(HouseError::Elsewhere { address: name.to_owned(), node });
        }
        let gone = HouseError::Supervisor { address: name.to_owned(), error: ChildError::Gone };
        tree.supervisor(view.supervisor.as_str()).ok_or(gone)
    }
}

/// Who stands in for an agent while it is down.
fn fallback_of(agent: &AgentSpec) -> Option<&Address> {
    agent.fallback.as_ref().map(|link| &link.to)
}

/// Stands for an agent whose kind nobody knows; a topology that was checked has none.
fn unknown_kind(agent: &AgentSpec) -> ChildSpec {
    let why = format!("its kind {:?} is not known", agent.kind);
    let start = move |_| {
        let why = why.clone();
        async move { Err(genii_supervision::StartError::refused(why)) }
    };
    ChildSpec::new(Key::from(agent.address.shared()), Arc::new(start))
}
