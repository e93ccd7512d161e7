//! A query's number within bounds: pool usage, cache hit rate, a backlog. No number is a failure of the measurement, and
//! is told as such.

use std::time::Instant;

use async_trait::async_trait;
use health::Reason;
use health::check::{Observed, Outcome};
use jiff::Timestamp;
use sources::Source;
use sources::prometheus::Prometheus;

use crate::probe::Probe;

/// Bounds; the number itself is still within.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// Above is degraded.
    pub warn_above: Option<f64>,
    /// Above is down.
    pub fail_above: Option<f64>,
    /// Below is degraded.
    pub warn_below: Option<f64>,
    /// Below is down.
    pub fail_below: Option<f64>,
}

/// A probe by query.
#[derive(Debug)]
pub struct Promql {
    /// Where to ask what.
    pub source: Prometheus,
    /// The bounds.
    pub thresholds: Thresholds,
    /// The number's unit.
    pub unit: String,
}

#[async_trait]
impl Probe for Promql {
    fn kind(&self) -> &'static str {
        "promql"
    }

    fn host(&self) -> &str {
        self.source.server()
    }

    async fn probe(&self) -> Outcome {
        let started = Instant::now();
        match self.source.read(Timestamp::now()).await {
            Ok(sample) => {
                let mut outcome = judge(sample.value(), &self.thresholds, &self.unit);
                outcome.latency = started.elapsed();
                outcome
            }
            Err(absence) => Outcome::fail(Reason::NoData, absence.to_string(), started.elapsed()),
        }
    }
}

fn judge(value: f64, t: &Thresholds, unit: &str) -> Outcome {
    let mut outcome = Outcome::pass(std::time::Duration::ZERO);
    let beyond = |bound: Option<f64>, above: bool| {
        bound.filter(|b| if above { value > *b } else { value < *b }).map(|b| {
            let word = if above { "above" } else { "below" };
            format!("{value}{unit} is {word} {b}{unit}")
        })
    };
    if let Some(text) = beyond(t.fail_above, true).or_else(|| beyond(t.fail_below, false)) {
        outcome = Outcome::fail(Reason::OutOfBounds, text, outcome.latency);
    } else if let Some(text) = beyond(t.warn_above, true).or_else(|| beyond(t.warn_below, false)) {
        outcome = Outcome::warn(Reason::OutOfBounds, text, outcome.latency);
    }
    outcome.observed = Some(Observed { value, unit: unit.to_owned() });
    outcome
}

#[cfg(test)]
mod tests {
    use health::Verdict;

    use super::*;

    #[test]
    fn bounds_are_still_within_and_the_worse_one_wins() {
        let t = Thresholds {
            warn_above: Some(0.8),
            fail_above: Some(0.95),
            fail_below: Some(0.1),
            ..Thresholds::default()
        };
        let verdict = |v| judge(v, &t, "").verdict;
        assert_eq!(
            [verdict(0.8), verdict(0.81), verdict(0.96), verdict(0.05)],
            [Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Fail]
        );
        assert_eq!(judge(0.9, &t, "%").output, "0.9% is above 0.8%");
    }
}
