//! What is said to `beings/registry`: which beings there are, and where.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::being::{Answered, Exported, NotSaid, Query};
use crate::{Address, Json, Name, NodeName, Timestamp, message};

/// Make a being, and wait until it lives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CreateBeing {
    /// Its id; made of its name if there is none.
    #[serde(default)]
    pub id: Option<Name>,
    /// Its character, in our own form or as a Character Card.
    pub character: Json,
    /// The settings of its provider; it answers offline if there are none.
    #[serde(default)]
    pub provider: Option<Json>,
    /// The machine on which it is to live; if it does not say, the one that is set, or else the one with
    /// the fewest beings.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// How it is kept apart from the others; as all are if it does not say.
    #[serde(default)]
    pub isolation: Option<Isolation>,
}
message!(CreateBeing = "beings.create" -> BeingEntry, refused by NoBeing);

/// A being, as the registry knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BeingEntry {
    /// Its id.
    pub id: Name,
    /// Where it is spoken to.
    pub address: Address,
    /// What it is called.
    pub name: String,
    /// How it stands.
    pub state: BeingState,
    /// How it is kept apart from the others; not known as long as its machine does not answer.
    pub isolation: Option<Isolation>,
    /// The machine that it lives on.
    pub node: NodeName,
    /// When it was made.
    pub created: Timestamp,
    /// What is amiss, of one that is held back.
    pub why: Option<String>,
}

/// How a being stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BeingState {
    /// It sleeps, and wakes when somebody speaks to it.
    Asleep,
    /// It is being woken.
    Waking,
    /// It is awake.
    Awake,
    /// It has failed, and returns by itself.
    Down,
    /// It is held back: something must be mended first.
    Quarantined,
    /// Its machine is not linked.
    Unreachable,
}

/// How a being is kept apart from the others, and from the house.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// It lives in the process of its node, beside the others.
    #[default]
    Actor,
    /// It has an operating-system process of its own, with limits.
    Process,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Actor => "actor",
            Self::Process => "process",
        })
    }
}

/// Keep a being apart from the others in another way, from its next waking on. It is put to sleep for that if it
/// has nothing to do; what it is at is not broken off.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct IsolateBeing {
    /// Its id.
    pub id: Name,
    /// How it is to be kept apart.
    pub isolation: Isolation,
}
message!(IsolateBeing = "beings.isolate" -> BeingEntry, refused by NoBeing);

/// List beings, in the order of their ids.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListBeings {
    /// Only those behind this id.
    pub after: Option<Name>,
    /// How many; 100 if it does not say, and 1,000 at most.
    pub limit: Option<u32>,
    /// Only those in whose id or name this stands, whether large or small.
    pub matching: Option<String>,
}
message!(ListBeings = "beings.list" -> Beings, refused by NoBeing);

/// Some beings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Beings {
    /// In the order of their ids.
    pub beings: Vec<BeingEntry>,
    /// There are more: ask for those behind this one.
    pub more: Option<Name>,
    /// How many there are in all.
    pub total: u64,
}

/// Look over what a being has on its disk, and mend what can be mended if that is wanted. It sleeps
/// meanwhile, and what comes for it waits. One that was held back is tried again afterwards; one that is found
/// damaged, up to the size that is looked over when it wakes, is woken, and so held back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CheckBeing {
    /// Its id.
    pub id: Name,
    /// Mend what can be mended.
    #[serde(default)]
    pub repair: bool,
    /// Where nothing mends it, save what can be read, and give up the rest.
    #[serde(default)]
    pub give_up: bool,
}
message!(CheckBeing = "beings.check" -> Checked, refused by NoBeing);

/// What was found of a being's store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// How it is; after it was mended, if it was.
    pub finding: Soundness,
    /// The same in words, with what to do.
    pub words: String,
    /// It was mended just now.
    pub is_repaired: bool,
    /// Nothing mends it, and what can be read of it can be saved.
    pub can_be_saved: bool,
    /// The size of its file, in bytes.
    pub bytes: u64,
    /// Its tables, as far as they can be read. Of one that is damaged, or was saved, without those that are made anew.
    pub tables: Vec<CheckedTable>,
    /// What else is to be known of what is lost, in words.
    pub notes: Vec<String>,
}

/// How a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Soundness {
    /// Nothing is wrong.
    Whole,
    /// Something is wrong that can be mended.
    Repairable,
    /// Nothing mends it: a backup helps, or giving up what is lost.
    Damaged,
}

/// What was found of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckedTable {
    /// Its name.
    pub name: String,
    /// How many entries it has.
    pub entries: u64,
    /// The bytes of its keys and values.
    pub bytes: u64,
    /// How many more it had that cannot be read.
    pub lost: u64,
    /// Between which keys these were, in words; at most eight places.
    pub gaps: Vec<String>,
}

/// Show one being.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GetBeing {
    /// Its id.
    pub id: Name,
}
message!(GetBeing = "beings.get" -> BeingEntry, refused by NoBeing);

/// Say where a being is spoken to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RouteBeing {
    /// Its id.
    pub id: Name,
}
message!(RouteBeing = "beings.route" -> Address, refused by NoBeing);

/// Let a being become another in some ways: as `being.update_character` to the being itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UpdateBeing {
    /// Its id.
    pub id: Name,
    /// The fields of its character that change.
    pub changes: Json,
}
message!(UpdateBeing = "beings.update" -> BeingEntry, refused by NoBeing);

/// How long a being may take to answer another.
pub const PASS_ON_PATIENCE: Duration = Duration::from_secs(120);

/// Put a question of one being to another, wherever that lives. From the being that asks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PassOn {
    /// Whom it asks.
    pub to: Name,
    /// What.
    pub query: Query,
}
message!(PassOn = "beings.pass_on" -> PassedOn, refused by NotSaid);

/// What the other answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PassedOn {
    /// Who answered.
    pub by: Address,
    /// What.
    pub answered: Answered,
}

/// Take a being in that was exported.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ImportBeing {
    /// The file, on the machine of the registry; an absolute path.
    pub file: String,
    /// Its id here; the one that it had if there is none.
    #[serde(default)]
    pub id: Option<Name>,
    /// The machine on which it is to live, as for one that is made.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// How it is kept apart from the others, as for one that is made: that is not in the file.
    #[serde(default)]
    pub isolation: Option<Isolation>,
    /// Whether the provider in the file finds its words here, too; it answers offline if not. Whoever made
    /// the file says with it which server is asked, and from where the house takes the key for that.
    #[serde(default)]
    pub with_provider: bool,
}
message!(ImportBeing = "beings.import" -> ImportedBeing, refused by NoBeing);

/// A being that was taken in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImportedBeing {
    /// As the registry knows it from now on.
    pub being: BeingEntry,
    /// The provider that is in the file; none if it answered offline.
    pub provider: Option<ImportedProvider>,
    /// What a person should know about it, with what to do.
    pub notes: Vec<String>,
}

/// A provider in a file that was exported. What it takes its key from is not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportedProvider {
    /// Of which kind it is, as `openai`; `unknown` if its settings make no sense.
    pub kind: String,
    /// The model, as the server calls it.
    pub model: Option<String>,
    /// Where the server is.
    pub base_url: Option<String>,
    /// Whether it finds the words of the being here, too; otherwise that answers offline.
    pub is_kept: bool,
}

impl fmt::Display for ImportedProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(model) = &self.model {
            write!(f, ", {model}")?;
        }
        match &self.base_url {
            Some(base_url) => write!(f, " at {base_url}"),
            None => Ok(()),
        }
    }
}

/// Write a being into one file, with all that it remembers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ExportBeing {
    /// Its id.
    pub id: Name,
    /// The file, on the machine of the registry; an absolute path. One that is there is not overwritten.
    pub file: String,
}
message!(ExportBeing = "beings.export" -> Exported, refused by NoBeing);

/// Let a being live on another machine from now on, with all that it remembers. What is said to it
/// meanwhile waits, and is answered there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MigrateBeing {
    /// Its id.
    pub id: Name,
    /// The machine.
    pub node: NodeName,
}
message!(MigrateBeing = "beings.migrate" -> BeingEntry, refused by NoBeing);

/// Delete a being for good, with all that it remembers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeleteBeing {
    /// Its id.
    pub id: Name,
    /// Its machine is lost for good: the being is given up, and its id is free. If the machine comes back
    /// after all, what it has of the being is put aside there, and does not live.
    #[serde(default)]
    pub lost: bool,
}
message!(DeleteBeing = "beings.delete" -> BeingEntry, refused by NoBeing);

/// Say what a being is called. From the being itself, when it wakes and when that changes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BeingRenamed {
    /// Its id.
    pub id: Name,
    /// What it is called.
    pub name: String,
}
message!(BeingRenamed = "beings.renamed" -> ());

/// Say when a being is to be woken for its next reminder. From the being itself, when it wakes and when
/// that changes. When it is answered, it is kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BeingDue {
    /// Its id.
    pub id: Name,
    /// When; never if it does not say.
    pub next: Option<Timestamp>,
}
message!(BeingDue = "beings.due" -> (), refused by NoBeing);

/// Why the registry does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NoBeing {
    /// There is no such being.
    #[error("no being is called {}{}", id.as_str(), meant(nearest))]
    NotFound {
        /// The id.
        id: Name,
        /// The one that was probably meant.
        nearest: Option<Name>,
    },
    /// The id is taken.
    #[error("a being is called {} already; take another id", id.as_str())]
    Taken {
        /// The id.
        id: Name,
    },
    /// What was given makes no sense.
    #[error("{why}")]
    Senseless {
        /// What is wrong, and what to do.
        why: String,
    },
    /// It could not be done.
    #[error("{why}")]
    Failed {
        /// What went wrong, and what to do.
        why: String,
    },
}

/// The end of an error that knows what was probably meant.
pub(crate) fn meant(nearest: &Option<Name>) -> String {
    nearest.as_ref().map(|id| format!("; did you mean {}?", id.as_str())).unwrap_or_default()
}
