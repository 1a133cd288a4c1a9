//! A network within a process, for tests: delays by a seed, cuts, connections that break or stall,
//! and nodes that crash or stand still. On tokio's paused clock, and one thread, the same seed gives
//! the same run.
//!
//! As on a real network, what is sent on one lane comes in its order or not at all, in pieces that
//! end anywhere; two lanes know nothing of each other's order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use genii_protocols::NodeName;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::network::{Broken, Incoming, Lane, Network, Opened, Outgoing, Reached};

/// How many batches are on their way on one lane.
const ON_THE_WAY_MAX: usize = 4;

/// How many lanes may wait to be accepted.
const OPENED_MAX: usize = 64;

/// One batch in so many comes in two pieces.
const WHOLE_TO_BROKEN: u64 = 8;

/// All nodes that can reach each other. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Waters(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// What holds things up is otherwise.
    changed: Notify,
    delay: (Duration, Duration),
}

struct State {
    dice: u64,
    ports: BTreeMap<NodeName, mpsc::Sender<Opened>>,
    /// From whom to whom nothing comes through.
    cuts: BTreeSet<Way>,
    /// From whom to whom everything takes longer, and by how much.
    slow: BTreeMap<Way, Duration>,
    /// Those that stand still.
    paused: BTreeSet<NodeName>,
    /// Each direction of each lane that is open, by number.
    passages: BTreeMap<u64, Passage>,
    next: u64,
}

/// From whom to whom.
type Way = (NodeName, NodeName);

/// One direction of a lane.
struct Passage {
    way: Way,
    lane: Lane,
    /// Nothing comes through any more, and nobody is told.
    is_stalled: bool,
    /// Dropped, it breaks.
    _whole: oneshot::Sender<()>,
}

/// The network as one node sees it.
pub struct Harbour {
    own: NodeName,
    waters: Waters,
    opened: tokio::sync::Mutex<mpsc::Receiver<Opened>>,
    /// Of whom it knows, besides those who call it.
    known: Mutex<BTreeSet<NodeName>>,
}

impl Waters {
    /// A network where everything takes between the two.
    pub fn new(seed: u64, delay: (Duration, Duration)) -> Self {
        let state = State {
            dice: seed | 1,
            ports: BTreeMap::new(),
            cuts: BTreeSet::new(),
            slow: BTreeMap::new(),
            paused: BTreeSet::new(),
            passages: BTreeMap::new(),
            next: 0,
        };
        Self(Arc::new(Inner { state: Mutex::new(state), changed: Notify::new(), delay }))
    }

    /// Puts a node on it, which knows of all that are there; one of the same name that was there
    /// before has crashed.
    pub fn harbour(&self, own: &NodeName) -> Arc<Harbour> {
        let known: Vec<NodeName> = self.0.state.lock().ports.keys().cloned().collect();
        self.harbour_that_knows(own, &known)
    }

    /// As [`Waters::harbour`], for a node that knows of these alone, as one that has just joined.
    pub fn harbour_that_knows(&self, own: &NodeName, others: &[NodeName]) -> Arc<Harbour> {
        self.crash(own);
        let (opened, opening) = mpsc::channel(OPENED_MAX);
        self.0.state.lock().ports.insert(own.clone(), opened);
        let opened = tokio::sync::Mutex::new(opening);
        let known = others.iter().filter(|other| *other != own).cloned().collect();
        Arc::new(Harbour {
            own: own.clone(),
            waters: self.clone(),
            opened,
            known: Mutex::new(known),
        })
    }

    /// A node is gone from one moment to the next: its lanes break.
    pub fn crash(&self, node: &NodeName) {
        let mut state = self.0.state.lock();
        state.ports.remove(node);
        state.paused.remove(node);
        state.passages.retain(|_, passage| passage.way.0 != *node && passage.way.1 != *node);
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Nothing comes through between two nodes from now on; what is on its way waits.
    pub fn cut(&self, one: &NodeName, other: &NodeName) {
        self.cut_way(one, other);
        self.cut_way(other, one);
    }

    /// Nothing comes through from one node to another from now on; the other way is whole.
    pub fn cut_way(&self, from: &NodeName, to: &NodeName) {
        self.0.state.lock().cuts.insert((from.clone(), to.clone()));
    }

    /// What was cut or slow between two nodes is whole again. Lanes that [stalled](Waters::stall)
    /// stay so.
    pub fn heal(&self, one: &NodeName, other: &NodeName) {
        let mut state = self.0.state.lock();
        for way in [(one.clone(), other.clone()), (other.clone(), one.clone())] {
            state.cuts.remove(&way);
            state.slow.remove(&way);
        }
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Everything takes so much longer between two nodes from now on.
    pub fn slow(&self, one: &NodeName, other: &NodeName, by: Duration) {
        let mut state = self.0.state.lock();
        state.slow.insert((one.clone(), other.clone()), by);
        state.slow.insert((other.clone(), one.clone()), by);
    }

    /// The lanes that two nodes have now carry nothing any more, and neither end is told; new ones
    /// do. So it is when something between them has forgotten their connections.
    pub fn stall(&self, one: &NodeName, other: &NodeName) {
        for passage in self.0.state.lock().passages.values_mut() {
            passage.is_stalled |= passage.is_between(one, other);
        }
    }

    /// The lanes of a kind that two nodes have now break.
    pub fn reset(&self, one: &NodeName, other: &NodeName, lane: Lane) {
        let breaks = |passage: &Passage| passage.lane == lane && passage.is_between(one, other);
        self.0.state.lock().passages.retain(|_, passage| !breaks(passage));
    }

    /// A node stands still, for all that others can see: nothing goes out or comes in. Its
    /// connections stay.
    pub fn pause(&self, node: &NodeName) {
        self.0.state.lock().paused.insert(node.clone());
    }

    /// It goes on.
    pub fn resume(&self, node: &NodeName) {
        self.0.state.lock().paused.remove(node);
        self.0.changed.notify_waiters();
    }

    /// How many directions of lanes are open.
    pub fn passages(&self) -> usize {
        self.0.state.lock().passages.len()
    }

    /// Waits until something may go this way, on this passage if it is on one.
    async fn until_whole(&self, way: &Way, passage: Option<u64>) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.0.state.lock().is_whole(way, passage) {
                return;
            }
            changed.await;
        }
    }

    /// How long the next thing takes.
    fn delay(&self, way: &Way) -> Duration {
        let mut state = self.0.state.lock();
        let dice = state.roll();
        let (least, most) = self.0.delay;
        let by = state.slow.get(way).copied().unwrap_or_default();
        by + least + (most - least).mul_f64(f64::from((dice >> 40) as u32) / f64::from(1u32 << 24))
    }

    /// The pieces in which a batch comes.
    fn pieces(&self, mut batch: Bytes) -> (Bytes, Option<Bytes>) {
        let mut state = self.0.state.lock();
        if batch.len() < 2 || !state.roll().is_multiple_of(WHOLE_TO_BROKEN) {
            return (batch, None);
        }
        let end = 1 + state.roll() as usize % (batch.len() - 1);
        let first = batch.split_to(end);
        (first, Some(batch))
    }

    /// Carries one direction of a lane.
    fn carry(&self, way: Way, lane: Lane, mut outgoing: Outgoing) -> Incoming {
        let (arrived, arrives) = mpsc::channel(ON_THE_WAY_MAX);
        let (whole, broken) = oneshot::channel();
        let number = self.0.state.lock().add(way.clone(), lane, whole);
        let waters = self.clone();
        tokio::spawn(async move {
            let carrying = async {
                while let Some(batch) = outgoing.next().await {
                    tokio::time::sleep(waters.delay(&way)).await;
                    let (first, second) = waters.pieces(batch);
                    for piece in std::iter::once(first).chain(second) {
                        waters.until_whole(&way, Some(number)).await;
                        if arrived.send(Ok(piece)).await.is_err() {
                            return;
                        }
                    }
                }
                waters.until_whole(&way, Some(number)).await;
            };
            let is_broken = tokio::select! {
                biased;
                _ = broken => true,
                () = arrived.closed() => false,
                () = carrying => false,
            };
            waters.0.state.lock().passages.remove(&number);
            if is_broken {
                // The other end hears of it as soon as it can.
                let hearing = async {
                    waters.until_whole(&way, None).await;
                    let reset = Broken::Other("it was reset".to_owned());
                    let _has_gone = arrived.send(Err(reset)).await;
                };
                tokio::select! {
                    biased;
                    () = arrived.closed() => {}
                    () = hearing => {}
                }
            }
        });
        let next = |mut arrives: mpsc::Receiver<_>| async move {
            arrives.recv().await.map(|batch| (batch, arrives))
        };
        stream::unfold(arrives, next).boxed()
    }
}

impl Passage {
    fn is_between(&self, one: &NodeName, other: &NodeName) -> bool {
        let (from, to) = (&self.way.0, &self.way.1);
        (from, to) == (one, other) || (from, to) == (other, one)
    }
}

impl State {
    fn add(&mut self, way: Way, lane: Lane, whole: oneshot::Sender<()>) -> u64 {
        self.next += 1;
        let passage = Passage { way, lane, is_stalled: false, _whole: whole };
        self.passages.insert(self.next, passage);
        self.next
    }

    fn is_whole(&self, way: &Way, passage: Option<u64>) -> bool {
        let is_stalled = passage.and_then(|number| self.passages.get(&number));
        !self.cuts.contains(way)
            && !self.paused.contains(&way.0)
            && !self.paused.contains(&way.1)
            && !is_stalled.is_some_and(|passage| passage.is_stalled)
    }

    /// A xorshift generator: enough for this, and the same everywhere.
    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice
    }
}

impl Network for Harbour {
    fn open(
        &self,
        to: &NodeName,
        lane: Lane,
        outgoing: Outgoing,
    ) -> BoxFuture<'static, Result<Reached, Broken>> {
        let (waters, own, to) = (self.waters.clone(), self.own.clone(), to.clone());
        let (there, back) = ((own.clone(), to.clone()), (to.clone(), own.clone()));
        let opening = async move {
            tokio::time::sleep(waters.delay(&there)).await;
            waters.until_whole(&there, None).await;
            // What refuses comes back the same way.
            waters.until_whole(&back, None).await;
            let nobody = || Broken::NobodyThere(to.to_string());
            let port = {
                let state = waters.0.state.lock();
                // Who calls may have crashed meanwhile, too.
                state.ports.get(&own).and_then(|_| state.ports.get(&to)).cloned()
            };
            let port = port.ok_or_else(nobody)?;
            let incoming = waters.carry(there, lane, outgoing);
            let (answer, answered) = oneshot::channel();
            let (from, certificate) = (own, None);
            let opened = Opened { from, lane, certificate, incoming, outgoing: answer };
            port.send(opened).await.map_err(|_| nobody())?;
            let refused = |_| Broken::Refused("the lane is not taken".to_owned());
            let answered = answered.await.map_err(refused)?;
            Ok(Reached { incoming: waters.carry(back, lane, answered), certificate: None })
        };
        opening.boxed()
    }

    fn accept(&self) -> BoxFuture<'_, Option<Opened>> {
        async { self.opened.lock().await.recv().await }.boxed()
    }

    fn places(&self) -> Vec<String> {
        vec![self.own.to_string()]
    }

    fn learn(&self, node: &NodeName, _: &[String]) {
        if *node != self.own {
            self.known.lock().insert(node.clone());
        }
    }

    fn places_of(&self, node: &NodeName) -> Vec<String> {
        self.known.lock().get(node).map(NodeName::to_string).into_iter().collect()
    }

    fn known(&self) -> Vec<NodeName> {
        self.known.lock().iter().cloned().collect()
    }
}
