//! One signal that a workload is scaled on.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Queue;
use crate::units::{DURATION_PATTERN, Quantity};

/// One signal to scale on. Each metric is judged on its own, and the largest answer wins; a metric that can't be
/// measured keeps replicas from going down, and never lowers what the others ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.prometheus) != has(self.queue)")
        .message("set exactly one source for the metric: prometheus or queue"),
    validation = Rule::new("!has(self.prometheus) || has(self.target)")
        .message("target is required for a prometheus metric: how much of it one replica carries"),
    validation = Rule::new("has(self.queue) == has(self.drainWithin)")
        .message("drainWithin belongs to a queue metric: how long a message may wait"),
    validation = Rule::new("!has(self.queue) || !has(self.target)")
        .message("target is for prometheus metrics; a queue has drainWithin"),
    validation = Rule::new("!has(self.spare) || (has(self.prometheus) && self.targetType == 'AverageValue')")
        .message("spare is for a prometheus metric with targetType AverageValue"),
    validation = Rule::new("!has(self.capacity) || (has(self.prometheus) && self.targetType == 'AverageValue')")
        .message("capacity is for a prometheus metric with targetType AverageValue; a queue learns by itself")
)]
pub struct Metric {
    /// A short name for status, events and metrics; unique in the policy.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// A PromQL query whose answer is the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusQuery>,
    /// A queue whose consumers are scaled so that what waits is worked off in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// The promise for a queue: no message is older than this when it is worked off. A duration such as 2m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = DURATION_PATTERN))]
    pub drain_within: Option<String>,
    /// How much of the metric one replica carries, in the unit of the query. A quantity: 200, 0.5, 250m or 1.5k.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Quantity>,
    /// Share of what the replicas carry that is kept free until Foresail has replayed this workload's own history and knows
    /// what it needs, from 0% to 90%; an HPA at 70 % of the target keeps 30%. It is also what protection SameCost compares
    /// the cost with. Default: 30%. Write 0% where target holds its spare already, as an HPA's averageUtilization does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^[0-9]{1,2}(\.[0-9]{1,3})?%$"))]
    pub spare: Option<String>,
    /// Learns what one replica carries, instead of taking target's word for it. Target counts until that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<LearnedCapacity>,
    /// AverageValue (default): target is per replica, and the query counts the load of all replicas together. Value:
    /// the query is a ratio such as latency or utilization, and target is what it should be.
    #[serde(default)]
    pub target_type: TargetType,
    /// Auto (default): replicas are raised ahead of what is forecast for this metric, wherever its forecasts have
    /// proved themselves. Off: only what was measured counts. Write "Off" with quotes, or YAML makes it a boolean.
    #[serde(default)]
    pub forecast: Switch,
    /// What to do when the metric can't be measured for a while. Default: replicas stay where they are or rise with
    /// the other metrics and the forecast, and never fall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// A PromQL query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusQuery {
    /// The query. It must answer with one value: put sum() around what has many. Choose what users ask of the
    /// workload (requests, messages), not what follows from its replicas (CPU).
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
}

/// What one replica carries is learned from how busy replicas are at which load: a line through both, and capacity is
/// where it reaches 0.8, less a margin for doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LearnedCapacity {
    /// A PromQL query for the share of the scarcest resource that replicas use, from 0 to 1, averaged over them: CPU over
    /// its limit, busy threads over all threads. It must answer with one value.
    #[schemars(length(min = 1, max = 4096))]
    pub utilization: String,
}

/// What the target of a metric means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetType {
    /// Load per replica, as the HPA's AverageValue.
    #[default]
    AverageValue,
    /// The value itself, as the HPA's Value.
    Value,
}

/// Automatic or off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Switch {
    /// On wherever it has proved itself.
    #[default]
    Auto,
    /// Off.
    Off,
}

/// What to do when a metric can't be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// For how long the metric must be missing. Default: 3m.
    #[serde(default = "three_minutes")]
    #[schemars(length(max = 24), regex(pattern = DURATION_PATTERN))]
    pub after: String,
    /// As many replicas there are then, at least.
    #[schemars(range(min = 1))]
    pub min_replicas: i32,
}

fn three_minutes() -> String {
    "3m".to_owned()
}
