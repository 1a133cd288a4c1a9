//! Files that go from one machine to another by pieces, and are checked when they are there.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use genii_runtime::Mail;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::errands::{Amiss, DropParcel, Parcel, Piece, ReadParcel};

/// How many files are given away at a time.
const PARCELS_MAX: usize = 64;

/// How long nobody may ask for a piece before the file is not given away any more.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// How large a piece is, in bytes.
const PIECE_BYTES: usize = 512 << 10;

/// How long a piece may take.
const PIECE_PATIENCE: Duration = Duration::from_secs(60);

/// The files that a home gives away.
#[derive(Default)]
pub(super) struct Parcels(Mutex<HashMap<u64, Offer>>);

struct Offer {
    file: OfferedFile,
    asked: Instant,
}

/// A file that is given away.
#[derive(Debug, Clone)]
pub(super) enum OfferedFile {
    /// One that stays.
    Kept(PathBuf),
    /// One that was made for this, and is removed afterwards.
    Made(PathBuf),
}

impl OfferedFile {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) | Self::Made(path) => path,
        }
    }

    fn forget(&self) {
        if let Self::Made(path) = self {
            // What cannot be removed lies where the next start does it.
            let _at_the_next_start = std::fs::remove_file(path);
        }
    }
}

impl Drop for Parcels {
    fn drop(&mut self) {
        self.0.get_mut().values().for_each(|offer| offer.file.forget());
    }
}

impl Parcels {
    /// Gives a file away to whoever has the ticket.
    pub(super) async fn offer(&self, file: OfferedFile) -> Result<Parcel, Amiss> {
        let path = file.path().to_owned();
        let (bytes, sha256) = blocking(move || sum(&path)).await?;
        let ticket = fastrand::u64(..);
        let mut offers = self.0.lock();
        offers.retain(|_, offer| {
            let is_asked = offer.asked.elapsed() < IDLE_MAX;
            if !is_asked {
                offer.file.forget();
            }
            is_asked
        });
        if offers.len() >= PARCELS_MAX {
            file.forget();
            let why = format!("{PARCELS_MAX} files are on their way already; try again");
            return Err(Amiss::Failed { why });
        }
        offers.insert(ticket, Offer { file, asked: Instant::now() });
        Ok(Parcel { ticket, bytes, sha256 })
    }

    pub(super) async fn read(&self, asked: ReadParcel) -> Result<Piece, Amiss> {
        let path = match self.0.lock().get_mut(&asked.ticket) {
            Some(offer) => {
                offer.asked = Instant::now();
                offer.file.path().to_owned()
            }
            None => return Err(Amiss::failed("the file is not given away any more; begin anew")),
        };
        let read = move || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(asked.at))?;
            let mut piece = Vec::new();
            file.take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
            Ok(Piece(piece))
        };
        blocking(read).await
    }

    pub(super) fn forget(&self, ticket: u64) {
        if let Some(offer) = self.0.lock().remove(&ticket) {
            offer.file.forget();
        }
    }
}

/// Fetches a parcel into a file, which must not be there yet, and lets go of it. The file is there
/// whole and checked, or not at all.
pub(super) async fn fetch(from: &Mail, parcel: &Parcel, to: PathBuf) -> Result<(), Amiss> {
    let made = to.clone();
    let file = blocking(move || create_new(&made)).await?;
    let fetched = fetch_into(file, from, parcel).await;
    if fetched.is_err() {
        let _is_said_already = tokio::fs::remove_file(&to).await;
    }
    // It is forgotten after a while if this is lost.
    let _forgotten = from.try_tell(DropParcel { ticket: parcel.ticket });
    fetched
}

/// A new file for its owner alone.
fn create_new(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

async fn fetch_into(file: File, from: &Mail, parcel: &Parcel) -> Result<(), Amiss> {
    let (mut file, mut digest, mut at) = (file, Sha256::new(), 0);
    while at < parcel.bytes {
        let asked = ReadParcel { ticket: parcel.ticket, at };
        let piece = from.ask_within(asked, PIECE_PATIENCE).await.map_err(Amiss::failed)?.0;
        at += piece.len() as u64;
        if piece.is_empty() || at > parcel.bytes {
            return Err(not_the_same(parcel));
        }
        (file, digest) = blocking(move || {
            file.write_all(&piece)?;
            digest.update(&piece);
            Ok((file, digest))
        })
        .await?;
    }
    blocking(move || file.sync_all()).await?;
    match hexadecimal(digest) == parcel.sha256 {
        true => Ok(()),
        false => Err(not_the_same(parcel)),
    }
}

fn not_the_same(parcel: &Parcel) -> Amiss {
    let why = format!("what came is not what was sent, {} bytes; try again", parcel.bytes);
    Amiss::Failed { why }
}

/// The size of a file, in bytes, and its SHA-256.
pub(crate) fn sum(path: &Path) -> io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let bytes = io::copy(&mut File::open(path)?, &mut digest)?;
    Ok((bytes, hexadecimal(digest)))
}

fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Does what blocks, aside.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Amiss> {
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(Amiss::failed),
        Err(error) => Err(Amiss::failed(error)),
    }
}
