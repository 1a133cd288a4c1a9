//! What a being says to another.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::beings::meant;
use crate::{Address, Name, message};

/// Have a being say something to another, and remember what that answers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Say {
    /// To whom.
    pub to: Name,
    /// What.
    pub text: String,
    /// Through which beings this came about, the first first. Left empty by who is no being.
    #[serde(default)]
    pub path: Vec<Name>,
}
message!(Say = "being.say" -> Said, refused by NotSaid);

/// What another being answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Said {
    /// Who answered.
    pub by: Address,
    /// What.
    pub text: String,
}

/// Why a being did not say something to another, or has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NotSaid {
    /// It would go round in a circle.
    #[error("{} has a part in this already, so it would go round in a circle: {}", to.as_str(), Way(path))]
    Circle {
        /// To whom.
        to: Name,
        /// Through which beings it came about.
        path: Vec<Name>,
    },
    /// It went through too many beings.
    #[error("it went through {max} beings already, and may go through no more: {}", Way(path))]
    TooFar {
        /// How many it may go through.
        max: u32,
        /// Through which beings it came about.
        path: Vec<Name>,
    },
    /// There is no such being.
    #[error("no being is called {}{}", to.as_str(), meant(nearest))]
    NoSuchBeing {
        /// To whom.
        to: Name,
        /// The one that was probably meant.
        nearest: Option<Name>,
    },
    /// The other did not answer, or cannot be reached.
    #[error("{why}")]
    NotAnswered {
        /// Why.
        why: String,
    },
}

/// Names, with arrows between.
struct Way<'a>(&'a [Name]);

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(Name::as_str).collect();
        f.write_str(&names.join(" -> "))
    }
}
