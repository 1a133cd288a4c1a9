//! All that a being is and remembers, in one file: a copy of its store, which holds what lives and
//! nothing that was removed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use genii_protocols::being::{Exported, NotKept};
use sha2::{Digest, Sha256};

use super::mind::{Mind, with_causes};

/// Writes the file. Another that is there is left alone.
pub(super) async fn export(mind: &Mind, file: String) -> Result<Exported, NotKept> {
    let path = PathBuf::from(&file);
    if !path.is_absolute() {
        return Err(NotKept { why: format!("{file} is no absolute path") });
    }
    if path.exists() {
        return Err(NotKept { why: format!("{file} is there already; name another file") });
    }
    mind.store.backup(path.clone()).await.map_err(|error| not_kept(&error))?;
    let summed = tokio::task::spawn_blocking(move || sum(&path)).await;
    let summed = summed.unwrap_or_else(|error| Err(io::Error::other(error)));
    let (bytes, sha256) = summed.map_err(|error| not_kept(&error))?;
    Ok(Exported { file, bytes, sha256 })
}

/// The size of a file and its SHA-256.
fn sum(path: &Path) -> io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let bytes = io::copy(&mut File::open(path)?, &mut digest)?;
    let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, sha256))
}

fn not_kept(error: &dyn std::error::Error) -> NotKept {
    NotKept { why: with_causes(error) }
}
