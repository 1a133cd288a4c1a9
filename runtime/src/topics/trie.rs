//! Who wants which topics: patterns by their segments, so that finding those which mean a topic
//! takes no longer for there being many others.

use std::collections::{BTreeMap, BTreeSet};

use genii_protocols::topic::Segment;
use genii_protocols::{Pattern, Topic};

/// Things of a kind, each under patterns.
pub(crate) struct Trie<T> {
    root: Branch<T>,
}

struct Branch<T> {
    /// What follows a segment of this text.
    texts: BTreeMap<Box<str>, Branch<T>>,
    /// What follows any one segment.
    any: Option<Box<Branch<T>>>,
    /// Those whose pattern ends here.
    here: BTreeSet<T>,
    /// Those whose pattern ends with `**` after this.
    rest: BTreeSet<T>,
}

impl<T> Default for Branch<T> {
    fn default() -> Self {
        Self { texts: BTreeMap::new(), any: None, here: BTreeSet::new(), rest: BTreeSet::new() }
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self { root: Branch::default() }
    }
}

impl<T: Ord + Clone> Trie<T> {
    /// Puts something under a pattern, once.
    pub(crate) fn insert(&mut self, pattern: &Pattern, thing: T) {
        let mut branch = &mut self.root;
        for segment in pattern.segments() {
            branch = match segment {
                Segment::Rest => {
                    branch.rest.insert(thing);
                    return;
                }
                Segment::Any => branch.any.get_or_insert_default(),
                Segment::Text(text) => branch.texts.entry(text.into()).or_default(),
            };
        }
        branch.here.insert(thing);
    }

    /// Takes something away from under a pattern.
    pub(crate) fn remove(&mut self, pattern: &Pattern, thing: &T) {
        let segments: Vec<Segment<'_>> = pattern.segments().collect();
        self.root.remove(&segments, thing);
    }

    /// All things under patterns that mean a topic, each once, in their order.
    pub(crate) fn of(&self, topic: &Topic) -> BTreeSet<T> {
        let segments: Vec<&str> = topic.segments().collect();
        let mut found = BTreeSet::new();
        self.root.find(&segments, &mut found);
        found
    }
}

impl<T: Ord + Clone> Branch<T> {
    fn remove(&mut self, segments: &[Segment<'_>], thing: &T) {
        let Some((segment, after)) = segments.split_first() else {
            self.here.remove(thing);
            return;
        };
        match segment {
            Segment::Rest => {
                self.rest.remove(thing);
            }
            Segment::Any => {
                if let Some(any) = &mut self.any {
                    any.remove(after, thing);
                }
                self.any.take_if(|any| any.is_bare());
            }
            Segment::Text(text) => {
                let Some(branch) = self.texts.get_mut(*text) else { return };
                branch.remove(after, thing);
                if branch.is_bare() {
                    self.texts.remove(*text);
                }
            }
        }
    }

    /// Whether nothing hangs from it, so that it need not be kept.
    fn is_bare(&self) -> bool {
        let has_none = self.here.is_empty() && self.rest.is_empty();
        has_none && self.texts.is_empty() && self.any.is_none()
    }

    fn find(&self, segments: &[&str], found: &mut BTreeSet<T>) {
        let Some((segment, after)) = segments.split_first() else {
            found.extend(self.here.iter().cloned());
            return;
        };
        found.extend(self.rest.iter().cloned());
        if let Some(branch) = self.texts.get(*segment) {
            branch.find(after, found);
        }
        if let Some(any) = &self.any {
            any.find(after, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec("[ab]", 1..5).prop_map(|segments| segments.join("."))
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        let segments = prop::collection::vec("[ab*]", 0..4);
        (segments, "a|b|\\*|\\*\\*").prop_map(|(mut segments, last)| {
            segments.push(last);
            Pattern::parse(&segments.join(".")).unwrap()
        })
    }

    proptest! {
        /// The trie finds what looking at each pattern finds, whatever was put in and taken out.
        #[test]
        fn it_finds_what_each_pattern_means(
            patterns in prop::collection::vec((pattern(), 0_u8..4, any::<bool>()), 0..20),
            topics in prop::collection::vec(text(), 1..10),
        ) {
            let mut trie = Trie::default();
            let mut list: Vec<(Pattern, u8)> = Vec::new();
            for (pattern, thing, stays) in &patterns {
                trie.insert(pattern, *thing);
                list.push((pattern.clone(), *thing));
                if !stays {
                    trie.remove(pattern, thing);
                    list.retain(|other| other != &(pattern.clone(), *thing));
                }
            }
            for topic in topics {
                let topic = Topic::parse(&topic).unwrap();
                let meant = list.iter().filter(|(pattern, _)| pattern.matches(&topic));
                let expected: BTreeSet<u8> = meant.map(|(_, thing)| *thing).collect();
                prop_assert_eq!(trie.of(&topic), expected);
            }
            for (pattern, thing) in &list {
                trie.remove(pattern, thing);
            }
            prop_assert!(trie.root.is_bare());
        }
    }
}
