//! What is kept of a policy for people: charts of the last day, the last decisions, and forecasts whose time hasn't come.
//! Pure: the operator and the demo fill it from the same decisions.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use health::snapshot::DecisionEntry;
use jiff::Timestamp;
use series::{Reading, Series, time};

use super::charts::Chart;
use super::entry::entry;
use super::outcome::Decided;

/// Decisions that are kept for the page.
const DECISIONS: usize = 40;
/// Forecasts that wait for their time: a lead time of hours at 15 s would grow long, and every slot of the chart needs one
/// value only.
const PENDING: usize = 1_600;
/// A chart has no finer slots than this, so what is forecast for sooner can't be told apart.
const SHORTEST_LEAD: Duration = Duration::from_mins(1);

/// What is kept of a policy for people.
#[derive(Debug, Default)]
pub struct Recent {
    pub(crate) ready: Chart,
    pub(crate) desired: Chart,
    pub(crate) metrics: HashMap<String, RecentMetric>,
    /// Newest first.
    pub(crate) decisions: VecDeque<DecisionEntry>,
}

/// What is kept of one metric.
#[derive(Debug, Default)]
pub(crate) struct RecentMetric {
    pub(crate) measured: Chart,
    /// What ready replicas could carry.
    pub(crate) capacity: Chart,
    /// What had been expected, one lead time before.
    pub(crate) hindcast: Chart,
    pending: VecDeque<(Timestamp, PendingForecast)>,
    /// What had been expected for now.
    pub(crate) due: Option<PendingForecast>,
}

/// What is expected for a moment, in the metric's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PendingForecast {
    /// As likely to be above as below.
    pub(crate) median: f64,
    /// The bound that a decision was made for.
    pub(crate) upper: Option<f64>,
}

impl Recent {
    /// Draws the history of a metric, where nothing was drawn yet.
    pub fn seed(&mut self, metric: &str, history: &Series) {
        self.metrics.entry(metric.to_owned()).or_default().measured.seed(history);
    }

    /// Takes in a decision: what was measured and asked for, and what is expected for one lead time from now.
    pub fn take(&mut self, decided: &Decided, trace_id: Option<String>) {
        let record = &decided.record;
        let ready = f64::from(record.observation.replicas.ready);
        self.ready.note(record.now, ready);
        self.desired.note(record.now, f64::from(record.recommendation.target));
        let due = time::after(record.now, record.recommendation.lead.max(SHORTEST_LEAD));
        let level = record.forecast_level();
        for (i, policy) in record.policy.metrics.iter().enumerate() {
            let metric = self.metrics.entry(policy.name.clone()).or_default();
            if let Some(Reading::Fresh(sample)) = record.observation.metric(&policy.name).map(|m| &m.reading)
            {
                metric.measured.note(sample.time(), sample.value());
            }
            metric.capacity.note(record.now, ready * policy.target);
            let forecast = decided.forecasts.get(i).and_then(|state| state.forecast.as_ref().ok());
            let at = |level| forecast.and_then(|f| f.at(due, level));
            let expected = at(0.5).map(|median| PendingForecast { median, upper: at(level) });
            metric.remember(record.now, due, expected);
        }
        if let Some(entry) = entry(decided, self.decisions.front(), trace_id) {
            self.decisions.push_front(entry);
            self.decisions.truncate(DECISIONS);
        }
    }
}

impl RecentMetric {
    /// Remembers what is expected for `at`, and shows what had been expected for now.
    fn remember(&mut self, now: Timestamp, at: Timestamp, forecast: Option<PendingForecast>) {
        self.pending.extend(forecast.map(|forecast| (at, forecast)));
        while let Some((due, forecast)) = self.pending.front().copied().filter(|(due, _)| *due <= now) {
            self.hindcast.note(due, forecast.median);
            self.due = Some(forecast);
            self.pending.pop_front();
        }
        while self.pending.len() > PENDING {
            self.pending.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_was_expected_is_shown_when_it_is_due() {
        let mut metric = RecentMetric::default();
        let forecast = PendingForecast { median: 7.0, upper: Some(9.0) };
        metric.remember(at(0), at(600), Some(forecast));
        assert!(metric.hindcast.series().is_none());
        metric.remember(at(600), at(1_200), None);
        assert_eq!(metric.hindcast.series().unwrap().last().map(|(_, v)| v), Some(7.0));
        assert_eq!(metric.due, Some(forecast));
    }
}
