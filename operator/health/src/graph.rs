//! Who depends on whom. Named dependencies come in; a graph without cycles goes out, dependencies before dependents,
//! together with the cycles that were cut and the names that don't exist. It knows nothing of status.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::ComponentId;

/// One dependency of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// On which component.
    pub on: ComponentId,
    /// Whether the component can't work without it.
    pub required: bool,
}

/// A name that something depends on and that no check watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What depends on it.
    pub component: ComponentId,
    /// The name that isn't there.
    pub on: ComponentId,
}

/// The dependency graph. Components are addressed by their position, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    ids: Vec<ComponentId>,
    index: HashMap<ComponentId, usize>,
    edges: Vec<Vec<Edge>>,
    order: Vec<usize>,
    cycles: Vec<Vec<ComponentId>>,
    missing: Vec<Missing>,
}

/// An edge to the component at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The position of the dependency.
    pub to: usize,
    /// Whether the component can't work without it.
    pub required: bool,
}

impl Graph {
    /// The graph of these components. A dependency that closes a cycle is cut and the cycle reported: the first in the
    /// order of names that comes back to a component still being followed. Of two components with one name the last
    /// counts.
    pub fn new(components: impl IntoIterator<Item = (ComponentId, Vec<Dependency>)>) -> Self {
        let mut named: Vec<(ComponentId, Vec<Dependency>)> = components.into_iter().collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.reverse();
        named.dedup_by(|a, b| a.0 == b.0);
        named.reverse();
        let ids: Vec<ComponentId> = named.iter().map(|(id, _)| id.clone()).collect();
        let index: HashMap<ComponentId, usize> =
            ids.iter().enumerate().map(|(i, id)| (id.clone(), i)).collect();
        let mut missing = Vec::new();
        let edges = named
            .into_iter()
            .map(|(id, dependencies)| {
                let mut edges: Vec<Edge> = Vec::new();
                for dependency in dependencies {
                    match index.get(&dependency.on) {
                        Some(to) => edges.push(Edge { to: *to, required: dependency.required }),
                        None => missing.push(Missing { component: id.clone(), on: dependency.on }),
                    }
                }
                edges.sort_by_key(|e| (e.to, !e.required));
                edges.dedup_by_key(|e| e.to);
                edges
            })
            .collect();
        let mut graph = Self { ids, index, edges, order: Vec::new(), cycles: Vec::new(), missing };
        graph.order_and_cut();
        graph
    }

    /// How many components there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The name at a position.
    pub fn id(&self, position: usize) -> Option<&ComponentId> {
        self.ids.get(position)
    }

    /// The names, in the order of their positions.
    pub fn ids(&self) -> &[ComponentId] {
        &self.ids
    }

    /// The position of a name.
    pub fn position(&self, id: &ComponentId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// What the component at a position depends on, cut edges left out.
    pub fn dependencies(&self, position: usize) -> &[Edge] {
        self.edges.get(position).map_or(&[], Vec::as_slice)
    }

    /// All positions, each after everything it depends on.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The cycles that were cut: each begins and ends with the same component.
    pub fn cycles(&self) -> &[Vec<ComponentId>] {
        &self.cycles
    }

    /// The names that don't exist.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Depth first with a stack of its own, so a long chain can't overflow the thread's.
    fn order_and_cut(&mut self) {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.ids.len()];
        for start in 0..self.ids.len() {
            if marks[start] != Mark::New {
                continue;
            }
            let mut path: Vec<(usize, usize)> = vec![(start, 0)];
            marks[start] = Mark::Open;
            while let Some((node, next)) = path.pop() {
                let Some(edge) = self.edges[node].get(next).copied() else {
                    marks[node] = Mark::Done;
                    self.order.push(node);
                    continue;
                };
                match marks[edge.to] {
                    Mark::New => {
                        path.push((node, next + 1));
                        path.push((edge.to, 0));
                        marks[edge.to] = Mark::Open;
                    }
                    Mark::Done => path.push((node, next + 1)),
                    Mark::Open => {
                        path.push((node, next));
                        let from = path.iter().position(|(n, _)| *n == edge.to).unwrap_or(0);
                        let mut cycle: Vec<_> =
                            path[from..].iter().map(|(n, _)| self.ids[*n].clone()).collect();
                        cycle.push(self.ids[edge.to].clone());
                        self.cycles.push(cycle);
                        self.edges[node].remove(next);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(name: &str) -> ComponentId {
        ComponentId::new("shop", name)
    }

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        Graph::new(edges.iter().map(|(name, on)| {
            (id(name), on.iter().map(|n| Dependency { on: id(n), required: true }).collect())
        }))
    }

    #[test]
    fn dependencies_come_before_dependents() {
        let g = graph(&[("checkout", &["orders"]), ("orders", &["db"]), ("db", &[])]);
        let names: Vec<_> = g.order().iter().map(|i| g.ids()[*i].name().to_owned()).collect();
        assert_eq!(names, ["db", "orders", "checkout"]);
    }

    #[test]
    fn a_cycle_is_cut_once_and_named() {
        let g = graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])]);
        assert_eq!(g.cycles(), [vec![id("a"), id("b"), id("c"), id("a")]]);
        assert_eq!(g.order().len(), 4);
        assert_eq!(graph(&[("a", &["a"])]).cycles(), [vec![id("a"), id("a")]]);
    }

    #[test]
    fn a_name_that_does_not_exist_is_reported() {
        let g = graph(&[("a", &["ghost"])]);
        assert_eq!(g.missing(), [Missing { component: id("a"), on: id("ghost") }]);
        assert!(g.dependencies(0).is_empty());
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_does_not_overflow() {
        let n = 100_000;
        let g = Graph::new((0..n).map(|i| {
            let on = Dependency { on: id(&format!("{:06}", i + 1)), required: true };
            (id(&format!("{i:06}")), if i + 1 < n { vec![on] } else { vec![] })
        }));
        assert_eq!(g.order().first(), Some(&(n - 1)));
    }

    proptest! {
        #[test]
        fn whatever_is_drawn_becomes_a_graph_without_cycles(
            edges in prop::collection::vec((0_usize..30, 0_usize..30), 0..200)
        ) {
            let g = Graph::new((0..30).map(|n| {
                let on = edges.iter().filter(|(from, _)| *from == n)
                    .map(|(_, to)| Dependency { on: id(&format!("{to:02}")), required: true }).collect();
                (id(&format!("{n:02}")), on)
            }));
            prop_assert_eq!(g.order().len(), 30);
            let mut seen = [false; 30];
            for position in g.order() {
                for edge in g.dependencies(*position) {
                    prop_assert!(seen[edge.to], "a dependency comes first");
                }
                seen[*position] = true;
            }
            for cycle in g.cycles() {
                prop_assert_eq!(cycle.first(), cycle.last());
                prop_assert!(cycle.len() >= 2);
            }
        }
    }
}
