//! How a forecast has been doing: what is shown in a status, on a page and in metrics.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the forecaster stands on its own recent past. All scores are of forecasts made before the value was known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The members of the blend at the longest horizon with their weights, heaviest first.
    pub model: String,
    /// Why this blend, and what came of the last change of behavior: one sentence.
    pub chosen_because: String,
    /// Scores for each horizon that is kept track of, shortest first.
    pub horizons: Vec<HorizonScore>,
    /// Seasons found in the load, strongest first.
    pub seasons: Vec<Season>,
    /// Share of the slots in the history that hold a value, 0 to 1.
    pub history_coverage: f64,
    /// How much history there is.
    pub history: Duration,
    /// When the level last jumped, if it did within the history.
    pub level_shift: Option<jiff::Timestamp>,
    /// Whether the errors have been growing lately (Page-Hinkley test on scaled errors).
    pub drifting: bool,
    /// What came of the last change of behavior, in one sentence: whether models fitted mostly on the load since then
    /// took over, and by which error.
    #[serde(default)]
    pub change: Option<String>,
}

/// The scores at one horizon, exponentially decayed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HorizonScore {
    /// How far ahead: from the newest complete slot to the slot forecast.
    pub ahead: Duration,
    /// How many forecasts were scored.
    pub scored: u64,
    /// Mean absolute error of the median over mean load (WAPE), 0 upwards; .1 is 10 %.
    pub error: f64,
    /// Pinball loss of the .95 quantile over that of the last value with a quantile of its own; below 1 is better.
    pub versus_last_value: f64,
    /// The same over that of the same time yesterday.
    pub versus_yesterday: f64,
    /// Share of values at or below the .9 quantile; .9 is calibrated.
    pub coverage_90: f64,
    /// Share of values at or below the .95 quantile; .95 is calibrated.
    pub coverage_95: f64,
}

/// A period found in the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Season {
    /// The length of the period.
    pub period: Duration,
    /// How strong it is: the share of variance it explains, 0 to 1.
    pub strength: f64,
}
