//! What Foresail says about a policy: what it sees, what it decided and why, how good its forecasts are.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What Foresail sees, what it decided and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalePolicyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is scaled, as kind/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The replicas that the target asks for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<i32>,
    /// The replicas that Foresail wants, after every limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// The lower bound in force now, calendars included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_min_replicas: Option<i32>,
    /// The upper bound in force now, calendars included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_max_replicas: Option<i32>,
    /// When Foresail last changed the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,
    /// The last decision in full: every candidate, every limit that bit, the winner, and what it was worked out from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// How long pods take from creation to Ready, as measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Startup>,
    /// What one replica carries of each metric, and how that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["metric"]))]
    pub capacity: Vec<CapacityStatus>,
    /// How good the forecasts are, and what they expect next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ForecastStatus>,
    /// How this workload is scaled, and which part of its past speaks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<SelectionStatus>,
    /// What Foresail saved so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Saved>,
    /// What Foresail needs after a restart: the selected strategy with its evidence, what a replica carries, start-up times
    /// and the windows of stabilization. For Foresail only; it has a version, and one that isn't known is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub learned: Option<serde_json::Value>,
    /// Ready, AbleToScale, ScalingActive, ScalingLimited, ForecastActive and DataFresh, each with a reason to search for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A decision: in words, in candidates and limits, and as a record that gives the same answer when replayed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// What asked for the desired replicas: a metric's name and how it was looked at, or a rule.
    #[serde(default)]
    pub driver: String,
    /// The decision in one sentence.
    #[serde(default)]
    pub message: String,
    /// What each metric, forecast, calendar and backlog asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub candidates: Vec<Candidate>,
    /// What kept the answer from being the largest candidate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub limits: Vec<Limit>,
    /// The trace of the evaluation, where traces are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The inputs and the answer as `foresail explain` replays them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub record: Option<serde_json::Value>,
}

/// What one input asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Which metric or rule.
    pub name: String,
    /// How it was looked at: Reactive, Predictive, Keep, Calendar, Backlog, Fallback and the like.
    pub kind: String,
    /// The replicas it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The value it was worked out from, in the unit of the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// How that came about, or why there is no answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// One limit that bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// The word to search for.
    pub reason: String,
    /// What it did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How long pods take from creation to Ready.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Startup {
    /// 95 of 100 pods were Ready within as many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_seconds: Option<i32>,
    /// The last measurements, in seconds, oldest first; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub samples: Vec<i32>,
}

/// What one replica carries of a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityStatus {
    /// The metric.
    pub metric: String,
    /// Learned: measured on this workload. Learning: not known yet; what counts meanwhile is in perReplica, if anything
    /// does.
    pub source: String,
    /// What one replica carries, in the unit of the metric; for a queue messages per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_replica: Option<String>,
    /// What is missing for it to be known, or how well it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How good the forecasts are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastStatus {
    /// The metric that is forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// What makes the forecast now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The loss of the forecast's .95 quantile, which decisions lean on, as a percentage of that of the better of "as now" and "as
    /// yesterday", each with a quantile of its own; below 100 is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_percent_of_naive: Option<i32>,
    /// How often the load stayed below the forecast for the wanted protection, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage_percent: Option<i32>,
    /// How far ahead replicas must be ready, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_time_seconds: Option<i32>,
    /// The next change of replicas that the forecast expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_change: Option<NextChange>,
    /// Why this model, or why none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The strategy that scales a workload: selected by simulating every strategy on the workload's own past.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectionStatus {
    /// How far that got: Off, ReadingHistory, Fitting, LearningCapacity, TooLittleHistory, Simulating, Selected.
    pub state: String,
    /// What it waits for, or why nothing is selected.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The strategy in force, selected or not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub strategy: String,
    /// How much of the past was simulated, in days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated_days: Option<i32>,
    /// Share of that time with too few ready replicas, as in 0.25%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_of_replicas: Option<String>,
    /// Between what and what that share is to be expected over a week to come, in nine cases of ten, as in 0.02% to 0.61%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_of_replicas_range: Option<String>,
    /// The same share for the usual HPA, the one that keeps each metric's spare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpa_short_of_replicas: Option<String>,
    /// Mean replicas in percent of what that HPA took; below 100 is cheaper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_of_hpa: Option<i32>,
    /// Between what and what that is to be expected over a week to come, in nine cases of ten, as in 95 to 103.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_of_hpa_range: Option<String>,
}

/// An expected change of replicas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextChange {
    /// When the replicas are expected to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// To how many.
    pub replicas: i32,
}

/// What Foresail saved against the largest number of replicas it saw the load need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// Hours of one replica that weren't needed because the target followed the load, against running the peak of the
    /// last week all the time.
    pub replica_hours: i64,
    /// Since when that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
