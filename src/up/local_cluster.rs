//! `genii up --local-cluster`: the other machines of a topology, as processes on this one.

mod machine;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use genii_protocols::{NodeName, TimeSpan};
use genii_runtime::topology::Topology;
use parking_lot::Mutex;

use self::machine::{Machine, MachineSpec};
use super::printer::Printer;
use crate::data::Data;
use crate::fault::Fault;
use crate::household::beside;
use crate::settings::Settings;

/// How many machines there may be, with this one.
const MACHINES_MAX: usize = 16;

/// Where this machine listens to the others unless it listens already.
const LISTEN: &str = "127.0.0.1:0";

/// Whether the other machines are to run here too.
#[derive(Debug, Args)]
pub struct LocalArgs {
    /// Start all machines of the topology here, each as a process of its own, to try them out
    #[arg(long, conflicts_with_all = ["only", "legacy"])]
    pub local_cluster: bool,
    /// How long a machine of a local cluster stays down that was killed
    #[arg(long, value_name = "TIME", default_value = "5s", requires = "local_cluster")]
    restart_after: TimeSpan,
}

/// What is set for this machine because the others are beside it.
pub fn flags(settings: &Settings, topology: &Topology) -> Vec<(&'static str, String)> {
    let first = topology.groups.iter().find_map(|group| group.node.as_ref());
    let node = first.filter(|_| settings.is_built_in("node"));
    let mut flags: Vec<_> = node.iter().map(|node| ("node", node.to_string())).collect();
    if settings.listen().is_none() {
        flags.push(("listen", LISTEN.to_owned()));
    }
    flags
}

/// The other machines, which are still to be started.
pub struct LocalPlan {
    others: Vec<NodeName>,
    /// The topology file; `None` for the one that is built in.
    topology: Option<PathBuf>,
    restart_after: TimeSpan,
    is_plain: bool,
}

impl LocalPlan {
    /// Finds the other machines in a topology.
    ///
    /// # Errors
    /// When there is none, or there are too many.
    pub fn of(
        topology: &Topology,
        file: Option<PathBuf>,
        own: &NodeName,
        args: &LocalArgs,
        is_plain: bool,
    ) -> Result<Self, Fault> {
        let has_agents =
            |node: &NodeName| topology.agents.iter().any(|it| topology.node_of(it) == Some(node));
        let others: Vec<NodeName> = (topology.nodes().into_iter())
            .filter(|node| *node != own && has_agents(node))
            .cloned()
            .collect();
        if others.is_empty() {
            let message = format!("the topology has no machine but {own}");
            return Err(Fault::new(message)
                .help("say where a group lives, as `node = \"pc2\"` beneath [groups.NAME]"));
        }
        if others.len() >= MACHINES_MAX {
            let count = others.len() + 1;
            let message = format!("the topology has {count} machines, and {MACHINES_MAX} fit here");
            return Err(Fault::new(message).help("start the others by hand"));
        }
        let topology = file.map(|file| std::path::absolute(&file).unwrap_or(file));
        Ok(Self { others, topology, restart_after: args.restart_after, is_plain })
    }

    /// Starts the other machines, which find this one where it listens.
    ///
    /// # Errors
    /// When one of them cannot have its folder, or does not belong to the household.
    pub fn begin(
        &self,
        data: &Data,
        listens: SocketAddr,
        printer: &Arc<Printer>,
    ) -> Result<LocalCluster, Fault> {
        let at = match listens.ip().is_unspecified() {
            true => SocketAddr::new(IpAddr::from(Ipv4Addr::LOCALHOST), listens.port()),
            false => listens,
        };
        let folder = data.folder().join("local-cluster");
        let mut specs = Vec::new();
        for node in &self.others {
            let beside = Data::new(Some(folder.join(node.as_str())))?;
            beside.prepare()?;
            beside::admit(data, &beside, node, at)?;
            specs.push((node.clone(), beside.folder().to_owned()));
        }
        let topology = self.topology_file(&folder)?;
        let spec = |(node, folder)| MachineSpec {
            node,
            folder,
            topology: topology.clone(),
            restart_after: self.restart_after.0,
            is_plain: self.is_plain,
        };
        let begin = |it| Machine::begin(spec(it), printer.clone());
        let machines = Mutex::new(specs.into_iter().map(begin).collect());
        Ok(LocalCluster { machines })
    }

    /// The topology as a file that all can read.
    fn topology_file(&self, folder: &Path) -> Result<PathBuf, Fault> {
        if let Some(file) = &self.topology {
            return Ok(file.clone());
        }
        let file = folder.join("house.toml");
        std::fs::write(&file, genii_actors::TWO_MACHINES_TOPOLOGY).map_err(|error| {
            Fault::new(format!("{} cannot be written: {error}", file.display()))
        })?;
        Ok(file)
    }
}

/// The other machines, as they run.
#[derive(Default)]
pub struct LocalCluster {
    machines: Mutex<Vec<Machine>>,
}

impl LocalCluster {
    /// Stops all of them in good order, and kills those that take too long.
    pub async fn stop(&self) {
        let machines = std::mem::take(&mut *self.machines.lock());
        machines.iter().for_each(Machine::stop);
        for machine in machines {
            machine.stopped().await;
        }
    }
}
