//! The policy: what to scale, on which signals, how.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AutoscalePolicyStatus, Behavior, Metric, PrometheusServer, Switch};
use crate::units::DURATION_PATTERN;

/// What to scale, on which signals, how. Only scaleTargetRef, maxReplicas and one metric are required.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "foresail.dev",
    version = "v1alpha1",
    kind = "AutoscalePolicy",
    plural = "autoscalepolicies",
    namespaced,
    status = "AutoscalePolicyStatus",
    derive = "PartialEq",
    shortname = "asp",
    category = "scaling",
    doc = "AutoscalePolicy keeps one workload at the size its load needs, now and by the time new pods are ready.",
    selectable = ".spec.scaleTargetRef.name",
    selectable = ".spec.mode",
    printcolumn(
        name = "Target",
        type_ = "string",
        json_path = ".status.target",
        description = "What is scaled"
    ),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Min", type_ = "integer", json_path = ".status.effectiveMinReplicas"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".status.effectiveMaxReplicas"),
    printcolumn(name = "Current", type_ = "integer", json_path = ".status.currentReplicas"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desiredReplicas"),
    printcolumn(
        name = "Driver",
        type_ = "string",
        json_path = ".status.decision.driver",
        description = "What asked for the desired replicas"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Forecast",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"ForecastActive\")].reason",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.scaleTargetRef.kind == 'HorizontalPodAutoscaler' || has(self.maxReplicas)")
        .message("maxReplicas is required (it is optional only where scaleTargetRef is a HorizontalPodAutoscaler)"),
    validation = Rule::new("!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas")
        .message("minReplicas must not exceed maxReplicas"),
    validation = Rule::new("self.minReplicas > 0 || self.metrics.exists(m, has(m.queue) || m.targetType == 'AverageValue')")
        .message("minReplicas 0 needs a metric that shows work while no replica runs: a queue, or a load"),
    validation = Rule::new("self.metrics.all(m, self.metrics.exists_one(n, n.name == m.name))")
        .message("metric names must be unique"),
    validation = Rule::new("!has(self.maxReplicas) || self.metrics.all(m, !has(m.fallback) || m.fallback.minReplicas <= self.maxReplicas)")
        .message("a metric's fallback.minReplicas must not exceed maxReplicas")
)]
pub struct AutoscalePolicySpec {
    /// What to scale: anything with a scale subresource, or a HorizontalPodAutoscaler, which then stays in charge while
    /// the policy only raises its minReplicas ahead of need.
    pub scale_target_ref: ScaleTargetRef,
    /// Auto (default): scale. Recommend: work everything out, report it in status and metrics, and write nothing to
    /// the target.
    #[serde(default)]
    pub mode: Mode,
    /// Holds the target as it is until a moment, and says why. `foresail pause` writes this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// As many replicas there are, at least. Default: 1. With 0 the target may rest without pods, and
    /// starts again when its queue fills or its load, counted by somebody else, is back.
    #[serde(default = "one")]
    #[schemars(range(min = 0))]
    pub min_replicas: i32,
    /// As many replicas there are, at most. Required, except for a HorizontalPodAutoscaler, which has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_replicas: Option<i32>,
    /// The signals to scale on, one to ten. The largest answer wins.
    #[schemars(length(min = 1, max = 10), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub metrics: Vec<Metric>,
    /// The Prometheus that the queries are for. Default: the one Foresail was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusServer>,
    /// How to look ahead. The defaults suit most.
    #[serde(default)]
    pub forecast: ForecastSpec,
    /// How fast replicas may change, as in HorizontalPodAutoscaler v2. Default: as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
    /// ScalingCalendars in this namespace whose events raise or cap the replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub calendar_refs: Vec<CalendarRef>,
    /// HealthChecks that must pass before replicas go down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_gate: Option<HealthGate>,
}

/// What to scale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetRef {
    /// The target's API version. Default: looked up from the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub api_version: Option<String>,
    /// The target's kind: Deployment (default), StatefulSet, ReplicaSet, any custom kind with a scale subresource, or
    /// HorizontalPodAutoscaler.
    #[serde(default = "deployment")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The target's name, in the policy's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Whether the policy acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Scale.
    #[default]
    Auto,
    /// Work out and report, write nothing.
    Recommend,
}

/// A pause with an end and a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Paused {
    /// When the pause ends, as in 2027-01-31T18:00:00Z. Scaling goes on by itself then.
    #[schemars(length(min = 20, max = 40), extend("format" = "date-time"))]
    pub until: String,
    /// Why, for those who find it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub reason: String,
}

/// How to look ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastSpec {
    /// Auto (default): wherever forecasts have proved themselves on this workload's own history. Off: only what was
    /// measured counts. Write "Off" with quotes, or YAML makes it a boolean.
    #[serde(default)]
    pub mode: Switch,
    /// How far ahead replicas must be ready: Auto (default) measures how long pods take from creation to Ready, or a
    /// duration from 15s to 6h.
    #[serde(default = "auto")]
    #[schemars(length(max = 24), regex(pattern = r"^(Auto|([0-9]{1,6}(d|h|m|s)){1,4})$"))]
    pub lead_time: String,
    /// How much history to learn from, from 2d to 35d. Default: 14d.
    #[serde(default = "two_weeks")]
    #[schemars(length(max = 24), regex(pattern = DURATION_PATTERN))]
    pub history: String,
    /// How fine the history and the forecast are, from 1m to 5m. Finer knows spikes within minutes, and takes more
    /// memory and a larger back-fill. Default: 1m.
    #[serde(default = "a_minute")]
    #[schemars(length(max = 24), regex(pattern = DURATION_PATTERN))]
    pub step: String,
    /// The IANA time zone whose days and weeks the load follows, such as Europe/Berlin. Default: UTC.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// What is promised. SameCost (default): as little time with too few replicas as can be had for what the usual HPA
    /// costs, the one that keeps each metric's spare, in a replay of the workload's own history. Or a share of the time
    /// for which capacity is to suffice, from 50% to 99.99%, at whatever cost.
    #[serde(default = "protection")]
    #[schemars(length(max = 8), regex(pattern = r"^(SameCost|[0-9]{2}(\.[0-9]{1,3})?%)$"))]
    pub protection: String,
    /// Times to learn nothing from, such as incidents and load tests; up to 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub exclude: Vec<TimeWindow>,
}

impl Default for ForecastSpec {
    fn default() -> Self {
        Self {
            mode: Switch::Auto,
            lead_time: auto(),
            history: two_weeks(),
            step: a_minute(),
            time_zone: utc(),
            protection: protection(),
            exclude: Vec::new(),
        }
    }
}

/// A span of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeWindow {
    /// When it begins, as in 2027-01-31T18:00:00Z.
    #[schemars(length(min = 20, max = 40), extend("format" = "date-time"))]
    pub from: String,
    /// When it ends.
    #[schemars(length(min = 20, max = 40), extend("format" = "date-time"))]
    pub to: String,
    /// What happened then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub reason: String,
}

/// A ScalingCalendar in the policy's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CalendarRef {
    /// The calendar's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Which HealthChecks in the policy's namespace keep replicas from going down while they fail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthGate {
    /// HealthChecks by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub checks: Vec<String>,
    /// Groups of HealthChecks by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub groups: Vec<String>,
}

fn one() -> i32 {
    1
}

fn deployment() -> String {
    "Deployment".to_owned()
}

fn auto() -> String {
    "Auto".to_owned()
}

fn a_minute() -> String {
    "1m".to_owned()
}

fn two_weeks() -> String {
    "14d".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

/// The protection that is no share of the time.
pub const SAME_COST: &str = "SameCost";

fn protection() -> String {
    SAME_COST.to_owned()
}
