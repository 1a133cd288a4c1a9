//! Whether two nodes mean the same by the names of messages, as they say when they greet each other.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use genii_protocols::frame::NAME_MAX_LEN;

use super::Inner;
use crate::link::sending::Link;

/// Of how many messages a greeting tells; of more nothing is compared.
const FORMS_MAX: usize = 1_000;

/// How many bytes their names may take, so that a greeting fits into a frame.
const NAMES_MAX_LEN: usize = 64 << 10;

/// How many are named to people.
const NAMED_MAX: usize = 8;

/// The names of the messages that a node has told of; none if there may be more than it could tell.
pub(super) fn known(theirs: &[(String, u64)]) -> HashSet<Box<str>> {
    let len: usize = theirs.iter().map(|(name, _)| name.len()).sum();
    let is_all = theirs.len() < FORMS_MAX && len + NAME_MAX_LEN <= NAMES_MAX_LEN;
    let names = theirs.iter().filter(|_| is_all).map(|(name, _)| name.as_str().into());
    names.collect()
}

impl Inner {
    /// What is told to others.
    pub(super) fn forms(&self) -> Vec<(Cow<'static, str>, u64)> {
        let Some(node) = self.node.upgrade() else { return Vec::new() };
        let mut len = 0;
        let fits = |(name, _): &(&String, &u64)| {
            len += name.len();
            len <= NAMES_MAX_LEN
        };
        let forms = node.forms().into_iter().flatten().take(FORMS_MAX).take_while(fits);
        forms.map(|(name, digest)| (Cow::Owned(name.clone()), *digest)).collect()
    }

    /// The messages that have another form there than here, of those that both know.
    pub(super) fn differing(&self, theirs: &[(String, u64)]) -> BTreeSet<String> {
        let Some(node) = self.node.upgrade() else { return BTreeSet::new() };
        let Some(own) = node.forms() else { return BTreeSet::new() };
        let theirs = theirs.iter().take(FORMS_MAX);
        let differing = theirs.filter(|(name, it)| own.get(name).is_some_and(|own| own != it));
        differing.map(|(name, _)| name.clone()).collect()
    }

    /// Tells people of what differs.
    pub(super) fn note_differing(&self, link: &Link) {
        if link.differing.is_empty() {
            return;
        }
        let named: Vec<&str> = link.differing.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = link.differing.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let text = format!("has another form of {}{more}", named.join(", "));
        tracing::warn!(node = %link.peer, "{text}: bring both nodes up to date");
        self.note(&link.peer, link.incarnation, &text);
    }
}
