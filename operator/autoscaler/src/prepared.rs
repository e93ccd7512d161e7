//! Forecasts that were made before: for replays, in which many policies see the same load, and for tests. What a forecaster
//! says depends on what was measured and not on what was decided, so one run of it serves them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use series::Forecast;

use crate::forecast_state::ForecastState;

/// Forecasts by the time they were made at.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    forecasts: Vec<(Timestamp, ForecastState)>,
    hindcasts: BTreeMap<Timestamp, Arc<Hindcast>>,
}

/// Forecasts of a past that was played to strategies, oldest first: when, and what was foreseen.
pub type Hindcast = Vec<(Timestamp, Option<Arc<Forecast>>)>;

impl Prepared {
    /// Appends what was said at `at`, unless it is what was said before.
    pub fn issue(&mut self, at: Timestamp, state: &ForecastState) {
        let same = self.forecasts.last().is_some_and(|(_, last)| match (&last.forecast, &state.forecast) {
            (Ok(a), Ok(b)) => Arc::ptr_eq(a, b),
            (Err(a), Err(b)) => a == b,
            _ => false,
        });
        if !same {
            self.forecasts.push((at, state.clone()));
        }
    }

    /// Appends the forecasts of a past that was played until `until`.
    pub fn hindcast(&mut self, until: Timestamp, hindcast: Arc<Hindcast>) {
        self.hindcasts.insert(until, hindcast);
    }

    /// What was said last at `now`.
    pub fn at(&self, now: Timestamp) -> Option<&ForecastState> {
        let after = self.forecasts.partition_point(|(at, _)| *at <= now);
        after.checked_sub(1).and_then(|i| self.forecasts.get(i)).map(|(_, state)| state)
    }

    /// The last thing said.
    pub fn last(&self) -> Option<&ForecastState> {
        self.forecasts.last().map(|(_, state)| state)
    }

    /// The forecasts of the past until `until`: those made for it, or those that were issued.
    pub(crate) fn past(&self, until: Timestamp) -> Arc<Hindcast> {
        self.hindcasts.get(&until).map_or_else(
            || {
                let known = self.forecasts.iter().filter(|(at, _)| *at < until);
                Arc::new(known.map(|(at, state)| (*at, state.forecast.as_ref().ok().cloned())).collect())
            },
            Arc::clone,
        )
    }
}
