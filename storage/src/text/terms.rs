//! Terms one after the other, in one piece of memory: there are thousands of them wherever memories are
//! ranked, and each by itself would be asked of the allocator and given back.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// For how many terms room is made before they are read.
const TERMS_FORESEEN_MAX: usize = 256;

/// How long a term mostly is, in bytes.
const TERM_BYTES_FORESEEN: usize = 8;

/// Some terms in their order. It lies in a file as a list of texts would.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Terms {
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Terms {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut from = 0;
        self.ends.iter().map(move |to| &self.text[std::mem::replace(&mut from, *to)..*to])
    }

    /// All of them, with something between each two.
    pub fn join(&self, between: &str) -> String {
        self.iter().collect::<Vec<_>>().join(between)
    }

    /// How many bytes they take in memory beside this.
    pub(super) fn heap_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    fn push(&mut self, term: &str) {
        self.text.push_str(term);
        self.ends.push(self.text.len());
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Terms {
    fn from_iter<I: IntoIterator<Item = T>>(terms: I) -> Self {
        let mut own = Self::default();
        terms.into_iter().for_each(|term| own.push(term.as_ref()));
        own
    }
}

impl Serialize for Terms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut terms = serializer.serialize_seq(Some(self.len()))?;
        self.iter().try_for_each(|term| terms.serialize_element(term))?;
        terms.end()
    }
}

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(All)
    }
}

/// Reads all terms.
struct All;

impl<'de> Visitor<'de> for All {
    type Value = Terms;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of terms")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut found: A) -> Result<Terms, A::Error> {
        // What a file says of its length is not to be believed beyond this.
        let count = found.size_hint().unwrap_or_default().min(TERMS_FORESEEN_MAX);
        let text = String::with_capacity(count * TERM_BYTES_FORESEEN);
        let mut terms = Terms { text, ends: Vec::with_capacity(count) };
        while found.next_element_seed(One(&mut terms))?.is_some() {}
        Ok(terms)
    }
}

/// Reads the next term.
struct One<'a>(&'a mut Terms);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for One<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a term")
    }

    fn visit_str<E>(self, term: &str) -> Result<(), E> {
        self.0.push(term);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use genii_protocols::wire;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_lie_in_a_file_as_texts_would(texts in prop::collection::vec(".{0,12}", 0..20)) {
            let terms: Terms = texts.iter().collect();
            prop_assert!(terms.iter().eq(texts.iter()));
            prop_assert_eq!(terms.join(" "), texts.join(" "));
            prop_assert_eq!((terms.len(), terms.is_empty()), (texts.len(), texts.is_empty()));
            let bytes = wire::encode(&terms).unwrap();
            prop_assert_eq!(&bytes, &wire::encode(&texts).unwrap());
            prop_assert_eq!(wire::decode::<Terms>(&bytes).unwrap(), terms.clone());
            let json = serde_json::to_string(&terms).unwrap();
            prop_assert_eq!(&json, &serde_json::to_string(&texts).unwrap());
            prop_assert_eq!(serde_json::from_str::<Terms>(&json).unwrap(), terms);
        }
    }
}
