//! What the registry of beings and their homes say to each other.
//!
//! The registry decides where a being lives, and its book is the last word on it; a home has the folders
//! of one machine. Each of these can be said again: what has been done already is not done twice.

use genii_protocols::beings::{BeingState, Checked, ImportedProvider, Isolation};
use genii_protocols::{Destination, Json, Name, NodeName, Timestamp, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The group in which the registry finds the homes.
pub(super) const HOMES: &str = "homes-of-beings";

/// Why a home does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
pub enum Amiss {
    /// Something lies where the folder of the being would.
    #[error("there is something already where {} would live", id.as_str())]
    Taken {
        /// The being.
        id: Name,
    },
    /// What it was given makes no sense.
    #[error("{why}")]
    Senseless {
        /// What is wrong with it.
        why: String,
    },
    /// It could not be done.
    #[error("{why}")]
    Failed {
        /// What went wrong, and what to do.
        why: String,
    },
}

impl Amiss {
    pub(super) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed { why: error.to_string() }
    }
}

/// How a being lies in a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Lodging {
    /// It lives here.
    Here,
    /// It is held asleep, and about to move away: only the registry knows whether it has.
    Leaving,
    /// A copy has come, and does not live: only the registry knows whether it is to.
    Coming,
}

/// List the beings of a home, in the order of their ids.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ListLodgers {
    /// Only those behind this id.
    pub after: Option<Name>,
}
message!(ListLodgers = "homes.list" -> Lodgers, refused by Amiss);

/// Some beings of a home.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Lodgers {
    /// In the order of their ids.
    pub lodgers: Vec<(Name, Lodging)>,
    /// There are more: ask for those behind this one.
    pub more: Option<Name>,
}

/// Say how a being lies here, if it does.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AskLodging {
    /// The being.
    pub id: Name,
}
message!(AskLodging = "homes.lodging" -> Option<Lodging>, refused by Amiss);

/// Say how some beings stand.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AskStates {
    /// The beings.
    pub ids: Vec<Name>,
}
message!(AskStates = "homes.states" -> States, refused by Amiss);

/// How some beings stand, in the order in which they were named.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct States(pub Vec<Standing>);

/// How a being stands.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// How.
    pub state: BeingState,
    /// What is amiss.
    pub why: Option<String>,
    /// How it is kept apart; not known of one that does not live here.
    pub isolation: Option<Isolation>,
}

/// Make a being.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MakeHere {
    /// Its id.
    pub id: Name,
    /// By what its making is told from any other.
    pub making: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Its character, in our own form.
    pub character: Json,
    /// The settings of its provider.
    pub provider: Json,
    /// How it is kept apart; as all are if it does not say.
    pub isolation: Option<Isolation>,
}
message!(MakeHere = "homes.make" -> (), refused by Amiss);

/// Keep a being apart in another way from its next waking on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct IsolateHere {
    /// The being.
    pub id: Name,
    /// How.
    pub isolation: Isolation,
}
message!(IsolateHere = "homes.isolate" -> (), refused by Amiss);

/// Look over what a being has on the disk.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CheckHere {
    /// The being.
    pub id: Name,
    /// Mend what can be mended.
    pub repair: bool,
    /// Save what can be read where nothing mends it, and give up the rest.
    pub give_up: bool,
}
message!(CheckHere = "homes.check" -> Checked, refused by Amiss);

/// Remove a being with all that it remembers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RemoveHere {
    /// The being.
    pub id: Name,
}
message!(RemoveHere = "homes.remove" -> (), refused by Amiss);

/// Take a being back that did not come to live: what this making of it has made, and nothing that lies here
/// of anybody else.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TakeBack {
    /// The being.
    pub id: Name,
    /// Which making.
    pub making: u64,
}
message!(TakeBack = "homes.take_back" -> (), refused by Amiss);

/// Let a being be spoken to of which nothing is here, so that who does is told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MissHere {
    /// The being.
    pub id: Name,
}
message!(MissHere = "homes.miss" -> (), refused by Amiss);

/// Put aside what lies here of a being that is not to live here: its folder, and a copy of it that has come.
/// Nothing of that is lost. Says where it is from now on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PutAside {
    /// The being.
    pub id: Name,
}
message!(PutAside = "homes.put_aside" -> Vec<String>, refused by Amiss);

/// Say who lives in a folder here.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LookAt {
    /// The being.
    pub id: Name,
}
message!(LookAt = "homes.look_at" -> Found, refused by Amiss);

/// Who was found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// The id that it had when it was made.
    pub id: Name,
    /// What it is called.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
}

// From one machine to another.

/// A file that a home gives away, by pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parcel {
    /// What it is asked for by.
    pub ticket: u64,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The SHA-256 of all of it, in hexadecimal digits.
    pub sha256: String,
}

/// Give away a copy of all that a being is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Pack {
    /// The being.
    pub id: Name,
    /// It is to move away: it is put to sleep, what comes for it waits, and it does not wake before it
    /// is told to stay. Also not after a crash.
    pub to_leave: bool,
}
message!(Pack = "homes.pack" -> Packed, refused by Amiss);

/// A being that is given away.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Packed {
    /// All that it is.
    pub parcel: Parcel,
    /// How it is kept apart, if somebody has said it of it.
    pub isolation: Option<Isolation>,
}

/// Give away a copy of a file that was exported, which stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LookInto {
    /// The file, on the machine of the home; an absolute path.
    pub file: String,
    /// Whether the provider in it stays in the copy; otherwise whoever is in that answers offline.
    pub with_provider: bool,
}
message!(LookInto = "homes.look_into" -> Offered, refused by Amiss);

/// Who is in a file, and how it is had.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Offered {
    /// Who.
    pub found: Found,
    /// The provider that is in the file; none if it answered offline.
    pub provider: Option<ImportedProvider>,
    /// The copy.
    pub parcel: Parcel,
}

/// Say a piece of a parcel.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReadParcel {
    /// Which parcel.
    pub ticket: u64,
    /// From where, in bytes.
    pub at: u64,
}
message!(ReadParcel = "homes.read_parcel" -> Piece, refused by Amiss);

/// A piece of a parcel; empty behind its end.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Piece(pub Vec<u8>);

/// A parcel is not needed any more.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DropParcel {
    /// Which.
    pub ticket: u64,
}
message!(DropParcel = "homes.drop_parcel" -> (), refused by Amiss);

/// Fetch a copy of a being from another home, and check it. It does not live before it is adopted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Receive {
    /// The being.
    pub id: Name,
    /// The home that gives it away.
    pub from: Destination,
    /// What is fetched.
    pub parcel: Parcel,
    /// How it is kept apart; as all are if it does not say.
    pub isolation: Option<Isolation>,
    /// By what its making is told from any other, if it is none that moves.
    pub making: Option<u64>,
}
message!(Receive = "homes.receive" -> (), refused by Amiss);

/// Let a being live here that has come.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Adopt {
    /// The being.
    pub id: Name,
}
message!(Adopt = "homes.adopt" -> (), refused by Amiss);

/// Throw the copy of a being away that has come.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Discard {
    /// The being.
    pub id: Name,
}
message!(Discard = "homes.discard" -> (), refused by Amiss);

/// Let a being live here on that was to leave.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Stay {
    /// The being.
    pub id: Name,
}
message!(Stay = "homes.stay" -> (), refused by Amiss);

/// Send what waits for a being after it, which lives elsewhere from now on, and remove what is here.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Leave {
    /// The being.
    pub id: Name,
    /// Where it lives.
    pub to: NodeName,
}
message!(Leave = "homes.leave" -> (), refused by Amiss);
