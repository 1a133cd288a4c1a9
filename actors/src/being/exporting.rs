//! All that a being is and remembers, in one file: a copy of its store, which holds what lives and
//! nothing that was removed.

use std::io;
use std::path::PathBuf;

use genii_protocols::being::{Exported, NotKept};

use crate::beings::parcels::{lies_with_a_being, sum};

use super::mind::{Mind, with_causes};

/// Writes the file, for its owner alone. Another that is there is left alone.
pub(super) async fn export(mind: &Mind, file: String) -> Result<Exported, NotKept> {
    let path = PathBuf::from(&file);
    if !path.is_absolute() {
        return Err(NotKept { why: format!("{file} is no absolute path") });
    }
    if path.exists() {
        return Err(NotKept { why: format!("{file} is there already; name another file") });
    }
    if lies_with_a_being(&path) {
        return Err(NotKept {
            why: format!("{file} would lie in a being's own folder; name another file"),
        });
    }
    mind.store.backup_to_new(path.clone()).await.map_err(|error| not_kept(&error))?;
    let summed = tokio::task::spawn_blocking(move || sum(&path)).await;
    let summed = summed.unwrap_or_else(|error| Err(io::Error::other(error)));
    let (bytes, sha256) = summed.map_err(|error| not_kept(&error))?;
    Ok(Exported { file, bytes, sha256 })
}

fn not_kept(error: &dyn std::error::Error) -> NotKept {
    NotKept { why: with_causes(error) }
}
