//! One signal of a policy, and how good its forecast has been.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use series::{Absence, Forecast, Series};

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
    pub forecast_status: Option<ForecastStatus>,
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
pub struct ForecastStatus {
    /// Whether the forecast is trusted and in use.
    pub active: bool,
    /// `Active`, `Learning`, `HistoryTooShort`, `NotBetterThanNaive`, `Off`, or what else the forecaster says.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// The model or the blend in use; empty if none.
    pub model: String,
    /// Loss of the .95 quantile against the better of "last value" and "as yesterday", each with its own: 0.4 is 60 % better.
    /// `None` before it is known.
    pub error_ratio: Option<f64>,
    /// Share of values that fell within the band meant to hold `coverage_target` of them.
    pub coverage: Option<f64>,
    /// What `coverage` should be.
    pub coverage_target: Option<f64>,
    /// Repeating patterns found, in seconds: 86400 is a day.
    pub seasons_seconds: Vec<u64>,
    /// History that the model learned from, in seconds.
    pub history_seconds: u64,
    /// When the level of the load last jumped, if it did within the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level_shift: Option<jiff::Timestamp>,
}
