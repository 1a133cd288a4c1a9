//! Beings of a machine that is lost for good are given up. If it comes back after all, they do not live
//! again by themselves: another may have their id by then. Nor do those live again that were deleted while
//! a machine was away on which something of them remained.
//!
//! | what happens | what comes of it |
//! |---|---|
//! | a being is given up | the book strikes it, and its id is free |
//! | its machine comes back with it | what lies there is put aside, and the journal says where |
//! | something of it lies on another machine, since it was about to move | the same |
//! | another being lies in its place | that is settled as any other |
//! | its machine is linked | it cannot be given up, but deleted, as soon as it has a home there |
//! | a move ends while the other machine is away | the book keeps that something may lie there |
//! | the being is deleted before that is back | what was left there, or had come, is removed then |
//! | somebody has put it there to live meanwhile | it is put aside |

use genii_protocols::beings::{BeingEntry, NoBeing};
use genii_protocols::{Name, NodeName};

use super::super::errands::{Discard, Lodging, LookAt, PutAside, RemoveHere};
use super::book::{Entry, Fate, Remains, Stage};
use super::{BEINGS_MAX, Shared, failed};

/// What is said of a machine that runs, and has no home for its beings: they are neither lost with it, nor
/// can they be deleted.
pub(super) fn homeless(node: &NodeName) -> String {
    format!(
        "genii runs on {node}, but the home of its beings does not: `genii ctl why homes/beings --node \
         {node}` says why, and as soon as it runs they can be deleted"
    )
}

impl Shared {
    pub(super) async fn give_up(&self, id: Name) -> Result<BeingEntry, NoBeing> {
        let _taken = self.take(&id).await?;
        let entry = self.find_at_any_stage(&id).await?;
        let node = &entry.node;
        if !self.homes.is_away(node) {
            let why = match self.homes.on(node) {
                Ok(_) => {
                    format!("{node} is not lost: genii runs there; delete {id} without --lost")
                }
                Err(_) => format!("{node} is not lost: {}", homeless(node)),
            };
            return Err(NoBeing::Senseless { why });
        }
        self.refuse_more_remains()?;
        let shown = self.shown(entry.clone()).await;
        let given_up = format!("was given up, with {node}, where it lived");
        self.book.give_up(&entry, &given_up).await.map_err(failed)?;
        self.note(&id, &given_up);
        // Something of it may lie on the machine to which it was about to move.
        self.unsettled.forget(&id);
        self.unsettled.add(&id);
        Ok(shown)
    }

    /// Said before more may remain on machines that are away.
    pub(super) fn refuse_more_remains(&self) -> Result<(), NoBeing> {
        if self.book.remains_len().map_err(failed)? < BEINGS_MAX {
            return Ok(());
        }
        let why = format!(
            "{BEINGS_MAX} beings that were given up or deleted, or have moved, may have left something \
             on machines that are away; link one of these first"
        );
        Err(NoBeing::Failed { why })
    }

    /// Whether what lies on a machine where it is not to live is of a being that is no more. It does not
    /// live again then: it is put aside, or removed if the being was deleted.
    pub(super) async fn settle_remains(
        &self,
        node: &NodeName,
        id: &Name,
        entry: Option<&Entry>,
        lodging: Lodging,
    ) -> Result<bool, NoBeing> {
        let remains = self.book.remains(id, node).map_err(failed)?;
        // One that has moved lives: that it does is looked at by whoever settles it.
        let Some(remains) = remains.filter(|remains| remains.fate != Fate::Moved) else {
            return Ok(false);
        };
        let comes_now = Stage::Moving { to: node.clone() };
        let is_no_more = match lodging {
            // The copy of another, which is about to move there.
            Lodging::Coming if entry.is_some_and(|entry| entry.stage == comes_now) => false,
            Lodging::Coming | Lodging::Leaving => true,
            Lodging::Here => match self.homes.ask(node, LookAt { id: id.clone() }).await {
                Ok(found) => found.created == remains.created,
                // In doubt it is.
                Err(NoBeing::Senseless { .. }) => true,
                Err(why) => return Err(why),
            },
        };
        if is_no_more {
            self.end_remains(node, id, remains.fate, lodging).await?;
            self.book.forget_remains(id, node).await.map_err(failed)?;
        }
        Ok(is_no_more)
    }

    async fn end_remains(
        &self,
        node: &NodeName,
        id: &Name,
        fate: Fate,
        lodging: Lodging,
    ) -> Result<(), NoBeing> {
        match (fate, lodging) {
            (Fate::Deleted, Lodging::Coming) => {
                self.homes.ask(node, Discard { id: id.clone() }).await
            }
            (Fate::Deleted, Lodging::Leaving) => {
                self.homes.ask(node, RemoveHere { id: id.clone() }).await
            }
            // Somebody has put it there.
            (Fate::Deleted, Lodging::Here) => self.put_aside(node, id, "was deleted").await,
            (Fate::Moved | Fate::GivenUp, _) => {
                self.put_aside(node, id, "was given up with its machine").await
            }
        }
    }

    /// Nothing lies on a machine of a being that is not to live there. One that was given up with it is
    /// kept in mind: what it had may be put back.
    pub(super) async fn nothing_remains(&self, node: &NodeName, id: &Name) -> Result<(), NoBeing> {
        match self.book.remains(id, node).map_err(failed)? {
            None | Some(Remains { fate: Fate::GivenUp, .. }) => Ok(()),
            Some(_) => self.book.forget_remains(id, node).await.map_err(failed),
        }
    }

    /// Puts aside what lies on a machine of a being, and writes into the journal why, and where it is.
    pub(super) async fn put_aside(
        &self,
        node: &NodeName,
        id: &Name,
        why: &str,
    ) -> Result<(), NoBeing> {
        for aside in self.homes.ask(node, PutAside { id: id.clone() }).await? {
            let text = format!(
                "{why}; what lay on {node} is put aside in {aside}, and `being import` takes its \
                 being.redb in"
            );
            // It is done, and is not undone because nobody will read of it later.
            if let Err(error) = self.book.note(id, &text).await {
                tracing::warn!(being = id.as_str(), "what was done with it was not kept: {error}");
            }
            self.note(id, &text);
        }
        Ok(())
    }
}
