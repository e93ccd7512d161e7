//! How far short bursts of a workload's load usually rise above its own mean, learned in a few numbers: what rises further is
//! a surge.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

/// Time constant of the slow mean that bursts are measured against.
const MEAN_SECONDS: f64 = 300.0;
/// Readings between which nothing was read for longer than this say nothing about bursts.
const LONGEST_GAP: Duration = Duration::from_secs(120);
/// The usual large burst is the one that this share of all readings stays below: a quarter of an hour a day is above it.
const LARGE_QUANTILE: f64 = 0.99;
/// Multiples of it that are still usual: what was seen of a load is not all that it does, and a strategy that was simulated
/// on it has room for that.
const STILL_USUAL: f64 = 2.0;
/// Step of its estimate: an hour without a burst lowers it by two and a half percent of the mean.
const LARGE_STEP: f64 = 0.01;

/// A running 99 % quantile of "load over its five-minute mean, minus one", and that mean.
///
/// The quantile follows Robbins and Monro (1951): it rises by `step * 0.99` when a burst exceeds it and falls by
/// `step * 0.01` when not, so it settles where 1 % exceed it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Peaks {
    /// The slow mean; `None` before the first reading.
    pub mean: Option<f64>,
    /// The last reading and when it was taken in.
    pub last: Option<(Timestamp, f64)>,
    /// The estimate, as a share of the mean: a burst that is large, and usual.
    pub large: f64,
}

impl Default for Peaks {
    fn default() -> Self {
        Self { mean: None, last: None, large: 0.10 }
    }
}

impl Peaks {
    /// A load up to this many times its mean is usual here.
    pub(crate) fn usual(&self) -> f64 {
        1.0 + STILL_USUAL * self.large
    }

    /// Takes in a fresh reading; `long` is the source's own five-minute mean where it has one.
    pub(crate) fn observe(&mut self, now: Timestamp, value: f64, long: Option<f64>) {
        let gap = self.last.map(|(at, _)| time::since(now, at));
        let mean = match (long, self.mean, gap) {
            (Some(long), _, _) => long,
            (None, Some(mean), Some(gap)) if gap <= LONGEST_GAP => {
                mean + (value - mean) * (1.0 - (-gap.as_secs_f64() / MEAN_SECONDS).exp())
            }
            _ => value,
        };
        if gap.is_some_and(|gap| gap > Duration::ZERO && gap <= LONGEST_GAP) && mean > 0.0 {
            let burst = value / mean - 1.0;
            self.large += LARGE_STEP * if burst > self.large { LARGE_QUANTILE } else { LARGE_QUANTILE - 1.0 };
            self.large = self.large.clamp(0.0, 4.0);
        }
        self.mean = Some(mean);
        self.last = Some((now, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_every_hour_is_a_large_burst_and_a_usual_one() {
        let large = |value: &dyn Fn(i64) -> f64| {
            let mut burst = Peaks::default();
            for i in 0..4_000 {
                burst.observe(Timestamp::from_second(i * 15).unwrap(), value(i), None);
            }
            burst.large
        };
        assert!(large(&|_| 100.0) < 0.01);
        // The load trebles for half a minute in each quarter of an hour.
        let hourly = large(&|i| if i % 60 < 2 { 300.0 } else { 100.0 });
        assert!((1.0..2.2).contains(&hourly), "{hourly}");
    }
}
