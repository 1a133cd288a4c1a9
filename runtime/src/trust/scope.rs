//! What the holder of a token may do: by which verbs, to which addresses and topics.

use std::fmt;
use std::str::FromStr;

use genii_protocols::topic::Segment;
use genii_protocols::{Address, Name, Pattern as Topics, Topic};
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
    /// Hear what is published about topics.
    Subscribe,
    /// Publish something about a topic.
    Publish,
    /// Watch what happens to agents.
    Watch,
    /// Ask and tell also what is only for who may manage an agent
    /// ([`genii_protocols::managing`]). It comes beside the verb by which that is said.
    Manage,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ask,
        Self::Tell,
        Self::Stream,
        Self::Subscribe,
        Self::Publish,
        Self::Watch,
        Self::Manage,
    ];

    /// Those of a token of which nobody has said which: nobody manages whom that was not given by name.
    pub const USUAL: [Self; 6] =
        [Self::Ask, Self::Tell, Self::Stream, Self::Subscribe, Self::Publish, Self::Watch];

    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Tell => "tell",
            Self::Stream => "stream",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Watch => "watch",
            Self::Manage => "manage",
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

/// What is meant: addresses, as `memory/recall`, `memory/*`, `*/health-monitor`, `being/guest-*`;
/// topics, as `world.updates.*`, `world.**`, `**`, `topic:bell`; or `*` for everything.
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
    /// Topics.
    Topics(Topics),
}

/// What may stand before topics, and must before one that could be taken for half an address.
const TOPIC_PREFIX: &str = "topic:";

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
    "{text:?} is no pattern: {why}; patterns are as memory/recall, memory/*, being/guest-*, \
     world.updates.*, topic:bell or *"
)]
pub struct PatternError {
    text: String,
    why: String,
}

/// The longest pattern, in bytes.
const PATTERN_MAX_LEN: usize = genii_protocols::topic::TOPIC_MAX_LEN + TOPIC_PREFIX.len();

impl Pattern {
    /// Whether an address is meant.
    pub fn covers(&self, address: &Address) -> bool {
        match self {
            Self::Everything => true,
            Self::Address { group, name } => {
                group.fits(address.group()) && name.fits(address.name())
            }
            Self::Topics(_) => false,
        }
    }

    /// Whether all that a pattern of topics means is meant.
    pub fn covers_topics(&self, wanted: &Topics) -> bool {
        match self {
            Self::Everything => true,
            Self::Address { .. } => false,
            Self::Topics(topics) => contains(topics, wanted),
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
            Self::Topics(_) => false,
        }
    }
}

/// Whether a pattern means every topic that another does.
fn contains(all: &Topics, some: &Topics) -> bool {
    let mut segments = some.segments();
    for wanted in all.segments() {
        match (wanted, segments.next()) {
            (_, None) => return false,
            (Segment::Rest, Some(_)) => return true,
            (_, Some(Segment::Rest)) => return false,
            (Segment::Any, Some(_)) => {}
            (Segment::Text(text), Some(Segment::Text(other))) if text == other => {}
            (Segment::Text(_), Some(_)) => return false,
        }
    }
    segments.next().is_none()
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

/// Whether a text can be nothing but topics.
fn is_plain(text: &str) -> bool {
    text.contains('.') || text == "**"
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("*"),
            Self::Address { group, name } => write!(f, "{group}/{name}"),
            Self::Topics(topics) if is_plain(topics.as_str()) => topics.fmt(f),
            Self::Topics(topics) => write!(f, "{TOPIC_PREFIX}{topics}"),
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
            None => match text.strip_prefix(TOPIC_PREFIX) {
                None if !is_plain(text) => Err(wrong("it has no '/' between group and name")),
                topics => Topics::parse(topics.unwrap_or(text))
                    .map(Self::Topics)
                    .map_err(|error| wrong(&error.to_string())),
            },
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

    /// Whether something may be published about a topic.
    pub fn reaches_topic(&self, topic: &Topic) -> bool {
        self.reaches_topics(&Topics::from(topic.clone()))
    }

    /// Whether all that a pattern of topics means may be heard.
    pub fn reaches_topics(&self, wanted: &Topics) -> bool {
        self.allow.iter().any(|pattern| pattern.covers_topics(wanted))
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
    fn who_may_hear_some_topics_may_hear_fewer_and_no_others() {
        let covers = |pattern: &str, wanted: &str| {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(pattern.to_string().parse::<Pattern>().unwrap(), pattern);
            pattern.covers_topics(&Topics::parse(wanted).unwrap())
        };
        for (pattern, yes, no) in [
            ("world.updates", "world.updates", "world.*"),
            ("world.*", "world.updates", "world.updates.user"),
            ("world.*", "world.*", "world.**"),
            ("world.**", "world.updates.**", "world"),
            ("world.**", "world.*", "*.updates"),
            ("*.updates", "*.updates", "**"),
            ("topic:bell", "bell", "bells"),
            ("**", "world.*.user", ""),
        ] {
            assert!(covers(pattern, yes), "{pattern} {yes}");
            assert!(no.is_empty() || !covers(pattern, no), "{pattern} {no}");
        }
        assert!(covers("*", "**") && !covers("*/*", "world.updates"));
        let lamp = Address::parse("here/lamp").unwrap();
        assert!(!"**".parse::<Pattern>().unwrap().covers(&lamp));
    }

    #[test]
    fn a_token_from_before_does_not_manage() {
        let kept = r#"{"allow":["*"],
            "verbs":["ask","tell","stream","subscribe","publish","watch"]}"#;
        let scope: Scope = serde_json::from_str(kept).unwrap();
        assert_eq!(scope.verbs, Verb::USUAL);
        assert!(!scope.has(Verb::Manage));
        for verb in Verb::ALL {
            assert_eq!(verb.to_string().parse::<Verb>(), Ok(verb));
            let kept = serde_json::to_value(verb).unwrap();
            assert_eq!(kept, verb.word());
        }
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
            ("world.**.x", "comes last"),
            ("topic:World", "not 'W'"),
        ] {
            let said = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
        let long = format!("{}/b", "a".repeat(10_000)).parse::<Pattern>().unwrap_err();
        assert!(long.to_string().len() < 500);
        assert!("asks".parse::<Verb>().unwrap_err().contains("ask, tell"));
    }
}
