//! Topics: what something that is published is about, and patterns of them to subscribe to.
//!
//! A topic is segments with dots between: `world.updates.user.42`. In a pattern a `*` stands for
//! exactly one segment, and `**`, which comes last, for one or more:
//!
//! | pattern | matches | does not match |
//! |---|---|---|
//! | `world.updates.user.42` | that topic | any other |
//! | `world.updates.user.*` | `world.updates.user.42` | `world.updates.user`, `world.updates.user.42.left` |
//! | `world.*.user.42` | `world.updates.user.42` | `world.user.42` |
//! | `world.**` | `world.updates`, `world.updates.user.42` | `world` |
//! | `**` | every topic | |

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest topic or pattern, in bytes.
pub const TOPIC_MAX_LEN: usize = 255;

/// How many segments a topic or a pattern may have.
pub const SEGMENTS_MAX: usize = 32;

/// How much of a text that is wrong is repeated, in characters.
const REPEATED_MAX_LEN: usize = 80;

/// What something that is published is about: `world.updates.user.42`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Parses a topic.
    ///
    /// # Errors
    /// Says which rule the text breaks, and what was probably meant.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        match fault_in(text, false) {
            None => Ok(Self(text.into())),
            Some(fault) => Err(TopicError::new(Kind::Topic, text, fault)),
        }
    }

    /// The topic as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands between its dots.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

/// Which topics are meant: `world.updates.user.*`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Says which rule the text breaks, and what was probably meant.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        match fault_in(text, true) {
            None => Ok(Self(text.into())),
            Some(fault) => Err(TopicError::new(Kind::Pattern, text, fault)),
        }
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands between its dots.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.0.split('.').map(Segment::of)
    }

    /// Whether a topic is meant.
    pub fn matches(&self, topic: &Topic) -> bool {
        let mut segments = topic.segments();
        for wanted in self.segments() {
            let Some(segment) = segments.next() else { return false };
            match wanted {
                Segment::Rest => return true,
                Segment::Any => {}
                Segment::Text(text) if text == segment => {}
                Segment::Text(_) => return false,
            }
        }
        segments.next().is_none()
    }
}

impl From<Topic> for Pattern {
    fn from(topic: Topic) -> Self {
        Self(topic.0)
    }
}

/// What stands between two dots of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    /// This text.
    Text(&'a str),
    /// Any one segment: `*`.
    Any,
    /// One or more segments, whatever they are: `**`.
    Rest,
}

impl<'a> Segment<'a> {
    fn of(text: &'a str) -> Self {
        match text {
            "*" => Self::Any,
            "**" => Self::Rest,
            text => Self::Text(text),
        }
    }
}

/// Text that should have been a topic or a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}: {fault}{}", suggestion(suggested))]
pub struct TopicError {
    kind: Kind,
    text: String,
    fault: TopicFault,
    suggested: Option<String>,
}

impl TopicError {
    fn new(kind: Kind, text: &str, fault: TopicFault) -> Self {
        let repeated = match text.char_indices().nth(REPEATED_MAX_LEN) {
            None => text.to_owned(),
            Some((cut, _)) => format!("{}...", &text[..cut]),
        };
        Self { kind, text: repeated, fault, suggested: mended(text, kind) }
    }

    /// Which rule was broken.
    pub fn fault(&self) -> &TopicFault {
        &self.fault
    }
}

/// What was to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Topic,
    Pattern,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topic => "topic",
            Self::Pattern => "pattern",
        })
    }
}

/// The rule that a text breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicFault {
    /// Nothing was written.
    #[error("it is empty")]
    Empty,
    /// Longer than [`TOPIC_MAX_LEN`].
    #[error("it is longer than {TOPIC_MAX_LEN} bytes")]
    TooLong,
    /// More than [`SEGMENTS_MAX`] segments.
    #[error("it has more than {SEGMENTS_MAX} segments")]
    TooDeep,
    /// Nothing between two dots, or at an end.
    #[error("there is nothing before or after a '.'")]
    EmptySegment,
    /// A character that no segment may hold.
    #[error("between its dots it may hold a-z, 0-9, '-' and '_', not {0:?}")]
    Character(char),
    /// A wildcard in a topic.
    #[error("only a pattern to subscribe to may have a '*'")]
    Wildcard,
    /// A wildcard beside other characters.
    #[error("a '*' stands for a whole segment, and nothing beside it")]
    PartialWildcard,
    /// More after `**`.
    #[error("'**' stands for all that follows, and comes last")]
    RestNotLast,
}

fn fault_in(text: &str, is_pattern: bool) -> Option<TopicFault> {
    if text.is_empty() {
        return Some(TopicFault::Empty);
    }
    if text.len() > TOPIC_MAX_LEN {
        return Some(TopicFault::TooLong);
    }
    if text.split('.').count() > SEGMENTS_MAX {
        return Some(TopicFault::TooDeep);
    }
    if let Some(fault) = text.split('.').find_map(|segment| fault_in_segment(segment, is_pattern)) {
        return Some(fault);
    }
    let rest_is_last = text.split_once("**").is_none_or(|(_, after)| after.is_empty());
    (!rest_is_last).then_some(TopicFault::RestNotLast)
}

fn fault_in_segment(segment: &str, is_pattern: bool) -> Option<TopicFault> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    match segment {
        "" => return Some(TopicFault::EmptySegment),
        "*" | "**" if is_pattern => return None,
        _ => {}
    }
    match segment.chars().find(|c| !allowed(*c))? {
        '*' if is_pattern => Some(TopicFault::PartialWildcard),
        '*' => Some(TopicFault::Wildcard),
        other => Some(TopicFault::Character(other)),
    }
}

fn suggestion(suggested: &Option<String>) -> String {
    let said = suggested.as_ref().map(|good| format!("; did you mean {good:?}?"));
    said.unwrap_or_default()
}

/// What was probably meant, if a few slips explain it: capitals, other separators, the wildcards of
/// other systems.
fn mended(text: &str, kind: Kind) -> Option<String> {
    if text.len() > TOPIC_MAX_LEN {
        return None;
    }
    let lower = text.trim().to_lowercase();
    let parts = lower.split(['.', '/', ':', ' ']).filter(|part| !part.is_empty());
    let wildcard = |part: &str| match part {
        "#" | ">" => "**".to_owned(),
        "+" => "*".to_owned(),
        part if part.contains('*') && part != "**" => "*".to_owned(),
        part => part.to_owned(),
    };
    let good = parts.map(wildcard).collect::<Vec<_>>().join(".");
    let is_good = fault_in(&good, kind == Kind::Pattern).is_none() && good != text;
    is_good.then_some(good)
}

/// Text in, text out, and serde and JSON schema as that text.
macro_rules! as_text {
    ($type:ident, $pattern:literal) => {
        impl FromStr for $type {
            type Err = TopicError;
            fn from_str(text: &str) -> Result<Self, TopicError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
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

as_text!(Topic, "^[a-z0-9_-]+(\\.[a-z0-9_-]+)*$");
as_text!(Pattern, "^(\\*\\*|([a-z0-9_-]+|\\*)(\\.([a-z0-9_-]+|\\*))*(\\.\\*\\*)?)$");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_means_the_topics_that_it_should() {
        let check = |wanted: &str, topic: &str, expected: bool| {
            let matches = pattern(wanted).matches(&Topic::parse(topic).unwrap());
            assert_eq!(matches, expected, "{wanted} and {topic}");
        };
        for (wanted, topic, expected) in [
            ("world.updates.user.42", "world.updates.user.42", true),
            ("world.updates.user.42", "world.updates.user.4", false),
            ("world.updates.user.42", "world.updates.user", false),
            ("world.updates.user.42", "world.updates.user.42.left", false),
            ("world.updates.user.*", "world.updates.user.42", true),
            ("world.updates.user.*", "world.updates.user", false),
            ("world.updates.user.*", "world.updates.user.42.left", false),
            ("world.*.user.42", "world.updates.user.42", true),
            ("world.*.user.42", "world.user.42", false),
            ("*.*", "a.b", true),
            ("*.*", "a", false),
            ("*", "a", true),
            ("*", "a.b", false),
            ("world.**", "world.updates", true),
            ("world.**", "world.updates.user.42", true),
            ("world.**", "world", false),
            ("world.**", "worlds.updates", false),
            ("*.updates.**", "world.updates.user", true),
            ("**", "world", true),
            ("**", "world.updates.user.42", true),
        ] {
            check(wanted, topic, expected);
        }
    }

    #[test]
    fn what_is_wrong_says_so_and_what_was_meant() {
        let topic = |text: &str| Topic::parse(text).map(drop);
        let wanted = |text: &str| Pattern::parse(text).map(drop);
        let check = |read: Result<(), TopicError>, said: &[&str]| {
            let error = read.unwrap_err().to_string();
            for said in said {
                assert!(error.contains(said), "{error:?} lacks {said:?}");
            }
        };
        check(topic(""), &["not a valid topic", "it is empty"]);
        check(topic("World.Updates"), &["not 'W'", "did you mean \"world.updates\"?"]);
        check(topic("world/updates"), &["not '/'", "did you mean \"world.updates\"?"]);
        check(topic("world..x"), &["nothing before or after", "\"world.x\""]);
        check(topic(".world"), &["nothing before or after", "\"world\""]);
        check(topic("world.*"), &["only a pattern"]);
        check(topic("wörld"), &["not 'ö'"]);
        check(wanted("world.us*"), &["not a valid pattern", "a whole segment", "\"world.*\""]);
        check(wanted("world.#"), &["not '#'", "\"world.**\""]);
        check(wanted("world.>"), &["\"world.**\""]);
        check(wanted("world.+.x"), &["\"world.*.x\""]);
        check(wanted("world.**.x"), &["comes last"]);
        check(wanted("world.***"), &["a whole segment"]);
        check(topic(&"x".repeat(256)), &["longer than 255", "..."]);
        check(topic(&["x"; 33].join(".")), &["more than 32 segments"]);
    }

    #[test]
    fn serde_refuses_what_parsing_refuses() {
        assert_eq!(serde_json::to_string(&pattern("a.*")).unwrap(), "\"a.*\"");
        assert!(serde_json::from_str::<Topic>("\"a.*\"").is_err());
        let bytes = crate::wire::encode(&pattern("a.**")).unwrap();
        assert_eq!(crate::wire::decode::<Pattern>(&bytes).unwrap(), pattern("a.**"));
    }

    fn segment() -> impl Strategy<Value = String> {
        "[ab]{1,2}"
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text in "\\PC{0,80}") {
            let _ = Topic::parse(&text).map_err(|error| error.to_string());
            let _ = Pattern::parse(&text).map_err(|error| error.to_string());
        }

        #[test]
        fn what_is_suggested_is_good(text in "[a-zA-Z*#./ ]{0,20}") {
            if let Err(error) = Pattern::parse(&text)
                && let Some(good) = error.suggested
            {
                prop_assert!(Pattern::parse(&good).is_ok(), "{good}");
            }
        }

        #[test]
        fn a_topic_is_meant_by_itself_and_by_what_has_wildcards_in_its_places(
            segments in prop::collection::vec(segment(), 1..6),
            stars: [bool; 6],
            cut in 0_usize..6,
        ) {
            let topic = Topic::parse(&segments.join(".")).unwrap();
            prop_assert!(Pattern::from(topic.clone()).matches(&topic));
            let starred: Vec<&str> = segments.iter().zip(stars)
                .map(|(segment, star)| if star { "*" } else { segment })
                .collect();
            prop_assert!(pattern(&starred.join(".")).matches(&topic));
            let cut = cut.min(segments.len() - 1);
            let rest: Vec<&str> = starred[..cut].iter().copied().chain(["**"]).collect();
            prop_assert!(pattern(&rest.join(".")).matches(&topic));
        }
    }
}
