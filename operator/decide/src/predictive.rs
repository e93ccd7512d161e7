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

/// The load at `at` and `level` on the straight line between the middles of steps: a step holds a mean, and a ramp
/// doesn't stand still for five minutes. Before the first and after the last middle the line goes on for half a step.
/// `None` beyond the forecast by more than a step.
pub(crate) fn line(forecast: &Forecast, at: Timestamp, level: f64) -> Option<f64> {
    let step = forecast.step().as_secs_f64().max(1.0);
    let from_origin = at.duration_since(forecast.origin()).as_secs_f64() / step - 0.5;
    let last = forecast.steps() as f64 - 1.0;
    if from_origin < -1.5 || from_origin > last + 1.5 {
        return None;
    }
    if last < 1.0 {
        return forecast.quantile(0, level);
    }
    let place = from_origin.clamp(-0.5, last + 0.5);
    let left = place.floor().clamp(0.0, last - 1.0);
    let (a, b) = (forecast.quantile(left as usize, level)?, forecast.quantile(left as usize + 1, level)?);
    Some((a + (b - a) * (place - left)).max(0.0))
}

/// The largest value of [`line`] from `from` to `to`: at either end, or at a middle between.
pub(crate) fn peak(forecast: &Forecast, from: Timestamp, to: Timestamp, level: f64) -> Option<f64> {
    let step = forecast.step().as_secs_f64().max(1.0);
    let place = |at: Timestamp| at.duration_since(forecast.origin()).as_secs_f64() / step - 0.5;
    let (first, last) = (place(from).ceil().max(0.0), place(to).floor().min(forecast.steps() as f64 - 1.0));
    let ends = line(forecast, from, level).into_iter().chain(line(forecast, to, level));
    let middles = (first as usize..).take((last - first + 1.0).max(0.0) as usize);
    ends.chain(middles.filter_map(|i| forecast.quantile(i, level))).reduce(f64::max)
}

/// The factor that moves a forecast to a measurement of `value` at `at`, `follow` of the way: at most four times up or
/// down. 1 where the forecast says nothing of that moment.
pub(crate) fn moved(forecast: &Forecast, at: Timestamp, value: f64, follow: f64) -> f64 {
    let Some(expected) = line(forecast, at, 0.5).filter(|v| *v > 0.0 && follow > 0.0) else { return 1.0 };
    (value / expected).clamp(0.25, 4.0).powf(follow.min(1.0))
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
    fn a_ramp_is_a_line_between_the_middles_of_steps() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let rows = vec![vec![10.0], vec![20.0], vec![30.0], vec![15.0]];
        let f = Forecast::new(at(0), Duration::from_secs(60), vec![0.5], rows, "x").unwrap();
        let on = |s| line(&f, at(s), 0.5);
        assert_eq!((on(30), on(60), on(90), on(0)), (Some(10.0), Some(15.0), Some(20.0), Some(5.0)));
        assert_eq!((on(-90), on(400)), (None, None));
        assert_eq!(peak(&f, at(40), at(70), 0.5), on(70));
        assert_eq!(peak(&f, at(100), at(200), 0.5), Some(30.0));
        assert_eq!(moved(&f, at(30), 20.0, 1.0), 2.0);
        assert_eq!(moved(&f, at(30), 20.0, 0.0), 1.0);
        assert_eq!(moved(&f, at(30), 9_000.0, 1.0), 4.0);
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
