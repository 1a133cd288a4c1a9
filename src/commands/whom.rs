//! Whom a command asks after that can also be asked about a machine: `core`, `core@pc2`, or `@pc2`.

use std::fmt;
use std::str::FromStr;

use genii_protocols::{AddressError, NodeName};
use genii_runtime::House;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Refusal;
use super::pinned::{Pin, Pinned, is_known};

/// Whom. As text, `NAME`, `NAME@NODE` or `@NODE`, which is also how the journal calls a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom<T> {
    /// An agent or a group.
    Named(Pinned<T>),
    /// A machine of the household.
    Machine(NodeName),
}

impl<T: fmt::Display> Whom<T> {
    /// The agent or the group, if it is one.
    pub fn name(&self) -> Option<&T> {
        match self {
            Self::Named(pinned) => Some(&pinned.name),
            Self::Machine(_) => None,
        }
    }

    /// As [`Pinned::unpin`]. A machine itself may be asked after on any.
    pub fn unpin(&mut self) -> Option<Pin> {
        match self {
            Self::Named(pinned) => pinned.unpin(),
            Self::Machine(_) => None,
        }
    }
}

impl<T: FromStr<Err = AddressError>> FromStr for Whom<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('@') {
            Some(node) => {
                let node = NodeName::new(node).map_err(|error| error.to_string())?;
                Ok(Self::Machine(node))
            }
            None => text.parse().map(Self::Named),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Whom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(pinned) => pinned.fmt(f),
            Self::Machine(node) => write!(f, "@{node}"),
        }
    }
}

impl<T: fmt::Display> Serialize for Whom<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: FromStr<Err = AddressError>> Deserialize<'de> for Whom<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}

/// What is said of a name that nobody has, where a machine has it.
pub fn named_like_a_machine(house: &House, name: &str) -> Option<Refusal> {
    let node = NodeName::new(name).ok().filter(|node| is_known(house, node).is_ok())?;
    let refusal = Refusal::new(format!("{node} is a machine, and no agent or group"));
    Some(refusal.help(format!("`nodes` shows how it stands; `@{node}` asks after it here")))
}

#[cfg(test)]
mod tests {
    use genii_protocols::Name;

    use super::*;

    #[test]
    fn a_machine_is_told_from_what_is_on_it() {
        let read = |text: &str| text.parse::<Whom<Name>>();
        for text in ["core", "core@pc2", "@pc2"] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        let node = NodeName::new("pc2").unwrap();
        assert_eq!(read("@pc2").unwrap(), Whom::Machine(node));
        assert!(read("@PC2").unwrap_err().contains("did you mean \"pc2\"?"));
        assert!(read("@").is_err());
    }
}
