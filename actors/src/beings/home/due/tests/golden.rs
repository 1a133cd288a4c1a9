//! The file of who is due, as each version of genii wrote it.

use super::*;
use crate::golden_stores::{pack, unpack};

const KIND: &str = "due";

/// Who is due, and at which second.
const KEPT: [(&str, u64); 2] = [("hugo", 2_000_000_000), ("mira", 4_102_473_600)];

#[tokio::test]
async fn who_is_due_is_known_from_a_file_of_each_version() {
    for version in 1..=SCHEMA.version() {
        let scratch = Scratch::new();
        unpack(KIND, version, &scratch.0.path().join(FILE));
        let due = scratch.settled(&["hugo", "mira", "nils"]).await;
        assert_eq!(known(&due), ["hugo", "mira"], "version {version}: all were asked");
        for (id, at) in KEPT {
            assert_eq!(due.0.known.lock().schedule.at(&name(id)), Some(second(at)));
        }
        due.set(&name("nils"), Some(second(1))).await.unwrap();
        due.close().await;
    }
}

#[tokio::test]
#[ignore = "writes the golden file of a new version; those that are there stay"]
async fn writes_the_golden_file_of_who_is_due() {
    let scratch = Scratch::new();
    let due = scratch.settled(&[]).await;
    for (id, at) in KEPT {
        due.set(&name(id), Some(second(at))).await.unwrap();
    }
    due.close().await;
    pack(KIND, SCHEMA.version(), &scratch.0.path().join(FILE));
}
