//! The living children of a supervisor, kept where its next life finds them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::board::Write;
use crate::core::{Ix, KILL_GRACE};
use crate::spec::Key;
use crate::start::Born;
use crate::status::Status;
use crate::tree::Tree;

/// The living children of a supervisor.
#[derive(Default)]
pub(crate) struct Crew {
    members: Mutex<HashMap<Ix, Member>>,
    /// The highest incarnation given out so far.
    incarnation: AtomicU64,
}

/// A living child.
pub(super) struct Member {
    pub(super) key: Key,
    pub(super) born: Born,
}

impl Crew {
    pub(super) fn join(&self, ix: Ix, member: Member) {
        self.members.lock().insert(ix, member);
    }

    pub(super) fn leave(&self, ix: Ix) -> Option<Member> {
        self.members.lock().remove(&ix)
    }

    pub(super) fn with(&self, ix: Ix, act: impl FnOnce(&Member)) {
        if let Some(member) = self.members.lock().get(&ix) {
            act(member);
        }
    }

    pub(super) fn note_incarnation(&self, incarnation: u64) {
        self.incarnation.fetch_max(incarnation, Ordering::Relaxed);
    }

    pub(super) fn next_incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::Relaxed) + 1
    }

    /// Kills those who outlived the supervisor and waits until they are gone, so that none of them
    /// lives beside its successor. Those that do not die in time are left behind.
    pub(super) async fn bury(&self, tree: &Tree) {
        let left: Vec<Member> = self.members.lock().drain().map(|(_, member)| member).collect();
        for member in &left {
            member.born.cell.kill();
        }
        let deadline = Instant::now() + KILL_GRACE;
        for member in left {
            let patience = deadline.saturating_duration_since(Instant::now());
            let _lost_if_late = member.born.cell.wait(Some(patience)).await;
            let Some(view) = tree.board.view(member.key.as_str()) else { continue };
            let write = Write {
                status: Status::Stopped("its supervisor was killed".into()),
                incarnation: view.incarnation,
                restarts: view.restarts,
                now: Instant::now(),
            };
            tree.publish(tree.board.orphan(&member.key, write));
        }
    }
}
