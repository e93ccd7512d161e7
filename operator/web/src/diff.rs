//! What changed between two snapshots, as events. Parts are shared by pointer, so what didn't change costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use health::snapshot::{HealthNode, HealthSnapshot, Snapshot};
use serde_json::{Value, json};

/// A kind of event and its body.
pub(crate) type Change = (&'static str, Value);

/// The events that lead a reader from `old` to `new`.
pub(crate) fn changes(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let mut changes = Vec::new();
    for key in old.policies.keys().filter(|k| !new.policies.contains_key(*k)) {
        changes.push(("policy-removed", json!(key)));
    }
    for (key, policy) in &new.policies {
        if old.policies.get(key).is_none_or(|before| !Arc::ptr_eq(before, policy)) {
            changes.push(("policy", json!(policy.summary())));
        }
    }
    if !Arc::ptr_eq(&old.health, &new.health) {
        changes.extend(health(&old.health, &new.health));
    }
    if !Arc::ptr_eq(&old.alerts, &new.alerts) && old.alerts != new.alerts {
        changes.push(("alerts", json!(new.alerts)));
    }
    if !Arc::ptr_eq(&old.calendar, &new.calendar) && old.calendar != new.calendar {
        changes.push(("calendar", json!(new.calendar)));
    }
    // The data time moves with every policy; a change of that alone needs no event of its own.
    let mut before = (*old.meta).clone();
    before.data_time = new.meta.data_time;
    if before != *new.meta {
        changes.push(("meta", json!(new.meta)));
    }
    changes
}

/// Components whose state changed; a new latency alone is no news.
fn health(old: &HealthSnapshot, new: &HealthSnapshot) -> Option<Change> {
    let before: BTreeMap<&str, &HealthNode> = old.nodes.iter().map(|n| (n.id.as_str(), n)).collect();
    let differs = |n: &&HealthNode| before.get(n.id.as_str()).is_none_or(|b| state(b) != state(n));
    let nodes: Vec<&HealthNode> = new.nodes.iter().filter(differs).collect();
    let ids: std::collections::BTreeSet<&str> = new.nodes.iter().map(|n| n.id.as_str()).collect();
    let removed: Vec<&str> = before.keys().copied().filter(|id| !ids.contains(id)).collect();
    if nodes.is_empty() && removed.is_empty() && old.status == new.status && old.groups == new.groups {
        return None;
    }
    Some(("health", json!({"status": new.status, "groups": new.groups, "nodes": nodes, "removed": removed})))
}

fn state(n: &HealthNode) -> impl PartialEq + '_ {
    (n.status, n.pending, n.flapping, n.since, &n.output, &n.causes, &n.depends_on, &n.groups, n.votes)
}

#[cfg(test)]
mod tests {
    use health::snapshot::{HealthStatus, Meta};
    use jiff::Timestamp;

    use super::*;

    fn node(id: &str, status: HealthStatus) -> HealthNode {
        HealthNode {
            id: id.into(),
            title: id.into(),
            groups: vec![],
            kind: "http".into(),
            status,
            pending: false,
            flapping: false,
            since: None,
            output: String::new(),
            critical: true,
            depends_on: vec![],
            causes: vec![],
            latency_ms: None,
            latencies_ms: vec![],
            uptime: vec![],
            votes: None,
            transitions: vec![],
        }
    }

    fn snapshot(nodes: Vec<HealthNode>) -> Snapshot {
        let mut snapshot = Snapshot::new(Meta::new("1", "a", Timestamp::UNIX_EPOCH));
        snapshot.health = Arc::new(HealthSnapshot { status: HealthStatus::Pass, nodes, groups: vec![] });
        snapshot
    }

    #[test]
    fn only_components_whose_state_changed_are_told() {
        let old = snapshot(vec![node("a", HealthStatus::Pass), node("b", HealthStatus::Pass)]);
        let mut slower = node("b", HealthStatus::Pass);
        slower.latency_ms = Some(12.0);
        let calm = snapshot(vec![node("a", HealthStatus::Pass), slower.clone()]);
        assert_eq!(changes(&old, &calm), vec![]);
        let bad = snapshot(vec![node("a", HealthStatus::Fail), slower]);
        let told = changes(&calm, &bad);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1["nodes"].as_array().unwrap().len(), 1);
        assert_eq!(told[0].1["nodes"][0]["id"], "a");
    }

    #[test]
    fn the_data_time_alone_is_no_event() {
        let old = snapshot(vec![]);
        let mut new = old.clone();
        Arc::make_mut(&mut new.meta).data_time = Timestamp::from_second(9).unwrap();
        assert_eq!(changes(&old, &new), vec![]);
        Arc::make_mut(&mut new.meta).leader = true;
        assert_eq!(changes(&old, &new)[0].0, "meta");
    }
}
