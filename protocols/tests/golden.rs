//! What is said between machines is a promise: wire names, schemas and bytes are pinned here.
//!
//! A difference means that a machine of today cannot speak with one of yesterday. If that is meant,
//! raise `wire::VERSION`, and write the files anew with `GOLDEN=write cargo test -p genii-protocols`.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use genii_protocols::frame::{
    Control, Data, Hello, Joined, Letter, Payload as FramePayload, Place, Publication, Refused,
    Stand, Standing, Told, Wanted,
};
use genii_protocols::{
    Address, Cause, CauseKind, Destination, Envelope, Fault, Kind, Message, MessageInfo, Payload,
    Rejection, Sender, Streamed, TraceContext, errors, health, resources, twin, wire,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let pinned = std::fs::read_to_string(&path).unwrap();
    for (number, (pinned, now)) in pinned.lines().zip(text.lines()).enumerate() {
        assert_eq!(pinned, now, "{name}, line {}", number + 1);
    }
    assert_eq!(pinned.lines().count(), text.lines().count(), "{name} has more or fewer lines");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A message as it is called and as its bytes are, from its JSON.
fn sample<M: Message>(content: Value) -> (MessageInfo, String) {
    let message: M = serde_json::from_value(content).unwrap();
    let bytes = wire::encode(&message).unwrap();
    let read: M = wire::decode(&bytes).unwrap();
    assert_eq!(hex(&wire::encode(&read).unwrap()), hex(&bytes));
    (MessageInfo::of::<M>(), format!("{} {}\n", M::NAME, hex(&bytes)))
}

/// As [`sample`], for a message that is answered by a stream.
fn streamed<M: Streamed>(content: Value) -> (MessageInfo, String) {
    (MessageInfo::of_stream::<M>(), sample::<M>(content).1)
}

fn samples() -> Vec<(MessageInfo, String)> {
    let error = json!({ "agent": "a/b", "message": "it broke", "place": "x.rs:1:2" });
    let lease = json!({ "resource": "memory_mb", "amount": 512, "lasts": "1m", "holder": "a/b" });
    let objective = json!({ "target": 0.99, "window": "1h" });
    vec![
        sample::<errors::ReportError>(error),
        sample::<errors::ListErrors>(json!({})),
        sample::<errors::ShowError>(json!({ "id": 7 })),
        sample::<errors::ForgetErrors>(json!({})),
        sample::<health::CheckHealth>(json!({ "address": "a/b" })),
        sample::<health::ShowHealth>(json!({})),
        sample::<health::ShowHealthHistory>(json!({ "address": "a/b" })),
        sample::<health::SetObjective>(json!({ "address": "a/b", "objective": objective })),
        sample::<resources::ShowMachine>(json!({})),
        sample::<resources::ShowUsage>(json!({})),
        sample::<resources::AcquireLease>(lease),
        sample::<resources::RenewLease>(json!({ "id": 7, "lasts": "2m" })),
        sample::<resources::ReleaseLease>(json!({ "id": 7 })),
        sample::<resources::ListLeases>(json!({})),
        streamed::<resources::WatchMachine>(json!({ "looks": 3 })),
        sample::<twin::DescribeHouse>(json!({})),
        sample::<twin::DescribeAgent>(json!({ "address": "a/b" })),
        sample::<twin::WhatIf>(json!({ "goes": ["a/b", "c/d"], "how": "crashes" })),
    ]
}

#[test]
fn the_messages_are_those_that_were_promised() {
    let infos: Vec<MessageInfo> = samples().into_iter().map(|(info, _)| info).collect();
    check("messages.json", &format!("{}\n", serde_json::to_string_pretty(&infos).unwrap()));
}

#[test]
fn the_bytes_of_messages_are_those_that_were_promised() {
    let lines: String = samples().into_iter().map(|(_, line)| line).collect();
    check("messages.hex", &lines);
}

fn envelope(kind: Kind) -> Envelope {
    let address = |text: &str| Address::parse(text).unwrap();
    Envelope {
        version: wire::VERSION,
        to: "memory/store@pc2".parse::<Destination>().unwrap(),
        incarnation: Some(3),
        from: Some(Sender { address: address("being/alice"), incarnation: 1 }),
        kind,
        message: "memory.recall".to_owned(),
        correlation: 300,
        deadline: Some(Duration::from_millis(1_500)),
        trace: Some(TraceContext { trace_id: 1 << 100, span_id: 70_000 }),
        payload: Payload::Wire(vec![1, 2, 3]),
    }
}

#[test]
fn the_bytes_of_envelopes_and_faults_are_those_that_were_promised() {
    let kinds =
        [Kind::Tell, Kind::Ask, Kind::Stream, Kind::Reply, Kind::Item, Kind::Credit, Kind::Cancel];
    let mut lines = String::new();
    for kind in kinds {
        writeln!(lines, "{kind:?} {}", hex(&envelope(kind).encode().unwrap())).unwrap();
    }
    let to = || "a/b".parse::<Destination>().unwrap();
    let cause = Cause {
        place: Some("x.rs:1:2".to_owned()),
        handling: Some("memory.recall".to_owned()),
        chain: vec!["deeper".to_owned()],
        ..Cause::new(CauseKind::Panic, "it broke")
    };
    let reason = Rejection::Malformed { detail: "no field `x`".to_owned() };
    let faults = [
        Fault::NotFound { to: to(), nearest: Some(to()) },
        Fault::Overloaded { to: to(), capacity: 1_000 },
        Fault::Down { to: to(), cause },
        Fault::Timeout {
            to: to(),
            message: "memory.recall".to_owned(),
            after: Duration::from_secs(2).into(),
        },
        Fault::Unreachable { to: to(), node: genii_protocols::NodeName::new("pc2").unwrap() },
        Fault::Rejected { to: to(), message: "memory.recall".to_owned(), reason },
        Fault::Rejected {
            to: to(),
            message: "memory.recall".to_owned(),
            reason: Rejection::OtherForm,
        },
    ];
    for fault in faults {
        let bytes = wire::encode(&fault).unwrap();
        assert_eq!(wire::decode::<Fault>(&bytes).unwrap(), fault);
        let name = format!("{fault:?}");
        let name = name.split(' ').next().unwrap();
        writeln!(lines, "{name} {}", hex(&bytes)).unwrap();
    }
    check("envelopes.hex", &lines);
}

fn control_frames() -> Vec<Control<'static>> {
    let hello = || Hello {
        versions: (1, 1),
        incarnation: 1_700_000_000_000,
        link: 7,
        ended: Some(3),
        places: vec!["192.168.1.2:7420".into()],
        messages: vec![("process".into(), 99)],
    };
    let standings = [
        Standing::Coming,
        Standing::Ready,
        Standing::Degraded,
        Standing::Down,
        Standing::Stopped,
        Standing::Completed,
        Standing::Quarantined,
        Standing::Gone,
    ];
    let stand = |standing| Stand {
        address: "memory/recall".into(),
        incarnation: 4,
        standing,
        detail: "because".into(),
    };
    let refusals = [Refused::Version(2, 3), Refused::Ended(9), Refused::Crossed, Refused::Leaving];
    let mut frames = vec![
        Control::Hello(hello()),
        Control::Welcome(hello()),
        Control::Ping(300),
        Control::Pong(300),
        Control::Standings { is_first: true, agents: standings.map(stand).into() },
        Control::Goodbye,
    ];
    frames.extend(refusals.map(Control::Refused));
    frames.extend([Control::Expulsions(300), Control::Expelled(b"list")]);
    let joined = || Joined {
        group: "speakers".into(),
        address: "memory/recall".into(),
        incarnation: 4,
        times: 2,
    };
    let wanted = || Wanted { pattern: "world.*.**".into(), subscribers: 300 };
    for told in [Told::First(1), Told::News, Told::Last(1)] {
        frames.push(Control::Groups { told, members: vec![joined()] });
        frames.push(Control::Patterns { told, patterns: vec![wanted()] });
    }
    let places = vec!["192.168.1.3:7420".into()];
    frames.extend([Control::AllTold, Control::Places(vec![Place { node: "pc3".into(), places }])]);
    frames.push(Control::Draining);
    frames
}

fn data_frames() -> Vec<Data<'static>> {
    let letter = |is_json, payload| Letter {
        to: 1,
        message: 2,
        from: Some((3, 4)),
        deadline: Some(5_000_000),
        trace: Some(TraceContext { trace_id: 6, span_id: 7 }),
        is_json,
        payload,
    };
    let to: Destination = Address::parse("a/b").unwrap().into();
    let cause = || Box::new(Cause::new(CauseKind::Panic, "it broke"));
    vec![
        Data::Attach { link: 7 },
        Data::Name("memory.recall"),
        Data::Tell(letter(false, FramePayload::Whole(b"bytes"))),
        Data::Ask { correlation: 8, letter: letter(true, FramePayload::Parts(9)) },
        Data::Reply { correlation: 8, answer: FramePayload::Whole(b"answer") },
        Data::Failed { correlation: 8, fault: Box::new(Fault::Overloaded { to, capacity: 10 }) },
        Data::Credit { to: 1, cost: 256 },
        Data::Abandon { id: 9 },
        Data::Part { id: 9, bytes: b"part" },
        Data::Stream { correlation: 8, letter: letter(false, FramePayload::Whole(b"bytes")) },
        Data::Item { correlation: 8, item: FramePayload::Whole(b"item") },
        Data::More { correlation: 8, cost: 1_024 },
        Data::Forget { correlation: 8 },
        Data::Watch { watch: 5, to: 1, from: Some((3, 4)) },
        Data::Unwatch { watch: 5 },
        Data::Ended { watch: 5, incarnation: 6, cause: cause(), is_abnormal: true },
        Data::Broke { watch: 5, cause: cause(), is_abnormal: false },
        Data::Published(Publication {
            topic: "world.updates",
            from: Some((3, 4)),
            trace: Some(TraceContext { trace_id: 6, span_id: 7 }),
            payload: FramePayload::Whole(b"{}"),
        }),
        Data::Distributed { cost: 256 },
        Data::Run { correlation: 8, command: FramePayload::Whole(b"{}") },
        Data::Settled,
    ]
}

#[test]
fn the_bytes_of_frames_are_those_that_were_promised() {
    let mut text = String::new();
    for frame in control_frames() {
        let bytes = wire::encode(&frame).unwrap();
        let (read, used): (Control<'_>, usize) = wire::decode_first(&bytes).unwrap();
        assert_eq!((&read, used), (&frame, bytes.len()));
        writeln!(text, "control {}", hex(&bytes)).unwrap();
    }
    for frame in data_frames() {
        let bytes = wire::encode(&frame).unwrap();
        let (read, used): (Data<'_>, usize) = wire::decode_first(&bytes).unwrap();
        assert_eq!((&read, used), (&frame, bytes.len()));
        writeln!(text, "data {}", hex(&bytes)).unwrap();
    }
    check("frames.hex", &text);
}

proptest! {
    #[test]
    fn garbage_is_no_frame(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _either_way = wire::decode_first::<Control<'_>>(&bytes);
        let _either_way = wire::decode_first::<Data<'_>>(&bytes);
    }

    /// Whatever arrives, reading it ends in a value or an error.
    #[test]
    fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _either_way = Envelope::decode(&bytes);
        let _either_way = wire::decode::<Fault>(&bytes);
        let _either_way = wire::decode::<twin::WhatIf>(&bytes);
        let _either_way = wire::decode::<resources::AcquireLease>(&bytes);
    }

    /// An envelope that was damaged on its way is read as an envelope or not at all, and one that
    /// was cut short never is.
    #[test]
    fn damage_is_survived(at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let bytes = envelope(Kind::Ask).encode().unwrap();
        let at = at.index(bytes.len());
        let mut damaged = bytes.clone();
        damaged[at] ^= flip;
        if let Ok(read) = Envelope::decode(&damaged) {
            prop_assert_eq!(Envelope::decode(&read.encode().unwrap()).unwrap(), read);
        }
        prop_assert!(Envelope::decode(&bytes[..at]).is_err());
    }
}
