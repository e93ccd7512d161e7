//! Why there is no forecast to act on: one word for machines, one sentence for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A refusal. The caller then acts on what is measured now, and says why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct NoForecast {
    /// The word to search for; also a metric label and a condition reason.
    pub reason: NoForecastReason,
    /// What was found, with its numbers.
    pub message: String,
}

impl NoForecast {
    /// A refusal with its sentence.
    pub fn new(reason: NoForecastReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The kinds of refusal. The set is closed, so it can label metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NoForecastReason {
    /// Nothing was measured yet.
    NoData,
    /// Fewer than two seasons of history.
    HistoryTooShort,
    /// Too much of the history is missing.
    TooManyGaps,
    /// The newest sample is too old.
    Stale,
    /// On the recent past the forecast's upper quantile was no better than those of the last value and the same time yesterday.
    NotBetterThanNaive,
    /// The error is so large that the number means little.
    TooInaccurate,
    /// The upper quantiles were exceeded far more often than they say.
    Uncalibrated,
    /// The level jumped a moment ago and the models haven't followed yet.
    LevelShift,
    /// The signal moves with our own replicas, so a forecast of it would feed on itself.
    FollowsReplicas,
    /// Forecasts are switched off for this metric, or make no sense for it.
    Off,
    /// The history is being read, or learned from for the first time.
    Learning,
    /// The history couldn't be read.
    HistoryUnavailable,
}

impl NoForecastReason {
    /// The word itself, in PascalCase.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoData => "NoData",
            Self::HistoryTooShort => "HistoryTooShort",
            Self::TooManyGaps => "TooManyGaps",
            Self::Stale => "Stale",
            Self::NotBetterThanNaive => "NotBetterThanNaive",
            Self::TooInaccurate => "TooInaccurate",
            Self::Uncalibrated => "Uncalibrated",
            Self::LevelShift => "LevelShift",
            Self::FollowsReplicas => "FollowsReplicas",
            Self::Off => "Off",
            Self::Learning => "Learning",
            Self::HistoryUnavailable => "HistoryUnavailable",
        }
    }
}

impl fmt::Display for NoForecastReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
