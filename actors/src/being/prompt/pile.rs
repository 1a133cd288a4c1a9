//! Things of one kind of which a prompt takes as many as there is room for.

use std::collections::BTreeMap;

/// What happens at one that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// It and all after it are left out: a talk has no holes.
    Run,
    /// It is left out, and the next is tried.
    Pick,
}

/// Things of one kind, and which of them are taken.
#[derive(Debug)]
pub(super) struct Pile {
    costs: Vec<u32>,
    /// What those cost as a whole that are cut, by their places.
    wholes: BTreeMap<usize, u32>,
    /// In which order they are offered.
    order: Vec<usize>,
    rule: Rule,
    /// What the first one costs besides: heading and fence.
    fixed: u32,
    taken: Vec<usize>,
    used: u32,
}

impl Pile {
    /// Of things that cost so many tokens each, offered in this order.
    pub(super) fn new(costs: Vec<u32>, order: Vec<usize>, rule: Rule, fixed: u32) -> Self {
        let (wholes, taken) = (BTreeMap::new(), Vec::new());
        Self { costs, wholes, order, rule, fixed, taken, used: 0 }
    }

    /// With some of them cut, at first: by their places, and what they cost then.
    pub(super) fn with_cut(mut self, cut: impl IntoIterator<Item = (usize, u32)>) -> Self {
        for (index, cost) in cut {
            let whole = std::mem::replace(&mut self.costs[index], cost);
            self.wholes.insert(index, whole);
        }
        self
    }

    /// Takes what fits into the room, and says how much that was. What has been taken already is made
    /// whole first, and what comes now when all that fits is in.
    pub(super) fn fill(&mut self, room: u32) -> u32 {
        let mut left = room - self.make_whole(room);
        left -= self.take(left);
        left -= self.make_whole(left);
        room - left
    }

    fn take(&mut self, room: u32) -> u32 {
        let before = self.used;
        for index in self.order.clone() {
            if self.taken.contains(&index) {
                continue;
            }
            let cost = self.costs[index].saturating_add(self.fixed_now());
            if cost <= room - (self.used - before) {
                self.used += cost;
                self.taken.push(index);
            } else if self.rule == Rule::Run {
                break;
            }
        }
        self.used - before
    }

    /// Takes all of those that are cut and of which all fits into the room. How much that was.
    fn make_whole(&mut self, room: u32) -> u32 {
        let mut left = room;
        for index in &self.taken {
            let Some(whole) = self.wholes.get(index).copied() else { continue };
            let more = whole.saturating_sub(self.costs[*index]);
            if more <= left {
                left -= more;
                self.costs[*index] += more;
                self.used += more;
                self.wholes.remove(index);
            }
        }
        room - left
    }

    /// Whether one is cut, if it is taken.
    pub(super) fn is_cut(&self, index: usize) -> bool {
        self.wholes.contains_key(&index)
    }

    /// Gives back the one that was taken last. Whether there was one.
    pub(super) fn give_back(&mut self) -> bool {
        let Some(index) = self.taken.pop() else {
            return false;
        };
        self.used -= self.costs[index].saturating_add(self.fixed_now());
        true
    }

    /// How much of some room there is for one that is left out; none if not even for what it costs besides.
    pub(super) fn room_for_one(&self, room: u32) -> Option<u32> {
        room.checked_sub(self.fixed_now())
    }

    /// Takes one that was left out, made smaller so that it costs so much; what it costs in all.
    pub(super) fn take_smaller(&mut self, index: usize, cost: u32) -> u32 {
        let in_all = cost.saturating_add(self.fixed_now());
        self.costs[index] = cost;
        self.taken.push(index);
        self.used += in_all;
        in_all
    }

    /// What the next one that is taken costs besides.
    fn fixed_now(&self) -> u32 {
        if self.taken.is_empty() { self.fixed } else { 0 }
    }

    /// How many tokens those taken take.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// Those taken, in the order in which they were.
    pub(super) fn taken(&self) -> &[usize] {
        &self.taken
    }

    /// Those left out, the most wanted first.
    pub(super) fn left_out(&self) -> Vec<usize> {
        self.order.iter().filter(|index| !self.taken.contains(index)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_stops_at_the_first_that_does_not_fit() {
        let mut pile = Pile::new(vec![5, 9, 1], vec![0, 1, 2], Rule::Run, 2);
        assert_eq!(pile.fill(10), 7);
        assert_eq!((pile.taken(), pile.left_out()), (&[0][..], vec![1, 2]));
        assert_eq!(pile.fill(10), 10, "it goes on where it stopped");
    }

    #[test]
    fn a_pick_tries_the_smaller_ones() {
        let mut pile = Pile::new(vec![5, 9, 1], vec![1, 0, 2], Rule::Pick, 2);
        assert_eq!(pile.fill(8), 8);
        assert_eq!(pile.taken(), [0, 2]);
        assert!(pile.give_back() && pile.give_back() && !pile.give_back());
        assert_eq!(pile.used(), 0);
    }

    #[test]
    fn one_that_does_not_fit_is_taken_when_it_is_made_smaller() {
        let mut pile = Pile::new(vec![9, 1], vec![0, 1], Rule::Pick, 2);
        assert_eq!((pile.fill(8), pile.left_out()), (3, vec![0]));
        assert_eq!(pile.room_for_one(5), Some(5), "heading and fence are paid for");
        assert_eq!((pile.take_smaller(0, 5), pile.used()), (5, 8));
        assert!(pile.left_out().is_empty());
        assert!(pile.give_back() && pile.give_back());
        assert_eq!((pile.used(), pile.room_for_one(1)), (0, None));
        assert_eq!(pile.take_smaller(0, 3), 5);
    }

    #[test]
    fn what_is_cut_lets_the_others_in_and_is_whole_where_there_is_room() {
        for (rooms, used, is_cut) in
            [([20, 0], 9, true), ([20, 90], 99, false), ([99, 0], 99, false)]
        {
            let pile = Pile::new(vec![2, 93, 2], vec![0, 1, 2], Rule::Run, 2);
            let mut pile = pile.with_cut([(1, 3)]);
            let filled: u32 = rooms.into_iter().map(|room| pile.fill(room)).sum();
            assert_eq!((filled, pile.used()), (used, used), "{rooms:?}");
            assert_eq!((pile.taken(), pile.is_cut(1)), (&[0, 1, 2][..], is_cut), "{rooms:?}");
            assert!(pile.give_back() && pile.give_back() && pile.give_back());
            assert_eq!(pile.used(), 0);
        }
    }

    #[test]
    fn nothing_fits_into_no_room() {
        let mut pile = Pile::new(vec![0, 0], vec![0, 1], Rule::Pick, 1);
        assert_eq!(pile.fill(0), 0);
        assert!(pile.taken().is_empty());
    }
}
