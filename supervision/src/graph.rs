//! Questions about a dependency graph, whatever its nodes are.
//!
//! Nodes are numbers from zero; an edge `(a, b)` says that `a` depends on `b`, so `b` comes first.

mod cut;

use std::collections::{HashSet, VecDeque};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

pub use cut::{Cut, smallest_cut};

/// A dependency graph.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// For each node, what it depends on.
    before: Vec<Vec<usize>>,
    /// For each node, what depends on it.
    after: Vec<Vec<usize>>,
}

impl Graph {
    /// A graph of `nodes` nodes. Edges that stand twice count once.
    ///
    /// # Panics
    /// When an edge names a node that is not there.
    pub fn new(nodes: usize, edges: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut graph = Self { before: vec![Vec::new(); nodes], after: vec![Vec::new(); nodes] };
        for (dependent, needed) in edges {
            if !graph.before[dependent].contains(&needed) {
                graph.before[dependent].push(needed);
                graph.after[needed].push(dependent);
            }
        }
        graph
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.before.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty()
    }

    /// What a node depends on.
    pub fn before(&self, node: usize) -> &[usize] {
        &self.before[node]
    }

    /// What depends on a node.
    pub fn after(&self, node: usize) -> &[usize] {
        &self.after[node]
    }

    /// All edges, by dependent.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.before.iter().enumerate().flat_map(|(a, before)| before.iter().map(move |&b| (a, b)))
    }

    /// The nodes in waves: each as early as what it depends on lets it. `None` if there is a cycle.
    pub fn waves(&self) -> Option<Vec<Vec<usize>>> {
        let order = self.order()?;
        let mut wave = vec![0; self.len()];
        for &node in &order {
            wave[node] = self.before[node].iter().map(|&b| wave[b] + 1).max().unwrap_or(0);
        }
        let mut waves = vec![Vec::new(); wave.iter().max().map_or(0, |last| last + 1)];
        for (node, &number) in wave.iter().enumerate() {
            waves[number].push(node);
        }
        Some(waves)
    }

    /// The longest chain of dependencies by the cost of its nodes, first node first. `None` if
    /// there is a cycle.
    pub fn critical_path(&self, cost: impl Fn(usize) -> f64) -> Option<Vec<usize>> {
        let order = self.order()?;
        let mut ends_at = vec![0.0_f64; self.len()];
        for &node in &order {
            let begins = self.before[node].iter().map(|&b| ends_at[b]).fold(0.0, f64::max);
            ends_at[node] = begins + cost(node);
        }
        let latest = |nodes: &mut dyn Iterator<Item = usize>| {
            nodes.max_by(|&a, &b| ends_at[a].total_cmp(&ends_at[b]).then(b.cmp(&a)))
        };
        let mut path: Vec<usize> = latest(&mut (0..self.len())).into_iter().collect();
        while let Some(&node) = path.last() {
            match latest(&mut self.before[node].iter().copied()) {
                Some(earlier) => path.push(earlier),
                None => break,
            }
        }
        path.reverse();
        Some(path)
    }

    /// The nodes so that each comes after what it depends on. `None` if there is a cycle.
    pub fn order(&self) -> Option<Vec<usize>> {
        let mut missing: Vec<usize> = self.before.iter().map(Vec::len).collect();
        let mut free: VecDeque<usize> = (0..self.len()).filter(|&n| missing[n] == 0).collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(node) = free.pop_front() {
            order.push(node);
            for &dependent in &self.after[node] {
                missing[dependent] -= 1;
                if missing[dependent] == 0 {
                    free.push_back(dependent);
                }
            }
        }
        (order.len() == self.len()).then_some(order)
    }

    /// The knots: sets of nodes that all depend on each other, smallest node first.
    pub fn knots(&self) -> Vec<Vec<usize>> {
        let mut graph = DiGraph::<(), ()>::with_capacity(self.len(), 0);
        let nodes: Vec<NodeIndex> = (0..self.len()).map(|_| graph.add_node(())).collect();
        for (a, b) in self.edges() {
            graph.add_edge(nodes[a], nodes[b], ());
        }
        let in_cycle =
            |knot: &Vec<usize>| knot.len() > 1 || self.before[knot[0]].contains(&knot[0]);
        let mut knots: Vec<Vec<usize>> = tarjan_scc(&graph)
            .into_iter()
            .map(|knot| {
                let mut knot: Vec<usize> = knot.into_iter().map(NodeIndex::index).collect();
                knot.sort_unstable();
                knot
            })
            .filter(in_cycle)
            .collect();
        knots.sort();
        knots
    }

    /// A shortest cycle through a node, starting with it and ending before it returns; empty if
    /// there is none.
    pub fn shortest_cycle(&self, node: usize) -> Vec<usize> {
        let mut cycle = self.shortest_path(node, node, &[]);
        cycle.pop();
        cycle
    }

    /// A shortest way along the edges from one node to another, both included, of at least one
    /// edge; empty if there is none. Edges that are `cut` do not count.
    pub fn shortest_path(&self, from: usize, to: usize, cut: &[(usize, usize)]) -> Vec<usize> {
        let cut: HashSet<(usize, usize)> = cut.iter().copied().collect();
        let mut came_from: Vec<Option<usize>> = vec![None; self.len()];
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            for &next in self.before[node].iter().filter(|&&next| !cut.contains(&(node, next))) {
                if next == to {
                    let back = |node: &usize| came_from[*node].filter(|_| *node != from);
                    let mut path: Vec<usize> = std::iter::successors(Some(node), back).collect();
                    path.reverse();
                    path.push(to);
                    return path;
                }
                if came_from[next].is_none() && next != from {
                    came_from[next] = Some(node);
                    queue.push_back(next);
                }
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_are_as_early_as_can_be() {
        let graph = Graph::new(5, [(1, 0), (2, 0), (3, 1), (3, 2), (3, 0)]);
        assert_eq!(graph.waves().unwrap(), [vec![0, 4], vec![1, 2], vec![3]]);
        assert_eq!(Graph::new(0, []).waves().unwrap(), Vec::<Vec<usize>>::new());
        assert_eq!(Graph::new(2, [(0, 1), (1, 0)]).waves(), None);
    }

    #[test]
    fn the_critical_path_follows_cost_and_not_length() {
        let graph = Graph::new(5, [(1, 0), (2, 1), (4, 3)]);
        assert_eq!(graph.critical_path(|_| 1.0).unwrap(), [0, 1, 2]);
        assert_eq!(graph.critical_path(|n| if n == 3 { 9.0 } else { 1.0 }).unwrap(), [3, 4]);
    }

    #[test]
    fn knots_and_cycles_are_found() {
        let graph = Graph::new(6, [(0, 1), (1, 2), (2, 0), (3, 3), (4, 5), (0, 4)]);
        assert_eq!(graph.knots(), [vec![0, 1, 2], vec![3]]);
        assert_eq!(graph.shortest_cycle(0), [0, 1, 2]);
        assert_eq!(graph.shortest_cycle(3), [3]);
        assert_eq!(graph.shortest_cycle(4), Vec::<usize>::new());
        assert_eq!(graph.shortest_path(0, 2, &[]), [0, 1, 2]);
        assert_eq!(graph.shortest_path(0, 2, &[(1, 2)]), Vec::<usize>::new());
    }
}
