//! A seal on every entry, by which one can tell that it is what was written.
//!
//! redb's checksums are of pages, and it looks at them only when a file is checked. A page that was
//! damaged on the disk would be read as it is, and its damage be copied, with a good checksum, when
//! something beside it is changed.

use redb::{ReadOnlyTable, ReadableTable, TableHandle};

use super::reader::Bytes;

/// The bytes of a seal.
const SEAL_LEN: usize = 4;

/// FNV-1a of 32 bits: <https://www.rfc-editor.org/rfc/rfc9923>. No change of one byte goes unseen,
/// and of others one in four thousand million.
fn seal(key: &[u8], value: &[u8]) -> [u8; SEAL_LEN] {
    const BASIS: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let bytes = key.iter().chain(value);
    let hash = bytes.fold(BASIS, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(PRIME));
    hash.to_le_bytes()
}

/// Appends the seal of an entry to its value.
pub(super) fn put(key: &[u8], value: &mut Vec<u8>) {
    let seal = seal(key, value);
    value.extend(seal);
}

/// The value without its seal; `None` when that is broken.
pub(super) fn open<'a>(key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (value, found) = sealed.split_last_chunk::<SEAL_LEN>()?;
    (seal(key, value) == *found).then_some(value)
}

/// Walks through a whole table, and sees to it that each entry is what was written and in its
/// place: in a damaged file a walk may go in circles.
pub(super) fn walk(
    table: &ReadOnlyTable<Bytes, Bytes>,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut last: Option<Vec<u8>> = None;
    for (number, entry) in table.iter()?.enumerate() {
        let (key, value) = entry?;
        let (key, value) = (key.value(), value.value());
        let is_in_place = last.as_deref().is_none_or(|last| last < key);
        if !is_in_place || open(key, value).is_none() {
            let place = format!("the entry number {number} of table {:?}", table.name());
            return Err(redb::Error::Corrupted(format!("{place} is not what was written")));
        }
        visit(key, value)?;
        last = Some(key.to_vec());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_that_others_compute() {
        assert_eq!(u32::from_le_bytes(seal(b"", b"")), 0x811c_9dc5);
        assert_eq!(u32::from_le_bytes(seal(b"foo", b"bar")), 0xbf9c_f968);
    }

    #[test]
    fn no_changed_bit_goes_unseen() {
        let (key, mut sealed) = (*b"key", b"a value".to_vec());
        put(&key, &mut sealed);
        assert_eq!(open(&key, &sealed).unwrap(), b"a value");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, &changed), None);
        }
        for bit in 0..key.len() * 8 {
            let mut changed = key;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&changed, &sealed), None);
        }
        assert_eq!(open(&key, &sealed[..3]), None);
    }
}
