//! The answer to the load to come: how far ahead capacity must be ordered, and the largest quantile on the way there.

use std::time::Duration;

use jiff::Timestamp;
use series::{Forecast, time};

use crate::observation::Observation;
use crate::policy::{LeadTime, Policy};

/// Fewer start-ups than this say little about their 95 % quantile.
const LEAST_STARTUPS: u32 = 3;

/// How far ahead capacity must be ordered: the start-up that 95 % of pods beat, how late we see and act, and the time
/// to the next decision.
pub(crate) fn lead(policy: &Policy, observation: &Observation) -> Duration {
    match policy.lead_time {
        LeadTime::Fixed(lead) => lead,
        LeadTime::Measured { until_known } => {
            let startup = observation
                .startup
                .p95
                .filter(|_| observation.startup.samples >= LEAST_STARTUPS)
                .unwrap_or(until_known);
            startup + observation.lag + policy.timing.interval
        }
    }
}

/// How far ahead replicas are kept because they would be wanted again: a replica that is removed and started again
/// within its own start-up, and the stabilization window on top, saves nothing.
pub(crate) fn keep_span(policy: &Policy, observation: &Observation, lead: Duration) -> Duration {
    observation.startup.mean.unwrap_or(lead) + policy.timing.keep
}

/// Largest value at `level` over the steps that touch `[from, to]`; `None` where the forecast knows nothing of it.
/// [`Forecast::max_between`] on a range of indices instead of all of them.
pub(crate) fn highest(forecast: &Forecast, from: Timestamp, to: Timestamp, level: f64) -> Option<f64> {
    let step = forecast.step().as_secs().max(1);
    let slot = |at: Timestamp| usize::try_from(time::since(at, forecast.origin()).as_secs() / step).ok();
    if to < forecast.origin() {
        return None;
    }
    let (first, last) = (slot(from)?, slot(to)?);
    (first..=last.min(forecast.steps().saturating_sub(1)))
        .filter_map(|i| forecast.quantile(i, level))
        .reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Startup;

    #[test]
    fn the_lead_is_measured_once_enough_start_ups_were_seen() {
        let policy = Policy::simple(1, 10, 100.0);
        let mut observation = Observation::of(3);
        assert_eq!(lead(&policy, &observation), Duration::from_secs(120 + 20 + 15));
        let p95 = Some(Duration::from_secs(40));
        observation.startup = Startup { p95, mean: p95, samples: 2 };
        assert_eq!(lead(&policy, &observation), Duration::from_secs(120 + 20 + 15));
        observation.startup.samples = 3;
        assert_eq!(lead(&policy, &observation), Duration::from_secs(40 + 20 + 15));
        let fixed = Policy { lead_time: LeadTime::Fixed(Duration::from_secs(600)), ..policy };
        assert_eq!(lead(&fixed, &observation), Duration::from_secs(600));
    }

    #[test]
    fn the_highest_of_a_span_is_what_the_forecast_says_it_is() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let rows = (0..20).map(|i| vec![f64::from((i * 7) % 11), 20.0]).collect();
        let f = Forecast::new(at(600), Duration::from_secs(60), vec![0.5, 0.9], rows, "x").unwrap();
        for (from, to) in
            [(0, 700), (600, 600), (659, 660), (900, 1_300), (1_700, 5_000), (0, 100), (9_000, 9_100)]
        {
            assert_eq!(
                highest(&f, at(from), at(to), 0.5),
                f.max_between(at(from), at(to), 0.5),
                "{from} {to}"
            );
        }
    }
}
