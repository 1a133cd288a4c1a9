//! What can go wrong with a memory index, and why one is made anew.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::said::{Said, without_places};
use crate::store::is_full;

/// Anything that went wrong below, with its own causes.
pub(super) type Cause = Box<dyn Error + Send + Sync>;

/// Why something could not be done with a memory index. Nothing is lost by any of them: the index can
/// always be made anew from the being's store.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// What lies in the folder can't be read as an index, or not any more.
    #[error(
        "the memory index in {folder} is damaged ({doing} failed), and has to be made anew from the store"
    )]
    Damaged {
        /// Where the index is.
        folder: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What LanceDB said, without the places of its source.
        source: Cause,
    },
    /// There is no room on the disk.
    #[error(
        "no space is left on the disk for the memory index in {folder} ({why}); make room, then repeat"
    )]
    NoSpace {
        /// Where the index is.
        folder: PathBuf,
        /// What the system said, or how much is lacking.
        why: String,
    },
    /// The system refused a file for a reason that says nothing about the index.
    #[error("the files of the memory index in {folder} can't be used ({doing} failed: {source})")]
    Files {
        /// Where the index is.
        folder: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// LanceDB takes paths as text only.
    #[error("the path {} is not UTF-8, and no memory index can lie there; choose another", .folder.display())]
    PathIsNoText {
        /// The path.
        folder: PathBuf,
    },
    /// An entry does not fit into the index; none of its batch was taken.
    #[error("memory {id} does not fit into the index: {why}")]
    Unfit {
        /// Whose entry.
        id: u64,
        /// What is wrong with it.
        why: Unfit,
    },
    /// A vector that was searched with does not fit.
    #[error("no search with this vector: {0}")]
    UnfitQuery(Unfit),
    /// The index has been replaced by a newer one, or removed.
    #[error("the memory index in {folder} has been replaced; use the new one")]
    Replaced {
        /// Where the index was.
        folder: PathBuf,
    },
    /// The system gave no thread for the work aside.
    #[error("no thread could be had for the upkeep of memory indices: {cause}")]
    NoThread {
        /// What it said.
        cause: String,
    },
}

/// What is wrong with an entry or a vector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Its vector is of another length.
    #[error("its vector has {found} dimensions, and the index has {wanted}")]
    Dimensions {
        /// How many it has.
        found: usize,
        /// How many it should have.
        wanted: usize,
    },
    /// Not a number, or infinite.
    #[error("its vector holds something that is no finite number")]
    NotFinite,
    /// Ids must ascend within a batch.
    #[error("it follows memory {before}, and ids must ascend")]
    OutOfOrder {
        /// The id before it.
        before: u64,
    },
}

impl IndexError {
    /// Whether the index can't be used any more and has to be made anew.
    pub fn asks_for_anew(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Tells damage from a full disk and from trouble with files in general by what lies beneath. Whatever
    /// LanceDB says comes by here.
    pub(super) fn of(folder: &Path, doing: &'static str, cause: impl Into<Cause>) -> Self {
        let (folder, cause) = (folder.to_owned(), cause.into());
        let said = Said::of(cause.as_ref());
        match io_beneath(cause.as_ref()) {
            Some(error) if is_full(error.kind()) => {
                Self::NoSpace { folder, why: without_places(&error.to_string()) }
            }
            Some(error) if !tells_of_damage(error.kind()) => {
                Self::Files { folder, doing, source: io::Error::new(error.kind(), said) }
            }
            _ => Self::Damaged { folder, doing, source: Box::new(said) },
        }
    }

    /// There is no folder for what is needed only while it is worked on, which says nothing about the index.
    pub(super) fn of_scratch(folder: &Path, source: io::Error) -> Self {
        let folder = folder.to_owned();
        match is_full(source.kind()) {
            true => Self::NoSpace { folder, why: source.to_string() },
            false => Self::Files { folder, doing: "making a temporary folder", source },
        }
    }

    /// As [`IndexError::of`], for work that panicked.
    pub(super) fn panicked(
        folder: &Path,
        doing: &'static str,
        panic: Box<dyn std::any::Any + Send>,
    ) -> Self {
        let said = match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(other) => match other.downcast::<&str>() {
                Ok(text) => (*text).to_owned(),
                Err(_) => "no reason was given".to_owned(),
            },
        };
        Self::of(folder, doing, format!("it panicked: {said}"))
    }
}

/// A file that is missing, too short or full of nonsense is damage; one that may not be opened, or
/// not now, is not.
fn tells_of_damage(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, NotFound, Other, UnexpectedEof};
    matches!(kind, InvalidData | InvalidInput | NotFound | Other | UnexpectedEof)
}

/// The innermost input-output error of a chain of causes. Such an error names what lies within it not
/// as its source.
fn io_beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let of_files = error.downcast_ref::<io::Error>();
    let within = of_files.and_then(io::Error::get_ref).and_then(|within| io_beneath(within));
    let beneath = || error.source().and_then(io_beneath);
    within.or_else(beneath).or(of_files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::with_causes;

    fn of(kind: io::ErrorKind) -> IndexError {
        let beneath = io::Error::other(io::Error::from(kind));
        IndexError::of(Path::new("/beings/a"), "a search", beneath)
    }

    #[test]
    fn only_what_the_files_themselves_tell_is_damage() {
        use io::ErrorKind::{NotFound, PermissionDenied, StorageFull, UnexpectedEof};
        assert!(of(NotFound).asks_for_anew() && of(UnexpectedEof).asks_for_anew());
        assert!(matches!(of(StorageFull), IndexError::NoSpace { .. }));
        assert!(matches!(of(PermissionDenied), IndexError::Files { .. }));
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        let said = of(io::ErrorKind::NotFound).to_string();
        let wanted =
            "the memory index in /beings/a is damaged (a search failed), and has to be made";
        assert!(said.starts_with(wanted), "{said}");
        let panic =
            IndexError::panicked(Path::new("/b"), "a search", Box::new("index out of range"));
        assert!(panic.source().is_some_and(|said| said.to_string().contains("out of range")));
    }

    #[test]
    fn no_place_in_the_source_of_lancedb_is_told() {
        use io::ErrorKind::{NotFound, PermissionDenied, StorageFull};
        for kind in [NotFound, PermissionDenied, StorageFull] {
            let met = lance::Error::io_source(Box::new(io::Error::from(kind)));
            assert!(met.to_string().contains(".rs:"), "else this shows nothing: {met}");
            let error = IndexError::of(Path::new("/beings/a"), "a search", met);
            let said = with_causes(&error);
            assert!(!said.contains(".rs"), "{said}");
            assert!(said.contains(&kind.to_string()), "{said}");
        }
    }

    #[test]
    fn a_full_disk_is_told_in_short() {
        let full = lance::Error::io_source(Box::new(io::Error::from(io::ErrorKind::FileTooLarge)));
        let said = with_causes(&IndexError::of(Path::new("/beings/a"), "a search", full));
        let wanted = "no space is left on the disk for the memory index in /beings/a (file too large); make \
                      room, then repeat";
        assert_eq!(said, wanted);
    }
}
