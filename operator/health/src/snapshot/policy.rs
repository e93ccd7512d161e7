//! A policy: whole, and as the row of a list.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::Series;

use super::spark::spark;
use super::{BacktestSummary, DecisionEntry, ForecastStatus, MetricSnapshot, Spark};

/// Namespace and name of a policy; sorts as people expect a table to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyKey {
    /// The namespace the policy lives in.
    pub namespace: Arc<str>,
    /// The policy's name.
    pub name: Arc<str>,
}

impl PolicyKey {
    /// A key from its two parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// All about one policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicySnapshot {
    /// Namespace of the policy and its target.
    pub namespace: Arc<str>,
    /// The policy's name.
    pub name: Arc<str>,
    /// What it scales.
    pub target: Target,
    /// Whether it acts or only recommends.
    pub mode: Mode,
    /// Set while scaling is paused by hand.
    pub paused: Option<Pause>,
    /// Replicas as they are, as wanted, and their limits in force now.
    pub replicas: Replicas,
    /// Replicas the load needs at this moment, before any limit; `None` while blind.
    pub need: Option<f64>,
    /// What the last decision followed, as `requests (forecast)`; empty before the first.
    pub driver: String,
    /// The last decision in one sentence.
    pub reason: String,
    /// Conditions, as in the status of the resource.
    pub conditions: Vec<ConditionSnapshot>,
    /// One entry for each metric of the policy, the driving one first.
    pub metrics: Vec<MetricSnapshot>,
    /// Replicas over the time of the charts: what was running and ready.
    pub ready_replicas: Option<Series>,
    /// Replicas over the time of the charts: what was asked for.
    pub desired_replicas: Option<Series>,
    /// Decisions that did or said something, newest first, at most some dozens.
    pub decisions: Vec<DecisionEntry>,
    /// The next change that is expected, if the forecast or a calendar expects one.
    pub next_change: Option<NextChange>,
    /// Measured time from a pod's creation to its being ready.
    pub startup: Option<Startup>,
    /// How far ahead decisions look, in seconds.
    pub lead_time_seconds: u32,
    /// What was saved so far, against a static number of replicas.
    pub saved: Option<Saved>,
    /// The last backtest of this policy, if one was run.
    pub backtest: Option<BacktestSummary>,
    /// The time of the decision that this shows.
    pub updated: Timestamp,
    /// The trace of the last decision, 32 hexadecimal digits, where tracing is on.
    pub trace_id: Option<String>,
}

impl PolicySnapshot {
    /// The key it is kept under.
    pub fn key(&self) -> PolicyKey {
        PolicyKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// The row of this policy in a list.
    pub fn summary(&self) -> PolicySummary {
        let driving = self.metrics.first();
        PolicySummary {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            target: self.target.clone(),
            mode: self.mode,
            paused: self.paused.clone(),
            replicas: self.replicas,
            need: self.need,
            driver: self.driver.clone(),
            reason: self.reason.clone(),
            forecast_status: self.forecast_status(),
            attention: self.attention(),
            next_change: self.next_change.clone(),
            saved: self.saved.clone(),
            spark: driving.map(|m| spark(m, self.updated)).unwrap_or_default(),
            updated: self.updated,
        }
    }

    /// The worst condition that a person should look at, if there is one.
    pub fn attention(&self) -> Option<ConditionSnapshot> {
        let bad = |c: &&ConditionSnapshot| match c.kind.as_str() {
            "ScalingLimited" => c.status == ConditionStatus::True,
            "ForecastActive" => false,
            _ => c.status == ConditionStatus::False,
        };
        let ready = self.conditions.iter().find(|c| c.kind == "Ready");
        ready.filter(bad).or_else(|| self.conditions.iter().find(bad)).cloned()
    }

    fn forecast_status(&self) -> ForecastStatus {
        self.metrics.iter().find_map(|m| m.forecast_status.clone()).unwrap_or_default()
    }
}

/// A list's row: the parts of [`PolicySnapshot`] that fit on one line, and a small picture.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicySummary {
    /// Namespace of the policy.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What it scales.
    pub target: Target,
    /// Whether it acts.
    pub mode: Mode,
    /// Set while paused.
    pub paused: Option<Pause>,
    /// Replicas now.
    pub replicas: Replicas,
    /// Replicas the load needs now.
    pub need: Option<f64>,
    /// What the last decision followed.
    pub driver: String,
    /// The last decision in one sentence.
    pub reason: String,
    /// Whether the forecast is trusted.
    pub forecast_status: ForecastStatus,
    /// The condition to look at, if any.
    pub attention: Option<ConditionSnapshot>,
    /// The next expected change.
    pub next_change: Option<NextChange>,
    /// Replica-hours saved against a fixed number of replicas; `None` before any were counted.
    pub saved: Option<Saved>,
    /// Load of the driving metric, the past and then the forecast's middle, evenly spaced, in thousandths of the
    /// largest; `null` is a gap.
    pub spark: Spark,
    /// The time of the decision that this shows.
    pub updated: Timestamp,
}

/// The object that is scaled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Whether recommendations are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Scales.
    Auto,
    /// Says what it would do, and does nothing.
    Recommend,
}

/// Scaling stopped by hand, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When scaling starts again; `None` is "until somebody ends it".
    pub until: Option<Timestamp>,
    /// Why, in the words of who did it.
    pub reason: String,
}

/// Replicas at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// As the target's scale says.
    pub current: u32,
    /// Of these, ready to serve.
    pub ready: u32,
    /// As the last decision wants.
    pub desired: u32,
    /// The lower limit in force now.
    pub min: u32,
    /// The upper limit in force now.
    pub max: u32,
}

/// A condition of the resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionSnapshot {
    /// `Ready`, `AbleToScale`, `ScalingActive`, `ScalingLimited`, `ForecastActive`, `DataFresh`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its truth.
    pub status: ConditionStatus,
    /// One word to search for.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// When `status` last changed.
    pub since: Timestamp,
}

/// The three truths of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// Holds.
    True,
    /// Doesn't hold.
    False,
    /// Can't be told.
    Unknown,
}

/// The next change that is expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextChange {
    /// About when.
    pub at: Timestamp,
    /// To how many replicas.
    pub replicas: u32,
    /// Because of what, as `daily ramp` or `calendar: launch`.
    pub reason: String,
}

/// How long pods of the target take to become ready.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Startup {
    /// 95 % are ready within this many seconds.
    pub p95_seconds: f64,
    /// Over so many pods.
    pub samples: u32,
}

/// Replica-hours saved against a fixed number of replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// Replica-hours not spent; below zero if more was spent.
    pub replica_hours: f64,
    /// Against what, as `12 replicas all day`.
    pub against: String,
    /// Counted since.
    pub since: Timestamp,
}
