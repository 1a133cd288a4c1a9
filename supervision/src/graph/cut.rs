//! The smallest set of edges whose removal leaves no cycle.
//!
//! The general problem (minimum feedback arc set) is hard, but knots in a household are small. So:
//! collect cycles, find the smallest set of edges that hits all of them, remove it, and look for a
//! cycle that is left; until there is none. The set is then smallest, since it is smallest for a
//! part of the cycles already. With an upper bound on the work; beyond it the cut is a good one that
//! nobody has proven to be smallest.

use std::collections::HashSet;

use super::Graph;

/// How much of a graph may be looked at in the search, counted in nodes and edges.
const LOOKS_MAX: usize = 5_000_000;

/// How many steps the search for the smallest cut may take.
const STEPS_MAX: usize = 20_000;

/// Edges whose removal leaves no cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The edges, each as (dependent, needed).
    pub edges: Vec<(usize, usize)>,
    /// Whether no smaller set would do.
    pub is_smallest: bool,
}

/// Finds the smallest cut. Among cuts of one size it prefers to free the nodes that most others
/// depend on, so that these come early.
pub fn smallest_cut(graph: &Graph) -> Cut {
    let mut search = Search { graph, cycles: Vec::new(), steps: 0 };
    let looks = LOOKS_MAX / (graph.len() + graph.edges().count()).max(1);
    for _ in 0..=looks {
        let mut edges = search.smallest_hitting_set();
        let Some(cycle) = find_cycle(graph, &edges) else {
            edges.sort_unstable();
            return Cut { edges, is_smallest: search.steps < STEPS_MAX };
        };
        if search.steps >= STEPS_MAX {
            break;
        }
        search.cycles.push(cycle);
    }
    Cut { edges: edges_back(graph), is_smallest: false }
}

/// A cycle as its edges, in a graph without the `cut` edges.
fn find_cycle(graph: &Graph, cut: &[(usize, usize)]) -> Option<Vec<(usize, usize)>> {
    let cut: HashSet<_> = cut.iter().collect();
    let left = Graph::new(graph.len(), graph.edges().filter(|edge| !cut.contains(edge)));
    let knots = left.knots();
    let start = *knots.first()?.first()?;
    let nodes = left.shortest_cycle(start);
    let next = |i: usize| nodes[(i + 1) % nodes.len()];
    Some(nodes.iter().enumerate().map(|(i, &node)| (node, next(i))).collect())
}

/// The edges that lead back to a node from which a walk through the graph has come. Without them
/// nothing leads in a circle; they are found in one walk, however dense the graph is.
fn edges_back(graph: &Graph) -> Vec<(usize, usize)> {
    #[derive(Clone, Copy, PartialEq)]
    enum Walk {
        NotYet,
        Underway,
        Done,
    }
    let mut walks = vec![Walk::NotYet; graph.len()];
    let mut back = Vec::new();
    for start in 0..graph.len() {
        if walks[start] != Walk::NotYet {
            continue;
        }
        walks[start] = Walk::Underway;
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.last_mut() {
            let Some(&to) = graph.before(*node).get(*next) else {
                walks[*node] = Walk::Done;
                path.pop();
                continue;
            };
            *next += 1;
            match walks[to] {
                Walk::NotYet => {
                    walks[to] = Walk::Underway;
                    path.push((to, 0));
                }
                Walk::Underway => back.push((*node, to)),
                Walk::Done => {}
            }
        }
    }
    back.sort_unstable();
    back
}

/// How much we would like to cut an edge: the more depend on its dependent, the more.
fn preference(
    graph: &Graph,
    (dependent, needed): (usize, usize),
) -> (usize, std::cmp::Reverse<usize>) {
    (graph.after(dependent).len(), std::cmp::Reverse(graph.after(needed).len()))
}

struct Search<'a> {
    graph: &'a Graph,
    cycles: Vec<Vec<(usize, usize)>>,
    steps: usize,
}

impl Search<'_> {
    /// The smallest set of edges with one of each known cycle, found by trying ever larger sizes.
    fn smallest_hitting_set(&mut self) -> Vec<(usize, usize)> {
        for size in 0.. {
            let mut chosen = Vec::with_capacity(size);
            if self.hit(size, &mut chosen) || self.steps >= STEPS_MAX {
                return chosen;
            }
        }
        unreachable!("all edges of all cycles are a hitting set")
    }

    /// Chooses at most `left` more edges so that every cycle is hit.
    fn hit(&mut self, left: usize, chosen: &mut Vec<(usize, usize)>) -> bool {
        self.steps += 1;
        let missed =
            self.cycles.iter().find(|cycle| !cycle.iter().any(|edge| chosen.contains(edge)));
        let Some(cycle) = missed else { return true };
        if left == 0 || self.steps >= STEPS_MAX {
            return false;
        }
        let mut edges = cycle.clone();
        edges.sort_by_key(|&edge| std::cmp::Reverse(preference(self.graph, edge)));
        for edge in edges {
            chosen.push(edge);
            if self.hit(left - 1, chosen) {
                return true;
            }
            chosen.pop();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hub_with_two_knots_is_freed() {
        // 0 is needed by 1, 2, 3, 4 and needs 1 and 2.
        let graph = Graph::new(5, [(0, 1), (0, 2), (1, 0), (2, 0), (3, 0), (4, 0)]);
        let cut = smallest_cut(&graph);
        assert_eq!(cut, Cut { edges: vec![(0, 1), (0, 2)], is_smallest: true });
    }

    #[test]
    fn one_edge_is_cut_where_one_is_enough() {
        // Two cycles share the edge 1 -> 0.
        let graph = Graph::new(4, [(0, 2), (0, 3), (2, 1), (3, 1), (1, 0)]);
        assert_eq!(smallest_cut(&graph).edges, [(1, 0)]);
    }

    /// Everybody needs everybody: told in a moment, though nobody knows the smallest cut.
    #[test]
    fn a_dense_knot_is_cut_all_the_same() {
        let all = |n: usize| (0..n).flat_map(move |a| (0..n).map(move |b| (a, b)));
        let graph = Graph::new(300, all(300).filter(|(a, b)| a != b));
        let cut = smallest_cut(&graph);
        assert!(!cut.is_smallest);
        assert_eq!(cut.edges.len(), 300 * 299 / 2);
        assert!(find_cycle(&graph, &cut.edges).is_none());
    }

    #[test]
    fn nothing_is_cut_where_nothing_is_knotted() {
        assert!(smallest_cut(&Graph::new(3, [(0, 1), (1, 2), (0, 2)])).edges.is_empty());
    }

    fn brute_force(graph: &Graph) -> usize {
        let edges: Vec<_> = graph.edges().collect();
        (0..1_u32 << edges.len())
            .filter(|set| {
                let kept = edges.iter().enumerate().filter(|(i, _)| set & (1 << i) == 0);
                Graph::new(graph.len(), kept.map(|(_, &edge)| edge)).order().is_some()
            })
            .map(u32::count_ones)
            .min()
            .unwrap_or(0) as usize
    }

    proptest! {
        #[test]
        fn no_smaller_cut_exists(edges in prop::collection::vec((0..6_usize, 0..6_usize), 0..11)) {
            let graph = Graph::new(6, edges);
            let cut = smallest_cut(&graph);
            prop_assert!(cut.is_smallest);
            prop_assert!(find_cycle(&graph, &cut.edges).is_none());
            prop_assert_eq!(cut.edges.len(), brute_force(&graph));
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn a_dense_graph_is_cut_in_bounded_work(seed in any::<u64>()) {
            let mut dice = fastrand::Rng::with_seed(seed);
            let edges: Vec<_> = (0..400).map(|_| (dice.usize(..40), dice.usize(..40))).collect();
            let graph = Graph::new(40, edges);
            prop_assert!(find_cycle(&graph, &smallest_cut(&graph).edges).is_none());
        }
    }
}
