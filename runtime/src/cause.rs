//! From how supervision sees an end to how it travels.

use genii_protocols::{Cause, CauseKind};
use genii_supervision::{ExitReason, Failure, FailureKind, StartError, Status};

/// A failure as it travels.
pub(crate) fn of_failure(failure: &Failure) -> Cause {
    let kind = match failure.kind {
        FailureKind::Panic => CauseKind::Panic,
        FailureKind::Error => CauseKind::Error,
        FailureKind::Ended => CauseKind::Stopped,
        FailureKind::Killed | FailureKind::Unkillable => CauseKind::Killed,
        FailureKind::Start | FailureKind::Refused | FailureKind::StartTimeout => {
            CauseKind::StartFailed
        }
    };
    Cause {
        kind,
        message: failure.message.clone(),
        place: failure.place.clone(),
        handling: failure.handling.clone(),
        chain: failure.chain.clone(),
    }
}

/// Why a start failed, as it travels.
pub(crate) fn of_start(error: &StartError) -> Cause {
    let (StartError::Failed(failure) | StartError::Refused(failure)) = error;
    of_failure(failure)
}

/// The reason for an end as it travels.
pub(crate) fn of_exit(reason: &ExitReason) -> Cause {
    match reason {
        ExitReason::Failed(failure) => of_failure(failure),
        ExitReason::Killed => Cause::new(CauseKind::Killed, "it was killed"),
        reason => Cause::new(CauseKind::Stopped, reason.to_string()),
    }
}

/// Why an agent that stands like this takes no messages; `None` if it does.
pub(crate) fn of_status(status: &Status) -> Option<Cause> {
    let cause = match status {
        Status::Ready | Status::Degraded(_) => return None,
        Status::Declared | Status::Waiting => {
            Cause::new(CauseKind::Starting, "it waits for what it needs")
        }
        Status::Blocked => Cause::new(CauseKind::Starting, "what it needs will not come by itself"),
        Status::Starting => Cause::new(CauseKind::Starting, "it is not ready yet"),
        Status::Down(failure) => of_failure(failure),
        Status::Stopping => Cause::new(CauseKind::Stopped, "it is stopping"),
        Status::Stopped(why) => Cause::new(CauseKind::Stopped, why.to_string()),
        Status::Completed => Cause::new(CauseKind::Stopped, "it has done its work and ended"),
        Status::Quarantined(failure) => {
            Cause { kind: CauseKind::Quarantined, ..of_failure(failure) }
        }
    };
    Some(cause)
}
