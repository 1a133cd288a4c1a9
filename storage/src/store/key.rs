//! Keys, and bytes that sort as they do.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use genii_protocols::Timestamp;

/// What entries are found by.
///
/// Two laws hold for the bytes: they sort as the keys do, and no key's bytes are the beginning of
/// another's, so that keys may stand side by side in a tuple. A newtype keeps both by handing on to
/// what it holds.
pub trait Key: Sized + fmt::Debug {
    /// Appends the key's bytes.
    fn encode(&self, bytes: &mut Vec<u8>);

    /// Takes a key from the front of `bytes`; `None` when they do not begin with one.
    fn decode(bytes: &mut &[u8]) -> Option<Self>;
}

/// The bytes of a key.
pub(super) fn encoded<K: Key>(key: &K) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    bytes
}

/// The key that all of `bytes` are.
pub(super) fn decoded<K: Key>(mut bytes: &[u8]) -> Option<K> {
    K::decode(&mut bytes).filter(|_| bytes.is_empty())
}

/// The one key of a table with one entry.
impl Key for () {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

macro_rules! unsigned {
    ($($number:ty),*) => {$(
        impl Key for $number {
            fn encode(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                Key::decode(bytes).map(Self::from_be_bytes)
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64, u128);

impl<const LEN: usize> Key for [u8; LEN] {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(*key)
    }
}

/// Sorts as time does.
impl Key for Timestamp {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.micros().encode(bytes);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let micros = Duration::from_micros(u64::decode(bytes)?);
        UNIX_EPOCH.checked_add(micros).map(Self::from)
    }
}

/// A zero byte within a text is followed by this, so that it is not taken for the end.
const ZERO_IS_TEXT: u8 = 0xff;

/// A zero byte followed by this is the end. It sorts before whatever else a text could go on with.
const ZERO_IS_END: u8 = 0;

/// Sorts by its bytes, as Rust's own order of strings does.
impl Key for String {
    fn encode(&self, bytes: &mut Vec<u8>) {
        for byte in self.bytes() {
            bytes.push(byte);
            if byte == 0 {
                bytes.push(ZERO_IS_TEXT);
            }
        }
        bytes.extend([0, ZERO_IS_END]);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        loop {
            let zero = bytes.iter().position(|byte| *byte == 0)?;
            text.extend_from_slice(&bytes[..zero]);
            let after = *bytes.get(zero + 1)?;
            *bytes = &bytes[zero + 2..];
            match after {
                ZERO_IS_TEXT => text.push(0),
                ZERO_IS_END => return Self::from_utf8(text).ok(),
                _ => return None,
            }
        }
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.0.encode(bytes);
        self.1.encode(bytes);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::decode(bytes)?, B::decode(bytes)?))
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.0.encode(bytes);
        self.1.encode(bytes);
        self.2.encode(bytes);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::decode(bytes)?, B::decode(bytes)?, C::decode(bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check<K: Key + Ord>(one: &K, other: &K) {
        let (first, second) = (encoded(one), encoded(other));
        assert_eq!(first.cmp(&second), one.cmp(other), "{one:?} and {other:?}");
        assert_eq!(decoded::<K>(&first).as_ref(), Some(one));
        if one != other {
            assert!(!second.starts_with(&first), "{one:?} begins {other:?}");
        }
    }

    /// Short texts of few letters, so that one often begins another.
    fn text() -> impl Strategy<Value = String> {
        "[\u{0}\u{1}a\u{ff}]{0,4}"
    }

    proptest! {
        #[test]
        fn bytes_sort_as_keys_do(a: u64, b: u64, c: u8, d: u8) {
            check(&a, &b);
            check(&(c, a), &(d, b));
            check(&(u64::from(c), u64::from(d)), &(u64::from(d), u64::from(c)));
            let at = |micros: u64| Timestamp::from(UNIX_EPOCH + Duration::from_micros(micros >> 8));
            check(&at(a), &at(b));
            check(&a.to_le_bytes(), &b.to_le_bytes());
        }

        #[test]
        fn texts_sort_as_texts_do(one in text(), other in text(), a: u8, b: u8) {
            check(&one, &other);
            check(&(one.clone(), a), &(other.clone(), b));
            check(&(one.clone(), other.clone(), a), &(other.clone(), one.clone(), b));
        }

        #[test]
        fn bytes_that_are_no_key_are_refused(bytes: Vec<u8>) {
            if let Some(key) = decoded::<(String, u64)>(&bytes) {
                prop_assert_eq!(encoded(&key), bytes);
            }
        }
    }

    #[test]
    fn a_key_takes_all_its_bytes() {
        assert_eq!(decoded::<u64>(&[0; 7]), None);
        assert_eq!(decoded::<u64>(&[0; 9]), None);
        assert_eq!(decoded::<String>(b"a"), None);
        assert_eq!(decoded::<String>(&[0, 1]), None);
        assert_eq!(decoded::<()>(&[]), Some(()));
    }
}
