//! Golden files: stores as each version of genii wrote them. Tests open copies of them, so that no stored
//! type, and no format of a file, is changed without a migration unnoticed.
//!
//! They lie in `tests/golden/stores` of a crate as `KIND-VERSION.redb.gz`. redb gives each table a page of
//! 4 KiB at least, and an open file 64 KiB more or less: mostly zeros, of which gzip leaves next to
//! nothing. flate2 is built anyway, with the same features, for the HTTP client of LanceDB.
//!
//! A golden file is never written anew: what it holds cannot be had again from code that has changed. Who
//! raises the version of a schema has one written beside the others, and the tests ask for it until then:
//!
//! ```text
//! cargo test -p genii-storage --lib -- --ignored writes_the_golden
//! cargo test -p genii-actors --lib --test beings -- --ignored writes_the_golden
//! ```

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// How large a golden file may be: the repository keeps all of them for good.
const PACKED_BYTES_MAX: u64 = 60 << 10;

/// The golden file of a kind of store in a version.
fn file(kind: &str, version: u32) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stores");
    folder.join(format!("{kind}-{version}.redb.gz"))
}

/// Puts a copy of the store where a test opens it.
pub fn unpack(kind: &str, version: u32, to: &Path) {
    let file = file(kind, version);
    let packed = File::open(&file).unwrap_or_else(|error| {
        panic!("{}: {error}; a new version has its own written", file.display())
    });
    let mut store = File::create(to).unwrap();
    io::copy(&mut GzDecoder::new(packed), &mut store).unwrap();
}

/// Writes the golden file of a store. One that is there stays as it is.
pub fn pack(kind: &str, version: u32, store: &Path) {
    let file = file(kind, version);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let packed = match File::create_new(&file) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return println!("{} stays as it is", file.display());
        }
        created => created.unwrap(),
    };
    let mut packed = GzEncoder::new(packed, Compression::best());
    io::copy(&mut File::open(store).unwrap(), &mut packed).unwrap();
    let bytes = packed.finish().unwrap().metadata().unwrap().len();
    assert!(bytes <= PACKED_BYTES_MAX, "{} has {bytes} bytes; let it hold less", file.display());
}
