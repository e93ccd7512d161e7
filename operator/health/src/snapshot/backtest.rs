//! What a replay of the policy's past found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
