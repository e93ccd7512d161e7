//! What a caller may choose: the step, how far ahead, which quantiles, the time zone, and what is known besides load.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A half-open span of time, `[from, to)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// When it begins.
    pub from: Timestamp,
    /// When it is over.
    pub to: Timestamp,
}

impl Window {
    /// Whether `at` lies inside.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// A known event, past or to come: a promotion, a match, a batch run. Events of one name are taken to have one
/// effect, learned from the past ones unless `multiplier` states it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Events that share an effect share a name.
    pub name: String,
    /// When it takes place.
    pub window: Window,
    /// Load during the event over load without it, above 0; learned where not stated.
    pub multiplier: Option<f64>,
}

/// What a [`Forecaster`](crate::Forecaster) is asked for. Out-of-range values are brought into range by
/// [`Forecaster::new`](crate::Forecaster::new), never refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Length of one slot of history and of one forecast row: whole seconds, 10 s to 1 h; 5 min by default.
    pub step: Duration,
    /// How far ahead to forecast, at least one step and at most two days; 1 h by default. The cost of a refit grows
    /// with the logarithm of the horizon.
    pub horizon: Duration,
    /// How far ahead decisions look, at most the horizon; 1 h by default. Rows beyond are shown only: the record up to here
    /// decides whether the forecast is trusted and which models are used, and no row up to here depends on how much further
    /// is forecast.
    pub decision_horizon: Duration,
    /// Quantile levels, rising, inside (0, 1); .5, .8, .9, .95 and .99 by default.
    pub levels: Vec<f64>,
    /// The zone in which days and weeks begin; UTC by default. Daylight saving follows from it.
    #[serde(with = "jiff::fmt::serde::tz::required")]
    pub time_zone: TimeZone,
    /// How much history to keep and to learn from, two days to five weeks; 14 days by default.
    pub history: Duration,
    /// Spans that must not be learned from: incidents, load tests. They stay in the history as gaps.
    pub excluded: Vec<Window>,
    /// Known events, past and to come.
    pub events: Vec<Event>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            step: Duration::from_mins(5),
            horizon: Duration::from_hours(1),
            decision_horizon: Duration::from_hours(1),
            levels: vec![0.5, 0.8, 0.9, 0.95, 0.99],
            time_zone: TimeZone::UTC,
            history: Duration::from_hours(14 * 24),
            excluded: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl Settings {
    /// The same settings with every value in its range.
    #[must_use]
    pub fn in_range(mut self) -> Self {
        let seconds = self.step.as_secs().clamp(10, 3600);
        self.step = Duration::from_secs(seconds);
        self.horizon = self.horizon.clamp(self.step, Duration::from_hours(48));
        self.decision_horizon = self.decision_horizon.clamp(self.step, self.horizon);
        self.levels.retain(|l| *l > 0.0 && *l < 1.0);
        self.levels.sort_by(f64::total_cmp);
        self.levels.dedup();
        if self.levels.is_empty() {
            self.levels = Self::default().levels;
        }
        self.history = self.history.clamp(Duration::from_hours(48), Duration::from_hours(35 * 24));
        self
    }

    /// The number of forecast rows.
    pub fn rows(&self) -> usize {
        self.steps(self.horizon)
    }

    /// The number of forecast rows that decisions look at.
    pub(crate) fn decision_rows(&self) -> usize {
        self.steps(self.decision_horizon)
    }

    fn steps(&self, ahead: Duration) -> usize {
        ahead.as_secs().div_ceil(self.step.as_secs().max(1)) as usize
    }

    /// The number of slots of history.
    pub fn slots(&self) -> usize {
        self.history.as_secs().div_ceil(self.step.as_secs().max(1)) as usize
    }
}
