//! Peers that tell nonsense about groups and topics.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use genii_protocols::frame::{
    Control, Data, Hello, Joined, NEWEST, OLDEST, Payload, Publication, Told, Wanted,
};
use genii_protocols::{Json, wire};
use genii_runtime::cluster::Membership;
use genii_runtime::link::network::{Incoming, Lane, Network};
use genii_runtime::link::simulated::Harbour;
use genii_runtime::topics::PATTERNS_MAX;
use serde::Serialize;
use serde_json::json;

use super::super::*;

/// A peer that greets as it should, and then says what a test wants.
struct Rogue {
    harbour: Arc<Harbour>,
    control: Vec<Vec<u8>>,
    data: Vec<Vec<u8>>,
}

fn batch(frame: &impl Serialize) -> Vec<u8> {
    let bytes = wire::encode(frame).unwrap();
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], &bytes].concat()
}

impl Rogue {
    fn new(waters: &Waters) -> Self {
        let harbour = waters.harbour(&name("rogue"));
        let hello = Hello {
            versions: (OLDEST, NEWEST),
            incarnation: 1,
            link: 7,
            ended: None,
            places: Vec::new(),
            messages: Vec::new(),
        };
        let (control, data) = (batch(&Control::Hello(hello)), batch(&Data::Attach { link: 7 }));
        Self { harbour, control: vec![control], data: vec![data] }
    }

    fn tells(mut self, frame: &Control<'_>) -> Self {
        self.control.push(batch(frame));
        self
    }

    fn sends(mut self, frame: &Data<'_>) -> Self {
        self.data.push(batch(frame));
        self
    }

    /// Calls a node and says it all. The lanes stay open as long as what is returned.
    async fn call(mut self) -> [Incoming; 2] {
        let open = |lane, said: BoxStream<'static, Vec<u8>>| {
            let outgoing = said.map(bytes::Bytes::from).chain(stream::pending());
            self.harbour.open(&name("one"), lane, outgoing.boxed())
        };
        let (data, rest) = (self.data, self.control.split_off(1));
        // Who is welcome says no more before its other lane is there.
        let (linked, is_linked) = tokio::sync::oneshot::channel::<()>();
        let rest = stream::once(is_linked).flat_map(move |_| stream::iter(rest.clone()));
        let control = open(Lane::Control, stream::iter(self.control).chain(rest).boxed());
        let mut control = control.await.unwrap().incoming;
        control.next().await.unwrap().unwrap();
        let data = open(Lane::Data, stream::iter(data).boxed()).await.unwrap().incoming;
        drop(linked);
        [control, data]
    }
}

fn published<'a>(topic: &'a str, payload: Payload<'a>) -> Data<'a> {
    Data::Published(Publication { topic, from: None, trace: None, payload })
}

fn patterns_told(texts: impl IntoIterator<Item = String>) -> Control<'static> {
    let wanted = |pattern: String| Wanted { pattern: pattern.into(), subscribers: 1 };
    Control::Patterns { told: Told::News, patterns: texts.into_iter().map(wanted).collect() }
}

/// What is said of a link that this peer has, when it is over.
async fn why_it_ended(rogue: impl FnOnce(Rogue) -> Rogue) -> String {
    let waters = Waters::new(1, (Duration::ZERO, Duration::ZERO));
    let one = Machine::boot(&waters, "one", 1).await;
    let _lanes = rogue(Rogue::new(&waters)).call().await;
    let member = || one.cluster.members().into_iter().find(|member| member.node == name("rogue"));
    let is_down = || member().is_some_and(|member| member.membership == Membership::Down);
    until("it is cut off", is_down).await;
    assert_eq!(one.node.wanted(), [], "nothing of it is kept");
    assert_eq!(one.node.group_names(), [], "nothing of it is kept");
    member().unwrap().why.unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_tells_nonsense_is_cut_off() {
    let check = |why: String, said: &str| {
        assert!(why.contains("it speaks nonsense") && why.contains(said), "{why}");
    };
    let joined = |group: &'static str, address: &'static str| Control::Groups {
        told: Told::First(1),
        members: vec![Joined {
            group: group.into(),
            address: address.into(),
            incarnation: 1,
            times: 1,
        }],
    };
    let good = || patterns_told(["world.**".to_owned()]);
    let why = why_it_ended(|it| it.tells(&good()).tells(&patterns_told(["a.**.b".to_owned()])));
    check(why.await, "comes last");
    check(why_it_ended(|it| it.tells(&joined("NO NAME", "a/b"))).await, "not a valid name");
    check(why_it_ended(|it| it.tells(&joined("good", "bad"))).await, "not a valid address");
    check(why_it_ended(|it| it.sends(&published("a.*", Payload::Whole(b"1")))).await, "'*'");
    check(why_it_ended(|it| it.sends(&published("a", Payload::Whole(b"\xff")))).await, "utf-8");
    check(why_it_ended(|it| it.sends(&published("a", Payload::Parts(3)))).await, "parts");
    let many = |it: Rogue| {
        let frames = (0..=PATTERNS_MAX).map(|number| format!("a.{number}")).collect::<Vec<_>>();
        frames.chunks(10_000).fold(it, |it, texts| it.tells(&patterns_told(texts.to_vec())))
    };
    check(why_it_ended(many).await, "more than 65536 patterns");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_json_is_said_to_who_reads_it() {
    let waters = Waters::new(1, (Duration::ZERO, Duration::ZERO));
    let one = Machine::boot(&waters, "one", 1).await;
    let mut reader = one.node.subscribe(&patterns(&["a.**"])).unwrap();
    let rogue = Rogue::new(&waters).sends(&published("a.b", Payload::Whole(b"{oops")));
    let _lanes = rogue.sends(&published("a.c", Payload::Whole(b"[1]"))).call().await;
    let mut read = Vec::new();
    for _ in 0..2 {
        match reader.next().await.unwrap() {
            genii_runtime::Heard::Published(publication) => read.push(publication.json()),
            lost => panic!("{lost:?}"),
        }
    }
    assert!(read[0].as_ref().unwrap_err().to_string().contains("not valid"), "{:?}", read[0]);
    assert_eq!(read[1], Ok(Json(json!([1]))));
}
