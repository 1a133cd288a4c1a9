//! What the system tells of the machine and of processes.

use std::collections::{HashMap, HashSet};

use genii_protocols::resources::{AgentUsage, Disk, Machine, Usage, UsageReport};
use genii_protocols::{Address, Timestamp};
use genii_runtime::House;
use genii_supervision::StartError;
use sysinfo::{Disks, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Where the system lists what a process has open.
const OPEN_FILES: &str = "fd";

/// The last look at the machine.
pub(super) struct Readings {
    system: System,
    disks: Disks,
    at: Timestamp,
    usage: UsageReport,
}

impl Readings {
    /// A first look.
    ///
    /// # Errors
    /// When this is a system of which nothing can be known.
    pub(super) fn new() -> Result<Self, StartError> {
        let unknown =
            |error| StartError::refused(format!("the system cannot be looked at: {error}"));
        let mut readings = Self {
            system: System::new().map_err(unknown)?,
            disks: Disks::new_with_refreshed_list().map_err(unknown)?,
            at: Timestamp::now(),
            usage: UsageReport { genii: Usage::default(), agents: Vec::new() },
        };
        readings.look(&[]);
        Ok(readings)
    }

    /// Looks at the machine, and at the processes of some agents.
    pub(super) fn look(&mut self, agents: &[(Address, u32)]) {
        self.at = Timestamp::now();
        self.system.refresh_memory();
        self.system.refresh_cpu_usage();
        self.disks.refresh(true);
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
        let children = self.children();
        let agent_usage = |(address, pid): &(Address, u32)| AgentUsage {
            address: address.clone(),
            pid: *pid,
            usage: self.usage_of(&below(*pid, &children)),
        };
        let agents: Vec<AgentUsage> = agents.iter().map(agent_usage).collect();
        let genii = self.usage_of(&HashSet::from([std::process::id()]));
        self.usage = UsageReport { genii, agents };
    }

    pub(super) fn usage(&self) -> UsageReport {
        self.usage.clone()
    }

    pub(super) fn machine(&self) -> Machine {
        let load =
            System::load_average().map_or([0.0; 3], |load| [load.one, load.five, load.fifteen]);
        let disk = |disk: &sysinfo::Disk| Disk {
            mounted_on: disk.mount_point().to_string_lossy().into_owned(),
            total: disk.total_space(),
            available: disk.available_space(),
        };
        Machine {
            at: self.at,
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            cpu_percent: f64::from(self.system.global_cpu_usage()),
            load,
            memory_total: self.system.total_memory(),
            memory_available: self.system.available_memory(),
            swap_total: self.system.total_swap(),
            swap_used: self.system.used_swap(),
            disks: self.disks.iter().map(disk).collect(),
            open_files: open_files(std::process::id()),
            open_files_limit: System::open_files_limit().ok().map(|limit| limit as u64),
        }
    }

    /// For each process, those that it started.
    fn children(&self) -> HashMap<u32, Vec<u32>> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for (pid, process) in self.system.processes() {
            // Threads are listed beside processes, and would count twice.
            if let Some(parent) = process.parent().filter(|_| process.thread_kind().is_none()) {
                children.entry(parent.as_u32()).or_default().push(pid.as_u32());
            }
        }
        children
    }

    fn usage_of(&self, pids: &HashSet<u32>) -> Usage {
        let mut usage = Usage::default();
        for pid in pids {
            let Some(process) = self.system.process(Pid::from_u32(*pid)) else { continue };
            usage.cpu_percent += f64::from(process.cpu_usage());
            usage.memory += process.memory();
            usage.processes += 1;
            usage.open_files = match (usage.open_files, open_files(*pid)) {
                (known, None) => known,
                (known, Some(files)) => Some(known.unwrap_or_default() + files),
            };
        }
        usage
    }
}

/// A process and everything beneath it.
fn below(pid: u32, children: &HashMap<u32, Vec<u32>>) -> HashSet<u32> {
    let mut all = HashSet::from([pid]);
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        for &child in children.get(&pid).into_iter().flatten() {
            if all.insert(child) {
                next.push(child);
            }
        }
    }
    all
}

fn open_files(pid: u32) -> Option<u64> {
    let listed = std::fs::read_dir(format!("/proc/{pid}/{OPEN_FILES}")).ok()?;
    Some(listed.count() as u64)
}

/// The agents that are processes of their own.
pub(super) fn processes_of(house: &House) -> Vec<(Address, u32)> {
    let topology = house.topology();
    let process = |address: &Address| {
        let pid = house.node().process_of(address)?;
        Some((address.clone(), u32::try_from(pid).ok()?))
    };
    topology.agents.iter().filter_map(|agent| process(&agent.address)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_something_and_we_use_some_of_it() {
        let readings = Readings::new().unwrap();
        let machine = readings.machine();
        assert!(machine.cores > 0 && machine.memory_total > 0);
        assert!(readings.usage().genii.memory > 1_000_000, "{:?}", readings.usage());
    }

    #[test]
    fn what_a_process_started_counts_as_its_own() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 30 & sleep 30 & wait"])
            .spawn()
            .unwrap();
        let mut readings = Readings::new().unwrap();
        let address = Address::parse("a/1").unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            readings.look(&[(address.clone(), child.id())]);
            let usage = &readings.usage().agents[0].usage;
            if usage.processes == 3 {
                assert!(usage.memory > 0);
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{usage:?}");
            std::thread::yield_now();
        }
        let children = readings.children();
        for pid in below(child.id(), &children).into_iter().filter(|pid| *pid != child.id()) {
            std::process::Command::new("kill").arg(pid.to_string()).status().unwrap();
        }
        child.wait().unwrap();
    }
}
