//! A file that can be written to without being changed: what is written stays in memory.
//!
//! redb writes when it opens a file, and repairs when it checks one. A check must do neither.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Bound;

use parking_lot::Mutex;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// In what pieces what is written is kept, in bytes.
const PIECE_LEN: u64 = 4_096;

#[derive(Debug)]
pub(super) struct Overlay {
    file: FileBackend,
    file_len: u64,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// Pieces that are not as in the file, by their number.
    pieces: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(super) fn new(file: FileBackend) -> io::Result<Self> {
        let file_len = file.len()?;
        let written = Mutex::new(Written { len: file_len, pieces: BTreeMap::new() });
        Ok(Self { file, file_len, written })
    }

    /// A piece as it is in the file, with zeroes beyond its end.
    fn piece_of_file(&self, number: u64) -> io::Result<Box<[u8]>> {
        let mut piece = vec![0; PIECE_LEN as usize].into_boxed_slice();
        let from = number * PIECE_LEN;
        let there = self.file_len.saturating_sub(from).min(PIECE_LEN) as usize;
        self.file.read(from, &mut piece[..there])?;
        Ok(piece)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock();
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= written.len);
        if end.is_none() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        for part in Parts::new(offset, out.len()) {
            let of_file;
            let piece = match written.pieces.get(&part.number) {
                Some(piece) => piece,
                None => {
                    of_file = self.piece_of_file(part.number)?;
                    &of_file
                }
            };
            out[part.at..part.at + part.len]
                .copy_from_slice(&piece[part.from..part.from + part.len]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock();
        let Written { len: last, pieces } = &mut *written;
        // What is cut off must read as zeroes when the file grows again.
        for number in len / PIECE_LEN..last.div_ceil(PIECE_LEN) {
            let mut piece = match pieces.remove(&number) {
                Some(piece) => piece,
                None => self.piece_of_file(number)?,
            };
            let kept = len.saturating_sub(number * PIECE_LEN).min(PIECE_LEN) as usize;
            piece[kept..].fill(0);
            pieces.insert(number, piece);
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        for part in Parts::new(offset, data.len()) {
            let mut piece = match written.pieces.remove(&part.number) {
                Some(piece) => piece,
                None => self.piece_of_file(part.number)?,
            };
            piece[part.from..part.from + part.len]
                .copy_from_slice(&data[part.at..part.at + part.len]);
            written.pieces.insert(part.number, piece);
        }
        written.len = written.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

/// What a stretch of the file is made of, piece by piece.
struct Parts {
    offset: u64,
    at: usize,
    len: usize,
}

/// A part of one piece.
struct Part {
    number: u64,
    /// Where it begins in the piece.
    from: usize,
    /// Where it begins in the stretch.
    at: usize,
    len: usize,
}

impl Parts {
    fn new(offset: u64, len: usize) -> Self {
        Self { offset, at: 0, len }
    }
}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        if self.at == self.len {
            return None;
        }
        let position = self.offset + self.at as u64;
        let from = (position % PIECE_LEN) as usize;
        let len = (self.len - self.at).min(PIECE_LEN as usize - from);
        let part = Part { number: position / PIECE_LEN, from, at: self.at, len };
        self.at += len;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::store::files::open_to_write;

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let write = (0..20_000_u64, vec(any::<u8>(), 1..9_000));
        prop_oneof![
            write.prop_map(|(offset, data)| Step::Write(offset, data)),
            (0..30_000_u64).prop_map(Step::SetLen),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_reads_as_a_file_would_and_changes_none(
            begun in vec(any::<u8>(), 0..20_000),
            steps in vec(step(), 0..8),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            fs::write(&path, &begun).unwrap();
            let file = FileBackend::new(open_to_write(&path).unwrap()).unwrap();
            let overlay = Overlay::new(file).unwrap();
            let mut model = begun.clone();
            for step in steps {
                match step {
                    Step::Write(offset, data) => {
                        let end = offset as usize + data.len();
                        model.resize(model.len().max(end), 0);
                        model[offset as usize..end].copy_from_slice(&data);
                        overlay.write(offset, &data).unwrap();
                    }
                    Step::SetLen(len) => {
                        model.resize(len as usize, 0);
                        overlay.set_len(len).unwrap();
                    }
                }
            }
            prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
            let mut read = vec![0; model.len()];
            overlay.read(0, &mut read).unwrap();
            prop_assert_eq!(read, model);
            prop_assert!(overlay.read(overlay.len().unwrap(), &mut [0]).is_err());
            prop_assert_eq!(fs::read(&path).unwrap(), begun);
        }
    }
}
