//! A network within a process, for tests: delays by a seed, cuts, and nodes that crash. On tokio's
//! paused clock the same seed gives the same run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use genii_protocols::NodeName;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::network::{Broken, Incoming, Lane, Network, Opened, Outgoing};

/// How many batches are on their way on one lane.
const ON_THE_WAY_MAX: usize = 4;

/// How many lanes may wait to be accepted.
const OPENED_MAX: usize = 64;

/// All nodes that can reach each other. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Waters(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Something was cut or healed.
    changed: Notify,
    delay: (Duration, Duration),
}

struct State {
    dice: u64,
    ports: HashMap<NodeName, Port>,
    cuts: HashSet<(NodeName, NodeName)>,
}

struct Port {
    opened: mpsc::Sender<Opened>,
    /// Becomes true when the node crashes.
    crashed: watch::Sender<bool>,
}

/// The network as one node sees it.
pub struct Harbour {
    own: NodeName,
    waters: Waters,
    opened: tokio::sync::Mutex<mpsc::Receiver<Opened>>,
}

impl Waters {
    /// A network where everything takes between the two.
    pub fn new(seed: u64, delay: (Duration, Duration)) -> Self {
        let state = State { dice: seed | 1, ports: HashMap::new(), cuts: HashSet::new() };
        Self(Arc::new(Inner { state: Mutex::new(state), changed: Notify::new(), delay }))
    }

    /// Puts a node on it; one of the same name that was there before has crashed.
    pub fn harbour(&self, own: &NodeName) -> Arc<Harbour> {
        self.crash(own);
        let (opened, opening) = mpsc::channel(OPENED_MAX);
        let port = Port { opened, crashed: watch::Sender::new(false) };
        self.0.state.lock().ports.insert(own.clone(), port);
        let opened = tokio::sync::Mutex::new(opening);
        Arc::new(Harbour { own: own.clone(), waters: self.clone(), opened })
    }

    /// A node is gone from one moment to the next: its lanes break.
    pub fn crash(&self, node: &NodeName) {
        if let Some(port) = self.0.state.lock().ports.remove(node) {
            port.crashed.send_replace(true);
        }
    }

    /// Nothing comes through between two nodes from now on; what is on its way waits.
    pub fn cut(&self, one: &NodeName, other: &NodeName) {
        self.0.state.lock().cuts.insert(pair(one, other));
    }

    /// What was cut is whole again.
    pub fn heal(&self, one: &NodeName, other: &NodeName) {
        self.0.state.lock().cuts.remove(&pair(one, other));
        self.0.changed.notify_waiters();
    }

    async fn until_whole(&self, one: &NodeName, other: &NodeName) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.0.state.lock().cuts.contains(&pair(one, other)) {
                return;
            }
            changed.await;
        }
    }

    /// How long the next thing takes.
    fn delay(&self) -> Duration {
        let mut state = self.0.state.lock();
        // A xorshift generator: enough for delays, and the same everywhere.
        let mut dice = state.dice;
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        state.dice = dice;
        let (least, most) = self.0.delay;
        least + (most - least).mul_f64(f64::from((dice >> 40) as u32) / f64::from(1u32 << 24))
    }

    fn crashed(&self, node: &NodeName) -> Option<watch::Receiver<bool>> {
        Some(self.0.state.lock().ports.get(node)?.crashed.subscribe())
    }

    /// Carries one direction of a lane.
    fn carry(
        &self,
        from: &NodeName,
        to: &NodeName,
        mut outgoing: Outgoing,
        mut crashes: [watch::Receiver<bool>; 2],
    ) -> Incoming {
        let (arrived, arrives) = mpsc::channel(ON_THE_WAY_MAX);
        let (waters, from, to) = (self.clone(), from.clone(), to.clone());
        tokio::spawn(async move {
            let carrying = async {
                while let Some(batch) = outgoing.next().await {
                    tokio::time::sleep(waters.delay()).await;
                    waters.until_whole(&from, &to).await;
                    if arrived.send(Ok(batch)).await.is_err() {
                        return;
                    }
                }
                waters.until_whole(&from, &to).await;
            };
            let [one, other] = &mut crashes;
            tokio::select! {
                biased;
                _ = one.wait_for(|crashed| *crashed) => {}
                _ = other.wait_for(|crashed| *crashed) => {}
                () = arrived.closed() => return,
                () = carrying => return,
            }
            waters.until_whole(&from, &to).await;
            let _has_gone = arrived.send(Err(Broken::Other("it was reset".to_owned()))).await;
        });
        let next = |mut arrives: mpsc::Receiver<_>| async move {
            arrives.recv().await.map(|batch| (batch, arrives))
        };
        stream::unfold(arrives, next).boxed()
    }
}

fn pair(one: &NodeName, other: &NodeName) -> (NodeName, NodeName) {
    match one < other {
        true => (one.clone(), other.clone()),
        false => (other.clone(), one.clone()),
    }
}

impl Network for Harbour {
    fn open(
        &self,
        to: &NodeName,
        lane: Lane,
        outgoing: Outgoing,
    ) -> BoxFuture<'static, Result<Incoming, Broken>> {
        let (waters, own, to) = (self.waters.clone(), self.own.clone(), to.clone());
        let opening = async move {
            tokio::time::sleep(waters.delay()).await;
            waters.until_whole(&own, &to).await;
            let nobody = || Broken::NobodyThere(to.to_string());
            let crashes = waters.crashed(&own).zip(waters.crashed(&to)).ok_or_else(nobody)?;
            let crashes = [crashes.0, crashes.1];
            let incoming = waters.carry(&own, &to, outgoing, crashes.clone());
            let (answer, answered) = oneshot::channel();
            let (from, certificate) = (own.clone(), None);
            let opened = Opened { from, lane, certificate, incoming, outgoing: answer };
            let port = waters.0.state.lock().ports.get(&to).map(|port| port.opened.clone());
            port.ok_or_else(nobody)?.send(opened).await.map_err(|_| nobody())?;
            let refused = |_| Broken::Refused("the lane is not taken".to_owned());
            let back = answered.await.map_err(refused)?;
            Ok(waters.carry(&to, &own, back, crashes))
        };
        opening.boxed()
    }

    fn accept(&self) -> BoxFuture<'_, Option<Opened>> {
        async { self.opened.lock().await.recv().await }.boxed()
    }

    fn places(&self) -> Vec<String> {
        Vec::new()
    }

    fn learn(&self, _: &NodeName, _: &[String]) {}

    fn known(&self) -> Vec<NodeName> {
        let state = self.waters.0.state.lock();
        let mut known: Vec<NodeName> =
            state.ports.keys().filter(|node| **node != self.own).cloned().collect();
        known.sort();
        known
    }
}
