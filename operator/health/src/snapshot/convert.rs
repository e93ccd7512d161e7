//! From an overview and the alerts to what the page shows. Pure.

use super::{
    AlertSnapshot, Delivery, HealthGroup, HealthNode, HealthSnapshot, HealthStatus, HealthTransition,
};
use crate::alert::Alert;
use crate::check::Beat;
use crate::{ComponentView, Criticality, Overview, Status, Verdict};

impl From<Status> for HealthStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pass => Self::Pass,
            Status::Maintenance => Self::Maintenance,
            Status::Warn => Self::Warn,
            Status::Unknown => Self::Unknown,
            Status::Fail => Self::Fail,
        }
    }
}

impl HealthSnapshot {
    /// What the page shows of the system's health.
    pub fn of(overview: &Overview) -> Self {
        let group = |g: &crate::rollup::Group| HealthGroup { name: g.name.clone(), status: g.status.into() };
        Self {
            status: overview.status.into(),
            nodes: overview.components.iter().map(node).collect(),
            groups: overview.groups.iter().map(group).collect(),
        }
    }
}

fn node(view: &ComponentView) -> HealthNode {
    let component = &view.component;
    let uptime = [
        ("1h", view.uptime.hour),
        ("24h", view.uptime.day),
        ("7d", view.uptime.week),
        ("30d", view.uptime.month),
    ];
    let last = view.view.last.as_ref();
    let share = |voters: usize| u32::try_from(voters).unwrap_or(u32::MAX);
    HealthNode {
        id: component.id.to_string(),
        title: component.id.name().to_owned(),
        groups: component.groups.clone(),
        kind: component.kind.clone(),
        status: view.status.into(),
        pending: view.view.pending.is_some(),
        flapping: view.view.flapping,
        since: Some(view.since),
        output: view.output(),
        critical: component.criticality == Criticality::Critical,
        depends_on: component.depends_on.iter().map(|d| d.on.to_string()).collect(),
        causes: view.causes.iter().map(|c| c.id.to_string()).collect(),
        latency_ms: last.map(|o| o.latency.as_secs_f64() * 1_000.0),
        latencies_ms: view.beats.iter().map(latency).collect(),
        uptime: uptime.into_iter().filter_map(|(w, share)| Some((w.to_owned(), share?))).collect(),
        votes: Some((share(view.agreement.down), share(view.agreement.voters))),
        transitions: view
            .transitions
            .iter()
            .map(|t| HealthTransition { at: t.at, to: t.to.into(), output: String::new() })
            .collect(),
    }
}

impl ComponentView {
    /// What the component says, or where its trouble comes from.
    pub fn output(&self) -> String {
        let said = self.view.last.as_ref().map(|o| o.output.clone()).unwrap_or_default();
        match (self.causes.first(), self.agreement.dissent.as_slice()) {
            (Some(cause), _) if said.is_empty() => format!("{} is {}", cause.id, cause.status),
            (Some(cause), _) => format!("{said} (because {} is {})", cause.id, cause.status),
            (None, []) => said,
            (None, probers) => format!("only {} sees it down: {said}", probers.join(", ")),
        }
    }
}

fn latency(beat: &Beat) -> Option<f64> {
    (beat.verdict != Verdict::Fail).then(|| f64::from(beat.latency_ms))
}

impl AlertSnapshot {
    /// What the page shows of an alert.
    pub fn of(alert: &Alert, deliveries: Vec<Delivery>) -> Self {
        let label = |name: &str| alert.labels.get(name).cloned().unwrap_or_default();
        let kind = ["component", "policy", "prober"]
            .into_iter()
            .find(|k| alert.labels.contains_key(*k))
            .unwrap_or("");
        let namespace = label("namespace");
        let subject = if namespace.is_empty() {
            format!("{kind} {}", label(kind))
        } else {
            format!("{kind} {namespace}/{}", label(kind))
        };
        Self {
            id: alert.id.clone(),
            alert: alert.name.clone(),
            severity: alert.severity,
            state: alert.phase,
            subject,
            summary: alert.summary.clone(),
            description: alert.evidence.text.clone(),
            runbook_url: alert.runbook_url.clone(),
            since: alert.since,
            resolved: alert.resolved,
            consequences: alert
                .facts
                .get("consequences")
                .map(|c| c.split(", ").map(str::to_owned).collect())
                .unwrap_or_default(),
            deliveries,
            trace_id: alert.evidence.trace_id.clone(),
        }
    }
}
