//! Questions whose askers have gone.

use std::collections::{HashSet, VecDeque};

use genii_protocols::frame::Data;
use parking_lot::Mutex;

use super::Link;
use crate::link::lane;

/// How many of them are known. Those before are taken for waited for, until their deadline.
const FORGOTTEN_MAX: usize = 4_096;

/// The questions of the other end whose askers went last. No two questions of a link have one number,
/// so that what was answered meanwhile may stay among them.
#[derive(Default)]
pub(super) struct Forgotten(Mutex<Known>);

#[derive(Default)]
struct Known {
    correlations: HashSet<u64, foldhash::fast::RandomState>,
    in_order: VecDeque<u64>,
}

impl Forgotten {
    pub(super) fn add(&self, correlation: u64) {
        let mut known = self.0.lock();
        if !known.correlations.insert(correlation) {
            return;
        }
        known.in_order.push_back(correlation);
        if known.in_order.len() > FORGOTTEN_MAX
            && let Some(oldest) = known.in_order.pop_front()
        {
            known.correlations.remove(&oldest);
        }
    }

    pub(super) fn has(&self, correlation: u64) -> bool {
        self.0.lock().correlations.contains(&correlation)
    }
}

impl Link {
    /// Tells the other end that nobody waits for its answer any more, if there is room for that.
    pub(super) fn forget(&self, correlation: u64) {
        let forget = Data::Forget { correlation };
        let _crowded_or_over = self.data.write(|buffer| lane::put(buffer, &forget));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_were_forgotten_are_known_and_no_more() {
        let forgotten = Forgotten::default();
        for correlation in 0..=FORGOTTEN_MAX as u64 {
            forgotten.add(correlation);
            forgotten.add(correlation);
        }
        assert!(!forgotten.has(0));
        assert!(forgotten.has(1) && forgotten.has(FORGOTTEN_MAX as u64));
        let known = forgotten.0.lock();
        assert_eq!(
            (known.correlations.len(), known.in_order.len()),
            (FORGOTTEN_MAX, FORGOTTEN_MAX)
        );
    }
}
