//! Whether a file looks like an ONNX model, before a runtime is trusted with it.
//!
//! A model is one protobuf message. Its fields are walked over without being read: a page of HTML, a
//! pointer of Git LFS, or a download that broke off is told from a model at once and in plain words.

use std::io::{self, BufRead, Seek};

/// The field of a model that holds its graph.
const GRAPH: u64 = 7;
/// The highest number of a field that a model has, with room for those to come.
const FIELD_MAX: u64 = 64;
/// How a file begins that Git LFS has left in the place of a large one.
const LFS_POINTER: &[u8] = b"version https://git-lfs";
/// What to do about a file that is cut short or something else.
const REMEDY: &str = "copy it again, and compare its size with the original's";

/// Why a file is no ONNX model.
pub(super) enum NoModel {
    Unreadable(io::Error),
    /// What it is instead.
    Other(String),
}

impl From<io::Error> for NoModel {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Walks over the fields of a model of so many bytes.
pub(super) fn check(mut file: impl BufRead + Seek, len: u64) -> Result<(), NoModel> {
    if len == 0 {
        return Err(NoModel::Other(format!("it is empty; {REMEDY}")));
    }
    if file.fill_buf()?.starts_with(LFS_POINTER) {
        let what = "it is a pointer of Git LFS to the model; run `git lfs pull` where it came from";
        return Err(NoModel::Other(what.to_owned()));
    }
    let mut graph = false;
    let mut at = 0;
    while at < len {
        let Some((field, end)) = field(&mut file, at)? else {
            return Err(NoModel::Other(format!("byte {at} is none of a model; {REMEDY}")));
        };
        if end > len {
            let missing = end - len;
            let what = format!("it is cut short, {missing} bytes at least are missing; {REMEDY}");
            return Err(NoModel::Other(what));
        }
        graph |= field == GRAPH;
        at = file.seek(io::SeekFrom::Start(end))?;
    }
    if graph { Ok(()) } else { Err(NoModel::Other(format!("it holds no graph; {REMEDY}"))) }
}

/// The number of the field that begins at a place, and where it ends; of what is none, nothing.
fn field(file: &mut (impl BufRead + Seek), at: u64) -> Result<Option<(u64, u64)>, NoModel> {
    let Some(tag) = varint(file)? else { return Ok(None) };
    let (number, kind) = (tag >> 3, tag & 7);
    if number == 0 || number > FIELD_MAX {
        return Ok(None);
    }
    let len = match kind {
        0 => varint(file)?.map(|_| 0),
        1 => Some(8),
        2 => varint(file)?,
        5 => Some(4),
        _ => None,
    };
    let Some(len) = len else { return Ok(None) };
    let here = file.stream_position()?.max(at);
    Ok(here.checked_add(len).map(|end| (number, end)))
}

/// A number in protobuf's way; nothing where there is none, or no more file.
fn varint(file: &mut impl BufRead) -> Result<Option<u64>, NoModel> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        match file.read_exact(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        number |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn check(bytes: &[u8], wanted: Option<&str>) {
        let found = super::check(Cursor::new(bytes), bytes.len() as u64);
        let found = found.err().map(|no_model| match no_model {
            NoModel::Unreadable(error) => panic!("{error}"),
            NoModel::Other(what) => what,
        });
        match (found, wanted) {
            (None, None) => {}
            (Some(found), Some(wanted)) => {
                assert!(found.contains(wanted), "{found:?} does not say {wanted:?}");
            }
            (found, wanted) => panic!("{bytes:?}: {found:?}, and not {wanted:?}"),
        }
    }

    #[test]
    fn a_model_has_a_graph() {
        check(&[0x08, 7, 0x3a, 2, 1, 2], None);
        check(&[0x3a, 0, 0x08, 7], None);
        check(&[0x08, 7], Some("no graph"));
    }

    #[test]
    fn what_is_no_model_is_told_so() {
        check(b"", Some("it is empty"));
        check(b"version https://git-lfs.github.com/spec/v1\n", Some("git lfs pull"));
        check(b"<!DOCTYPE html><html>", Some("byte 0 is none of a model"));
        check(&[0x08, 7, 0x3a, 9, 1, 2], Some("7 bytes at least are missing"));
        check(&[0x08, 7, 0x3a], Some("byte 2 is none of a model"));
        check(&[0x08, 7, 0], Some("byte 2 is none of a model"));
        check(&[0xff; 32], Some("byte 0 is none of a model"));
    }

    #[test]
    fn a_length_beyond_all_numbers_is_no_overflow() {
        let mut bytes = vec![0x3a];
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        check(&bytes, Some("byte 0 is none of a model"));
    }
}
