//! Who is here, and how each stands.

use genii_protocols::Name;
use genii_protocols::beings::BeingState;
use genii_runtime::nursery::Mood;
use genii_supervision::{Failure, FailureKind, Status};

use super::Lodge;
use crate::beings::errands::{
    Amiss, AskLodging, AskStates, ListLodgers, Lodgers, Lodging, Standing, States,
};
use crate::beings::{NOT_THERE_YET, SUSPENDED};

/// How many beings are listed at a time.
const LIST_MAX: usize = 20_000;

impl Lodge {
    pub(in super::super) async fn list(&self, asked: ListLodgers) -> Result<Lodgers, Amiss> {
        let after = asked.after;
        let behind = self.aside(move |folders| folders.behind(after.as_ref(), LIST_MAX));
        let (lodgers, has_more) = behind.await?;
        let more = lodgers.last().map(|(id, _)| id.clone()).filter(|_| has_more);
        Ok(Lodgers { lodgers, more })
    }

    pub(in super::super) async fn lodging(
        &self,
        asked: AskLodging,
    ) -> Result<Option<Lodging>, Amiss> {
        // Also before it is marked, and after its folder is gone.
        let is_leaving = self.movings.is_leaving(&asked.id);
        let lodging = self.aside(move |folders| folders.lodging(&asked.id)).await?;
        Ok(if is_leaving { Some(Lodging::Leaving) } else { lodging })
    }

    pub(in super::super) async fn states(&self, asked: AskStates) -> Result<States, Amiss> {
        Ok(States(asked.ids.iter().map(|id| self.standing(id)).collect()))
    }

    /// How a being stands, and what is amiss.
    fn standing(&self, id: &Name) -> Standing {
        let (state, why) = self.state(id);
        Standing { state, why, isolation: Some(self.tenancies.of(id)) }
    }

    fn state(&self, id: &Name) -> (BeingState, Option<String>) {
        let address = self.address(id);
        let status = self.house.member(address.as_str()).ok().map(|member| member.view.status);
        let is_moving = self.movings.held.lock().contains_key(id);
        let is_packing = self.movings.packing.lock().contains(id);
        match (status, self.nursery.mood(&address)) {
            _ if is_moving => (BeingState::Asleep, Some("it is about to move away".to_owned())),
            (Some(Status::Quarantined(failure)), _) => {
                (BeingState::Quarantined, Some(why_held_back(&failure)))
            }
            (Some(Status::Down(failure)), _) => (BeingState::Down, Some(failure.to_string())),
            (_, Some(Mood::Awake)) if self.house.node().is_suspended(&address) => {
                let why = format!("{SUSPENDED}; `genii ctl resume {address}` lets it go on");
                (BeingState::Awake, Some(why))
            }
            (_, Some(Mood::Awake)) if is_packing => {
                (BeingState::Awake, Some("it moves when it has ended what it is at".to_owned()))
            }
            (Some(Status::Starting), Some(Mood::Awake)) => (BeingState::Waking, None),
            (_, Some(Mood::Awake)) => (BeingState::Awake, None),
            (_, Some(Mood::Waking)) => (BeingState::Waking, None),
            (_, Some(Mood::Asleep | Mood::Dozing)) => (BeingState::Asleep, None),
            (_, None) => (BeingState::Down, Some(NOT_THERE_YET.to_owned())),
        }
    }
}

/// Why one is held back. Whether what was in its way has passed shows when it is tried again.
fn why_held_back(failure: &Failure) -> String {
    match failure.kind {
        FailureKind::Start | FailureKind::StartTimeout => {
            format!("{failure}; it is tried again at its next message")
        }
        _ => failure.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_whose_reason_may_pass_is_said_to_be_tried_again_and_no_other() {
        let why = |kind| why_held_back(&Failure::new(kind, "the disk is full"));
        let tried_again = "the disk is full; it is tried again at its next message";
        assert_eq!(why(FailureKind::Start), tried_again);
        assert_eq!(why(FailureKind::StartTimeout), tried_again);
        assert_eq!(why(FailureKind::Refused), "the disk is full");
        assert_eq!(why(FailureKind::Panic), "panic: the disk is full");
    }
}
