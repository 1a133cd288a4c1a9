//! How many connections whoever may have at once: strangers together, and each node. Where there is
//! one too many, the oldest is ended. So somebody whose machine was cut off, and has come back by new
//! connections, is not kept out by those that nobody has told are over.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use genii_protocols::NodeName;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How many connections strangers may have at once, all together, where nodes are linked.
const STRANGERS_MAX: usize = 16;

/// How many connections a node may have at once. A link takes two.
const NODE_CONNECTIONS_MAX: usize = 16;

/// The connections that there are, by who has them; strangers have no name.
#[derive(Clone)]
pub(crate) struct Crowd(Arc<Inner>);

struct Inner {
    places: Mutex<HashMap<Option<NodeName>, Those>>,
    numbers: AtomicU64,
    /// How many connections strangers may have.
    strangers_max: usize,
}

impl Default for Crowd {
    fn default() -> Self {
        Self::with_strangers(STRANGERS_MAX)
    }
}

/// The connections of one, the oldest first: the number of each, and by what it is told to go.
type Those = VecDeque<(u64, oneshot::Sender<()>)>;

/// A connection's place among the others, until it is dropped.
pub(crate) struct Place {
    crowd: Crowd,
    of: Option<NodeName>,
    number: u64,
}

impl Crowd {
    /// One in which there may be so many strangers.
    pub(crate) fn with_strangers(strangers_max: usize) -> Self {
        let (places, numbers) = (Mutex::default(), AtomicU64::default());
        Self(Arc::new(Inner { places, numbers, strangers_max }))
    }

    /// Takes a place. Beside it comes what tells that another needs it, and whether another had to go.
    pub(crate) fn enter(&self, of: Option<NodeName>) -> (Place, oneshot::Receiver<()>, bool) {
        let most = if of.is_some() { NODE_CONNECTIONS_MAX } else { self.0.strangers_max };
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let (needed, is_needed) = oneshot::channel();
        let mut places = self.0.places.lock();
        let those = places.entry(of.clone()).or_default();
        those.push_back((number, needed));
        let oldest = if those.len() > most { those.pop_front() } else { None };
        drop(places);
        let place = Place { crowd: self.clone(), of, number };
        let had_to_go = oldest.map(|(_, needed)| needed.send(()));
        (place, is_needed, had_to_go.is_some())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.crowd.0.places.lock();
        if let Some(those) = places.get_mut(&self.of) {
            those.retain(|(number, _)| *number != self.number);
            if those.is_empty() {
                places.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_and_who_goes_leaves_room() {
        let crowd = Crowd::default();
        let node = || Some(NodeName::new("pc2").unwrap());
        let mut held: Vec<_> = (0..NODE_CONNECTIONS_MAX).map(|_| crowd.enter(node())).collect();
        assert!(held.iter().all(|(_, _, had_to_go)| !had_to_go));
        let (_stranger, _, had_to_go) = crowd.enter(None);
        assert!(!had_to_go);
        let (last, _, had_to_go) = crowd.enter(node());
        assert!(had_to_go && held[0].1.try_recv().is_ok());
        assert!(held[1].1.try_recv().is_err());
        drop(last);
        assert!(!crowd.enter(node()).2);
        held.clear();
        assert_eq!(crowd.0.places.lock().len(), 1);
    }
}
