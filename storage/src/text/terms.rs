//! Terms one after the other, in one piece of memory: there are thousands of them wherever memories are
//! ranked, and each by itself would be asked of the allocator and given back.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// For how many terms room is made before they are read.
const TERMS_FORESEEN_MAX: usize = 256;

/// How many bytes a term mostly takes.
const TERM_BYTES_FORESEEN: usize = 9;

/// Before a term of at least so many bytes stands this, and then its length in four bytes; before any other its
/// length in one.
const LONG: u8 = u8::MAX;

/// Some terms in their order. It lies in a file as a list of texts would.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Each behind its length: one piece of memory, which is read from its beginning to its end. Nothing but
    /// [`Terms::push`] writes it.
    packed: Vec<u8>,
    count: usize,
}

impl Terms {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.bytes().map(as_text)
    }

    /// The bytes of each, which are compared with others in less time.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.packed.as_slice();
        std::iter::from_fn(move || {
            let (first, behind) = rest.split_first()?;
            let (length, behind) = match *first {
                LONG => {
                    let (length, behind) = behind.split_first_chunk::<4>()?;
                    (u32::from_le_bytes(*length) as usize, behind)
                }
                length => (usize::from(length), behind),
            };
            let (term, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(term)
        })
    }

    /// All of them, with something between each two.
    pub fn join(&self, between: &str) -> String {
        self.iter().collect::<Vec<_>>().join(between)
    }

    /// How many bytes they take in memory beside this.
    pub(super) fn heap_bytes(&self) -> usize {
        self.packed.capacity()
    }

    fn push(&mut self, term: &str) {
        match u8::try_from(term.len()) {
            Ok(length) if length < LONG => self.packed.push(length),
            _ => {
                // One of 4 GiB can't be in a store, nor be sent.
                let Ok(length) = u32::try_from(term.len()) else { return };
                self.packed.push(LONG);
                self.packed.extend(length.to_le_bytes());
            }
        }
        self.packed.extend(term.as_bytes());
        self.count += 1;
    }
}

/// The text of a term's bytes.
pub(crate) fn as_text(term: &[u8]) -> &str {
    let text = std::str::from_utf8(term);
    debug_assert!(text.is_ok(), "a term was a text");
    text.unwrap_or_default()
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
        let mut terms = Terms { packed: Vec::with_capacity(count * TERM_BYTES_FORESEEN), count: 0 };
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
        fn they_lie_in_a_file_as_texts_would(
            texts in prop::collection::vec(prop_oneof![4 => ".{0,12}", 1 => "a{250,260}"], 0..20),
        ) {
            let terms: Terms = texts.iter().collect();
            prop_assert!(terms.iter().eq(texts.iter()));
            prop_assert!(terms.bytes().eq(texts.iter().map(|text| text.as_bytes())));
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
