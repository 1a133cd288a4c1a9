//! Faults as statuses of gRPC, and back.
//!
//! The status has a code for whoever knows only gRPC, a message for a person, and the fault itself
//! as a detail, in the envelope that gRPC's own libraries read (`google.rpc.Status`).

use prost::Message as _;
use prost_types::Any;
use tonic::{Code, Status};

use super::made::{self, fault::Kind};
use crate::{Cause, CauseKind, Destination, Fault, NodeName, Rejection, TimeSpan};

/// What every type of a detail begins with.
const TYPE_PREFIX: &str = "type.googleapis.com/genii.v1.";

/// How much of a text goes into a status, in bytes, and how many of the errors beneath the first:
/// a status travels in headers, and clients take 8 KiB of those.
const TEXT_MAX_LEN: usize = 800;
const CHAIN_MAX: usize = 4;
const CHAIN_TEXT_MAX_LEN: usize = 200;

/// The envelope of details: `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// A status with a detail of this type.
pub(super) fn with_detail(code: Code, message: String, type_name: &str, detail: Vec<u8>) -> Status {
    let message = cut(&message, TEXT_MAX_LEN);
    let detail = Any { type_url: format!("{TYPE_PREFIX}{type_name}"), value: detail };
    let details = Details { code: code as i32, message: message.clone(), details: vec![detail] };
    Status::with_details(code, message, details.encode_to_vec().into())
}

/// The detail of this type that a status has.
pub(super) fn detail<M: prost::Message + Default>(status: &Status, type_name: &str) -> Option<M> {
    let details = Details::decode(status.details()).ok()?;
    let is_it = |any: &&Any| any.type_url.strip_prefix(TYPE_PREFIX) == Some(type_name);
    M::decode(details.details.iter().find(is_it)?.value.as_slice()).ok()
}

/// A fault as the status of a call.
pub fn status_of(fault: &Fault) -> Status {
    let made = made::Fault { kind: Some(kind_of(fault)) };
    with_detail(code_of(fault), fault.to_string(), "Fault", made.encode_to_vec())
}

/// The fault that a status tells of; `None` if it is about something else.
pub fn fault_of(status: &Status) -> Option<Fault> {
    read(detail::<made::Fault>(status, "Fault")?.kind?)
}

fn code_of(fault: &Fault) -> Code {
    match fault {
        Fault::NotFound { .. } => Code::NotFound,
        Fault::Overloaded { .. } => Code::ResourceExhausted,
        Fault::Down { .. } | Fault::Unreachable { .. } => Code::Unavailable,
        Fault::Timeout { .. } => Code::DeadlineExceeded,
        Fault::Rejected { reason, .. } => match reason {
            Rejection::UnknownMessage { .. } => Code::Unimplemented,
            Rejection::Malformed { .. } => Code::InvalidArgument,
            Rejection::Unanswered => Code::Aborted,
            Rejection::Version { .. } | Rejection::WrongStyle { .. } | Rejection::OtherForm => {
                Code::FailedPrecondition
            }
        },
    }
}

fn kind_of(fault: &Fault) -> Kind {
    let text = |destination: &Destination| destination.to_string();
    match fault {
        Fault::NotFound { to, nearest } => Kind::NotFound(made::NotFound {
            to: text(to),
            nearest: nearest.as_ref().map(text).unwrap_or_default(),
        }),
        Fault::Overloaded { to, capacity } => {
            Kind::Overloaded(made::Overloaded { to: text(to), capacity: *capacity as u64 })
        }
        Fault::Down { to, cause } => {
            Kind::Down(made::Down { to: text(to), cause: Some(cause.into()) })
        }
        Fault::Timeout { to, message, after } => Kind::Timeout(made::Timeout {
            to: text(to),
            message: cut(message, CHAIN_TEXT_MAX_LEN),
            after_ms: after.0.as_millis().try_into().unwrap_or(u64::MAX),
        }),
        Fault::Unreachable { to, node } => {
            Kind::Unreachable(made::Unreachable { to: text(to), node: node.to_string() })
        }
        Fault::Rejected { to, message, reason } => {
            Kind::Rejected(rejected(text(to), message, reason))
        }
    }
}

fn rejected(to: String, message: &str, rejection: &Rejection) -> made::Rejected {
    use made::rejected::Reason;
    let (reason, detail) = match rejection {
        Rejection::UnknownMessage { nearest } => {
            (Reason::UnknownMessage, nearest.clone().unwrap_or_default())
        }
        Rejection::Version { .. } => (Reason::Version, String::new()),
        Rejection::Malformed { detail } => (Reason::Malformed, detail.clone()),
        Rejection::Unanswered => (Reason::Unanswered, String::new()),
        Rejection::WrongStyle { expected } => (Reason::WrongStyle, expected.clone()),
        Rejection::OtherForm => (Reason::OtherForm, String::new()),
    };
    let (theirs, ours) = match rejection {
        Rejection::Version { theirs, ours } => (u32::from(*theirs), u32::from(*ours)),
        _ => (0, 0),
    };
    let (message, reason) = (cut(message, CHAIN_TEXT_MAX_LEN), reason.into());
    let detail = cut(&detail, TEXT_MAX_LEN);
    made::Rejected { to, message, reason, detail, theirs, ours }
}

impl From<&Cause> for made::Cause {
    fn from(cause: &Cause) -> Self {
        use made::cause::Kind;
        let kind = match cause.kind {
            CauseKind::Panic => Kind::Panic,
            CauseKind::Error => Kind::Error,
            CauseKind::Killed => Kind::Killed,
            CauseKind::StartFailed => Kind::StartFailed,
            CauseKind::Starting => Kind::Starting,
            CauseKind::Stopped => Kind::Stopped,
            CauseKind::Quarantined => Kind::Quarantined,
        };
        Self {
            kind: kind.into(),
            message: cut(&cause.message, TEXT_MAX_LEN),
            place: cut(cause.place.as_deref().unwrap_or_default(), CHAIN_TEXT_MAX_LEN),
            handling: cut(cause.handling.as_deref().unwrap_or_default(), CHAIN_TEXT_MAX_LEN),
            chain: cause
                .chain
                .iter()
                .take(CHAIN_MAX)
                .map(|it| cut(it, CHAIN_TEXT_MAX_LEN))
                .collect(),
        }
    }
}

fn read(kind: Kind) -> Option<Fault> {
    let to = |text: &str| Destination::parse(text).ok();
    Some(match kind {
        Kind::NotFound(it) => Fault::NotFound { to: to(&it.to)?, nearest: to(&it.nearest) },
        Kind::Overloaded(it) => Fault::Overloaded {
            to: to(&it.to)?,
            capacity: it.capacity.try_into().unwrap_or(usize::MAX),
        },
        Kind::Down(it) => Fault::Down { to: to(&it.to)?, cause: read_cause(it.cause?) },
        Kind::Timeout(it) => Fault::Timeout {
            to: to(&it.to)?,
            message: it.message,
            after: TimeSpan::from_millis(it.after_ms),
        },
        Kind::Unreachable(it) => {
            Fault::Unreachable { to: to(&it.to)?, node: NodeName::new(&it.node).ok()? }
        }
        Kind::Rejected(it) => {
            let (to, reason) = (to(&it.to)?, read_rejection(&it)?);
            Fault::Rejected { to, message: it.message, reason }
        }
    })
}

fn read_rejection(it: &made::Rejected) -> Option<Rejection> {
    use made::rejected::Reason;
    let version = |number: u32| number.try_into().unwrap_or(u16::MAX);
    Some(match it.reason() {
        Reason::Unspecified => return None,
        Reason::UnknownMessage => Rejection::UnknownMessage { nearest: some(it.detail.clone()) },
        Reason::Version => {
            Rejection::Version { theirs: version(it.theirs), ours: version(it.ours) }
        }
        Reason::Malformed => Rejection::Malformed { detail: it.detail.clone() },
        Reason::Unanswered => Rejection::Unanswered,
        Reason::WrongStyle => Rejection::WrongStyle { expected: it.detail.clone() },
        Reason::OtherForm => Rejection::OtherForm,
    })
}

fn read_cause(cause: made::Cause) -> Cause {
    use made::cause::Kind;
    let kind = match cause.kind() {
        Kind::Panic => CauseKind::Panic,
        Kind::Unspecified | Kind::Error => CauseKind::Error,
        Kind::Killed => CauseKind::Killed,
        Kind::StartFailed => CauseKind::StartFailed,
        Kind::Starting => CauseKind::Starting,
        Kind::Stopped => CauseKind::Stopped,
        Kind::Quarantined => CauseKind::Quarantined,
    };
    let made::Cause { message, place, handling, chain, .. } = cause;
    Cause { kind, message, place: some(place), handling: some(handling), chain }
}

/// A text, or as much of it as there is room for.
fn cut(text: &str, len_max: usize) -> String {
    match text.len() > len_max {
        false => text.to_owned(),
        true => format!("{}...", &text[..text.floor_char_boundary(len_max)]),
    }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_survives_the_way_through_a_status() {
        let to = Destination::parse("memory/recall@pc2").unwrap();
        let cause = Cause {
            place: Some("a.rs:1:2".into()),
            handling: Some("memory.recall".into()),
            chain: vec!["disk full".into()],
            ..Cause::new(CauseKind::Panic, "it broke")
        };
        let rejected = |reason| Fault::Rejected { to: to.clone(), message: "a.b".into(), reason };
        let faults = [
            (Code::NotFound, Fault::NotFound { to: to.clone(), nearest: Some(to.clone()) }),
            (Code::ResourceExhausted, Fault::Overloaded { to: to.clone(), capacity: 7 }),
            (Code::Unavailable, Fault::Down { to: to.clone(), cause }),
            (
                Code::DeadlineExceeded,
                Fault::Timeout {
                    to: to.clone(),
                    message: "a.b".into(),
                    after: TimeSpan::from_millis(250),
                },
            ),
            (
                Code::Unavailable,
                Fault::Unreachable { to: to.clone(), node: NodeName::new("pc2").unwrap() },
            ),
            (Code::Unimplemented, rejected(Rejection::UnknownMessage { nearest: None })),
            (Code::FailedPrecondition, rejected(Rejection::Version { theirs: 9, ours: 1 })),
            (Code::InvalidArgument, rejected(Rejection::Malformed { detail: "no".into() })),
            (Code::Aborted, rejected(Rejection::Unanswered)),
            (
                Code::FailedPrecondition,
                rejected(Rejection::WrongStyle { expected: "a stream".into() }),
            ),
        ];
        for (code, fault) in faults {
            let status = status_of(&fault);
            assert_eq!((status.code(), status.message()), (code, &*fault.to_string()));
            assert_eq!(fault_of(&status), Some(fault));
        }
        let long = Fault::Down {
            to: to.clone(),
            cause: Cause {
                chain: vec!["\u{e4}".repeat(5_000); 50],
                ..Cause::new(CauseKind::Error, "x".repeat(100_000))
            },
        };
        let status = status_of(&long);
        assert!(status.message().len() + status.details().len() < 4_500, "it fits into headers");
        assert!(matches!(fault_of(&status), Some(Fault::Down { .. })));
        assert_eq!(fault_of(&Status::not_found("something else")), None);
        let garbage = Status::with_details(Code::Internal, "", vec![0xff; 40].into());
        assert_eq!(fault_of(&garbage), None);
    }
}
