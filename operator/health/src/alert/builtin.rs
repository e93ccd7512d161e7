//! The alerts that come with Foresail: from an overview of the components, and from facts about a policy's last
//! decision, to the conditions that hold. Pure tables; when and how long is the state machine's.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time::since;

use super::{Condition, Evidence, Severity};
use crate::{ComponentView, Criticality, Overview, Status};

/// The rules that come with Foresail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BuiltIn {
    /// A component is down, and it isn't a consequence.
    ComponentDown,
    /// A component is degraded, and it isn't a consequence.
    ComponentDegraded,
    /// A certificate expires soon.
    CertificateExpiring,
    /// A prober sees down what all others see up.
    ProberIsolated,
    /// A policy wants more replicas than its maximum.
    AtMaxReplicas,
    /// A forecast was trusted and isn't any longer.
    ForecastNotTrusted,
    /// The load was beyond what was forecast, and replicas were missing.
    ForecastMissed,
    /// A metric gives no fresh data.
    DataAbsent,
    /// The API server refused to scale.
    ScalingRefused,
    /// Pods that were asked for don't get a node.
    CapacityUnreachable,
    /// Somebody else changes the replicas.
    ReplicasDrift,
    /// The load no longer behaves as it did.
    LoadDrift,
}

impl BuiltIn {
    /// Every rule.
    pub const ALL: [Self; 12] = [
        Self::ComponentDown,
        Self::ComponentDegraded,
        Self::CertificateExpiring,
        Self::ProberIsolated,
        Self::AtMaxReplicas,
        Self::ForecastNotTrusted,
        Self::ForecastMissed,
        Self::DataAbsent,
        Self::ScalingRefused,
        Self::CapacityUnreachable,
        Self::ReplicasDrift,
        Self::LoadDrift,
    ];

    /// The rule's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ComponentDown => "ComponentDown",
            Self::ComponentDegraded => "ComponentDegraded",
            Self::CertificateExpiring => "CertificateExpiring",
            Self::ProberIsolated => "ProberIsolated",
            Self::AtMaxReplicas => "AtMaxReplicas",
            Self::ForecastNotTrusted => "ForecastNotTrusted",
            Self::ForecastMissed => "ForecastMissed",
            Self::DataAbsent => "DataAbsent",
            Self::ScalingRefused => "ScalingRefused",
            Self::CapacityUnreachable => "CapacityUnreachable",
            Self::ReplicasDrift => "ReplicasDrift",
            Self::LoadDrift => "LoadDrift",
        }
    }

    /// Severity, `for` and keep-firing, in seconds.
    ///
    /// | rule | severity | for | keep firing |
    /// |---|---|---|---|
    /// | ComponentDown | critical | 10 s: two intervals, so that a root cause is known before its consequences speak | 10 s |
    /// | ComponentDegraded | warning | 1 min | 1 min |
    /// | CertificateExpiring | warning, critical below 3 days | 0 | 1 min |
    /// | ProberIsolated | warning | 1 min | 1 min |
    /// | AtMaxReplicas | warning | 10 min | 5 min |
    /// | ForecastNotTrusted | info | 30 min | 10 min |
    /// | ForecastMissed | warning | 1 min | 10 min |
    /// | DataAbsent | warning | 2 min | 1 min |
    /// | ScalingRefused | critical | 1 min | 1 min |
    /// | CapacityUnreachable | critical | 5 min | 1 min |
    /// | ReplicasDrift | warning | 1 min | 5 min |
    /// | LoadDrift | info | 30 min | 10 min |
    pub fn defaults(self) -> (Severity, Duration, Duration) {
        let (severity, for_, keep) = match self {
            Self::ComponentDown => (Severity::Critical, 10, 10),
            Self::ComponentDegraded | Self::ProberIsolated => (Severity::Warning, 60, 60),
            Self::CertificateExpiring => (Severity::Warning, 0, 60),
            Self::AtMaxReplicas => (Severity::Warning, 600, 300),
            Self::ForecastNotTrusted | Self::LoadDrift => (Severity::Info, 1_800, 600),
            Self::ForecastMissed => (Severity::Warning, 60, 600),
            Self::DataAbsent => (Severity::Warning, 120, 60),
            Self::ScalingRefused => (Severity::Critical, 60, 60),
            Self::CapacityUnreachable => (Severity::Critical, 300, 60),
            Self::ReplicasDrift => (Severity::Warning, 60, 300),
        };
        (severity, Duration::from_secs(for_), Duration::from_secs(keep))
    }

    fn condition(self, labels: &[(&str, &str)], summary: String, evidence: Evidence) -> Condition {
        let (severity, for_, keep_firing) = self.defaults();
        Condition {
            name: self.as_str().to_owned(),
            severity,
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            summary,
            facts: BTreeMap::new(),
            evidence,
            for_,
            keep_firing,
            only_keeps: false,
            muted: false,
        }
    }
}

/// A certificate that lives no longer than this is told of.
const CERTIFICATE_WARN: Duration = Duration::from_secs(14 * 86_400);
/// And this is critical.
const CERTIFICATE_CRITICAL: Duration = Duration::from_secs(3 * 86_400);

/// What is wrong with the components. A consequence starts no alert of its own; it is named in its root's. A component
/// that flaps keeps its alert, so that one message is sent and not forty.
pub fn components(overview: &Overview) -> Vec<Condition> {
    let mut all: Vec<Condition> =
        overview.components.iter().flat_map(|v| component(v, overview.at)).collect();
    all.extend(overview.isolated.iter().map(|isolated| {
        BuiltIn::ProberIsolated.condition(
            &[("prober", &isolated.prober)],
            format!(
                "prober {} alone sees {} components down; its own network is suspected",
                isolated.prober, isolated.alone_with
            ),
            Evidence::default(),
        )
    }));
    all
}

fn component(view: &ComponentView, now: Timestamp) -> Vec<Condition> {
    let mut found = Vec::new();
    let muted = view.maintenance.as_ref().is_some_and(|m| m.begun(now));
    let flapping = view.view.flapping;
    let down = view.status == Status::Fail;
    let degraded = view.status == Status::Warn;
    if down || flapping || (muted && view.view.status == Status::Fail) {
        let mut condition = of_component(BuiltIn::ComponentDown, view, "is down");
        condition.only_keeps = !(muted || (down && view.root));
        condition.muted = muted;
        found.push(condition);
    }
    if (degraded && !muted) || flapping {
        let words = if flapping { "is flapping" } else { "is degraded" };
        let mut condition = of_component(BuiltIn::ComponentDegraded, view, words);
        condition.only_keeps = !(degraded && view.root) || (down && !flapping);
        condition.muted = muted;
        found.push(condition);
    }
    if let Some(expires) = view.view.last.as_ref().and_then(|o| o.expires) {
        let left = since(expires, now);
        if left <= CERTIFICATE_WARN {
            let days = left.as_secs() / 86_400;
            let mut condition = of_component(
                BuiltIn::CertificateExpiring,
                view,
                &format!("has a certificate that expires in {days} days"),
            );
            if left <= CERTIFICATE_CRITICAL {
                condition.severity = Severity::Critical;
            }
            condition.facts.insert("expires".into(), expires.to_string());
            condition.facts.insert("days".into(), days.to_string());
            condition.muted = muted;
            found.push(condition);
        }
    }
    found
}

fn of_component(rule: BuiltIn, view: &ComponentView, words: &str) -> Condition {
    let id = &view.component.id;
    let last = view.view.last.as_ref();
    let output = last.map(|o| o.output.clone()).unwrap_or_default();
    let evidence = Evidence {
        check: Some(id.to_string()),
        policy: None,
        text: last.map(|o| format!("{}: {}", o.reason, o.output)).unwrap_or_default(),
        trace_id: last.and_then(|o| o.trace_id.clone()),
    };
    let mut summary = format!("{id} {words}");
    if !output.is_empty() && rule != BuiltIn::CertificateExpiring {
        summary = format!("{summary}: {output}");
    }
    let mut condition =
        rule.condition(&[("namespace", id.namespace()), ("component", id.name())], summary, evidence);
    for (key, value) in &view.component.labels {
        condition.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if let [group] = view.component.groups.as_slice() {
        condition.labels.entry("group".into()).or_insert_with(|| group.clone());
    }
    if view.component.criticality == Criticality::Optional && condition.severity == Severity::Critical {
        condition.severity = Severity::Warning;
    }
    let facts = &mut condition.facts;
    facts.insert("output".into(), output);
    facts.insert("kind".into(), view.component.kind.clone());
    facts.insert("since".into(), view.since.to_string());
    if view.view.flapping {
        facts.insert("flapping".into(), "true".into());
    }
    if !view.consequences.is_empty() {
        let names: Vec<&str> = view.consequences.iter().map(crate::ComponentId::as_str).take(20).collect();
        facts.insert("consequences".into(), names.join(", "));
    }
    condition
}

/// What kind of drift was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Drift {
    /// Somebody else changes the replicas; who, in words.
    Replicas(String),
    /// The load has changed its level or rhythm; how, in words.
    Load(String),
}

/// What a policy's last decision found, as far as alerts need it. A field that is `None` is well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyFacts {
    /// The policy's namespace.
    pub namespace: String,
    /// Its name.
    pub policy: String,
    /// What it scales, as `Deployment/web`.
    pub target: String,
    /// Replicas wanted and the maximum they exceed.
    pub at_max: Option<(u32, u32)>,
    /// Why the forecast lost trust.
    pub forecast_not_trusted: Option<String>,
    /// By how much the forecast was missed, in words.
    pub forecast_missed: Option<String>,
    /// Which metrics are absent, and why.
    pub data_absent: Option<String>,
    /// What the API server answered.
    pub scaling_refused: Option<String>,
    /// How many pods have no node, and what the scheduler says.
    pub pods_pending: Option<(u32, String)>,
    /// Drift, if any.
    pub drift: Vec<Drift>,
    /// The decision in one sentence.
    pub decision: String,
    /// Its trace.
    pub trace_id: Option<String>,
    /// In a maintenance window now.
    pub muted: bool,
}

/// What is wrong with a policy.
pub fn policy(facts: &PolicyFacts) -> Vec<Condition> {
    let name = format!("{}/{}", facts.namespace, facts.policy);
    let mut found: Vec<(BuiltIn, String, String)> = Vec::new();
    if let Some((wanted, max)) = facts.at_max {
        let summary = format!("{name} wants {wanted} replicas and may have {max}");
        found.push((BuiltIn::AtMaxReplicas, summary, String::new()));
    }
    let texts = [
        (BuiltIn::ForecastNotTrusted, &facts.forecast_not_trusted, "no longer trusts its forecast"),
        (BuiltIn::ForecastMissed, &facts.forecast_missed, "was surprised by the load"),
        (BuiltIn::DataAbsent, &facts.data_absent, "is without data"),
        (BuiltIn::ScalingRefused, &facts.scaling_refused, "was refused by the API server"),
    ];
    for (rule, text, words) in texts {
        if let Some(text) = text {
            found.push((rule, format!("{name} {words}: {text}"), text.clone()));
        }
    }
    if let Some((pods, why)) = &facts.pods_pending {
        found.push((
            BuiltIn::CapacityUnreachable,
            format!("{pods} pods of {name} get no node: {why}"),
            why.clone(),
        ));
    }
    for drift in &facts.drift {
        found.push(match drift {
            Drift::Replicas(who) => {
                let summary = format!("somebody else changes the replicas of {name}: {who}");
                (BuiltIn::ReplicasDrift, summary, who.clone())
            }
            Drift::Load(how) => {
                (BuiltIn::LoadDrift, format!("the load of {name} has changed: {how}"), how.clone())
            }
        });
    }
    found
        .into_iter()
        .map(|(rule, summary, detail)| {
            let evidence = Evidence {
                check: None,
                policy: Some(name.clone()),
                text: facts.decision.clone(),
                trace_id: facts.trace_id.clone(),
            };
            let labels = [("namespace", facts.namespace.as_str()), ("policy", facts.policy.as_str())];
            let mut condition = rule.condition(&labels, summary, evidence);
            condition.muted = facts.muted;
            condition.facts.insert("target".into(), facts.target.clone());
            if !detail.is_empty() {
                condition.facts.insert("detail".into(), detail);
            }
            if let Some((wanted, max)) = facts.at_max {
                condition.facts.insert("wanted".into(), wanted.to_string());
                condition.facts.insert("max".into(), max.to_string());
            }
            condition
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Alerts, Change};
    use crate::check::{Outcome, Settings};
    use crate::graph::Dependency;
    use crate::{Component, ComponentId, Reason, System};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn id(name: &str) -> ComponentId {
        ComponentId::new("shop", name)
    }

    fn system(names: &[(&str, &[&str])]) -> System {
        let mut system = System::new();
        system.define(
            names.iter().map(|(name, on)| Component {
                id: id(name),
                kind: "tcp".into(),
                settings: Settings::default(),
                criticality: Criticality::Critical,
                depends_on: on.iter().map(|n| Dependency { on: id(n), required: true }).collect(),
                groups: vec!["shop".into()],
                labels: BTreeMap::from([("team".into(), "orders".into())]),
            }),
            at(0),
        );
        system
    }

    fn outcome(up: bool) -> Outcome {
        if up {
            Outcome::pass(Duration::from_millis(1))
        } else {
            Outcome::fail(Reason::Refused, "connection refused", Duration::from_millis(1))
        }
    }

    #[test]
    fn only_the_root_is_told_and_it_names_its_consequences() {
        let mut system = system(&[("web", &["db"]), ("db", &[])]);
        let mut alerts = Alerts::new("");
        let mut told = Vec::new();
        for s in 1..20 {
            let up = s < 3;
            // The component that depends is probed first, and so is seen down first.
            system.observe(&id("web"), outcome(up), at(s * 5), false);
            let (overview, _) = system.overview("a", &[], |_| None, at(s * 5));
            told.extend(alerts.step(components(&overview), at(s * 5)));
            system.observe(&id("db"), outcome(up), at(s * 5 + 4), false);
            let (overview, _) = system.overview("a", &[], |_| None, at(s * 5 + 4));
            told.extend(alerts.step(components(&overview), at(s * 5 + 4)));
        }
        assert_eq!(told.len(), 1, "{told:#?}");
        let alert = told[0].alert();
        assert_eq!(alert.labels["component"], "db");
        assert_eq!(alert.labels["team"], "orders");
        assert_eq!(alert.facts["consequences"], "shop/web");
        assert_eq!(alert.evidence.check.as_deref(), Some("shop/db"));
    }

    #[test]
    fn a_flapping_component_is_told_of_once() {
        let mut system = system(&[("db", &[])]);
        let mut alerts = Alerts::new("");
        let mut told = Vec::new();
        for s in 1..400_i64 {
            let up = s > 200 || (s / 8) % 2 == 0;
            system.observe(&id("db"), outcome(up), at(s * 5), false);
            let (overview, _) = system.overview("a", &[], |_| None, at(s * 5));
            told.extend(alerts.step(components(&overview), at(s * 5)));
        }
        let down: Vec<_> = told.iter().filter(|c| c.alert().name == "ComponentDown").collect();
        let firing = down.iter().filter(|c| matches!(c, Change::Firing(_))).count();
        let resolved = down.iter().filter(|c| matches!(c, Change::Resolved(_))).count();
        assert!(firing <= 2 && firing == resolved, "{firing} and {resolved} in 25 outages");
    }

    #[test]
    fn a_certificate_is_told_of_in_time() {
        let mut system = system(&[("web", &[])]);
        let soon = Outcome { expires: Some(at(2 * 86_400)), ..outcome(true) };
        system.observe(&id("web"), soon, at(5), false);
        let (overview, _) = system.overview("a", &[], |_| None, at(5));
        let found = components(&overview);
        assert_eq!((found[0].name.as_str(), found[0].severity), ("CertificateExpiring", Severity::Critical));
    }

    #[test]
    fn every_fact_about_a_policy_becomes_one_condition() {
        let facts = PolicyFacts {
            namespace: "shop".into(),
            policy: "web".into(),
            at_max: Some((12, 9)),
            forecast_not_trusted: Some("worse than last week".into()),
            forecast_missed: Some("40 % above".into()),
            data_absent: Some("rps: Timeout".into()),
            scaling_refused: Some("403".into()),
            pods_pending: Some((3, "Insufficient cpu".into())),
            drift: vec![Drift::Replicas("kubectl-edit".into()), Drift::Load("a level shift".into())],
            decision: "hold at 9".into(),
            trace_id: Some("ab".into()),
            ..PolicyFacts::default()
        };
        let found = policy(&facts);
        assert_eq!(found.len(), 8);
        assert!(found.iter().all(|c| c.evidence.trace_id.is_some() && c.labels["policy"] == "web"));
        assert!(policy(&PolicyFacts::default()).is_empty());
    }
}
