//! Every check of the system in one place: definitions and probe outcomes come in, and an [`Overview`] goes out that
//! has thresholds, agreement between probers, maintenance, dependencies and groups already applied. It knows neither
//! how a probe is made nor how other probers' views arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agreement::{self, Agreement, Isolated, ProberView};
use crate::check::{Beat, Check, Outcome, Settings, Transition, View};
use crate::event::Event;
use crate::graph::{Dependency, Graph, Missing};
use crate::maintenance::Announcement;
use crate::rollup::{self, Cause, Criticality, Group, Member, Rolled, Summary};
use crate::uptime::UptimeRatios;
use crate::{ComponentId, Status};

/// A component as its `HealthCheck` defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// Its name.
    pub id: ComponentId,
    /// What kind of probe watches it: `http`, `redis`, ...
    pub kind: String,
    /// When and how it is probed.
    pub settings: Settings,
    /// Whether its group is down, or only degraded, when it is down.
    pub criticality: Criticality,
    /// What it needs.
    pub depends_on: Vec<Dependency>,
    /// The groups it belongs to.
    pub groups: Vec<String>,
    /// Labels, passed on to alerts.
    pub labels: BTreeMap<String, String>,
}

/// Everything about one component at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentView {
    /// The component as its `HealthCheck` defines it.
    #[serde(flatten)]
    pub component: Arc<Component>,
    /// Its status, dependencies and agreement included.
    pub status: Status,
    /// When its status last changed.
    pub since: Timestamp,
    /// What it says of itself, as the probers agree.
    pub own: Status,
    /// What this prober sees.
    pub view: View,
    /// How the probers' votes fell.
    pub agreement: Agreement,
    /// Where the trouble comes from, if not from here.
    pub causes: Vec<Cause>,
    /// In trouble, and nothing it depends on is as unwell.
    pub root: bool,
    /// What is in trouble because of it.
    pub consequences: Vec<ComponentId>,
    /// A planned window that it is in.
    pub maintenance: Option<Announcement>,
    /// Shares of time up.
    pub uptime: UptimeRatios,
    /// Lately, newest first.
    pub transitions: Vec<Transition>,
    /// The last results of this prober, oldest first.
    pub beats: Vec<Beat>,
}

/// Everything about the system at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// When it was rolled up.
    pub at: Timestamp,
    /// The system as a whole.
    pub status: Status,
    /// How many components have which status.
    pub summary: Summary,
    /// The components, by name.
    pub components: Vec<ComponentView>,
    /// The groups, by name.
    pub groups: Vec<Group>,
    /// Dependencies that run in a circle; one edge of each was cut.
    pub cycles: Vec<Vec<ComponentId>>,
    /// Dependencies on names that no check watches.
    pub missing: Vec<Missing>,
    /// Probers whose view of the world is theirs alone.
    pub isolated: Vec<Isolated>,
    /// How many probers' views went in.
    pub probers: usize,
}

/// Why replicas must not go down now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateFailure {
    /// The component that forbids it.
    pub id: ComponentId,
    /// How it is.
    pub status: Status,
    /// Where that comes from, where it isn't the component itself.
    pub cause: Option<ComponentId>,
}

/// What the checks and groups that a policy names say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// What forbids scale-down.
    pub failures: Vec<GateFailure>,
    /// When the last of those that are well became so.
    pub since: Option<Timestamp>,
}

impl Gate {
    fn look(&mut self, view: &ComponentView) {
        match closed(view) {
            Some(failure) => self.failures.push(failure),
            None => self.since = self.since.max(Some(view.since)),
        }
    }
}

impl Overview {
    /// Nothing known yet.
    pub fn empty(at: Timestamp) -> Self {
        Self {
            at,
            status: Status::Pass,
            summary: Summary::default(),
            components: Vec::new(),
            groups: Vec::new(),
            cycles: Vec::new(),
            missing: Vec::new(),
            isolated: Vec::new(),
            probers: 0,
        }
    }

    /// One component.
    pub fn component(&self, id: &ComponentId) -> Option<&ComponentView> {
        let found = self.components.binary_search_by(|c| c.component.id.cmp(id)).ok()?;
        self.components.get(found)
    }

    /// The members of a group; `None` where there is no such group.
    pub fn members(&self, group: &str) -> Option<Vec<&ComponentView>> {
        let group = self.groups.iter().find(|g| g.name == group)?;
        Some(group.members.iter().filter_map(|id| self.component(id)).collect())
    }

    /// What forbids scale-down to a policy of `namespace` that names these checks and groups: each that fails, that is
    /// not known yet, or that doesn't exist (what can't be seen can't be called well).
    pub fn gate(&self, namespace: &str, checks: &[String], groups: &[String]) -> Gate {
        let mut gate = Gate::default();
        let missing = |id| GateFailure { id, status: Status::Unknown, cause: None };
        for name in checks {
            let id = match name.split_once('/') {
                Some((namespace, name)) => ComponentId::new(namespace, name),
                None => ComponentId::new(namespace, name),
            };
            match self.component(&id) {
                Some(view) => gate.look(view),
                None => gate.failures.push(missing(id)),
            }
        }
        for group in groups {
            match self.members(group) {
                Some(members) => members
                    .into_iter()
                    .filter(|v| v.component.criticality == Criticality::Critical)
                    .for_each(|v| gate.look(v)),
                None => gate.failures.push(missing(ComponentId::new(namespace, group))),
            }
        }
        gate.failures.sort_by(|a, b| a.id.cmp(&b.id));
        gate.failures.dedup_by(|a, b| a.id == b.id);
        gate
    }
}

fn closed(view: &ComponentView) -> Option<GateFailure> {
    matches!(view.status, Status::Fail | Status::Unknown).then(|| GateFailure {
        id: view.component.id.clone(),
        status: view.status,
        cause: view.causes.first().map(|c| c.id.clone()),
    })
}

/// How many results an overview carries for a component.
const BEATS_SHOWN: usize = 20;

struct Entry {
    component: Arc<Component>,
    check: Check,
    status: Status,
    since: Timestamp,
    flapping: bool,
}

/// The state of all checks.
#[derive(Default)]
pub struct System {
    entries: BTreeMap<ComponentId, Entry>,
    graph: Graph,
}

impl System {
    /// No checks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `components` the ones that are watched: new ones begin unknown, those gone are forgotten, and those that
    /// stay keep their history.
    pub fn define(&mut self, components: impl IntoIterator<Item = Component>, now: Timestamp) {
        let mut kept = BTreeSet::new();
        for component in components {
            let id = component.id.clone();
            kept.insert(id.clone());
            let settings = component.settings.clone();
            let component = Arc::new(component);
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.check.reconfigure(settings);
                entry.component = component;
            } else {
                let check = Check::new(settings, now);
                let entry = Entry { component, check, status: Status::Unknown, since: now, flapping: false };
                self.entries.insert(id, entry);
            }
        }
        self.entries.retain(|id, _| kept.contains(id));
        self.graph = Graph::new(
            self.entries.values().map(|e| (e.component.id.clone(), e.component.depends_on.clone())),
        );
    }

    /// How many checks there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes in what a probe found. Gives whether this prober's own view changed, so that there is something to roll
    /// up and to share. An outcome for a check that is gone is dropped.
    pub fn observe(&mut self, id: &ComponentId, outcome: Outcome, now: Timestamp, maintenance: bool) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        let before = entry.check.view();
        entry.check.observe(outcome, now, maintenance);
        let after = entry.check.view();
        (before.status, before.flapping, before.pending) != (after.status, after.flapping, after.pending)
    }

    /// What this prober tells the others.
    pub fn own_view(&self, prober: &str) -> ProberView {
        let troubles = self
            .entries
            .iter()
            .map(|(id, e)| (id.clone(), e.check.view().status))
            .filter(|(_, status)| *status != Status::Pass)
            .collect();
        ProberView { prober: prober.to_owned(), probed: self.entries.len(), troubles }
    }

    /// The last results of one component, oldest first.
    pub fn beats(&self, id: &ComponentId) -> Vec<Beat> {
        self.entries.get(id).map(|e| e.check.beats().copied().collect()).unwrap_or_default()
    }

    /// Rolls everything up: this prober's views, the `others` that were heard of recently, and what is planned for a
    /// component. Gives the overview and what changed since the last call.
    pub fn overview(
        &mut self,
        prober: &str,
        others: &[ProberView],
        maintenance: impl Fn(&Component) -> Option<Announcement>,
        now: Timestamp,
    ) -> (Overview, Vec<Event>) {
        let mut views = vec![self.own_view(prober)];
        views.extend(others.iter().filter(|v| v.prober != prober).cloned());
        let isolated = agreement::isolated(&views);
        let voters: Vec<&ProberView> =
            views.iter().filter(|v| !isolated.iter().any(|i| i.prober == v.prober)).collect();
        let mut planned = Vec::with_capacity(self.entries.len());
        let mut own = Vec::with_capacity(self.entries.len());
        let mut agreements = Vec::with_capacity(self.entries.len());
        for (id, entry) in &mut self.entries {
            let window = maintenance(&entry.component).filter(|w| w.begun(now));
            entry.check.tick(now, window.is_some());
            let (mut status, agreement) = agreement::agree(&heard(&voters, &views[0], id), id);
            if window.is_some() {
                status = Status::Maintenance;
            }
            planned.push(maintenance(&entry.component));
            own.push(status);
            agreements.push(agreement);
        }
        let rolled = rollup::roll_up(&self.graph, &own);
        let mut events = Vec::new();
        let mut components = Vec::with_capacity(rolled.len());
        let parts = rolled.into_iter().zip(own).zip(agreements).zip(planned);
        for ((_, entry), (((rolled, own), agreement), window)) in self.entries.iter_mut().zip(parts) {
            let view = entry.check.view();
            events.extend(turn(entry, &rolled, &view, now));
            components.push(ComponentView {
                component: entry.component.clone(),
                status: rolled.status,
                since: entry.since,
                own,
                view,
                agreement,
                causes: rolled.causes,
                root: rolled.root,
                consequences: rolled.consequences,
                maintenance: window,
                uptime: entry.check.uptime(now),
                transitions: entry.check.transitions().rev().take(10).cloned().collect(),
                beats: entry.check.beats().rev().take(BEATS_SHOWN).rev().copied().collect(),
            });
        }
        (self.assemble(components, isolated, views.len(), now), events)
    }

    fn assemble(
        &self,
        components: Vec<ComponentView>,
        isolated: Vec<Isolated>,
        probers: usize,
        now: Timestamp,
    ) -> Overview {
        let groups = rollup::groups(components.iter().map(|c| Member {
            id: &c.component.id,
            status: c.status,
            criticality: c.component.criticality,
            groups: &c.component.groups,
        }));
        Overview {
            at: now,
            status: rollup::worst(components.iter().map(|c| (c.status, c.component.criticality))),
            summary: Summary::of(components.iter().map(|c| c.status)),
            components,
            groups,
            cycles: self.graph.cycles().to_vec(),
            missing: self.graph.missing().to_vec(),
            isolated,
            probers,
        }
    }
}

/// Whose votes on a component count. While we haven't probed it ourselves, silence of somebody who has fewer components
/// than we have may mean that this one is new to them, too.
fn heard<'a>(voters: &[&'a ProberView], own: &ProberView, id: &ComponentId) -> Vec<&'a ProberView> {
    let unprobed = own.troubles.get(id) == Some(&Status::Unknown);
    let knows = |v: &ProberView| v.probed >= own.probed || v.troubles.contains_key(id);
    voters.iter().copied().filter(|v| !unprobed || knows(v)).collect()
}

/// Notes a component's new status and tells what changed.
fn turn(entry: &mut Entry, rolled: &Rolled, view: &View, now: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    let id = &entry.component.id;
    if rolled.status != entry.status {
        events.push(Event::Transition {
            id: id.clone(),
            at: now,
            from: entry.status,
            to: rolled.status,
            lasted_seconds: series::time::since(now, entry.since).as_secs(),
            causes: rolled.causes.clone(),
            output: view.last.as_ref().map(|o| o.output.clone()).unwrap_or_default(),
        });
        entry.status = rolled.status;
        entry.since = now;
    }
    if view.flapping != entry.flapping {
        events.push(Event::Flapping { id: id.clone(), at: now, flapping: view.flapping });
        entry.flapping = view.flapping;
    }
    events
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Reason;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn id(name: &str) -> ComponentId {
        ComponentId::new("shop", name)
    }

    fn component(name: &str, on: &[&str]) -> Component {
        Component {
            id: id(name),
            kind: "http".into(),
            settings: Settings::default(),
            criticality: Criticality::Critical,
            depends_on: on.iter().map(|n| Dependency { on: id(n), required: true }).collect(),
            groups: vec!["shop".into()],
            labels: BTreeMap::new(),
        }
    }

    fn system() -> System {
        let mut system = System::new();
        system.define([component("web", &["db"]), component("db", &[])], at(0));
        system
    }

    fn pass() -> Outcome {
        Outcome::pass(Duration::from_millis(2))
    }

    fn fail() -> Outcome {
        Outcome::fail(Reason::Refused, "connection refused", Duration::from_millis(2))
    }

    #[test]
    fn a_database_that_dies_is_the_root_and_what_needs_it_is_folded() {
        let mut system = system();
        for s in 1..3 {
            system.observe(&id("web"), pass(), at(s * 5), false);
            system.observe(&id("db"), pass(), at(s * 5), false);
        }
        let (overview, events) = system.overview("a", &[], |_| None, at(10));
        assert_eq!(overview.status, Status::Pass);
        assert_eq!(events.len(), 2, "from unknown to pass, twice");
        for s in 3..5 {
            system.observe(&id("web"), fail(), at(s * 5), false);
            system.observe(&id("db"), fail(), at(s * 5), false);
        }
        let (overview, events) = system.overview("a", &[], |_| None, at(20));
        let db = overview.component(&id("db")).unwrap();
        assert!(db.root);
        assert_eq!(db.consequences, [id("web")]);
        assert_eq!(events.len(), 2);
        assert_eq!(overview.groups[0].status, Status::Fail);
        assert!(system.overview("a", &[], |_| None, at(21)).1.is_empty(), "told once");
    }

    #[test]
    fn one_prober_alone_does_not_take_a_component_down() {
        let mut system = system();
        for s in 1..4 {
            system.observe(&id("db"), fail(), at(s * 5), false);
            system.observe(&id("web"), pass(), at(s * 5), false);
        }
        let other = |name: &str| ProberView { prober: name.into(), probed: 2, troubles: BTreeMap::new() };
        let (overview, _) = system.overview("a", &[other("b"), other("c")], |_| None, at(20));
        let db = overview.component(&id("db")).unwrap();
        assert_eq!((db.own, db.view.status), (Status::Warn, Status::Fail));
        assert_eq!(db.agreement.dissent, ["a"]);
    }

    #[test]
    fn silence_about_a_component_that_is_new_to_everybody_is_no_pass() {
        let mut system = system();
        let other = |probed| ProberView { prober: "b".into(), probed, troubles: BTreeMap::new() };
        let status = |system: &mut System, other: ProberView, second| {
            let (overview, _) = system.overview("a", &[other], |_| None, at(second));
            overview.component(&id("db")).unwrap().status
        };
        assert_eq!(status(&mut system, other(0), 1), Status::Unknown, "b has heard of nothing yet");
        assert_eq!(status(&mut system, other(2), 2), Status::Pass, "b probes it, and has nothing to tell");
    }

    #[test]
    fn maintenance_hides_a_failure_and_is_not_a_cause() {
        let mut system = system();
        for s in 1..4 {
            system.observe(&id("db"), fail(), at(s * 5), true);
            system.observe(&id("web"), pass(), at(s * 5), false);
        }
        let window = Announcement::window(at(0), at(600), 30, "kernel patch");
        let planned = |c: &Component| (c.id == id("db")).then(|| window.clone());
        let (overview, _) = system.overview("a", &[], planned, at(20));
        assert_eq!(overview.component(&id("db")).unwrap().status, Status::Maintenance);
        assert_eq!(overview.component(&id("web")).unwrap().status, Status::Maintenance);
        assert_eq!(overview.status, Status::Maintenance);
    }

    #[test]
    fn the_gate_is_shut_for_what_fails_is_unknown_or_is_not_there() {
        let mut system = system();
        for s in 1..4 {
            system.observe(&id("db"), fail(), at(s * 5), false);
            system.observe(&id("web"), pass(), at(s * 5), false);
        }
        let (overview, _) = system.overview("a", &[], |_| None, at(20));
        let shut = |checks: &[&str], groups: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
            overview.gate("shop", &owned(checks), &owned(groups)).failures
        };
        assert_eq!(shut(&["web", "ghost"], &[]).len(), 2);
        assert_eq!(shut(&["web", "ghost"], &[])[1].cause, Some(id("db")));
        assert_eq!(shut(&[], &["shop"]).len(), 2);
        assert_eq!(shut(&["shop/db"], &[]).len(), 1);
        assert_eq!(overview.gate("shop", &[], &[]), Gate::default());
    }

    #[test]
    fn a_redefined_check_keeps_its_history_and_a_deleted_one_is_forgotten() {
        let mut system = system();
        system.observe(&id("db"), pass(), at(5), false);
        system.define([component("db", &[])], at(6));
        assert_eq!(system.len(), 1);
        assert_eq!(system.beats(&id("db")).len(), 1);
        assert!(!system.observe(&id("web"), fail(), at(7), false));
    }
}
