//! What the handles of a store share: its present opening, and the seat of the one who writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::StoreOptions;
use super::batch::Queue;
use super::errors::{OpenError, StoreError};
use super::generation::Generation;
use super::opening::{IfMissing, open};
use super::reader::{Reader, Source};
use super::schema::Schema;
use super::writer::Writer;

/// How long a reader waits for the one who writes, when the file has to be opened again first.
const SEAT_WAIT_MAX: Duration = Duration::from_millis(500);

pub(super) struct Shared {
    path: PathBuf,
    schema: Schema,
    pub(super) options: StoreOptions,
    /// `None` when the store is closed.
    present: Mutex<Option<Arc<Generation>>>,
    seat: Mutex<()>,
    /// Writes that wait.
    pub(super) queue: Mutex<Queue>,
    commits: AtomicU64,
    reopened: AtomicU64,
}

/// Held by the one who writes, rewrites, closes, or opens again.
pub(super) type Seat<'a> = MutexGuard<'a, ()>;

impl Shared {
    pub(super) fn open(
        path: PathBuf,
        schema: Schema,
        options: StoreOptions,
    ) -> Result<Self, OpenError> {
        let present = open(&path, &schema, &options, IfMissing::Make)?;
        Ok(Self {
            path,
            schema,
            options,
            present: Mutex::new(Some(present)),
            seat: Mutex::default(),
            queue: Mutex::default(),
            commits: AtomicU64::new(0),
            reopened: AtomicU64::new(0),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) fn reopened(&self) -> u64 {
        self.reopened.load(Ordering::SeqCst)
    }

    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// The first damage that was met in the file since it was opened.
    pub(super) fn damage(&self) -> Option<StoreError> {
        self.look().ok()?.damage().cloned()
    }

    /// Whether the last write was not whole when the file was opened.
    pub(super) fn took_back(&self) -> bool {
        self.look().is_ok_and(|present| present.took_back())
    }

    pub(super) fn stopped(&self) -> StoreError {
        StoreError::Stopped { path: self.path.clone() }
    }

    /// Waits for the seat. A write holds it while it runs, so it must not ask for it.
    pub(super) fn take_seat(&self) -> Result<Seat<'_>, StoreError> {
        if self.queue.lock().is_led_from_here() {
            return Err(StoreError::Nested { path: self.path.clone() });
        }
        Ok(self.seat.lock())
    }

    /// Waits for the seat, for the one who leads.
    pub(super) fn take_seat_to_lead(&self) -> Seat<'_> {
        self.seat.lock()
    }

    pub(super) fn reader(&self) -> Result<Reader, StoreError> {
        let present = self.present()?;
        let begun = present.begin_read();
        // What a reader finds broken, the next one may find mended; so may this one.
        let (present, moment) = match begun {
            Err(_) if present.is_broken() => {
                let again = self.present()?;
                let moment = again.begin_read()?;
                (again, moment)
            }
            begun => (present, begun?),
        };
        Ok(Reader::new(present, Source::Moment(moment)))
    }

    pub(super) fn writer(&self, seat: &Seat<'_>) -> Result<Writer, StoreError> {
        let present = self.present_for(seat)?;
        match Writer::begin(Arc::clone(&present)) {
            Err(_) if present.is_broken() => Writer::begin(self.present_for(seat)?),
            begun => begun,
        }
    }

    /// The present opening, opened again if the last one is broken.
    fn present(&self) -> Result<Arc<Generation>, StoreError> {
        let present = self.look()?;
        if !present.is_broken() {
            return Ok(present);
        }
        // Within a write this is the writer's own thread, for which nobody makes room. What is
        // broken tells what has broken it, if it can't be read.
        match self.seat.try_lock_for(SEAT_WAIT_MAX) {
            Some(seat) => self.present_for(&seat),
            None => Ok(present),
        }
    }

    /// [`Shared::present`] for the one in the seat.
    pub(super) fn present_for(&self, _seat: &Seat<'_>) -> Result<Arc<Generation>, StoreError> {
        let present = self.look()?;
        if !present.is_broken() {
            return Ok(present);
        }
        // It is broken; that it does not close cleanly either is no news.
        let _broken = present.close();
        let again = open(&self.path, &self.schema, &self.options, IfMissing::Refuse);
        let again = again.map_err(|error| match error {
            OpenError::Full { path, source } => StoreError::Full { path, source },
            other => StoreError::Unopened(Arc::new(other)),
        })?;
        if let Some(damage) = present.damage() {
            again.meet(damage);
        }
        // Before anything is read of it.
        self.reopened.fetch_add(1, Ordering::SeqCst);
        *self.present.lock() = Some(Arc::clone(&again));
        Ok(again)
    }

    /// Puts another opening in the place of the present one. Readers of that go on with it.
    pub(super) fn succeed(&self, _seat: &Seat<'_>, next: Arc<Generation>) {
        let last = self.present.lock().replace(next);
        // Closing takes a while, which must not be spent with the lock held.
        drop(last);
    }

    pub(super) fn close(&self) -> Result<(), StoreError> {
        let _seat = self.take_seat()?;
        let last = self.present.lock().take();
        last.map_or(Ok(()), |last| last.close())
    }

    fn look(&self) -> Result<Arc<Generation>, StoreError> {
        let closed = || StoreError::Closed { path: self.path.clone() };
        self.present.lock().clone().ok_or_else(closed)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::*;
    use crate::store::{Store, Table};

    const SCHEMA: Schema = Schema::new("test", 1, &[]);
    const NUMBERS: Table<u64, u64> = Table::new("numbers");

    fn with_one(folder: &Path) -> Store {
        let path = folder.join("being.redb");
        let store = Store::open(path, &SCHEMA, &StoreOptions::default()).unwrap();
        store.write_blocking(|writer| writer.insert(NUMBERS, &1, &1)).unwrap();
        store
    }

    #[test]
    fn what_is_broken_is_opened_again_by_whoever_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let store = with_one(folder.path());
        let break_it = || store.shared.present().unwrap().mark_broken();
        break_it();
        assert_eq!(store.read(|reader| reader.get(NUMBERS, &1)).unwrap(), Some(1));
        break_it();
        store.write_blocking(|writer| writer.insert(NUMBERS, &2, &2)).unwrap();
        break_it();
        store.rewrite_blocking().unwrap();
        assert_eq!(store.read(|reader| reader.len(NUMBERS)).unwrap(), 2);
        assert_eq!(store.reopened(), 3, "a rewrite by itself is none");
    }

    #[test]
    fn a_reader_beside_a_failure_is_told_what_failed() {
        let folder = tempfile::tempdir().unwrap();
        let store = with_one(folder.path());
        let present = store.shared.present().unwrap();
        let fail = |error: redb::Error| present.guard(|| Err::<(), _>(error)).unwrap_err();
        let early = fail(redb::Error::PreviousIo);
        assert!(matches!(early, StoreError::Io { .. }), "nobody has said yet what: {early}");
        let full = || redb::Error::Io(ErrorKind::StorageFull.into());
        for error in [full(), redb::Error::PreviousIo, redb::Error::DatabaseClosed] {
            let said = fail(error);
            assert!(matches!(said, StoreError::Full { .. }), "{said}");
        }
        // Whoever has the seat has closed it, and has not opened it again.
        let seat = store.shared.take_seat().unwrap();
        present.close().unwrap();
        let said = store.read(|reader| reader.get(NUMBERS, &1)).unwrap_err();
        assert!(matches!(said, StoreError::Full { .. }), "{said}");
        drop(seat);
        assert_eq!(store.read(|reader| reader.get(NUMBERS, &1)).unwrap(), Some(1));
    }

    #[test]
    fn what_cannot_be_opened_again_is_told_until_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let store = with_one(folder.path());
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(store.path(), &elsewhere).unwrap();
        store.shared.present().unwrap().mark_broken();
        let said = store.read(|reader| reader.get(NUMBERS, &1)).unwrap_err().to_string();
        assert!(said.contains("could not be opened again: there is no store"), "{said}");
        let said = store.write_blocking(|writer| writer.insert(NUMBERS, &2, &2)).unwrap_err();
        assert!(matches!(said, StoreError::Unopened(_)), "{said}");
        assert!(!store.path().exists(), "no new one is made in its place");
        fs::rename(&elsewhere, store.path()).unwrap();
        assert_eq!(store.read(|reader| reader.get(NUMBERS, &1)).unwrap(), Some(1));
    }
}
