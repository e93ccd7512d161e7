//! One state machine for all alerts. The conditions that hold now come in, whoever found them; what began to fire and
//! what was resolved goes out, each with what it was about and the decision or check behind it. Who is told, and how
//! often, is not known here.
//!
//! ```text
//! inactive ──holds──► pending ──for──► firing ──gone for keep_firing──► resolved ──15 min──► forgotten
//!     ▲                  │                ▲                                │
//!     └──────gone────────┘                └─────────────holds──────────────┘ (through pending, if `for` > 0)
//! ```

mod builtin;
mod facts;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time::since;

pub use crate::snapshot::{AlertPhase, Severity};
pub use builtin::{BuiltIn, Drift, PolicyFacts, components, policy};
pub use facts::facts;

/// A resolved alert is remembered so long, so that it can be told again to those who forget (Alertmanager).
pub const RESOLVED_KEPT: Duration = Duration::from_secs(15 * 60);

/// The decision or check behind an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The check, as `namespace/name`.
    pub check: Option<String>,
    /// The policy whose decision it was, as `namespace/name`.
    pub policy: Option<String>,
    /// The decision or the probe's result in one sentence.
    pub text: String,
    /// The trace it was made in, 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

/// Something that should not be, as it is found now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The rule's name, as `ComponentDown`.
    pub name: String,
    /// How soon somebody should look.
    pub severity: Severity,
    /// What it is about. Nothing that varies while the alert lasts: labels are its identity.
    pub labels: BTreeMap<String, String>,
    /// One sentence in English.
    pub summary: String,
    /// What varies, by name; templates read it.
    pub facts: BTreeMap<String, String>,
    /// The decision or check behind it.
    pub evidence: Evidence,
    /// Must hold for so long before anybody is told.
    pub for_: Duration,
    /// Must be gone for so long before it counts as resolved.
    pub keep_firing: Duration,
    /// Starts no alert, but keeps one that already fires: a component that flaps, or has become a consequence.
    pub only_keeps: bool,
    /// Nobody is told while this holds: a maintenance window.
    pub muted: bool,
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Made from name and labels: the same for the same trouble, also after a restart.
    pub id: String,
    /// The rule's name.
    pub name: String,
    /// How soon somebody should look.
    pub severity: Severity,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// One sentence in English.
    pub summary: String,
    /// What varies, by name.
    pub facts: BTreeMap<String, String>,
    /// The decision or check behind it.
    pub evidence: Evidence,
    /// What to do.
    pub runbook_url: String,
    /// Where in its life it is.
    pub phase: AlertPhase,
    /// When the condition began to hold.
    pub since: Timestamp,
    /// When it began to fire.
    pub fired: Option<Timestamp>,
    /// When it was resolved.
    pub resolved: Option<Timestamp>,
    /// Whether nobody is told for now.
    pub muted: bool,
}

/// What happened to an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began to fire, or is no longer muted.
    Firing(Alert),
    /// It is over.
    Resolved(Alert),
}

impl Change {
    /// The alert that changed.
    pub fn alert(&self) -> &Alert {
        match self {
            Self::Firing(alert) | Self::Resolved(alert) => alert,
        }
    }
}

/// The id of an alert: FNV-1a, 64 bits, over its name and its labels in order, each ended by a zero byte.
pub fn fingerprint(name: &str, labels: &BTreeMap<String, String>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    eat(name);
    for (key, value) in labels {
        eat(key);
        eat(value);
    }
    format!("{hash:016x}")
}

#[derive(Clone, Debug, PartialEq)]
struct Tracked {
    alert: Alert,
    last_held: Timestamp,
    keep_firing: Duration,
    notified: bool,
}

/// All alerts there are.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerts {
    tracked: BTreeMap<String, Tracked>,
    runbooks: String,
}

impl Alerts {
    /// No alerts. A runbook's address is `runbooks`, a slash, and the rule's name with `.md`.
    pub fn new(runbooks: impl Into<String>) -> Self {
        Self { tracked: BTreeMap::new(), runbooks: runbooks.into() }
    }

    /// Takes alerts over that fired before a restart, so that they aren't told again. One whose condition doesn't come
    /// back within `grace` is resolved then.
    pub fn restore(&mut self, firing: impl IntoIterator<Item = Alert>, now: Timestamp, grace: Duration) {
        for alert in firing.into_iter().filter(|a| a.phase == AlertPhase::Firing) {
            let tracked = Tracked { last_held: now, keep_firing: grace, notified: true, alert };
            self.tracked.entry(tracked.alert.id.clone()).or_insert(tracked);
        }
    }

    /// One step: `conditions` are all that hold now. Gives what began to fire and what is over, each once.
    pub fn step(&mut self, conditions: impl IntoIterator<Item = Condition>, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut holding: Vec<String> = Vec::new();
        for condition in conditions {
            let id = fingerprint(&condition.name, &condition.labels);
            if self.hold(&id, condition, now, &mut changes) {
                holding.push(id);
            }
        }
        holding.sort_unstable();
        for (id, tracked) in &mut self.tracked {
            if holding.binary_search(id).is_err() {
                changes.extend(tracked.let_go(now));
            }
        }
        self.tracked.retain(|_, t| match t.alert.phase {
            AlertPhase::Pending => t.last_held == now,
            AlertPhase::Firing => true,
            AlertPhase::Resolved => t.alert.resolved.is_none_or(|r| since(now, r) < RESOLVED_KEPT),
        });
        changes
    }

    /// Everything pending, firing or lately resolved, the worst first.
    pub fn all(&self) -> Vec<&Alert> {
        let mut all: Vec<&Alert> = self.tracked.values().map(|t| &t.alert).collect();
        all.sort_by_key(|a| (a.phase == AlertPhase::Resolved, std::cmp::Reverse(a.severity), a.since));
        all
    }

    /// Those that fire.
    pub fn firing(&self) -> impl Iterator<Item = &Alert> {
        self.tracked.values().map(|t| &t.alert).filter(|a| a.phase == AlertPhase::Firing)
    }

    /// What receivers are to know: those that fire and were told, and those lately resolved. An alert that is muted and
    /// wasn't told before isn't among them.
    pub fn to_notify(&self) -> Vec<Alert> {
        self.tracked
            .values()
            .filter(|t| t.notified && t.alert.phase != AlertPhase::Pending)
            .map(|t| t.alert.clone())
            .collect()
    }

    fn hold(&mut self, id: &str, condition: Condition, now: Timestamp, changes: &mut Vec<Change>) -> bool {
        let firing = self.tracked.get(id).is_some_and(|t| t.alert.phase == AlertPhase::Firing);
        if condition.only_keeps && !firing {
            return false;
        }
        let again = self.tracked.get(id).is_none_or(|t| t.alert.phase == AlertPhase::Resolved);
        if again {
            let alert = Alert {
                id: id.to_owned(),
                runbook_url: format!("{}/{}.md", self.runbooks.trim_end_matches('/'), condition.name),
                name: condition.name.clone(),
                severity: condition.severity,
                labels: condition.labels.clone(),
                summary: String::new(),
                facts: BTreeMap::new(),
                evidence: Evidence::default(),
                phase: AlertPhase::Pending,
                since: now,
                fired: None,
                resolved: None,
                muted: false,
            };
            let tracked = Tracked { alert, last_held: now, keep_firing: Duration::ZERO, notified: false };
            self.tracked.insert(id.to_owned(), tracked);
        }
        let Some(tracked) = self.tracked.get_mut(id) else { return false };
        let for_ = condition.for_;
        tracked.take(condition, now);
        if tracked.alert.phase == AlertPhase::Pending && since(now, tracked.alert.since) >= for_ {
            tracked.alert.phase = AlertPhase::Firing;
            tracked.alert.fired = Some(now);
        }
        if tracked.alert.phase == AlertPhase::Firing && !tracked.notified && !tracked.alert.muted {
            tracked.notified = true;
            changes.push(Change::Firing(tracked.alert.clone()));
        }
        true
    }
}

impl Tracked {
    fn take(&mut self, condition: Condition, now: Timestamp) {
        self.last_held = now;
        self.keep_firing = condition.keep_firing;
        self.alert.severity = condition.severity;
        self.alert.muted = condition.muted;
        if !condition.only_keeps || self.alert.summary.is_empty() {
            self.alert.summary = condition.summary;
            self.alert.facts = condition.facts;
            self.alert.evidence = condition.evidence;
        }
    }

    fn let_go(&mut self, now: Timestamp) -> Option<Change> {
        let over = self.alert.phase == AlertPhase::Firing && since(now, self.last_held) >= self.keep_firing;
        if !over {
            return None;
        }
        self.alert.phase = AlertPhase::Resolved;
        self.alert.resolved = Some(now);
        // Whoever never heard that it began need not hear that it ended.
        self.notified.then(|| Change::Resolved(self.alert.clone()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn condition(subject: &str) -> Condition {
        Condition {
            name: "ComponentDown".into(),
            severity: Severity::Critical,
            labels: BTreeMap::from([("component".into(), subject.into())]),
            summary: format!("{subject} is down"),
            facts: BTreeMap::new(),
            evidence: Evidence::default(),
            for_: Duration::from_secs(10),
            keep_firing: Duration::from_secs(20),
            only_keeps: false,
            muted: false,
        }
    }

    #[test]
    fn an_alert_pends_fires_once_and_is_resolved_once() {
        let mut alerts = Alerts::new("https://example.com/runbooks/");
        assert!(alerts.step([condition("db")], at(0)).is_empty());
        assert!(alerts.step([condition("db")], at(9)).is_empty());
        let fired = alerts.step([condition("db")], at(10));
        assert!(matches!(&fired[..], [Change::Firing(a)] if a.since == at(0)));
        assert_eq!(fired[0].alert().runbook_url, "https://example.com/runbooks/ComponentDown.md");
        assert!(alerts.step([condition("db")], at(15)).is_empty(), "told once");
        assert!(alerts.step([], at(34)).is_empty(), "kept firing");
        assert!(matches!(&alerts.step([], at(35))[..], [Change::Resolved(_)]));
        assert!(alerts.step([], at(36)).is_empty());
        assert_eq!(alerts.all().len(), 1, "remembered for a while");
        alerts.step([], at(35 + 900));
        assert!(alerts.all().is_empty());
    }

    #[test]
    fn what_goes_away_while_pending_was_never_an_alert() {
        let mut alerts = Alerts::new("");
        alerts.step([condition("db")], at(0));
        assert!(alerts.step([], at(5)).is_empty());
        assert!(alerts.all().is_empty());
        assert!(alerts.step([condition("db")], at(12)).is_empty(), "the wait begins anew");
    }

    #[test]
    fn a_muted_alert_is_told_when_the_window_ends_if_it_still_fires() {
        let mut alerts = Alerts::new("");
        let muted = Condition { muted: true, ..condition("db") };
        alerts.step([muted.clone()], at(0));
        assert!(alerts.step([muted.clone()], at(60)).is_empty());
        assert_eq!(alerts.step([condition("db")], at(61)).len(), 1);

        let mut quiet = Alerts::new("");
        quiet.step([muted.clone()], at(0));
        quiet.step([muted], at(60));
        assert!(quiet.step([], at(120)).is_empty(), "what nobody heard of isn't resolved aloud");
    }

    #[test]
    fn what_only_keeps_does_not_start() {
        let mut alerts = Alerts::new("");
        let keeps = Condition { only_keeps: true, ..condition("db") };
        alerts.step([keeps.clone()], at(0));
        assert!(alerts.step([keeps.clone()], at(60)).is_empty());
        alerts.step([condition("db")], at(61));
        assert_eq!(alerts.step([condition("db")], at(71)).len(), 1);
        assert!(alerts.step([keeps], at(500)).is_empty(), "and it keeps what fires");
        assert_eq!(alerts.firing().count(), 1);
    }

    #[test]
    fn a_restart_neither_repeats_nor_forgets() {
        let mut before = Alerts::new("");
        before.step([condition("db"), condition("web")], at(0));
        before.step([condition("db"), condition("web")], at(10));
        let saved: Vec<Alert> = before.firing().cloned().collect();
        let mut after = Alerts::new("");
        after.restore(saved, at(100), Duration::from_secs(60));
        assert!(after.step([condition("db")], at(101)).is_empty(), "db was told before the restart");
        let resolved = after.step([condition("db")], at(160));
        assert!(matches!(&resolved[..], [Change::Resolved(a)] if a.labels["component"] == "web"));
    }

    proptest! {
        #[test]
        fn firing_and_resolved_alternate(
            holds in prop::collection::vec(any::<bool>(), 1..300), for_ in 0_u64..30, keep in 0_u64..30,
        ) {
            let mut alerts = Alerts::new("");
            let mut firing = false;
            for (i, holds) in holds.iter().enumerate() {
                let c = Condition {
                    for_: Duration::from_secs(for_), keep_firing: Duration::from_secs(keep), ..condition("db")
                };
                let changes = alerts.step(holds.then_some(c), at(5 * i as i64));
                prop_assert!(changes.len() <= 1);
                for change in changes {
                    let now_firing = matches!(change, Change::Firing(_));
                    prop_assert_ne!(now_firing, firing, "never twice the same");
                    firing = now_firing;
                }
                if *holds && for_ == 0 { prop_assert!(firing); }
            }
        }
    }
}
