//! Addresses: `group/name`, unique in the cluster, optionally pinned to a node with `@node`.
//!
//! Parsing is strict, and every error says what is wrong and, where it can, what was meant.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest group, agent or node name, in bytes.
pub const NAME_MAX_LEN: usize = 63;

/// A lower-case kebab name: letters and digits in words joined by single hyphens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Parses a name.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        match fault_in_name(text) {
            None => Ok(Self(text.into())),
            Some(fault) => Err(AddressError::new("name", text, fault)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a machine in the cluster.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Name);

impl NodeName {
    /// Parses a node name.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        match fault_in_name(text) {
            None => Ok(Self(Name(text.into()))),
            Some(fault) => Err(AddressError::new("node name", text, fault)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Where an agent is reached: `group/name`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    text: Arc<str>,
    /// Where the slash stands; a group name is at most 63 bytes long.
    slash: u8,
}

impl Address {
    /// Joins a group and a name that are already known to be good.
    pub fn new(group: &Name, name: &Name) -> Self {
        Self {
            text: format!("{}/{}", group.as_str(), name.as_str()).into(),
            slash: group.as_str().len() as u8,
        }
    }

    /// Parses `group/name`.
    ///
    /// # Errors
    /// Says which part breaks which rule.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        Self::from_shared(Arc::from(text))
    }

    /// Parses text that is already shared, without copying it.
    ///
    /// # Errors
    /// As [`Address::parse`].
    pub fn from_shared(text: Arc<str>) -> Result<Self, AddressError> {
        let fault = match text.split_once('/') {
            None if text.is_empty() => AddressFault::Empty,
            None => AddressFault::NoSlash,
            Some((_, name)) if name.contains('/') => AddressFault::ManySlashes,
            Some((_, name)) if name.contains('@') => AddressFault::PinnedHere,
            Some((group, name)) => match (fault_in_name(group), fault_in_name(name)) {
                (None, None) => {
                    let slash = group.len() as u8;
                    return Ok(Self { text, slash });
                }
                (Some(fault), _) => AddressFault::InGroup(Box::new(fault)),
                (None, Some(fault)) => AddressFault::InName(Box::new(fault)),
            },
        };
        Err(AddressError::new("address", &text, fault))
    }

    /// The group before the slash.
    pub fn group(&self) -> &str {
        &self.text[..usize::from(self.slash)]
    }

    /// The name after the slash.
    pub fn name(&self) -> &str {
        &self.text[usize::from(self.slash) + 1..]
    }

    /// The whole address as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole address as shared text.
    pub fn shared(&self) -> Arc<str> {
        self.text.clone()
    }
}

/// An [`Address`], perhaps pinned to a node: `core/health-monitor@pc2`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The agent.
    pub address: Address,
    /// The node it must be on; any node when absent.
    pub node: Option<NodeName>,
}

impl Destination {
    /// Parses `group/name` or `group/name@node`.
    ///
    /// # Errors
    /// Says which part breaks which rule.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        match text.split_once('@') {
            None => Address::parse(text).map(Self::from),
            Some((address, node)) => {
                let address = Address::parse(address)?;
                let node = NodeName::new(node).map_err(|error| {
                    AddressError::new("address", text, AddressFault::InNode(Box::new(error.fault)))
                })?;
                Ok(Self { address, node: Some(node) })
            }
        }
    }
}

impl From<Address> for Destination {
    fn from(address: Address) -> Self {
        Self { address, node: None }
    }
}

impl From<&Address> for Destination {
    fn from(address: &Address) -> Self {
        Self { address: address.clone(), node: None }
    }
}

impl From<&Destination> for Destination {
    fn from(destination: &Destination) -> Self {
        destination.clone()
    }
}

/// Text that should have been an address, a name or a node name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}: {fault}{}", suggestion(what, text))]
pub struct AddressError {
    what: &'static str,
    text: String,
    fault: AddressFault,
}

impl AddressError {
    fn new(what: &'static str, text: &str, fault: AddressFault) -> Self {
        let text = match text.char_indices().nth(2 * NAME_MAX_LEN + 10) {
            None => text.to_owned(),
            Some((cut, _)) => format!("{}...", &text[..cut]),
        };
        Self { what, text, fault }
    }

    /// Which rule was broken.
    pub fn fault(&self) -> &AddressFault {
        &self.fault
    }
}

/// The rule that a text breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// Nothing was written.
    #[error("it is empty")]
    Empty,
    /// No slash between group and name.
    #[error("it has no '/' between group and name")]
    NoSlash,
    /// More than one slash.
    #[error("it has more than one '/'")]
    ManySlashes,
    /// A node is pinned where only an address may stand.
    #[error("it is pinned to a node with '@', which is not allowed here")]
    PinnedHere,
    /// Longer than [`NAME_MAX_LEN`].
    #[error("it is longer than {NAME_MAX_LEN} bytes")]
    TooLong,
    /// A character other than a-z, 0-9 and the hyphen.
    #[error("it may hold a-z, 0-9 and '-', not {0:?}")]
    Character(char),
    /// A hyphen at an end, or two together.
    #[error("a '-' must stand between letters or digits")]
    Hyphen,
    /// A fault in the part before the slash.
    #[error("in the group, {0}")]
    InGroup(Box<AddressFault>),
    /// A fault in the part after the slash.
    #[error("in the name, {0}")]
    InName(Box<AddressFault>),
    /// A fault in the part after the at sign.
    #[error("in the node, {0}")]
    InNode(Box<AddressFault>),
}

fn fault_in_name(text: &str) -> Option<AddressFault> {
    if text.is_empty() {
        return Some(AddressFault::Empty);
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(c) = text.chars().find(|c| !allowed(*c)) {
        return Some(AddressFault::Character(c));
    }
    if text.len() > NAME_MAX_LEN {
        return Some(AddressFault::TooLong);
    }
    let hyphen_misplaced = text.starts_with('-') || text.ends_with('-') || text.contains("--");
    hyphen_misplaced.then_some(AddressFault::Hyphen)
}

fn suggestion(what: &str, text: &str) -> String {
    let good = match what {
        "address" => {
            let parts: Vec<String> = text.split('/').map(kebab).collect();
            (parts.len() == 2 && parts.iter().all(|part| fault_in_name(part).is_none()))
                .then(|| parts.join("/"))
        }
        _ => Some(kebab(text)).filter(|name| fault_in_name(name).is_none()),
    };
    good.filter(|good| good != text)
        .map(|good| format!("; did you mean {good:?}?"))
        .unwrap_or_default()
}

/// Turns any identifier (`SessionMemoryAgent`, `GOT_TOTAgent`, `main_pc`) into a kebab name.
///
/// Words start at a capital that follows a small letter or digit, at the last capital of a run
/// that a small letter follows, and after anything that is neither letter nor digit. The result may
/// be empty when the text holds neither.
pub fn kebab(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut name = String::with_capacity(text.len() + 8);
    for (i, &c) in chars.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            push_hyphen(&mut name);
            continue;
        }
        let before = i.checked_sub(1).map(|j| chars[j]);
        let after = chars.get(i + 1);
        let after_small = before.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let ends_capitals = before.is_some_and(|b| b.is_ascii_uppercase())
            && after.is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && (after_small || ends_capitals) {
            push_hyphen(&mut name);
        }
        name.push(c.to_ascii_lowercase());
    }
    while name.ends_with('-') {
        name.pop();
    }
    name
}

fn push_hyphen(name: &mut String) {
    if !name.is_empty() && !name.ends_with('-') {
        name.push('-');
    }
}

/// Text in, text out, and serde and JSON schema as that text, for each kind of name.
macro_rules! as_text {
    ($type:ident, $parse:path, $pattern:literal) => {
        impl FromStr for $type {
            type Err = AddressError;
            fn from_str(text: &str) -> Result<Self, AddressError> {
                $parse(text)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                $parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

as_text!(Name, Name::new, "^[a-z0-9]+(-[a-z0-9]+)*$");
as_text!(NodeName, NodeName::new, "^[a-z0-9]+(-[a-z0-9]+)*$");
as_text!(Address, Address::parse, "^[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*$");
as_text!(
    Destination,
    Destination::parse,
    "^[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*(@[a-z0-9]+(-[a-z0-9]+)*)?$"
);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            None => write!(f, "{}", self.address),
            Some(node) => write!(f, "{}@{node}", self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_parse_and_print_as_written() {
        for text in
            ["memory/session-memory", "gpu/nllb-adapter", "a/b", "being/7", "pc2-core/x1-y2"]
        {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(format!("{}/{}", address.group(), address.name()), text);
        }
    }

    #[test]
    fn bad_addresses_say_what_is_wrong_and_what_was_meant() {
        let check = |text: &str, said: &str| {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text:?} gave {error:?}, expected {said:?}");
        };
        check("", "it is empty");
        check("memory", "no '/'");
        check("a/b/c", "more than one '/'");
        check("/b", "in the group, it is empty");
        check("a/", "in the name, it is empty");
        check("Memory/SessionMemory", "did you mean \"memory/session-memory\"?");
        check("a/b@pc2", "pinned to a node");
        check("a/-b", "must stand between");
        check("a/b--c", "must stand between");
        check("a/bé", "'é'");
        check(&format!("a/{}", "x".repeat(64)), "longer than 63");
        check(&"x".repeat(100_000), "...");
    }

    #[test]
    fn a_destination_may_name_a_node() {
        let pinned = Destination::parse("core/health-monitor@pc2").unwrap();
        assert_eq!(pinned.node.as_ref().unwrap().as_str(), "pc2");
        assert_eq!(pinned.to_string(), "core/health-monitor@pc2");
        assert_eq!(Destination::parse("core/x").unwrap().node, None);
        let error = Destination::parse("core/x@PC2").unwrap_err().to_string();
        assert!(error.contains("in the node"), "{error}");
        assert!(Destination::parse("core/x@").is_err());
        assert!(Destination::parse("core/x@a@b").is_err());
    }

    #[test]
    fn kebab_reads_the_names_people_really_use() {
        for (given, expected) in [
            ("SessionMemoryAgent", "session-memory-agent"),
            ("GOT_TOTAgent", "got-tot-agent"),
            ("TTSConnector", "tts-connector"),
            ("NLUAgent", "nlu-agent"),
            ("main_pc_gpu_services", "main-pc-gpu-services"),
            ("NLLBAdapter", "nllb-adapter"),
            ("RCAAgent", "rca-agent"),
            ("already-kebab", "already-kebab"),
            ("__x__", "x"),
            ("PC2Agent", "pc2-agent"),
            ("---", ""),
        ] {
            assert_eq!(kebab(given), expected);
        }
    }

    #[test]
    fn serde_refuses_what_parsing_refuses() {
        assert_eq!(serde_json::to_string(&Address::parse("a/b").unwrap()).unwrap(), "\"a/b\"");
        assert!(serde_json::from_str::<Address>("\"A/b\"").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text in "\\PC{0,80}") {
            let _ = Destination::parse(&text).map(|d| d.to_string());
            let _ = kebab(&text);
        }

        #[test]
        fn what_prints_parses_back(group in "[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,3}", name in "[a-z0-9]{1,9}") {
            let text = format!("{group}/{name}");
            proptest::prop_assert_eq!(Address::parse(&text).unwrap().to_string(), text);
        }
    }
}
