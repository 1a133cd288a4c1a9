//! A disk without space: writes say so, reads go on, and so does all when there is space again.

use std::fs;
use std::process::Output;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;

/// How large files may become, in bytes.
const LIMIT: u64 = 600 << 10;

/// Writes until there is no space; how much was acknowledged, and what was said then.
fn fill(store: &Store) -> (u64, StoreError) {
    for key in 0..10_000 {
        if let Err(error) = put(store, key, &"much ".repeat(1_000)) {
            return (key, error);
        }
    }
    panic!("there is space for everything");
}

/// That a full store holds what was acknowledged, and takes no more.
fn check_full(store: &Store, acknowledged: u64, error: &StoreError) {
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.to_string().contains("no space is left"), "{error}");
    for _ in 0..3 {
        assert_eq!(texts(store).len() as u64, acknowledged);
        let error = put(store, 20_000, &"much ".repeat(10_000)).unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
    }
    let error = store.rewrite_blocking().err();
    assert!(matches!(error, None | Some(StoreError::Full { .. })), "{error:?}");
    assert_eq!(texts(store).len() as u64, acknowledged);
}

/// That a store goes on, and is whole.
fn check_goes_on(store: Store, acknowledged: u64) {
    let path = store.path().to_owned();
    put(&store, 20_000, &"much ".repeat(10_000)).unwrap();
    assert_eq!(texts(&store).len() as u64, acknowledged + 1);
    store.close_blocking().unwrap();
    assert_eq!(check(&path).unwrap().finding, Finding::Whole);
}

/// The child of [`a_file_that_may_not_grow_is_a_full_disk`]. Its own process, since the limit holds
/// for all of it.
#[test]
fn runs_into_a_limit() {
    let Some(path) = child_store() else { return };
    let before = getrlimit(Resource::Fsize);
    let store = Store::open(path, &SCHEMA, &options()).unwrap();
    let limit = Rlimit { current: Some(LIMIT), ..before };
    setrlimit(Resource::Fsize, limit).unwrap();
    let (acknowledged, error) = fill(&store);
    check_full(&store, acknowledged, &error);
    setrlimit(Resource::Fsize, before).unwrap();
    check_goes_on(store, acknowledged);
    println!("\nit goes on after {acknowledged} writes");
}

#[test]
fn a_file_that_may_not_grow_is_a_full_disk() {
    let folder = folder();
    let child = child("store::tests::full::runs_into_a_limit", &path_in(&folder));
    // The signal that comes with the limit would end the process; a shell can have it ignored.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(child.get_program());
    shell.args(child.get_args()).env(CHILD, path_in(&folder)).stdin(Stdio::null());
    let Output { stdout, stderr, .. } = shell.output().unwrap();
    let said = String::from_utf8_lossy(&stdout);
    assert!(said.contains("it goes on after"), "{said}{}", String::from_utf8_lossy(&stderr));
}

/// A small disk of its own, where that is permitted.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = folder();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path());
        let mounted = mount.stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_harms_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not tried: mounting a small disk is not permitted here");
        return;
    };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 300 << 10]).unwrap();
    let store = store_in(&disk.0);
    let (acknowledged, error) = fill(&store);
    check_full(&store, acknowledged, &error);
    let error = store.backup_blocking(&disk.0.path().join("backup")).unwrap_err();
    assert!(matches!(error, BackupError::Store(StoreError::Full { .. })), "{error}");
    // No space for a store at all.
    let all = fs::write(disk.0.path().join("all"), vec![0; 1 << 20]);
    assert!(all.is_err());
    let error = Store::open(disk.0.path().join("other.redb"), &SCHEMA, &options()).err();
    assert!(matches!(error, Some(OpenError::Full { .. })), "{error:?}");
    fs::remove_file(disk.0.path().join("all")).unwrap();
    fs::remove_file(ballast).unwrap();
    check_goes_on(store, acknowledged);
}
