//! Copying what lives into another file: redb does not wipe what is removed, it only reuses it.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadTransaction, TableHandle};

use super::StoreOptions;
use super::errors::{OpenError, StoreError};
use super::files::{DAMAGED, REWRITE, beside, private, remove_if_there, sync, sync_folder_of};
use super::generation::Generation;
use super::opening::{builder, guard, lock};
use super::reader::definition;
use super::seal;
use super::shared::Shared;

/// Puts a copy of all that lives in the place of a store's file.
pub(super) fn rewrite(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let path = shared.path();
    let io = |error| StoreError::io(path, error);
    let seat = shared.take_seat()?;
    let present = shared.present_for(&seat)?;
    let aside = beside(path, REWRITE);
    remove_if_there(&aside).map_err(|error| StoreError::io(&aside, error))?;
    let copied = copy(&present, &aside, &shared.options).and_then(|copy| {
        sync(&aside).and_then(|()| std::fs::rename(&aside, path)).map_err(io)?;
        Ok(copy)
    });
    let copy = copied.inspect_err(|_| {
        // The error tells of what went wrong first. What is left is removed by the next open.
        let _left = remove_if_there(&aside);
    })?;
    shared.succeed(&seat, Arc::new(Generation::new(path, copy)));
    // What is written from here on is in the new file, so that is to be found after a power cut in any case.
    sync_folder_of(path).map_err(io)?;
    if keeps_damaged(path) {
        remove_if_there(&beside(path, DAMAGED)).map_err(io)?;
        sync_folder_of(path).map_err(io)?;
    }
    Ok(())
}

/// Whether a damaged file is kept beside a store, or may be.
pub(super) fn keeps_damaged(path: &Path) -> bool {
    beside(path, DAMAGED).try_exists().unwrap_or(true)
}

/// Makes a new file of all that lives in a store at this moment, synced, where there is none yet.
/// Damage is not copied, but an error.
pub(super) fn copy(
    from: &Generation,
    to: &Path,
    options: &StoreOptions,
) -> Result<Database, StoreError> {
    let moment = from.begin_read()?;
    let made = make(to, options).map_err(|error| match error {
        OpenError::Full { path, source } => StoreError::Full { path, source },
        OpenError::Io { path, source } | OpenError::Denied { path, source } => {
            StoreError::Io { path, source }
        }
        other => StoreError::Unopened(Arc::new(other)),
    })?;
    // A failure of the system may be one of either file, and is not held against the store. Damage is of
    // the one that is read.
    guard(to, || copy_tables(&moment, &made)).map_err(|error| match error {
        OpenError::Full { path, source } => StoreError::Full { path, source },
        OpenError::Damaged { why, .. } => {
            let damage = StoreError::structure(from.path(), why);
            from.meet(&damage);
            damage
        }
        OpenError::Io { path, source } | OpenError::Denied { path, source } => {
            StoreError::Io { path, source }
        }
        other => StoreError::Unopened(Arc::new(other)),
    })?;
    Ok(made)
}

/// An empty file of redb where there is none yet.
pub(super) fn make(at: &Path, options: &StoreOptions) -> Result<Database, OpenError> {
    let file = private().create_new(true).open(at);
    let file = file.map_err(|error| OpenError::io(at, error))?;
    let made = lock(at, at, file, &builder(options))?;
    made.ok_or_else(|| OpenError::Locked { path: at.to_owned() })
}

fn copy_tables(from: &ReadTransaction, to: &Database) -> Result<(), redb::Error> {
    let change = to.begin_write()?;
    for table in from.list_tables()? {
        let old = from.open_table(definition(table.name()))?;
        let mut new = change.open_table(definition(table.name()))?;
        seal::walk(&old, |key, value| Ok(new.insert(key, value).map(drop)?))?;
    }
    Ok(change.commit()?)
}
