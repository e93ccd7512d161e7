//! From what each component says of itself to what is the matter: component → group → system, with causes told from
//! consequences. It knows nothing of time and of probes.
//!
//! The rules, one line each. A required dependency that is down makes a component down; an optional one makes it
//! degraded; one in maintenance makes it maintenance. A dependency that is degraded or not yet checked says nothing
//! about its dependents. A component in trouble is a *consequence* when something it depends on, however far away, is
//! at least as unwell; otherwise it is a *root cause*. An optional member that is down makes its group degraded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::graph::Graph;
use crate::{ComponentId, Status};

/// How much a component matters to its groups and to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Criticality {
    /// Its group is down when it is down.
    #[default]
    Critical,
    /// Its group is degraded when it is down.
    Optional,
}

/// How many root causes are named for one component.
const CAUSES_MAX: usize = 8;

/// A root cause, and the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The component where it began.
    pub id: ComponentId,
    /// Its status.
    pub status: Status,
    /// From the component in question to the cause, both included.
    pub path: Vec<ComponentId>,
}

/// One component after roll-up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rolled {
    /// The status with its dependencies taken into account.
    pub status: Status,
    /// Where the trouble comes from; empty for a component that is well or is itself the root.
    pub causes: Vec<Cause>,
    /// In trouble, and nothing it depends on is as unwell.
    pub root: bool,
    /// What is in trouble because of this root.
    pub consequences: Vec<ComponentId>,
}

/// Rolls `own` up over the graph; `own[i]` is what the component at position `i` says of itself.
pub fn roll_up(graph: &Graph, own: &[Status]) -> Vec<Rolled> {
    let mut rolled = vec![Rolled::default(); graph.len()];
    // For each component: its root causes, and the dependency through which each is reached.
    let mut roots: Vec<Vec<(usize, usize)>> = vec![Vec::new(); graph.len()];
    for &position in graph.order() {
        let mine = own.get(position).copied().unwrap_or_default();
        let mut status = mine;
        let mut found: Vec<(usize, usize)> = Vec::new();
        for edge in graph.dependencies(position) {
            let theirs = rolled[edge.to].status;
            status = status.max(inherited(theirs, edge.required, mine));
            let via_roots = if rolled[edge.to].root { vec![edge.to] } else { reach(&roots[edge.to]) };
            for root in via_roots {
                if !found.iter().any(|(r, _)| *r == root) {
                    found.push((root, edge.to));
                }
            }
        }
        let in_trouble = status.is_trouble();
        // Only what is at least as unwell as the component's own word explains that word.
        let own_word = if mine.is_trouble() { mine } else { Status::Warn };
        found.retain(|(root, _)| own.get(*root).copied().unwrap_or_default() >= own_word);
        found.truncate(CAUSES_MAX);
        rolled[position].status = status;
        rolled[position].root = in_trouble && found.is_empty();
        roots[position] = if in_trouble { found } else { Vec::new() };
    }
    for position in 0..graph.len() {
        for &(root, _) in &roots[position] {
            if let (Some(id), Some(root_id)) = (graph.id(position), graph.id(root)) {
                rolled[root].consequences.push(id.clone());
                let path = path_to(graph, &roots, position, root);
                let status = own.get(root).copied().unwrap_or_default();
                rolled[position].causes.push(Cause { id: root_id.clone(), status, path });
            }
        }
    }
    rolled
}

fn inherited(theirs: Status, required: bool, mine: Status) -> Status {
    match (theirs, required) {
        (Status::Fail, true) => Status::Fail,
        (Status::Fail, false) => Status::Warn,
        // A component that nobody has checked stays unknown; a planned outage doesn't make it better known.
        (Status::Maintenance, true) if mine != Status::Unknown => Status::Maintenance,
        _ => Status::Pass,
    }
}

fn reach(roots: &[(usize, usize)]) -> Vec<usize> {
    roots.iter().map(|(root, _)| *root).collect()
}

fn path_to(graph: &Graph, roots: &[Vec<(usize, usize)>], from: usize, root: usize) -> Vec<ComponentId> {
    let mut path = Vec::new();
    let mut here = from;
    loop {
        path.extend(graph.id(here).cloned());
        if here == root || path.len() > graph.len() {
            return path;
        }
        match roots[here].iter().find(|(r, _)| *r == root) {
            Some((_, via)) => here = *via,
            None => return path,
        }
    }
}

/// How many components have which status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Well.
    pub pass: usize,
    /// Degraded.
    pub warn: usize,
    /// Down.
    pub fail: usize,
    /// Never checked.
    pub unknown: usize,
    /// Out of service on purpose.
    pub maintenance: usize,
}

impl Summary {
    /// Counts statuses.
    pub fn of(statuses: impl IntoIterator<Item = Status>) -> Self {
        let mut summary = Self::default();
        for status in statuses {
            match status {
                Status::Pass => summary.pass += 1,
                Status::Warn => summary.warn += 1,
                Status::Fail => summary.fail += 1,
                Status::Unknown => summary.unknown += 1,
                Status::Maintenance => summary.maintenance += 1,
            }
        }
        summary
    }

    /// How many there are in all.
    pub fn total(&self) -> usize {
        self.pass + self.warn + self.fail + self.unknown + self.maintenance
    }
}

/// A group after roll-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The worst of its members, where a down member that is optional counts as degraded.
    pub status: Status,
    /// How many members have which status.
    pub summary: Summary,
    /// The members.
    pub members: Vec<ComponentId>,
}

/// One member for [`groups`].
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its name.
    pub id: &'a ComponentId,
    /// Its rolled-up status.
    pub status: Status,
    /// Whether its group is down, or only degraded, when it is down.
    pub criticality: Criticality,
    /// Which groups it belongs to.
    pub groups: &'a [String],
}

/// Rolls members up into their groups, in the order of the groups' names.
pub fn groups<'a>(members: impl IntoIterator<Item = Member<'a>>) -> Vec<Group> {
    let mut by_name: BTreeMap<&str, Vec<Member<'_>>> = BTreeMap::new();
    for member in members {
        for group in member.groups {
            by_name.entry(group).or_default().push(member);
        }
    }
    by_name
        .into_iter()
        .map(|(name, members)| Group {
            name: name.to_owned(),
            status: worst(members.iter().map(|m| (m.status, m.criticality))),
            summary: Summary::of(members.iter().map(|m| m.status)),
            members: members.iter().map(|m| m.id.clone()).collect(),
        })
        .collect()
}

/// The worst of several components: nothing at all is well, and what is optional degrades at most.
pub fn worst(members: impl IntoIterator<Item = (Status, Criticality)>) -> Status {
    members
        .into_iter()
        .map(|(status, criticality)| match (status, criticality) {
            (Status::Fail, Criticality::Optional) => Status::Warn,
            (Status::Unknown, Criticality::Optional) => Status::Pass,
            (status, _) => status,
        })
        .max()
        .unwrap_or(Status::Pass)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::Dependency;

    fn id(name: &str) -> ComponentId {
        ComponentId::new("shop", name)
    }

    /// `?` before a dependency makes it optional.
    fn check(components: &[(&str, &[&str], Status)]) -> BTreeMap<String, Rolled> {
        let graph = Graph::new(components.iter().map(|(name, on, _)| {
            let on = on
                .iter()
                .map(|n| Dependency { on: id(n.trim_start_matches('?')), required: !n.starts_with('?') });
            (id(name), on.collect())
        }));
        let own: Vec<Status> =
            graph.ids().iter().map(|i| components.iter().find(|(n, _, _)| id(n) == *i).unwrap().2).collect();
        let rolled = roll_up(&graph, &own);
        graph.ids().iter().map(|i| i.name().to_owned()).zip(rolled).collect()
    }

    use Status::{Fail, Maintenance, Pass, Unknown, Warn};

    #[test]
    fn consequences_are_folded_under_their_root() {
        let all = check(&[
            ("checkout", &["orders"], Fail),
            ("orders", &["db"], Fail),
            ("db", &[], Fail),
            ("search", &[], Pass),
        ]);
        assert!(all["db"].root);
        assert_eq!(all["db"].consequences, [id("checkout"), id("orders")]);
        assert!(!all["checkout"].root);
        assert_eq!(all["checkout"].causes[0].path, [id("checkout"), id("orders"), id("db")]);
        assert_eq!(all["search"].status, Pass);
    }

    #[test]
    fn a_required_dependency_takes_down_and_an_optional_one_degrades() {
        let all = check(&[("web", &["db"], Pass), ("blog", &["?db"], Pass), ("db", &[], Fail)]);
        assert_eq!((all["web"].status, all["blog"].status), (Fail, Warn));
        assert_eq!(all["db"].consequences.len(), 2);
        assert!(!all["web"].root && !all["blog"].root);
    }

    #[test]
    fn a_degraded_dependency_does_not_explain_a_component_that_is_down() {
        let all = check(&[("web", &["db"], Fail), ("db", &[], Warn)]);
        assert!(all["web"].root && all["db"].root);
        assert!(all["web"].causes.is_empty());
    }

    #[test]
    fn maintenance_passes_upwards_and_unknown_does_not() {
        let all = check(&[
            ("web", &["db"], Pass),
            ("db", &[], Maintenance),
            ("api", &["new"], Pass),
            ("new", &[], Unknown),
        ]);
        assert_eq!((all["web"].status, all["api"].status), (Maintenance, Pass));
        assert!(!all["web"].root);
    }

    #[test]
    fn a_down_optional_member_degrades_its_group() {
        let (a, b, g) = (id("a"), id("b"), vec!["shop".to_owned()]);
        let member = |id, status, criticality| Member { id, status, criticality, groups: &g };
        let all = groups([member(&a, Pass, Criticality::Critical), member(&b, Fail, Criticality::Optional)]);
        assert_eq!((all[0].status, all[0].summary.fail), (Warn, 1));
        assert_eq!(worst([]), Pass);
    }

    proptest! {
        #[test]
        fn trouble_always_has_a_root_and_every_path_leads_to_it(
            edges in prop::collection::vec((0_usize..20, 0_usize..20, any::<bool>()), 0..60),
            statuses in prop::collection::vec(prop::sample::select(&Status::ALL[..]), 20),
        ) {
            let name = |n: usize| id(&format!("{n:02}"));
            let graph = Graph::new((0..20).map(|n| {
                let on = edges.iter().filter(|e| e.0 == n)
                    .map(|e| Dependency { on: name(e.1), required: e.2 }).collect();
                (name(n), on)
            }));
            let all = roll_up(&graph, &statuses);
            for (position, one) in all.iter().enumerate() {
                prop_assert!(one.status >= statuses[position] || statuses[position] == Unknown);
                if one.status.is_trouble() {
                    prop_assert!(one.root == one.causes.is_empty());
                    if one.root { prop_assert!(statuses[position].is_trouble()); }
                } else {
                    prop_assert!(!one.root && one.causes.is_empty());
                }
                for cause in &one.causes {
                    prop_assert_eq!(cause.path.first(), graph.id(position));
                    prop_assert_eq!(cause.path.last(), Some(&cause.id));
                    let root = graph.position(&cause.id).unwrap();
                    prop_assert!(all[root].root);
                    prop_assert!(all[root].consequences.contains(graph.id(position).unwrap()));
                    for hop in cause.path.windows(2) {
                        let from = graph.position(&hop[0]).unwrap();
                        let to = graph.position(&hop[1]).unwrap();
                        prop_assert!(graph.dependencies(from).iter().any(|e| e.to == to));
                    }
                }
            }
        }
    }
}
