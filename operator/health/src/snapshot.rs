//! What Foresail knows right now, in the words and shapes the page, the read-only API and `foresail status` show.
//!
//! What comes in: finished conclusions, filled in by the controller (or by the demo). What goes out: plain values that
//! serialize to JSON. What this module refuses to know: how a conclusion was reached, who reads it, and the clock.
//!
//! Times are RFC 3339 strings in JSON, durations are seconds, ratios lie in 0 to 1. Parts are behind [`Arc`], so that
//! copying a [`Snapshot`] of thousands of policies costs a few microseconds, and a reader can tell what changed by
//! comparing pointers.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::{Absence, Forecast, Series};

/// Everything a reader may want, at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// About Foresail itself.
    pub meta: Arc<Meta>,
    /// The policies, by namespace and name.
    #[serde(serialize_with = "values_only", deserialize_with = "by_key")]
    pub policies: BTreeMap<PolicyKey, Arc<PolicySnapshot>>,
    /// The components that are probed and what they depend on.
    pub health: Arc<HealthSnapshot>,
    /// Alerts that are pending, firing or lately resolved.
    pub alerts: Arc<Vec<AlertSnapshot>>,
    /// Windows of the calendars, past and coming, sorted by start.
    pub calendar: Arc<Vec<CalendarWindow>>,
}

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

/// About the process that answers, and the time its data is true for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Foresail's version.
    pub version: String,
    /// The name of this replica of Foresail (a pod's name).
    pub instance: String,
    /// Whether this replica is the one that acts.
    pub leader: bool,
    /// Who acts, where that is known; for "ask that one" on a standby.
    pub leader_name: Option<String>,
    /// Where the data comes from, for people: a cluster's name, or `demo`.
    pub source: String,
    /// When the newest part of this snapshot was true. In the demo this is simulated time.
    pub data_time: Timestamp,
    /// How many times faster than the clock the data moves: 1 in production, more in the demo.
    pub speed: f64,
    /// When the process started.
    pub started: Timestamp,
    /// A planned restart, announced as soon as it is known.
    pub maintenance: Option<Maintenance>,
}

impl Meta {
    /// A standby that has seen nothing yet.
    pub fn new(version: impl Into<String>, instance: impl Into<String>, now: Timestamp) -> Self {
        Self {
            version: version.into(),
            instance: instance.into(),
            leader: false,
            leader_name: None,
            source: String::new(),
            data_time: now,
            speed: 1.0,
            started: now,
            maintenance: None,
        }
    }
}

/// A planned end of service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Maintenance {
    /// Whether it was planned ahead (a window) rather than begun by a signal.
    pub scheduled: bool,
    /// When service ends.
    pub shutdown_time: Timestamp,
    /// How long work in flight may take after that, in seconds.
    pub grace_period_seconds: u32,
    /// When service is expected back, where that is known.
    pub end_time: Option<Timestamp>,
    /// Why, for people.
    pub reason: String,
}

impl Snapshot {
    /// Nothing seen yet.
    pub fn new(meta: Meta) -> Self {
        Self {
            meta: Arc::new(meta),
            policies: BTreeMap::new(),
            health: Arc::new(HealthSnapshot::default()),
            alerts: Arc::new(Vec::new()),
            calendar: Arc::new(Vec::new()),
        }
    }

    /// Puts a policy in or replaces it, and moves the data time ahead.
    pub fn put(&mut self, policy: PolicySnapshot) {
        if policy.updated > self.meta.data_time {
            Arc::make_mut(&mut self.meta).data_time = policy.updated;
        }
        self.policies.insert(policy.key(), Arc::new(policy));
    }

    /// Takes a policy out.
    pub fn remove(&mut self, key: &PolicyKey) -> bool {
        self.policies.remove(key).is_some()
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
    /// When this was true.
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
            standing: self.standing(),
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

    fn standing(&self) -> Standing {
        self.metrics.iter().find_map(|m| m.standing.clone()).unwrap_or_default()
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
    pub standing: Standing,
    /// The condition to look at, if any.
    pub attention: Option<ConditionSnapshot>,
    /// The next expected change.
    pub next_change: Option<NextChange>,
    /// What was saved.
    pub saved: Option<Saved>,
    /// Load of the driving metric, the past and then the forecast's middle, evenly spaced, in thousandths of the
    /// largest; `null` is a gap.
    pub spark: Spark,
    /// When this was true.
    pub updated: Timestamp,
}

/// A few dozen points for a small picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spark {
    /// Measured, oldest first.
    pub past: Vec<Option<u16>>,
    /// Expected, nearest first, on the same spacing.
    pub ahead: Vec<Option<u16>>,
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

/// One signal of a policy: what was, what is, what is expected.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricSnapshot {
    /// Its name in the policy.
    pub name: Arc<str>,
    /// Where it is read: a query, or a queue's name.
    pub query: String,
    /// The unit for people, as `requests/s`; may be empty.
    pub unit: String,
    /// What one replica should carry, in the metric's unit.
    pub target: f64,
    /// The newest value; `None` while blind.
    pub value: Option<f64>,
    /// How old the newest value is, in seconds.
    pub age_seconds: Option<f64>,
    /// Why there is no fresh value.
    pub absence: Option<Absence>,
    /// Replicas this metric asks for by each way of reckoning.
    pub candidates: Vec<Candidate>,
    /// The past as charts show it: hours to days on a regular grid, gaps as `null`.
    pub recent: Option<Series>,
    /// What ready replicas could carry over the same grid.
    pub capacity: Option<Series>,
    /// What had been expected for the same grid, one lead time before.
    pub hindcast: Option<Series>,
    /// What is expected, as quantiles.
    pub forecast: Option<Forecast>,
    /// How good the forecast has been.
    pub standing: Option<Standing>,
}

/// One way of reckoning the replicas, and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// `reactive`, `predictive`, `calendar`, `backlog` or `fallback`.
    pub kind: String,
    /// Replicas it asks for, before limits.
    pub replicas: f64,
    /// Why, in one sentence.
    pub message: String,
    /// Whether the decision follows it.
    pub wins: bool,
}

/// Whether the forecast acts, and on what record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Whether the forecast is trusted and in use.
    pub active: bool,
    /// `Active`, `Learning`, `NotEnoughHistory`, `NotBetterThanNaive`, `Off`, or what else the forecaster says.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// The model or the blend in use; empty if none.
    pub model: String,
    /// Error against the better of "last value" and "as yesterday": 0.4 is 60 % better. `None` before it is known.
    pub error_ratio: Option<f64>,
    /// Share of values that fell within the band meant to hold `coverage_target` of them.
    pub coverage: Option<f64>,
    /// What `coverage` should be.
    pub coverage_target: Option<f64>,
    /// Repeating patterns found, in seconds: 86400 is a day.
    pub seasons_seconds: Vec<u64>,
    /// History that the model learnt from, in seconds.
    pub history_seconds: u64,
}

/// One line of the time line of decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionEntry {
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
    /// Replicas before.
    pub from: u32,
    /// Replicas after, or as suggested.
    pub to: u32,
    /// What it followed, as `requests (forecast)`.
    pub driver: String,
    /// Why, in one sentence.
    pub message: String,
    /// Limits that changed the answer, in order.
    pub limits: Vec<LimitEntry>,
    /// Its trace, 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Replicas were changed.
    Scaled,
    /// Replicas would have been changed, were the mode `Auto`.
    Suggested,
    /// A change was wanted and held back.
    Held,
    /// The API server refused the change.
    Refused,
}

/// A limit that bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitEntry {
    /// One word, as `ScaleDownStabilized`.
    pub reason: String,
    /// One sentence.
    pub message: String,
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

/// What was saved.
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

/// A backtest in short: one line for each way of scaling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BacktestSummary {
    /// The history it replayed.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// Foresail first, then the others.
    pub rows: Vec<BacktestRow>,
}

/// How one way of scaling would have done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BacktestRow {
    /// As `Foresail`, `HPA as configured`, `Static peak`.
    pub name: String,
    /// Share of the load that capacity could not carry, 0 to 1.
    pub unserved_ratio: f64,
    /// Share of the time in which capacity fell short, 0 to 1.
    pub short_ratio: f64,
    /// Replica-hours spent.
    pub replica_hours: f64,
    /// Changes of the number of replicas.
    pub scales: u32,
}

/// Components, what they depend on, and the roll-up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HealthSnapshot {
    /// The whole system.
    pub status: HealthStatus,
    /// Every component, in stable order.
    pub nodes: Vec<HealthNode>,
    /// Roll-up of labelled groups.
    pub groups: Vec<HealthGroup>,
}

/// How well something is, worst last but for `unknown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Not checked yet, or no quorum.
    #[default]
    Unknown,
    /// Well.
    Pass,
    /// In an announced window.
    Maintenance,
    /// Degraded: serves, not as it should.
    Warn,
    /// Down.
    Fail,
}

impl HealthStatus {
    /// The word in JSON, labels and class names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Pass => "pass",
            Self::Maintenance => "maintenance",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One component of the dependency graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthNode {
    /// `namespace/name` of the check.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// Groups it belongs to.
    pub groups: Vec<String>,
    /// `http`, `tcp`, `grpc`, `promql`, `workload`, `redis`, `postgres`, ...
    pub kind: String,
    /// After thresholds, dependencies and quorum.
    pub status: HealthStatus,
    /// Failing, but not yet often enough to count.
    pub pending: bool,
    /// Changes so often that messages are held.
    pub flapping: bool,
    /// Since when `status` holds.
    pub since: Option<Timestamp>,
    /// The last result in one sentence.
    pub output: String,
    /// Whether what depends on it is down with it, rather than degraded.
    pub critical: bool,
    /// Ids it depends on.
    pub depends_on: Vec<String>,
    /// Ids of the root causes, where it fails as a consequence.
    pub causes: Vec<String>,
    /// How long the last probe took, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Lately measured latencies in milliseconds, oldest first; `null` is a failure.
    pub latencies_ms: Vec<Option<f64>>,
    /// Share of time well, by window: `("1h", 1.0)`.
    pub uptime: Vec<(String, f64)>,
    /// Probers that see it fail, and how many look.
    pub votes: Option<(u32, u32)>,
    /// Last changes, newest first.
    pub transitions: Vec<HealthTransition>,
}

/// A change of a component's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthTransition {
    /// When.
    pub at: Timestamp,
    /// To what.
    pub to: HealthStatus,
    /// The result that caused it.
    pub output: String,
}

/// Roll-up of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthGroup {
    /// The group's name.
    pub name: String,
    /// Its worst member that matters.
    pub status: HealthStatus,
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertSnapshot {
    /// Stable over the life of the alert.
    pub id: String,
    /// The rule, as `PolicyAtMaxReplicas`.
    pub alert: String,
    /// How bad.
    pub severity: Severity,
    /// Where in its life.
    pub state: AlertPhase,
    /// What it is about, as `policy shop/checkout`.
    pub subject: String,
    /// One sentence.
    pub summary: String,
    /// More, where there is more.
    pub description: String,
    /// What to do.
    pub runbook_url: String,
    /// When the condition began to hold.
    pub since: Timestamp,
    /// When it was resolved, if so.
    pub resolved: Option<Timestamp>,
    /// Components that are down only because this one is.
    pub consequences: Vec<String>,
    /// Receivers and what came of telling them.
    pub deliveries: Vec<Delivery>,
    /// The decision or check behind it.
    pub trace_id: Option<String>,
}

/// How bad an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look today.
    Warning,
    /// Somebody should look now.
    Critical,
}

/// Where in its life an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertPhase {
    /// Holds, not yet long enough.
    Pending,
    /// Receivers were told.
    Firing,
    /// Over.
    Resolved,
}

/// A receiver and what came of telling it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The receiver's name.
    pub receiver: String,
    /// Whether the service took it.
    pub delivered: bool,
    /// What the service said; never contains a secret.
    pub message: String,
}

/// A window of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarWindow {
    /// `namespace/name` of the calendar.
    pub calendar: String,
    /// The event's name.
    pub name: String,
    /// What it does.
    pub kind: CalendarKind,
    /// Its beginning.
    pub start: Timestamp,
    /// Its end, exclusive.
    pub end: Timestamp,
    /// Effect in words, as `at least 20 replicas`.
    pub effect: String,
}

/// What a calendar window does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CalendarKind {
    /// Floors or ceilings on replicas.
    Scaling,
    /// Alerts are muted, scale-downs held.
    Maintenance,
    /// A day on which load differs.
    Holiday,
}

/// How many points of the past a small picture has; a third as many lie ahead.
const SPARK_PAST: usize = 36;
/// A small picture shows at most this much of the past, in seconds, and a third as much ahead.
const SPARK_SECONDS: u64 = 24 * 3600;

fn spark(metric: &MetricSnapshot, now: Timestamp) -> Spark {
    let Some(recent) = &metric.recent else { return Spark::default() };
    let slots = recent.len().min((SPARK_SECONDS / recent.step().as_secs().max(1)) as usize);
    let past = pick(&recent.raw()[recent.len() - slots..], SPARK_PAST);
    let spacing = recent.step().as_secs_f64() * slots as f64 / SPARK_PAST as f64;
    let expected = |i: usize| {
        let ahead = std::time::Duration::from_secs_f64(spacing * i as f64);
        metric.forecast.as_ref().and_then(|f| f.at(series::time::after(now, ahead), 0.5)).unwrap_or(f64::NAN)
    };
    let ahead: Vec<f64> = (1..=SPARK_PAST / 3).map(expected).collect();
    let top = past.iter().chain(&ahead).copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let scale = |v: &f64| (v.is_finite() && top > 0.0).then(|| (v / top * 1000.0).clamp(0.0, 1000.0) as u16);
    Spark { past: past.iter().map(scale).collect(), ahead: ahead.iter().map(scale).collect() }
}

/// `count` values, each the mean of the finite slots of its share of `raw`; NaN where there are none.
fn pick(raw: &[f64], count: usize) -> Vec<f64> {
    if raw.is_empty() {
        return Vec::new();
    }
    (0..count)
        .map(|i| {
            let from = i * raw.len() / count;
            let to = ((i + 1) * raw.len() / count).max(from + 1).min(raw.len());
            let finite: Vec<f64> = raw[from..to].iter().copied().filter(|v| v.is_finite()).collect();
            finite.iter().sum::<f64>() / finite.len() as f64
        })
        .collect()
}

fn values_only<S: serde::Serializer>(
    policies: &BTreeMap<PolicyKey, Arc<PolicySnapshot>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(policies.values())
}

fn by_key<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<PolicyKey, Arc<PolicySnapshot>>, D::Error> {
    let list: Vec<Arc<PolicySnapshot>> = Vec::deserialize(deserializer)?;
    Ok(list.into_iter().map(|p| (p.key(), p)).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn policy() -> PolicySnapshot {
        let recent = Series::new(at(0), Duration::from_secs(60), (0..360).map(f64::from).collect()).unwrap();
        let rows = (0..360).map(|i| vec![360.0 + f64::from(i)]).collect();
        let forecast = Forecast::new(at(360 * 60), Duration::from_secs(60), vec![0.5], rows, "t").unwrap();
        PolicySnapshot {
            namespace: "shop".into(),
            name: "web".into(),
            target: Target { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() },
            mode: Mode::Auto,
            paused: None,
            replicas: Replicas { current: 3, ready: 3, desired: 4, min: 1, max: 9 },
            need: Some(3.2),
            driver: "requests (forecast)".into(),
            reason: "The daily ramp begins in 4 minutes.".into(),
            conditions: vec![ConditionSnapshot {
                kind: "ScalingLimited".into(),
                status: ConditionStatus::True,
                reason: "TooManyReplicas".into(),
                message: "wants 12, may have 9".into(),
                since: at(1),
            }],
            metrics: vec![MetricSnapshot {
                name: "requests".into(),
                query: "sum(rate(requests_total[2m]))".into(),
                unit: "requests/s".into(),
                target: 100.0,
                value: Some(320.0),
                age_seconds: Some(4.0),
                absence: None,
                candidates: vec![],
                recent: Some(recent),
                capacity: None,
                hindcast: None,
                forecast: Some(forecast),
                standing: None,
            }],
            ready_replicas: None,
            desired_replicas: None,
            decisions: vec![],
            next_change: None,
            startup: None,
            lead_time_seconds: 120,
            saved: None,
            backtest: None,
            updated: at(360 * 60),
            trace_id: None,
        }
    }

    #[test]
    fn a_snapshot_comes_back_from_json() {
        let mut snapshot = Snapshot::new(Meta::new("0.1.0", "a", at(0)));
        snapshot.put(policy());
        assert_eq!(snapshot.meta.data_time, at(360 * 60));
        let json = serde_json::to_string(&snapshot).unwrap();
        let back: Snapshot = serde_json::from_str(&json).unwrap();
        assert_eq!(back.policies.len(), 1);
        assert_eq!(json, serde_json::to_string(&back).unwrap());
    }

    #[test]
    fn the_small_picture_goes_on_into_the_forecast_without_a_jump() {
        let spark = policy().summary().spark;
        assert_eq!((spark.past.len(), spark.ahead.len()), (36, 12));
        let last = spark.past.last().copied().flatten().unwrap();
        let next = spark.ahead[0].unwrap();
        assert!(next > last && next - last < 40, "{last} then {next}");
    }

    #[test]
    fn the_condition_to_look_at_is_the_one_that_is_bad() {
        assert_eq!(policy().attention().map(|c| c.reason), Some("TooManyReplicas".into()));
    }

    #[test]
    fn a_copy_shares_the_policies_so_that_a_reader_sees_what_changed() {
        let mut before = Snapshot::new(Meta::new("0.1.0", "a", at(0)));
        before.put(policy());
        let after = before.clone();
        let key = PolicyKey::new("shop", "web");
        assert!(Arc::ptr_eq(&before.policies[&key], &after.policies[&key]));
    }
}
