//! The catalogue: which kinds of agents there are. One line for each.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use genii_protocols::{Address, Json, MessageInfo};
use genii_supervision::{ChildSpec, Key};

use crate::agent::Agent;
use crate::host::{HostStart, SettingsFault, read_settings};
use crate::house::House;
use crate::node::Node;
use crate::process::{self, ProcessAgent, ProcessSettings};
use crate::protocol::AnyProtocol;
use crate::topology::check::Kinds;
use serde::de::DeserializeOwned;

/// A kind of agent.
trait Kind: Send + Sync + 'static {
    /// Its name in topology files.
    fn name(&self) -> &'static str;

    /// What is wrong with settings of it: everything.
    fn faults(&self, settings: &Json) -> Vec<String>;

    /// The ports that an agent with these settings opens.
    fn ports(&self, _settings: &Json) -> Vec<(u16, &'static str)> {
        Vec::new()
    }

    /// What keeps an agent with these settings from starting on this machine, if anything does.
    fn obstacle(&self, _settings: &Json) -> Option<String> {
        None
    }

    /// The messages that it answers.
    fn messages(&self) -> Vec<MessageInfo>;

    /// The table of its messages.
    fn protocol(&self, node: &Node) -> Arc<dyn AnyProtocol>;

    /// A child that hosts an agent of it.
    fn child(&self, node: &Node, house: &House, home: Home) -> ChildSpec;
}

/// Where an agent is to live, and how it is set.
pub(crate) struct Home {
    pub(crate) address: Address,
    pub(crate) settings: Arc<Json>,
    pub(crate) mailbox_capacity: usize,
}

/// Which kinds of agents there are.
#[derive(Clone)]
pub struct Catalogue {
    kinds: Vec<Arc<dyn Kind>>,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalogue {
    /// A catalogue that knows process agents alone.
    pub fn new() -> Self {
        Self { kinds: vec![Arc::new(ProcessKind)] }
    }

    /// With one more kind of agent.
    ///
    /// # Panics
    /// When the name is taken.
    #[must_use]
    pub fn with<A: Agent>(self, name: &'static str) -> Self {
        self.add(NativeKind::<A> { name, sees_house: false, agent: PhantomData })
    }

    /// With one more kind of agent, which may look at the house as a whole and command it:
    /// [`Context::house`](crate::Context::house).
    ///
    /// # Panics
    /// When the name is taken.
    #[must_use]
    pub fn with_house<A: Agent>(self, name: &'static str) -> Self {
        self.add(NativeKind::<A> { name, sees_house: true, agent: PhantomData })
    }

    fn add(mut self, kind: impl Kind) -> Self {
        let taken = self.find(kind.name()).is_some();
        assert!(!taken, "{} stands twice in the catalogue", kind.name());
        self.kinds.push(Arc::new(kind));
        self
    }

    /// The names of all kinds, in order.
    pub fn kinds(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names
    }

    /// The messages that agents of a kind answer; `None` if there is no such kind.
    pub fn messages(&self, kind: &str) -> Option<Vec<MessageInfo>> {
        self.find(kind).map(Kind::messages)
    }

    /// What is known of a message by its wire name; `None` if agents of no kind answer it.
    pub fn message(&self, name: &str) -> Option<MessageInfo> {
        let mut infos = self.kinds.iter().flat_map(|kind| kind.messages());
        infos.find(|info| info.name == name)
    }

    /// The names of all messages that agents of any kind answer, each with the digest of its form.
    pub(crate) fn forms(&self) -> BTreeMap<String, u64> {
        let infos = self.kinds.iter().flat_map(|kind| kind.messages());
        infos.map(|info| (info.name.clone(), info.digest())).collect()
    }

    /// A child that hosts an agent of a kind; `None` if there is no such kind.
    pub(crate) fn child(
        &self,
        kind: &str,
        node: &Node,
        house: &House,
        home: Home,
    ) -> Option<ChildSpec> {
        self.find(kind).map(|kind| kind.child(node, house, home))
    }

    /// The table of the messages that agents of a kind answer; `None` if there is no such kind.
    pub(crate) fn protocol(&self, kind: &str, node: &Node) -> Option<Arc<dyn AnyProtocol>> {
        self.find(kind).map(|kind| kind.protocol(node))
    }

    fn find(&self, name: &str) -> Option<&dyn Kind> {
        self.kinds.iter().find(|kind| kind.name() == name).map(|kind| &**kind)
    }
}

impl Kinds for Catalogue {
    fn names(&self) -> Vec<String> {
        self.kinds().into_iter().map(str::to_owned).collect()
    }

    fn faults(&self, kind: &str, settings: &Json) -> Vec<String> {
        self.find(kind).map(|kind| kind.faults(settings)).unwrap_or_default()
    }

    fn ports(&self, kind: &str, settings: &Json) -> Vec<(u16, &'static str)> {
        self.find(kind).map(|kind| kind.ports(settings)).unwrap_or_default()
    }

    fn obstacle(&self, kind: &str, settings: &Json) -> Option<String> {
        self.find(kind).and_then(|kind| kind.obstacle(settings))
    }
}

/// How much is told of what is wrong with the settings of one agent.
const SETTINGS_FAULTS_MAX: usize = 16;

/// An agent written in Rust.
struct NativeKind<A> {
    name: &'static str,
    sees_house: bool,
    agent: PhantomData<fn() -> A>,
}

impl<A: Agent> Kind for NativeKind<A> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn faults(&self, settings: &Json) -> Vec<String> {
        all_faults::<A::Settings>(settings, |_| None)
    }

    fn messages(&self) -> Vec<MessageInfo> {
        A::protocol().infos()
    }

    fn protocol(&self, node: &Node) -> Arc<dyn AnyProtocol> {
        node.protocols().of::<A>()
    }

    fn child(&self, node: &Node, house: &House, home: Home) -> ChildSpec {
        host::<A>(node, self.sees_house.then(|| house.clone()), home)
    }
}

/// An operating-system process.
struct ProcessKind;

impl Kind for ProcessKind {
    fn name(&self) -> &'static str {
        process::KIND
    }

    fn faults(&self, settings: &Json) -> Vec<String> {
        all_faults(settings, ProcessSettings::fault)
    }

    fn ports(&self, settings: &Json) -> Vec<(u16, &'static str)> {
        read(settings).map(|settings| settings.ports()).unwrap_or_default()
    }

    fn obstacle(&self, settings: &Json) -> Option<String> {
        read(settings).ok().and_then(|settings| settings.obstacle())
    }

    fn messages(&self) -> Vec<MessageInfo> {
        ProcessAgent::protocol().infos()
    }

    fn protocol(&self, node: &Node) -> Arc<dyn AnyProtocol> {
        node.protocols().of::<ProcessAgent>()
    }

    fn child(&self, node: &Node, _: &House, home: Home) -> ChildSpec {
        host::<ProcessAgent>(node, None, home)
    }
}

fn read(settings: &Json) -> Result<ProcessSettings, SettingsFault> {
    read_settings(settings)
}

/// Everything that is wrong with settings: what cannot be read, each taken away before the next is
/// looked for; and what is then wrong with the rest.
fn all_faults<T: DeserializeOwned>(
    settings: &Json,
    of_read: impl Fn(&T) -> Option<String>,
) -> Vec<String> {
    let (mut rest, mut faults) = (settings.clone(), Vec::new());
    while faults.len() < SETTINGS_FAULTS_MAX {
        match read_settings::<T>(&rest) {
            Ok(read) => {
                // What was taken away may be what the rest lacks.
                faults.extend(of_read(&read).filter(|_| faults.is_empty()));
                break;
            }
            Err(fault) => {
                let is_gone = take_away(&mut rest.0, &fault);
                faults.push(fault.to_string());
                if !is_gone {
                    break;
                }
            }
        }
    }
    faults
}

/// Takes what is wrong out of settings; whether it was there.
fn take_away(settings: &mut serde_json::Value, fault: &SettingsFault) -> bool {
    let unknown =
        fault.what.split_once("unknown field `").and_then(|(_, rest)| rest.split_once('`'));
    let unknown = unknown.map(|(name, _)| name.to_owned());
    let path: Vec<String> = fault.path.iter().cloned().chain(unknown).collect();
    let Some((last, way)) = path.split_last() else { return false };
    let table = way.iter().try_fold(settings, |table, key| table.get_mut(key));
    table.and_then(|table| table.as_object_mut()?.remove(last)).is_some()
}

fn host<A: Agent>(node: &Node, house: Option<House>, home: Home) -> ChildSpec {
    let Home { address, settings, mailbox_capacity } = home;
    let node = node.clone();
    let start = HostStart::<A> { node, house, settings, mailbox_capacity, agent: PhantomData };
    ChildSpec::new(Key::from(address.shared()), Arc::new(start))
}
