//! What the holder of a token may do: by which verbs, to which addresses.

use std::fmt;
use std::str::FromStr;

use genii_protocols::{Address, Name};
use serde::{Deserialize, Serialize};

/// Something that a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Ask an agent.
    Ask,
    /// Tell an agent.
    Tell,
    /// Ask an agent for a stream.
    Stream,
    /// Watch what happens to agents.
    Watch,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ask, Self::Tell, Self::Stream, Self::Watch];

    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Tell => "tell",
            Self::Stream => "stream",
            Self::Watch => "watch",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Verb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|verb| verb.word() == text);
        found.ok_or_else(|| {
            let words: Vec<&str> = Self::ALL.into_iter().map(Self::word).collect();
            format!("{text:?} is no verb; they are {}", words.join(", "))
        })
    }
}

/// Which addresses are meant: `memory/recall`, `memory/*`, `*/health-monitor`, `being/guest-*`, or
/// `*` for everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pattern {
    /// Everything.
    Everything,
    /// Addresses whose group and name fit.
    Address {
        /// The group.
        group: Part,
        /// The name.
        name: Part,
    },
}

/// One side of the slash in a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Whatever begins so; with nothing, whatever there is.
    Beginning(String),
    /// This name and no other.
    Exactly(String),
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no pattern: {why}; patterns are as memory/recall, memory/*, */recall, \
     being/guest-* or *"
)]
pub struct PatternError {
    text: String,
    why: String,
}

/// The longest pattern, in bytes.
const PATTERN_MAX_LEN: usize = 2 * genii_protocols::address::NAME_MAX_LEN + 1;

impl Pattern {
    /// Whether an address is meant.
    pub fn covers(&self, address: &Address) -> bool {
        match self {
            Self::Everything => true,
            Self::Address { group, name } => {
                group.fits(address.group()) && name.fits(address.name())
            }
        }
    }

    /// Whether a whole group is meant.
    pub fn covers_group(&self, group: &str) -> bool {
        match self {
            Self::Everything => true,
            // What is no name is no group: the house itself, and its nodes.
            Self::Address { group: part, name } => {
                Name::new(group).is_ok() && part.fits(group) && name.is_any()
            }
        }
    }
}

impl Part {
    fn read(text: &str) -> Result<Self, String> {
        match text.strip_suffix('*') {
            None => Name::new(text)
                .map(|_| Self::Exactly(text.to_owned()))
                .map_err(|error| error.to_string()),
            // A beginning is good if a name may go on from it.
            Some(beginning) => Name::new(&format!("{beginning}x"))
                .map(|_| Self::Beginning(beginning.to_owned()))
                .map_err(|error| error.to_string()),
        }
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Beginning(beginning) => text.starts_with(beginning),
            Self::Exactly(name) => text == name,
        }
    }

    fn is_any(&self) -> bool {
        matches!(self, Self::Beginning(beginning) if beginning.is_empty())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning(beginning) => write!(f, "{beginning}*"),
            Self::Exactly(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("*"),
            Self::Address { group, name } => write!(f, "{group}/{name}"),
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let wrong = |why: &str| {
            let text = text.chars().take(PATTERN_MAX_LEN).collect();
            PatternError { text, why: why.to_owned() }
        };
        match text.split_once('/') {
            _ if text.len() > PATTERN_MAX_LEN => Err(wrong("it is too long")),
            None if text == "*" => Ok(Self::Everything),
            None => Err(wrong("it has no '/' between group and name")),
            Some((_, name)) if name.contains('@') => {
                Err(wrong("it pins a node, and a token is for agents wherever they live"))
            }
            Some((group, name)) => {
                let group = Part::read(group).map_err(|why| wrong(&why))?;
                let name = Part::read(name).map_err(|why| wrong(&why))?;
                Ok(Self::Address { group, name })
            }
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

/// What the holder of a token may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// To what.
    pub allow: Vec<Pattern>,
    /// By which verbs.
    pub verbs: Vec<Verb>,
}

impl Scope {
    /// Whether an address may be reached by some verb.
    pub fn reaches(&self, address: &Address) -> bool {
        self.allow.iter().any(|pattern| pattern.covers(address))
    }

    /// Whether all of a group may be reached.
    pub fn reaches_group(&self, group: &str) -> bool {
        self.allow.iter().any(|pattern| pattern.covers_group(group))
    }

    /// Whether a verb is allowed at all.
    pub fn has(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_they_say_and_no_more() {
        let covers = |pattern: &str, address: &str| {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(pattern.to_string().parse::<Pattern>().unwrap(), pattern);
            pattern.covers(&Address::parse(address).unwrap())
        };
        for (pattern, yes, no) in [
            ("memory/recall", "memory/recall", "memory/recall-2"),
            ("memory/*", "memory/recall", "memory-2/recall"),
            ("*/recall", "memory/recall", "memory/store"),
            ("being/guest-*", "being/guest-7", "being/guest"),
            ("be*/a*", "being/alice", "being/bob"),
        ] {
            assert!(covers(pattern, yes), "{pattern} {yes}");
            assert!(!covers(pattern, no), "{pattern} {no}");
        }
        assert!(covers("*", "memory/recall") && covers("*/*", "memory/recall"));
    }

    #[test]
    fn what_is_no_pattern_is_told_why() {
        for (text, why) in [
            ("memory", "no '/'"),
            ("", "no '/'"),
            ("Memory/*", "not a valid name"),
            ("a*b/c", "not a valid name"),
            ("a/**", "not a valid name"),
            ("a/b@pc2", "pins a node"),
            ("a/b/c", "not a valid name"),
        ] {
            let said = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
        let long = format!("{}/b", "a".repeat(10_000)).parse::<Pattern>().unwrap_err();
        assert!(long.to_string().len() < 500);
        assert!("asks".parse::<Verb>().unwrap_err().contains("ask, tell"));
    }
}
