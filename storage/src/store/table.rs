//! The name and the types of a table.

use std::fmt;
use std::marker::PhantomData;

/// A table of a store: its name, and the types of its keys and values. Values are serde's, encoded
/// as messages are; so a type that is stored may be changed only together with a migration; golden
/// files notice where it is not (`storage/tests/golden/stores.rs`).
pub struct Table<K, V> {
    name: &'static str,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    /// A table of this name. It need not be made: it is there with its first entry.
    ///
    /// # Panics
    /// When the name is anything but lower-case letters, digits, `_` and `-`. A constant's name is
    /// looked at by the compiler.
    pub const fn new(name: &'static str) -> Self {
        assert!(is_name(name), "a table's name is lower-case letters, digits, `_` and `-`");
        Self { name, types: PhantomData }
    }

    /// A table for the store's own use, of a name that no other table can have.
    pub(super) const fn reserved(name: &'static str) -> Self {
        assert!(!is_name(name), "the name of a reserved table is none that others could have");
        Self { name, types: PhantomData }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<K, V> {}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.name).finish()
    }
}
