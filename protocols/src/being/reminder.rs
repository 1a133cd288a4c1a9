//! What a being is to be reminded of, and when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NotKept;
use crate::{Name, Timestamp, message};

/// Remind a being of something at a time: it wakes if need be, and that is said to it, by `reminder`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Remind {
    /// When; soon if that has passed.
    pub at: Timestamp,
    /// Of what.
    pub text: String,
}
message!(Remind = "being.remind" -> Reminder, refused by NotKept);

/// What a being is to be reminded of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reminder {
    /// Its number.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// Of what.
    pub text: String,
    /// When it was set.
    pub made: Timestamp,
}

/// List what a being is to be reminded of, the next first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListReminders {
    /// How many; 100 if it does not say, and 1,000 at most.
    pub limit: Option<u32>,
}
message!(ListReminders = "being.list_reminders" -> Reminders, refused by NotKept);

/// What a being is to be reminded of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reminders {
    /// The next first.
    pub reminders: Vec<Reminder>,
    /// How many there are in all.
    pub total: u64,
}

/// Take a reminder back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CancelReminder {
    /// Its number.
    pub id: u64,
}
message!(CancelReminder = "being.cancel_reminder" -> Reminder, refused by NotKept);

/// Take up the next reminder if its time has come. From the home of the being.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct HeedReminders {}
message!(HeedReminders = "being.heed_reminders" -> Heeded, refused by NotKept);

/// What became of the reminders whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heeded {
    /// The one that was taken up, if one was due.
    pub reminder: Option<u64>,
    /// When the next one is due.
    pub next: Option<Timestamp>,
}

/// A being was reminded of something. Published about `beings.ID.said`, when it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BeingReminded {
    /// The being.
    pub being: Name,
    /// The number of the reminder.
    pub reminder: u64,
    /// When it was due.
    pub at: Timestamp,
    /// Of what.
    pub text: String,
    /// What it answered; a part of it, if it was not answered to the end.
    pub answer: Option<String>,
    /// Why there is no answer, or not the whole of it.
    pub failure: Option<String>,
    /// The turn under which it is remembered.
    pub turn: u64,
}
message!(BeingReminded = "being.reminded" -> ());
