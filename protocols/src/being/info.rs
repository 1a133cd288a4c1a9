//! Who a being is, what it has and may spend, and how that is changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::budget::{Budget, BudgetLimits};
use crate::{Json, Name, Timestamp, message};

/// Show who a being is, and what it has.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ShowBeing {}
message!(ShowBeing = "being.info" -> BeingInfo);

/// Who a being is, and what it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BeingInfo {
    /// Its id.
    pub id: Name,
    /// What it is called.
    pub name: String,
    /// Its character, in our own form.
    pub character: Json,
    /// What it keeps in mind at all times.
    pub core: Vec<CoreBlock>,
    /// Who finds its words: `offline`, or a model and where it runs.
    pub provider: String,
    /// How many turns of conversation it has had.
    pub turns: u64,
    /// How many memories it has.
    pub memories: u64,
    /// What it may spend, and what it has spent.
    pub budget: Budget,
    /// When it was made.
    pub created: Timestamp,
    /// What its store takes on the disk, in bytes.
    pub store_bytes: u64,
}

/// A small text that a being keeps in mind at all times, such as who it is, or whom it talks to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoreBlock {
    /// What it is about, such as `whom I talk to`.
    pub title: String,
    /// What it says.
    pub text: String,
}

/// Ask a being how it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct AskHealth {}
message!(AskHealth = "being.health" -> BeingHealth);

/// How a being is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BeingHealth {
    /// Whether all is as it should be.
    pub is_well: bool,
    /// What is amiss, or being done about it.
    pub notes: Vec<String>,
}

/// Change the character of a being: fields of our own form, `null` for one that is to be empty.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UpdateCharacter {
    /// The fields that change.
    pub changes: Json,
}
message!(UpdateCharacter = "being.update_character" -> BeingInfo, refused by NotChanged);

/// Set a block of a being's core memory, or take it away.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SetCore {
    /// Which, such as `whom I talk to`.
    pub title: String,
    /// What it is to say; it is taken away if there is none.
    #[serde(default)]
    pub text: Option<String>,
}
message!(SetCore = "being.set_core" -> BeingInfo, refused by NotChanged);

/// Set who finds the words of a being.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SetProvider {
    /// The settings of its provider, as `{"kind": "openai", "base_url": "...", "model": "..."}`. A key is
    /// never part of them: `key_env` or `key_file` name where it is.
    pub settings: Json,
}
message!(SetProvider = "being.set_provider" -> BeingInfo, refused by NotChanged);

/// Show by which settings the words of a being are found. They are no part of `BeingInfo`: in which file
/// a key of the house lies is for who may manage a being, and not for all who may talk with it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ShowProvider {}
message!(ShowProvider = "being.show_provider" -> ProviderInfo);

/// By which settings the words of a being are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderInfo {
    /// Who finds its words: `offline`, or a model and where it runs.
    pub provider: String,
    /// What is set, as it was written. A key is never part of it: `key_env` or `key_file` name where it is.
    pub settings: Json,
    /// What is not set, as it is by default.
    pub defaults: Json,
}

/// Set what a being may spend.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SetBudget {
    /// What it may spend from now on. What it has spent stays.
    pub limits: BudgetLimits,
}
message!(SetBudget = "being.set_budget" -> Budget, refused by NotChanged);

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{why}")]
pub struct NotChanged {
    /// What is wrong, and what to do.
    pub why: String,
}
