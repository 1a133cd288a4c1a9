//! Opening a file as a store, and making a new one.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database};

use super::StoreOptions;
use super::errors::{OpenError, panic_message};
use super::files::{
    NEW, REWRITE, beside, is_still, open_to_write, private, remove_if_there, replace,
};
use super::generation::Generation;
use super::overlay::Overlay;
use super::pages::Pages;
use super::partial::remove_all_for;
use super::schema::Schema;

/// How often the file may be replaced by others while it is opened, before it counts as theirs.
const OPEN_TRIES: usize = 8;

/// How every file of redb begins.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Whether a store may be made where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum IfMissing {
    Make,
    Refuse,
}

/// Opens a store, and brings it to the schema.
pub(super) fn open(
    path: &Path,
    schema: &Schema,
    options: &StoreOptions,
    if_missing: IfMissing,
) -> Result<Arc<Generation>, OpenError> {
    let io = |error| OpenError::io(path, error);
    for _ in 0..OPEN_TRIES {
        let opened = match (path.try_exists().map_err(io)?, if_missing) {
            (true, _) => open_existing(path, schema, options)?,
            (false, IfMissing::Make) => make(path, schema, options)?,
            (false, IfMissing::Refuse) => {
                return Err(OpenError::Missing { path: path.to_owned() });
            }
        };
        if let Some(generation) = opened {
            // Left when something was cut short: the store is ours, so nobody is at it. They may
            // hold what was forgotten since.
            remove_if_there(&beside(path, REWRITE)).map_err(io)?;
            remove_all_for(path).map_err(io)?;
            return Ok(generation);
        }
    }
    Err(OpenError::Locked { path: path.to_owned() })
}

fn open_existing(
    path: &Path,
    schema: &Schema,
    options: &StoreOptions,
) -> Result<Option<Arc<Generation>>, OpenError> {
    let file = match open_to_write(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| OpenError::io(path, error))?,
    };
    look_at_beginning(path, &file)?;
    let about = file.metadata().map_err(|error| OpenError::io(path, error))?;
    if about.len() <= options.verify_max_bytes {
        verify(path)?;
    }
    let heads = || Pages::open(path).and_then(|pages| pages.heads());
    let before = heads();
    let builder = builder(options);
    let Some(database) = lock(path, path, file, &builder)? else { return Ok(None) };
    let generation = Arc::new(Generation::new(path, database));
    if let (Ok([Some(last), Some(earlier)]), Ok([Some(now), _])) = (before, heads())
        && last != earlier
        && now == earlier
    {
        generation.take_back();
    }
    schema.settle(&generation)?;
    Ok(Some(generation))
}

/// Makes a store under another name, and gives it its own when it is whole: no store is ever seen
/// half made. `None` when somebody else was faster.
fn make(
    path: &Path,
    schema: &Schema,
    options: &StoreOptions,
) -> Result<Option<Arc<Generation>>, OpenError> {
    let io = |error| OpenError::io(path, error);
    let new = beside(path, NEW);
    let Some(database) = make_file(&new, path, options)? else { return Ok(None) };
    let generation = Arc::new(Generation::new(path, database));
    schema.settle_new(&generation)?;
    // The file is locked. Whoever was faster gave up its name in the same moment in which theirs
    // got its own; so either that is there by now, or nobody is at it.
    if path.try_exists().map_err(io)? {
        remove_if_there(&new).map_err(io)?;
        return Ok(None);
    }
    replace(&new, path).map_err(io)?;
    Ok(Some(generation))
}

/// An empty file of redb, or one that was left when somebody was interrupted in making it.
fn make_file(
    new: &Path,
    path: &Path,
    options: &StoreOptions,
) -> Result<Option<Database>, OpenError> {
    let create = || private().create(true).truncate(false).open(new);
    let made = || {
        let file = create().map_err(|error| OpenError::io(path, error))?;
        lock(new, path, file, &builder(options))
    };
    match made() {
        // Left in the midst of being made. Were somebody at it, it would be locked.
        Err(OpenError::Damaged { .. } | OpenError::NotAStore { .. }) => {
            remove_if_there(new).map_err(|error| OpenError::io(path, error))?;
            made()
        }
        made => made,
    }
}

pub(super) fn builder(options: &StoreOptions) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    builder
}

/// Looks at every checksum before anything is trusted, and mends.
pub(super) fn wary_builder() -> Builder {
    let mut wary = builder(&StoreOptions::default());
    wary.set_check_integrity_on_open(true);
    wary
}

/// Looks at every checksum of a file, and changes nothing.
pub(super) fn verify(path: &Path) -> Result<(), OpenError> {
    let verified = open_over(path, &wary_builder())?;
    // What closing writes goes nowhere.
    let _unneeded = guard(path, || Ok(verified.close()?));
    Ok(())
}

/// Opens a store as [`open`] does, every checksum looked at, and leaves its file as it is.
pub(super) fn look_into(path: &Path, schema: &Schema) -> Result<Arc<Generation>, OpenError> {
    let generation = Arc::new(Generation::new(path, open_over(path, &wary_builder())?));
    schema.settle(&generation)?;
    Ok(generation)
}

/// Opens a file without changing it.
pub(super) fn open_over(path: &Path, builder: &Builder) -> Result<Database, OpenError> {
    let file = match open_to_write(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(OpenError::Missing { path: path.to_owned() });
        }
        file => file.map_err(|error| OpenError::io(path, error))?,
    };
    look_at_beginning(path, &file)?;
    guard(path, || Ok(builder.create_with_backend(Overlay::new(FileBackend::new(file)?)?)?))
}

/// Opens a file with redb, which locks it; an empty one is begun. Errors name `path`. `None` when
/// the file is no longer `at` where it was opened.
pub(super) fn lock(
    at: &Path,
    path: &Path,
    file: File,
    builder: &Builder,
) -> Result<Option<Database>, OpenError> {
    let io = |error| OpenError::io(path, error);
    let about = file.metadata().map_err(io)?;
    let database = guard(path, || Ok(builder.create_with_backend(FileBackend::new(file)?)?))?;
    let is_still = is_still(at, &about).map_err(io)?;
    Ok(is_still.then_some(database))
}

/// Opens something with redb, and says in our words what came of it. redb trusts a file that was
/// closed cleanly, and may panic over one that was damaged since.
pub(super) fn guard<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, redb::Error>,
) -> Result<T, OpenError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| OpenError::redb(path, error)),
        Err(panic) => Err(OpenError::damaged(path, panic_message(&*panic))),
    }
}

/// Tells a file that never was a store from one that is damaged.
pub(super) fn look_at_beginning(path: &Path, mut file: &File) -> Result<(), OpenError> {
    let mut beginning = Vec::new();
    let read = file.take(MAGIC.len() as u64).read_to_end(&mut beginning);
    read.and_then(|_| file.rewind()).map_err(|error| OpenError::io(path, error))?;
    if beginning.is_empty() {
        return Err(OpenError::damaged(path, "the file is empty".to_owned()));
    }
    if beginning != MAGIC && MAGIC.starts_with(&beginning) {
        return Err(OpenError::damaged(path, "the file is cut short".to_owned()));
    }
    if beginning != MAGIC {
        let why = "it does not begin as one does".to_owned();
        return Err(OpenError::NotAStore { path: path.to_owned(), why });
    }
    Ok(())
}
