//! A node that belongs to the household goes beyond each bound of its link. Up to the bound nothing
//! happens to it; beyond, the link is ended or the one thing refused, and everybody else goes on.

mod held;
mod table;

use genii_protocols::frame::{Brief, Control, Data, Letter, Payload};
use genii_protocols::wire;
use genii_runtime::cluster::Membership;
use genii_runtime::link::network::Lane;
use genii_runtime::link::simulated::Waters;

use crate::agent::Work;
use crate::garbage::well;
use crate::greeting::{OWN, machine};
use crate::log::Log;
use crate::machine::Machine;
use crate::raw::{End, Raw, frame, hello};
use crate::script::millis;

/// How much is said at once, in bytes.
const SAID_LEN: usize = 1 << 20;

/// The number of the node that goes too far.
const HOSTILE: usize = 0;

/// A machine, another that is well, and one that goes too far.
struct Three {
    machine: Machine,
    neighbour: Machine,
    hostile: Hostile,
    _waters: Waters,
}

/// Both lanes of the one that goes too far.
struct Hostile {
    control: End,
    data: End,
}

impl Three {
    async fn meet() -> Self {
        let (waters, machine) = machine(1).await;
        let neighbour = Machine::boot(&waters, 3, (1, 1), &Log::new()).await;
        let raw = Raw::new(&waters, HOSTILE);
        let (control, data) = raw.greet(OWN, hello((1, 1), 7, 1)).await.unwrap();
        let three =
            Self { machine, neighbour, hostile: Hostile { control, data }, _waters: waters };
        three.hostile.settle().await;
        three
    }

    /// Nothing has happened to the one that may have gone as far as it may.
    async fn bears_with_it(&self, what: &str) {
        self.hostile.settle().await;
        let member = self.hostile_member();
        let seen = (member.membership, member.nonsense);
        assert_eq!(seen, (Membership::Alive, 0), "{what}: {:?}", member.why);
        well(&self.machine, &self.neighbour).await;
    }

    /// It has gone too far: its link is ended, that is told, and counted if it is nonsense, and
    /// nothing is left of it.
    async fn drops_it(&mut self, what: &str, why: &str, nonsense: u64) {
        self.hostile.settle().await;
        let member = self.hostile_member();
        let seen = (member.membership, member.nonsense);
        assert_eq!(seen, (Membership::Down, nonsense), "{what}: {:?}", member.why);
        let told = member.why.unwrap();
        assert!(told.contains(why), "{what}: {told}");
        let Hostile { control, data } = &mut self.hostile;
        assert!(control.ends().await && data.ends().await, "{what}: it is dropped");
        let figures = self.machine.cluster.figures();
        assert_eq!((figures.links, figures.nonsense), (1, nonsense), "{what}: {figures:?}");
        well(&self.machine, &self.neighbour).await;
    }

    fn hostile_member(&self) -> genii_runtime::cluster::Member {
        self.machine.cluster.members().remove(HOSTILE)
    }
}

impl Hostile {
    fn say(&self, lane: Lane, said: &[u8]) {
        let end = match lane {
            Lane::Control => &self.control,
            Lane::Data => &self.data,
        };
        said.chunks(SAID_LEN).for_each(|said| end.say(said.to_vec()));
    }

    /// Says that it is alive, until what was said before has been heeded.
    async fn settle(&self) {
        for _ in 0..10 {
            self.control.say(frame(&Control::Ping(1)));
            tokio::time::sleep(millis(100)).await;
        }
    }

    /// What it hears of all that is said on the data lane, in the form of these tests.
    async fn hears(&mut self) -> Vec<Vec<u8>> {
        self.settle().await;
        self.data.hear_all().await
    }
}

/// Gives numbers to these, from zero.
fn names(names: &[&str]) -> Vec<u8> {
    names.iter().flat_map(|name| frame(&Data::Name(name))).collect()
}

/// As many frames, each by its number.
fn many(count: usize, one: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    (0..count).map(one).collect::<Vec<_>>().concat()
}

/// Work that takes longer than a test.
fn work(fill: usize) -> Work {
    Work { id: 0, takes_millis: 60_000, fill: "x".repeat(fill) }
}

/// A message, by the numbers of its receiver and of its name.
fn letter(to: u32, message: u32, is_json: bool, payload: &[u8]) -> Letter<'_> {
    let payload = Payload::Whole(payload);
    Letter { to, message, from: None, deadline: None, trace: None, is_json, payload }
}

/// A small message, the second of the names to the first.
fn brief() -> Vec<u8> {
    let payload = wire::encode(&work(0)).unwrap();
    let (correlation, to, message) = (None, 0, 1);
    let (from, deadline, trace) = (None, None, None);
    let brief = Brief { correlation, to, message, from, deadline, trace, payload: &payload };
    let said = [brief.head().as_ref(), &payload].concat();
    [&u32::try_from(said.len()).unwrap().to_le_bytes()[..], &said].concat()
}
