//! What the process of a being is told, and what it says at its end: two files in a folder that only their
//! owner sees, beside the certificate that it has for its annex.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use genii_protocols::Address;
use genii_supervision::{Failure, FailureKind};
use serde::{Deserialize, Serialize};

use super::ProcessLimits;
use crate::being::embedding::EmbedderSettings;

/// The file with what it is told.
const LEASE: &str = "lease.json";

/// The file with what it says at its end.
const OUTCOME: &str = "outcome.json";

/// The largest file that is read, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// What the process of a being is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The address of the being.
    pub(super) being: Address,
    /// The folder of the being.
    pub(super) folder: PathBuf,
    /// What the process may take.
    pub(super) limits: ProcessLimits,
    /// By which embedder it finds what was said.
    pub(super) embedder: EmbedderSettings,
    /// Where its annex listens.
    pub(super) annex: String,
    /// What it is to log.
    pub log: String,
}

impl Lease {
    pub(super) fn new(
        being: Address,
        folder: PathBuf,
        limits: ProcessLimits,
        embedder: EmbedderSettings,
    ) -> Self {
        let log = tracing::level_filters::LevelFilter::current().to_string();
        Self { being, folder, limits, embedder, annex: String::new(), log }
    }

    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        write(folder, LEASE, &serde_json::to_vec(self)?)
    }

    /// Reads it in the folder that the process was given.
    ///
    /// # Errors
    /// When it is not there, or makes no sense.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let text = read(&folder.join(LEASE))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// How much memory the process may ask for, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.limits.memory_mb.saturating_mul(1 << 20)
    }
}

/// What the process of a being says at its end, where something has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    kind: OutcomeKind,
    message: String,
    place: Option<String>,
    handling: Option<String>,
    chain: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeKind {
    Panic,
    Error,
    Start,
    Refused,
}

impl Outcome {
    pub(super) fn of(failure: &Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::Panic => OutcomeKind::Panic,
            FailureKind::Refused => OutcomeKind::Refused,
            FailureKind::Start | FailureKind::StartTimeout => OutcomeKind::Start,
            FailureKind::Error
            | FailureKind::Ended
            | FailureKind::Killed
            | FailureKind::Unkillable => OutcomeKind::Error,
        };
        let Failure { message, place, handling, chain, .. } = failure.clone();
        Self { kind, message, place, handling, chain }
    }

    pub(super) fn into_failure(self) -> Failure {
        let Self { kind, message, place, handling, chain } = self;
        let kind = match kind {
            OutcomeKind::Panic => FailureKind::Panic,
            OutcomeKind::Error => FailureKind::Error,
            OutcomeKind::Start => FailureKind::Start,
            OutcomeKind::Refused => FailureKind::Refused,
        };
        Failure { kind, message, place, handling, chain, output: Vec::new() }
    }

    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        write(folder, OUTCOME, &serde_json::to_vec(self)?)
    }

    /// Reads it; `None` if the process had nothing to say, or not the time.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&read(&folder.join(OUTCOME)).ok()?).ok()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > BYTES_MAX {
        let why = format!("{} is larger than {BYTES_MAX} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    std::fs::read(path)
}

/// Writes a file so that it is there whole or not at all. It need not outlive the machine.
fn write(folder: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let unfinished = folder.join(format!("{name}.part"));
    File::create(&unfinished)?.write_all(text)?;
    std::fs::rename(&unfinished, folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_the_same_on_the_other_side() {
        let folder = tempfile::tempdir().unwrap();
        for kind in [FailureKind::Panic, FailureKind::Refused, FailureKind::Error] {
            let failure = Failure {
                place: Some("x.rs:1:2".to_owned()),
                handling: Some("being.query".to_owned()),
                chain: vec!["the disk is full".to_owned()],
                ..Failure::new(kind, "it broke")
            };
            Outcome::of(&failure).write(folder.path()).unwrap();
            assert_eq!(Outcome::read(folder.path()).unwrap().into_failure(), failure);
        }
        std::fs::write(folder.path().join(OUTCOME), "{").unwrap();
        assert_eq!(Outcome::read(folder.path()), None);
    }
}
