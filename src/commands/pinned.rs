//! What a command is about, perhaps pinned to a machine: `core/system-digital-twin@pc2`.
//!
//! The machine is taken out of the arguments before the command begins, and the command carried out
//! there. So the commands themselves know nothing of it, and a machine that is asked hears of no pin.

use std::fmt;
use std::str::FromStr;

use genii_protocols::{Address, AddressError, Name, NodeName};
use genii_runtime::House;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Refusal;

/// The name of an agent (`core/system-digital-twin`) or a group (`core`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named(String);

impl Named {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Named {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.contains('/') {
            true => Address::parse(text).map(drop)?,
            false => Name::new(text).map(drop)?,
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name, perhaps with the machine whose it is to be. As text, `NAME` or `NAME@NODE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned<T> {
    /// The agent or the group.
    pub name: T,
    /// The machine; whichever has it when absent.
    pub node: Option<NodeName>,
}

impl<T: fmt::Display> Pinned<T> {
    /// Takes the machine out: what is pinned, and to which.
    pub fn unpin(&mut self) -> Option<Pin> {
        let (name, need_not_be) = (self.name.to_string(), false);
        self.node.take().map(|node| Pin { name, node, need_not_be })
    }
}

impl<T: FromStr<Err = AddressError>> FromStr for Pinned<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let said = |error: AddressError| error.to_string();
        match text.split_once('@') {
            None => Ok(Self { name: text.parse().map_err(said)?, node: None }),
            Some(("", node)) => Err(format!(
                "{text} is a machine, and this is about what is on one; `nodes` shows the machines, \
                 `tree --node {node}` what is there"
            )),
            Some((name, node)) => {
                let node = Some(NodeName::new(node).map_err(said)?);
                Ok(Self { name: name.parse().map_err(said)?, node })
            }
        }
    }
}

impl<T: fmt::Display> fmt::Display for Pinned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            None => write!(f, "{}", self.name),
            Some(node) => write!(f, "{}@{node}", self.name),
        }
    }
}

impl<T: fmt::Display> Serialize for Pinned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: FromStr<Err = AddressError>> Deserialize<'de> for Pinned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}

/// What is pinned, and to which machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Pin {
    /// The name of an agent or a group.
    pub name: String,
    /// The machine.
    pub node: NodeName,
    /// It need not be there: it is only to be made there, or what was noted of it may be all that is.
    pub need_not_be: bool,
}

impl Pin {
    /// Sees that the machine may have what is pinned to it, as far as is known here.
    ///
    /// # Errors
    /// When it does not have it; where it is, if that is known.
    fn check(&self, house: &House) -> Result<(), Refusal> {
        let Self { name, node, .. } = self;
        let lives = lives_on(house, name);
        if !self.is_wrong(house, lives.as_ref()) {
            return Ok(());
        }
        let refusal = Refusal::new(format!("{name} is not on {node}"));
        Err(match lives.filter(|lives| lives != node) {
            Some(lives) => refusal.help(format!(
                "it lives on {lives}; without `@{node}` it is found wherever it lives"
            )),
            None => refusal.help(format!("`ps --node {node}` lists what is there")),
        })
    }

    /// Whether the machine is known not to have it. Of a machine that is not connected, and of groups
    /// of which no topology says where they live, that machine alone knows.
    fn is_wrong(&self, house: &House, lives: Option<&NodeName>) -> bool {
        if self.need_not_be || lives == Some(&self.node) {
            return false;
        }
        match Address::parse(&self.name) {
            Ok(_) if self.node == *house.node().name() => true,
            Ok(address) => house.node().cluster().is_some_and(|it| it.lacks(&self.node, &address)),
            Err(_) => lives.is_some(),
        }
    }
}

/// Sees that a machine is this one, or one that it knows.
///
/// # Errors
/// When it is none; which may have been meant.
pub fn is_known(house: &House, node: &NodeName) -> Result<(), Refusal> {
    let members = house.node().cluster().map(|cluster| cluster.members()).unwrap_or_default();
    let others = members.iter().map(|member| &member.node);
    let known: Vec<&NodeName> = std::iter::once(house.node().name()).chain(others).collect();
    if known.contains(&node) {
        return Ok(());
    }
    let refusal = Refusal::new(format!("no machine {node} is known here"));
    Err(match genii_runtime::nearest(node.as_str(), known.iter().map(|known| known.as_str())) {
        Some(nearest) => refusal.help(format!("did you mean {nearest}?")),
        None => refusal.help("`nodes` shows the machines"),
    })
}

/// The machine on which an agent or a group lives, as far as is known here.
fn lives_on(house: &House, name: &str) -> Option<NodeName> {
    let own = house.node().name();
    let is_own_group = |name: &str| house.topology().group(name)?.node.as_ref().map(|it| it == own);
    house.home_of(name).or_else(|| {
        let is_here = match name.contains('/') {
            true => house.member(name).is_ok(),
            false => is_own_group(name).unwrap_or_default(),
        };
        is_here.then(|| own.clone())
    })
}

/// The other machine on which a command is to be carried out, if it is another: `node` is what was said,
/// `about` what it is about where it can be carried out only where that lives.
///
/// # Errors
/// When it is pinned to a machine that does not have it, or to another one than was said.
pub fn place(
    house: &House,
    node: Option<NodeName>,
    pin: Option<Pin>,
    about: Option<&str>,
) -> Result<Option<NodeName>, Refusal> {
    let is_connected =
        |node: &NodeName| house.node().cluster().is_some_and(|it| it.is_connected(node));
    let place = match (node, pin) {
        (Some(node), Some(pin)) if node != pin.node => {
            let message = format!("{} is pinned to {}, and --node says {node}", pin.name, pin.node);
            return Err(Refusal::new(message).help("leave one of the two out"));
        }
        (node, Some(pin)) => {
            pin.check(house)?;
            let is_home = house.home_of(&pin.name).as_ref() == Some(&pin.node);
            // As of what is not pinned: if its home is not connected, this machine says what it knows.
            let says_here = node.is_none() && is_home && !is_connected(&pin.node);
            (!says_here).then_some(pin.node)
        }
        (Some(node), None) => Some(node),
        (None, None) => about.and_then(|name| house.home_of(name)).filter(is_connected),
    };
    Ok(place.filter(|place| place != house.node().name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_pinned_and_is_checked_as_a_whole() {
        let read = |text: &str| text.parse::<Pinned<Named>>();
        let mut pinned = read("core/twin@pc2").unwrap();
        assert_eq!(pinned.to_string(), "core/twin@pc2");
        let node = NodeName::new("pc2").unwrap();
        let (name, need_not_be) = ("core/twin".to_owned(), false);
        assert_eq!(pinned.unpin(), Some(Pin { name, node, need_not_be }));
        assert_eq!((pinned.to_string(), pinned.unpin()), ("core/twin".to_owned(), None));
        assert_eq!(read("core@pc2").unwrap().name.as_str(), "core");
        let fault = |text: &str| read(text).unwrap_err().to_string();
        assert!(fault("core/twin@").contains("node name"), "{}", fault("core/twin@"));
        assert!(
            fault("core/twin@PC2").contains("did you mean \"pc2\"?"),
            "{}",
            fault("core/twin@PC2")
        );
        assert!(fault("Core@pc2").contains("did you mean \"core\"?"), "{}", fault("Core@pc2"));
        assert!(fault("@pc2").contains("`nodes` shows the machines"), "{}", fault("@pc2"));
        assert!("core@pc2".parse::<Pinned<Address>>().unwrap_err().to_string().contains("no '/'"));
    }
}
