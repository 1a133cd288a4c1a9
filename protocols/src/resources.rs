//! What is said to `pc2-core/resource-manager`: what the machine has, who uses it, and leases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Address, TimeSpan, Timestamp, message};

/// Show what the machine has, and how much of it is used.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ShowMachine {}
message!(ShowMachine = "resources.machine" -> Machine);

/// Show what the machine has whenever it is looked at, beginning with the last look. That is every
/// second at least as long as somebody watches.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WatchMachine {
    /// How many looks; for ever if it does not say.
    pub looks: Option<u32>,
}
message!(WatchMachine = "resources.watch" -> u32, refused by TooManyWatch, streams Machine);

/// So many watch already that no more can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{max} watch already, and no more can")]
pub struct TooManyWatch {
    /// How many may.
    pub max: u32,
}

/// What the machine has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// When this was looked at.
    pub at: Timestamp,
    /// Processor cores.
    pub cores: u32,
    /// How much of them is used, in percent of all.
    pub cpu_percent: f64,
    /// The load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Memory in bytes.
    pub memory_total: u64,
    /// Memory that can be had without swapping, in bytes.
    pub memory_available: u64,
    /// Swap in bytes.
    pub swap_total: u64,
    /// Swap in use, in bytes.
    pub swap_used: u64,
    /// The disks.
    pub disks: Vec<Disk>,
    /// Files that genii has open.
    pub open_files: Option<u64>,
    /// Files that genii may have open.
    pub open_files_limit: Option<u64>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Disk {
    /// Where it is mounted.
    pub mounted_on: String,
    /// Its size in bytes.
    pub total: u64,
    /// What is free on it, in bytes.
    pub available: u64,
}

/// Show what each agent uses of the machine, where the system can tell.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ShowUsage {}
message!(ShowUsage = "resources.usage" -> UsageReport);

/// What agents use of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsageReport {
    /// genii itself, with all native agents together: the system cannot tell those apart.
    pub genii: Usage,
    /// The agents that are processes of their own, by address.
    pub agents: Vec<AgentUsage>,
}

/// What one agent uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentUsage {
    /// Which agent.
    pub address: Address,
    /// Its process.
    pub pid: u32,
    /// What that and all processes beneath it use.
    pub usage: Usage,
}

/// What some processes use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// In percent of one core.
    pub cpu_percent: f64,
    /// Memory in bytes.
    pub memory: u64,
    /// Open files, where they may be counted.
    pub open_files: Option<u64>,
    /// How many processes.
    pub processes: u32,
}

/// Reserve a part of the machine for a while. What is reserved is not enforced: it is promised to
/// nobody else.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AcquireLease {
    /// Of what.
    pub resource: Resource,
    /// How much, in the unit of the resource.
    pub amount: u64,
    /// For how long; it can be renewed.
    pub lasts: TimeSpan,
    /// For whom; the sender if it does not say. When the holder goes, so does the lease.
    #[serde(default)]
    pub holder: Option<Address>,
}
message!(AcquireLease = "resources.acquire" -> Lease, refused by LeaseRefused);

/// Something that can be reserved.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Thousandths of a core.
    CpuMilli,
    /// Mebibytes of memory.
    MemoryMb,
    /// Mebibytes of disk, where genii keeps its data.
    DiskMb,
    /// Open files.
    OpenFiles,
}

/// A part of the machine that is reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// Its number.
    pub id: u64,
    /// Of what.
    pub resource: Resource,
    /// How much.
    pub amount: u64,
    /// For whom, if somebody was named.
    pub holder: Option<Address>,
    /// Until when.
    pub expires: Timestamp,
}

/// Why a lease is not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum LeaseRefused {
    /// There is not so much left.
    #[error("{asked} of {resource:?} was asked for, and {available} of {limit} is left")]
    NotEnough {
        /// Of what.
        resource: Resource,
        /// How much was asked for.
        asked: u64,
        /// How much is not reserved.
        available: u64,
        /// How much can be reserved in all.
        limit: u64,
    },
    /// Nothing was asked for, or for no time, or for too long.
    #[error("{why}")]
    Senseless {
        /// What makes no sense.
        why: String,
    },
    /// So many leases are held already.
    #[error("{limit} leases are held already")]
    TooMany {
        /// How many there may be.
        limit: u64,
    },
}

/// Let a lease last longer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RenewLease {
    /// Its number.
    pub id: u64,
    /// For how long from now.
    pub lasts: TimeSpan,
}
message!(RenewLease = "resources.renew" -> Lease, refused by NoSuchLease);

/// Give a lease back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseLease {
    /// Its number.
    pub id: u64,
}
message!(ReleaseLease = "resources.release" -> Lease, refused by NoSuchLease);

/// No lease has this number: it was given back, or has expired, or its holder has gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("no lease has the number {id}; it may have expired")]
pub struct NoSuchLease {
    /// The number.
    pub id: u64,
}

/// List the leases.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListLeases {}
message!(ListLeases = "resources.leases" -> Leases);

/// The leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leases {
    /// All that are held, by number.
    pub leases: Vec<Lease>,
    /// What can be reserved, and how much of it is.
    pub pools: Vec<Pool>,
}

/// What can be reserved of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pool {
    /// Of what.
    pub resource: Resource,
    /// How much in all.
    pub limit: u64,
    /// How much is reserved.
    pub reserved: u64,
}
