//! Files that go from one machine to another by pieces, and are checked when they are there.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::Name;
use genii_runtime::Mail;
use genii_storage::store::NewFile;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::errands::{Amiss, DropParcel, Parcel, Piece, ReadParcel};
use super::home::folders::{STORE, make_folder, remove_folder};

/// How many files are given away at a time.
const PARCELS_MAX: usize = 64;

/// How long nobody may ask for a piece before the file is not given away any more.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// How often one looks for those for which nobody asks any more.
const IDLE_LOOK: Duration = Duration::from_secs(60);

/// How large a piece is, in bytes.
const PIECE_BYTES: usize = 512 << 10;

/// How long a piece may take.
const PIECE_PATIENCE: Duration = Duration::from_secs(60);

/// What a file is called that is needed for a while.
const SCRATCH: &str = "scratch.redb";

/// The files that a home gives away.
#[derive(Default)]
pub(super) struct Parcels(Mutex<HashMap<u64, Offer>>);

struct Offer {
    file: OfferedFile,
    /// The being whose file it is, if that lives here.
    of: Option<Name>,
    asked: Instant,
}

/// A file that is given away.
#[derive(Debug)]
pub(super) enum OfferedFile {
    /// One that stays.
    Kept(PathBuf),
    /// One that was made for this.
    Made(Scratch),
}

impl OfferedFile {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Made(scratch) => scratch.path(),
        }
    }
}

/// A file that is needed for a while, and removed when this is dropped. It has a folder of its own, which
/// goes with it: whoever is still making the file then can put nothing there.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    file: PathBuf,
}

impl Scratch {
    /// Makes the folder, and not the file. Blocking.
    pub(super) fn make(folder: PathBuf) -> io::Result<Self> {
        let scratch = Self { file: folder.join(SCRATCH), folder };
        make_folder(&scratch.folder)?;
        Ok(scratch)
    }

    pub(super) fn path(&self) -> &Path {
        &self.file
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies where the next start does it.
        let _at_the_next_start = remove_folder(&self.folder);
    }
}

/// Drops what may hold files, aside: a large one takes a while to be removed. It is removed also when
/// nobody waits for that.
pub(super) async fn drop_aside(files: impl Send + 'static) {
    let _dropped = spawn_blocking(move || drop(files)).await;
}

impl Parcels {
    /// Gives a file away to whoever has the ticket: that of a being, if that lives here.
    pub(super) async fn offer(&self, file: OfferedFile, of: Option<Name>) -> Result<Parcel, Amiss> {
        let summed = blocking(move || {
            let (bytes, sha256) = sum(file.path())?;
            Ok((file, bytes, sha256))
        });
        let (file, bytes, sha256) = summed.await?;
        self.forget_idle().await;
        match self.keep(Offer { file, of, asked: Instant::now() }) {
            Ok(ticket) => Ok(Parcel { ticket, bytes, sha256 }),
            Err(offer) => {
                drop_aside(offer).await;
                let why = format!("{PARCELS_MAX} files are on their way already; try again");
                Err(Amiss::Failed { why })
            }
        }
    }

    /// Gives it back if there are too many.
    fn keep(&self, offer: Offer) -> Result<u64, Offer> {
        let mut offers = self.0.lock();
        if offers.len() >= PARCELS_MAX {
            return Err(offer);
        }
        let ticket = fastrand::u64(..);
        offers.insert(ticket, offer);
        Ok(ticket)
    }

    /// Lets go of those for which nobody asks any more, for ever, whether others come or not.
    pub(super) async fn tend(self: Arc<Self>) {
        loop {
            tokio::time::sleep(IDLE_LOOK).await;
            self.forget_idle().await;
        }
    }

    async fn forget_idle(&self) {
        drop_aside(self.take(|_, offer| offer.asked.elapsed() >= IDLE_MAX)).await;
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

    pub(super) async fn forget(&self, ticket: u64) {
        drop_aside(self.take(|it, _| it == ticket)).await;
    }

    /// A being is no more, and nothing of it is given away.
    pub(super) async fn forget_of(&self, id: &Name) {
        drop_aside(self.take(|_, offer| offer.of.as_ref() == Some(id))).await;
    }

    /// Takes some out, for them to be dropped where nobody else waits for it.
    fn take(&self, goes: impl Fn(u64, &Offer) -> bool) -> Vec<(u64, Offer)> {
        self.0.lock().extract_if(|ticket, offer| goes(*ticket, offer)).collect()
    }
}

/// A parcel that is given away for somebody. When this is dropped it is not needed any more, whatever has
/// come of it.
pub(super) struct Claim {
    from: Mail,
    ticket: u64,
}

impl Claim {
    pub(super) fn on(parcel: &Parcel, from: Mail) -> Self {
        Self { from, ticket: parcel.ticket }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // It is forgotten after a while if this is lost.
        let _forgotten = self.from.try_tell(DropParcel { ticket: self.ticket });
    }
}

/// Fetches a parcel into a file, which must not be there yet, and lets go of it. The file is there
/// whole and checked, or not at all, also when genii is killed meanwhile.
pub(super) async fn fetch(from: &Mail, parcel: &Parcel, to: PathBuf) -> Result<(), Amiss> {
    let _until_it_is_here = Claim::on(parcel, from.clone());
    let of = to.clone();
    let begun = blocking(move || NewFile::begin(&of).map_err(|error| not_made(&of, error)));
    let (mut file, mut digest, mut at) = (begun.await?, Sha256::new(), 0);
    while at < parcel.bytes {
        let piece = match next_piece(from, parcel, at).await {
            Ok(piece) => piece,
            Err(why) => {
                drop_aside(file).await;
                return Err(why);
            }
        };
        at += piece.len() as u64;
        (file, digest) = blocking(move || {
            file.write_all(&piece)?;
            digest.update(&piece);
            Ok((file, digest))
        })
        .await?;
    }
    let sha256 = parcel.sha256.clone();
    let finished = blocking(move || match hexadecimal(digest) == sha256 {
        true => file.finish().map(|()| true).map_err(|error| not_made(&to, error)),
        false => Ok(false),
    });
    match finished.await? {
        true => Ok(()),
        false => Err(not_the_same(parcel)),
    }
}

async fn next_piece(from: &Mail, parcel: &Parcel, at: u64) -> Result<Vec<u8>, Amiss> {
    let asked = ReadParcel { ticket: parcel.ticket, at };
    let piece = from.ask_within(asked, PIECE_PATIENCE).await.map_err(Amiss::failed)?.0;
    match piece.is_empty() || piece.len() as u64 > parcel.bytes - at {
        true => Err(not_the_same(parcel)),
        false => Ok(piece),
    }
}

/// Why a file is not made.
fn not_made(to: &Path, error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::AlreadyExists => io::Error::other(format!(
            "{} is there already, or is just being made by somebody else; name another file",
            to.display()
        )),
        _ => error,
    }
}

fn not_the_same(parcel: &Parcel) -> Amiss {
    let why = format!("what came is not what was sent, {} bytes; try again", parcel.bytes);
    Amiss::Failed { why }
}

/// Whether a file lies in the folder of a being, or would: what the being forgets is to be gone from there.
pub(crate) fn lies_with_a_being(file: &Path) -> bool {
    let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
    // It has folders, and these have some.
    let around = folder.iter().flat_map(|folder| folder.ancestors().take(3));
    around.map(|folder| folder.join(STORE)).any(|store| store.exists())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One that was made for this, in a folder of that name.
    fn made(folder: &Path, name: &str) -> OfferedFile {
        let scratch = Scratch::make(folder.join(name)).unwrap();
        std::fs::write(scratch.path(), "all that it is").unwrap();
        OfferedFile::Made(scratch)
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_for_which_nobody_asks_any_more_goes_without_another_offer() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        let parcels = Arc::new(Parcels::default());
        let parcel = parcels.offer(made(folder.path(), "copy"), None).await.unwrap();
        let tending = tokio::spawn(parcels.clone().tend());
        let read = || parcels.read(ReadParcel { ticket: parcel.ticket, at: 0 });
        tokio::time::sleep(IDLE_MAX / 2).await;
        assert_eq!(read().await.unwrap().0, b"all that it is");
        tokio::time::sleep(IDLE_MAX / 2 + IDLE_LOOK).await;
        assert!(copy.exists(), "it was asked for meanwhile");
        tokio::time::sleep(IDLE_MAX).await;
        assert!(!copy.exists());
        assert!(read().await.is_err());
        tending.abort();
    }

    #[tokio::test]
    async fn a_copy_that_cannot_be_offered_or_of_one_that_is_no_more_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (alice, bob) = (Name::new("alice").unwrap(), Name::new("bob").unwrap());
        let parcels = Parcels::default();
        for (of, name) in [(Some(&alice), "alice"), (Some(&bob), "bob"), (None, "nobody")] {
            parcels.offer(made(folder.path(), name), of.cloned()).await.unwrap();
        }
        parcels.forget_of(&alice).await;
        let is_there = |name: &str| folder.path().join(name).exists();
        assert!(!is_there("alice") && is_there("bob") && is_there("nobody"));
        let kept = folder.path().join("kept");
        std::fs::write(&kept, "all that it is").unwrap();
        for _ in 2..PARCELS_MAX {
            parcels.offer(OfferedFile::Kept(kept.clone()), None).await.unwrap();
        }
        assert!(parcels.offer(made(folder.path(), "one-more"), None).await.is_err());
        assert!(!is_there("one-more"));
        drop(parcels);
        assert!(!is_there("bob") && !is_there("nobody") && kept.exists());
    }

    #[test]
    fn a_copy_that_is_made_too_late_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(folder.path().join("copy")).unwrap();
        let mut late = NewFile::begin(scratch.path()).unwrap();
        drop(scratch);
        late.write_all(b"all that it is").unwrap();
        assert!(late.finish().is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
