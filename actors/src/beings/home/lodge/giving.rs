//! Files are given away to other machines, by pieces.

use std::path::{Path, PathBuf};
use std::time::Duration;

use genii_protocols::being::Export;
use genii_protocols::beings::ImportedProvider;
use genii_protocols::{AskError, Fault, Name};
use genii_storage::store::{self, OpenError, RestoreError};

use super::Lodge;
use crate::being::imported::{Imported, NotImported, settle_provider};
use crate::beings::errands::{
    Amiss, DropParcel, Found, LookInto, Offered, Pack, Packed, Parcel, Piece, ReadParcel,
};
use crate::beings::parcels::{OfferedFile, Scratch, drop_aside};

/// How large a file may be that is taken in, in bytes.
const IMPORT_BYTES_MAX: u64 = 64 << 30;

/// How long an export may take.
const EXPORT_PATIENCE: Duration = Duration::from_secs(600);

impl Lodge {
    pub(in super::super) async fn look_into(&self, asked: LookInto) -> Result<Offered, Amiss> {
        let file = PathBuf::from(&asked.file);
        if !file.is_absolute() {
            return Err(Amiss::Senseless { why: format!("{} is no absolute path", asked.file) });
        }
        let (found, provider, copy) = self.look(file, asked.with_provider).await?;
        let parcel = self.parcels.offer(OfferedFile::Made(copy), None).await?;
        Ok(Offered { found, provider, parcel })
    }

    /// Who is in a file that was exported, and by whom its words are found. A copy of it is looked at, and
    /// settled, so that it stays as it is.
    async fn look(
        &self,
        file: PathBuf,
        with_provider: bool,
    ) -> Result<(Found, Option<ImportedProvider>, Scratch), Amiss> {
        let copy = self.scratch("look").await?;
        let looked = tokio::task::spawn_blocking(move || {
            let found = take_copy(&file, copy.path(), with_provider);
            let senseless = |error: NotImported| Amiss::Senseless { why: error.to_string() };
            found.map(|(found, provider)| (found, provider, copy)).map_err(senseless)
        });
        looked.await.map_err(Amiss::failed)?
    }

    pub(in super::super) async fn pack(
        &self,
        Pack { id, to_leave }: Pack,
    ) -> Result<Packed, Amiss> {
        let isolation = self.tenancies.said(&id);
        let parcel = match to_leave {
            true => self.pack_to_leave(id).await?,
            false => self.pack_copy(id).await?,
        };
        Ok(Packed { parcel, isolation })
    }

    /// A copy of one that lives on.
    async fn pack_copy(&self, id: Name) -> Result<Parcel, Amiss> {
        self.refuse_suspended(&id, "writes nothing out")?;
        let copy = self.scratch("export").await?;
        let export = Export { file: copy.path().display().to_string() };
        let address = self.address(&id);
        let being = self.house.node().to(address.clone());
        let written = match being.ask_within(export, EXPORT_PATIENCE).await {
            // All that it is lies in its store, whether it can wake or not.
            Err(AskError::Fault(why)) if matches!(*why, Fault::Down { .. }) => {
                let copied = self.copy_asleep(&id, copy.path()).await;
                copied.map_err(|error| {
                    Amiss::failed(format!("{why}; nor can it be copied as it lies: {error}"))
                })
            }
            written => written.map(drop).map_err(Amiss::failed),
        };
        if let Err(error) = written {
            drop_aside(copy).await;
            return Err(error);
        }
        let parcel = self.parcels.offer(OfferedFile::Made(copy), Some(id)).await?;
        // Looked at only now: whoever removes it after that lets go of what is given away of it.
        if !self.nursery.has(&address) {
            self.parcels.forget(parcel.ticket).await;
            return Err(Amiss::failed("it was removed while it was written out"));
        }
        Ok(parcel)
    }

    /// A copy of one that cannot wake, which is looked over. It is kept asleep meanwhile.
    async fn copy_asleep(&self, id: &Name, to: &Path) -> Result<(), Amiss> {
        let address = self.address(id);
        let asleep = self.nursery.keep_asleep(&address).await;
        let asleep = asleep.ok_or_else(|| Amiss::failed("something else is done with it"))?;
        let (of, to) = (id.clone(), to.to_owned());
        let copied = self.aside(move |folders| {
            folders.is_let_go(&of)?;
            let restored = store::restore(&folders.store_of(&of), &to);
            restored.map(drop).map_err(not_copied)
        });
        let copied = copied.await;
        drop(asleep);
        // It was held back, and sleeps now: that it cannot wake is to show again.
        self.try_to_wake(address);
        copied
    }

    /// For a file that is needed for a while.
    async fn scratch(&self, why: &str) -> Result<Scratch, Amiss> {
        let name = format!("{why}-{:016x}", fastrand::u64(..));
        self.aside(move |folders| Scratch::make(folders.scratch(&name)?)).await
    }

    pub(in super::super) async fn read_parcel(&self, asked: ReadParcel) -> Result<Piece, Amiss> {
        self.parcels.read(asked).await
    }

    pub(in super::super) async fn drop_parcel(&self, asked: DropParcel) -> Result<(), Amiss> {
        self.parcels.forget(asked.ticket).await;
        Ok(())
    }

    /// Lets go of files that nobody fetches any more, for ever.
    pub(in super::super) fn tend_parcels(&self) -> impl Future<Output = ()> + Send + use<> {
        self.parcels.clone().tend()
    }
}

/// Copies a file that was exported, if it can be one and has room, and settles by whom the words of the being
/// in it are found. Blocking.
fn take_copy(
    file: &Path,
    copy: &Path,
    with_provider: bool,
) -> Result<(Found, Option<ImportedProvider>), NotImported> {
    let bytes = store::admit(file, IMPORT_BYTES_MAX).map_err(NotImported::of_given)?;
    store::find_room(copy.parent().unwrap_or(copy), bytes)?;
    store::restore(file, copy).map_err(NotImported::of_copying)?;
    // It was checked whole when it was restored.
    let Imported { id, name, created } = Imported::in_copy(copy)?;
    let provider = settle_provider(copy, with_provider)?;
    Ok((Found { id, name, created }, provider))
}

/// Why the store of one that cannot wake is not copied. What helps where it is damaged is said with why it cannot.
fn not_copied(error: RestoreError) -> std::io::Error {
    match error {
        RestoreError::NotWhole { .. }
        | RestoreError::Backup(OpenError::Damaged { .. } | OpenError::NotAStore { .. }) => {
            std::io::Error::other("its store is not whole")
        }
        error => std::io::Error::other(error),
    }
}
