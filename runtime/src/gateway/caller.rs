//! Who calls, and what they may do.

use std::sync::Arc;

use genii_protocols::api::{Refused, Why};
use genii_protocols::managing::is_managing;
use genii_protocols::{Address, Pattern, Topic};
use tonic::Status;

use crate::link::network::Certificate;
use crate::trust::scope::Verb;
use crate::trust::tokens::Token;

/// What a connection tells of who is at its other end, before any call.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    /// The owner of this process, by the Unix socket.
    Owner,
    /// A node of the household, by its certificate.
    Node(Certificate),
    /// Nobody yet: a token must say.
    Nobody,
}

/// Who makes a call.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// The owner of this process.
    Owner,
    /// A node of the household.
    Node(Certificate),
    /// The holder of a token.
    Holder(Arc<Token>),
}

/// By what callers are told from each other where they share something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum CallerId {
    /// The owner of this process.
    Owner,
    /// Whoever has this certificate.
    Node(Certificate),
    /// Whoever has the token of this public name.
    Token(String),
}

impl Caller {
    /// What tells it from others.
    pub(super) fn id(&self) -> CallerId {
        match self {
            Self::Owner => CallerId::Owner,
            Self::Node(certificate) => CallerId::Node(certificate.clone()),
            Self::Holder(token) => CallerId::Token(token.id.clone()),
        }
    }

    /// Whether it may do this to an address.
    pub(super) fn check(&self, verb: Verb, address: &Address) -> Result<(), Status> {
        self.check_verb(verb)?;
        match self.reaches(address) {
            true => Ok(()),
            false => Err(self.refused(Why::Scope, verb, address.as_str()).into()),
        }
    }

    /// Whether it may say a message to an address that it reaches: some are only for who may manage who
    /// lives there.
    pub(super) fn check_message(&self, message: &str, address: &Address) -> Result<(), Status> {
        match self {
            Self::Holder(token) if is_managing(message) && !token.scope.has(Verb::Manage) => {
                Err(self.refused(Why::Verb, Verb::Manage, address.as_str()).into())
            }
            _ => Ok(()),
        }
    }

    /// Whether it may hear all that a pattern means.
    pub(super) fn check_topics(&self, wanted: &Pattern) -> Result<(), Status> {
        self.check_verb(Verb::Subscribe)?;
        match self {
            Self::Holder(token) if !token.scope.reaches_topics(wanted) => {
                Err(self.refused(Why::Scope, Verb::Subscribe, wanted.as_str()).into())
            }
            _ => Ok(()),
        }
    }

    /// Whether it may publish something about a topic.
    pub(super) fn check_topic(&self, topic: &Topic) -> Result<(), Status> {
        self.check_verb(Verb::Publish)?;
        match self {
            Self::Holder(token) if !token.scope.reaches_topic(topic) => {
                Err(self.refused(Why::Scope, Verb::Publish, topic.as_str()).into())
            }
            _ => Ok(()),
        }
    }

    /// Whether it may do this at all.
    pub(super) fn check_verb(&self, verb: Verb) -> Result<(), Status> {
        match self {
            Self::Holder(token) if !token.scope.has(verb) => {
                Err(self.refused(Why::Verb, verb, "").into())
            }
            _ => Ok(()),
        }
    }

    /// Whether it may reach an address by some verb.
    pub(super) fn reaches(&self, address: &Address) -> bool {
        match self {
            Self::Owner | Self::Node(_) => true,
            Self::Holder(token) => token.scope.reaches(address),
        }
    }

    /// Whether it may see what happens to an agent, a group, or a node.
    pub(super) fn sees(&self, name: &str) -> bool {
        match (self, Address::parse(name)) {
            (Self::Owner | Self::Node(_), _) => true,
            (Self::Holder(token), Ok(address)) => token.scope.reaches(&address),
            (Self::Holder(token), Err(_)) => token.scope.reaches_group(name),
        }
    }

    /// Whether it may read a text: one that names an agent tells of it.
    pub(super) fn may_read(&self, text: &str) -> bool {
        match self {
            Self::Owner | Self::Node(_) => true,
            Self::Holder(token) => addresses_in(text).all(|named| token.scope.reaches(&named)),
        }
    }

    /// Whether it may see an agent or a group.
    pub(super) fn check_sight(&self, name: &str) -> Result<(), Status> {
        match self.sees(name) {
            true => Ok(()),
            false => Err(self.refused(Why::Scope, Verb::Watch, name).into()),
        }
    }

    fn refused(&self, why: Why, verb: Verb, target: &str) -> Refused {
        let token = match self {
            Self::Holder(token) => token.id.clone(),
            Self::Owner | Self::Node(_) => String::new(),
        };
        Refused { why, token, verb: verb.to_string(), target: target.to_owned() }
    }
}

/// All that may be the address of an agent in a text; the name of a file, as `src/lamp.rs`, is none.
fn addresses_in(text: &str) -> impl Iterator<Item = Address> {
    let is_within = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-/.".contains(c);
    let words = text.split(move |c| !is_within(c));
    words.filter_map(|word| Address::parse(word.trim_matches(['-', '.'])).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_looked_through_for_addresses() {
        let found = |text: &str| -> Vec<String> {
            addresses_in(text).map(|address| address.to_string()).collect()
        };
        assert_eq!(found("it needs here/desk, and (a/b@pc2)."), ["here/desk", "a/b"]);
        assert_eq!(found("\"here/desk\": gone; here/lamp."), ["here/desk", "here/lamp"]);
        let none = ["", "no agent at all", "runtime/src/lamp.rs:3:1", "src/lamp.rs", "1 / 2"];
        for text in none {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}
