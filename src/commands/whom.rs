//! Whom a command asks after that can also be asked about a machine: `core`, `core@pc2`, or `@pc2`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use genii_protocols::beings::{BeingEntry, BeingState};
use genii_protocols::{AddressError, NodeName};
use genii_runtime::{House, HouseError, Unheard};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::being::{reach, words};
use super::pinned::{Pin, Pinned, is_known};
use super::{Refusal, Side, ps};

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
    Some(refusal.help(format!("`nodes` shows how it stands; `why @{node}` asks after it here")))
}

/// Why the house does not do what it is asked of whoever is called so. Of a name that nobody here has:
/// that it is a being that sleeps, or a machine, or who is called so in a group where that was left out.
pub async fn nobody(side: &Side, name: &str, error: HouseError) -> Refusal {
    let is_not_at_hand = matches!(
        error,
        HouseError::NotFound { .. } | HouseError::Unheard { error: Unheard::NotRunning, .. }
    );
    if is_not_at_hand && let Some(refusal) = not_awake(side, name).await {
        return refusal;
    }
    let nearest = match &error {
        HouseError::NotFound { nearest, .. } => nearest.clone(),
        _ => return error.into(),
    };
    if let Some(refusal) = named_like_a_machine(&side.house, name) {
        return refusal;
    }
    let refusal = Refusal::from(error);
    match in_a_group(side, name).await.filter(|meant| nearest.as_ref() != Some(meant)) {
        Some(meant) => refusal.help(format!("did you mean {meant}?")),
        None => refusal,
    }
}

/// What is said of a being that sleeps, or is not at hand for another reason, by what the registry knows;
/// `None` of any other name, and where the registry does not answer.
pub async fn not_awake(side: &Side, name: &str) -> Option<Refusal> {
    let being = reach::known(side, name).await.ok().flatten()?;
    let BeingEntry { id, address, state, node, why, .. } = being;
    let says = match state {
        BeingState::Awake => return None,
        BeingState::Asleep => "; it wakes when it is spoken to".to_owned(),
        _ => why.map(|why| format!(": {why}")).unwrap_or_default(),
    };
    let help = match state {
        BeingState::Asleep => format!("`being ask {id} hello` wakes it"),
        _ => format!("`being show {id}` shows it"),
    };
    let refusal = Refusal::new(format!("{address} is {} on {node}{says}", words::state(state)));
    Some(refusal.help(help))
}

/// The agent or being that is called so in its group, if there is one alone.
async fn in_a_group(side: &Side, name: &str) -> Option<String> {
    let is_called_so =
        |agent: &String| agent.split_once('/').is_some_and(|(_, within)| within == name);
    let agents = ps::agents(&side.house).into_iter().map(|row| row.name);
    let mut known: BTreeSet<String> = agents.filter(is_called_so).collect();
    // One that sleeps or is away is known to the registry alone.
    let being = reach::known(side, &format!("being/{name}")).await.ok().flatten();
    known.extend(being.map(|being| being.address.to_string()));
    if known.len() == 1 { known.pop_first() } else { None }
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
