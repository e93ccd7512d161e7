//! How much of a window a component was up, in bounded memory: time is added as it passes, into buckets of five
//! minutes, an hour and a day. Time that nobody measured, or that was planned maintenance, counts for neither side.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Status;

/// Shares of time up over the usual windows, in `[0, 1]`; `None` where nothing was measured in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UptimeRatios {
    /// Over the last hour.
    pub hour: Option<f64>,
    /// Over the last 24 hours.
    pub day: Option<f64>,
    /// Over the last 7 days.
    pub week: Option<f64>,
    /// Over the last 30 days.
    pub month: Option<f64>,
}

/// Time up and down, by bucket. About 1 KiB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Uptime {
    minutes: Ring,
    hours: Ring,
    days: Ring,
}

impl Default for Uptime {
    fn default() -> Self {
        Self { minutes: Ring::new(300, 13), hours: Ring::new(3_600, 25), days: Ring::new(86_400, 31) }
    }
}

impl Uptime {
    /// Adds the time from `from` to `to`, which was spent in `status`. Degraded is up. A span longer than an hour is
    /// cut to its last hour: nobody who was away that long measured it.
    pub fn add(&mut self, from: Timestamp, to: Timestamp, status: Status) {
        let up = match status {
            Status::Pass | Status::Warn => true,
            Status::Fail => false,
            Status::Maintenance | Status::Unknown => return,
        };
        let end = to.as_millisecond();
        let start = from.as_millisecond().max(end - 3_600_000);
        for ring in [&mut self.minutes, &mut self.hours, &mut self.days] {
            ring.add(start, end, up);
        }
    }

    /// The shares up to `now`.
    pub fn ratios(&self, now: Timestamp) -> UptimeRatios {
        let ms = now.as_millisecond();
        let over = |ring: &Ring, hours: u64| ring.ratio(ms, Duration::from_secs(hours * 3_600));
        UptimeRatios {
            hour: over(&self.minutes, 1),
            day: over(&self.hours, 24),
            week: over(&self.days, 7 * 24),
            month: over(&self.days, 30 * 24),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ring {
    bucket_seconds: u32,
    keep: usize,
    buckets: VecDeque<Bucket>,
}

/// Milliseconds up and down since `index * bucket_seconds`; a day has 86.4 million, so 32 bits hold it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Bucket {
    index: i64,
    up: u32,
    down: u32,
}

impl Ring {
    fn new(bucket_seconds: u32, keep: usize) -> Self {
        Self { bucket_seconds, keep, buckets: VecDeque::new() }
    }

    fn add(&mut self, mut start: i64, end: i64, up: bool) {
        let width = i64::from(self.bucket_seconds) * 1_000;
        while start < end {
            let index = start.div_euclid(width);
            let until = ((index + 1) * width).min(end);
            if self.buckets.back().is_none_or(|b| b.index < index) {
                self.buckets.push_back(Bucket { index, up: 0, down: 0 });
                while self.buckets.len() > self.keep {
                    self.buckets.pop_front();
                }
            }
            if let Some(bucket) = self.buckets.back_mut() {
                let spent = u32::try_from(until - start).unwrap_or(u32::MAX);
                let side = if up { &mut bucket.up } else { &mut bucket.down };
                *side = side.saturating_add(spent);
            }
            start = until;
        }
    }

    fn ratio(&self, now_ms: i64, window: Duration) -> Option<f64> {
        let width = i64::from(self.bucket_seconds) * 1_000;
        let oldest = (now_ms - window.as_millis() as i64).div_euclid(width);
        let (up, down) = self
            .buckets
            .iter()
            .filter(|b| b.index > oldest || (b.index == oldest && window.as_secs() == 0))
            .fold((0_u64, 0_u64), |(up, down), b| (up + u64::from(b.up), down + u64::from(b.down)));
        let measured = up + down;
        (measured > 0).then(|| up as f64 / measured as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn six_minutes_down_in_an_hour_are_ninety_percent() {
        let mut uptime = Uptime::default();
        let start = 1_700_000_000 / 3_600 * 3_600;
        uptime.add(at(start), at(start + 3_240), Status::Pass);
        uptime.add(at(start + 3_240), at(start + 3_600), Status::Fail);
        let ratios = uptime.ratios(at(start + 3_600));
        assert!((ratios.hour.unwrap() - 0.9).abs() < 0.02, "{ratios:?}");
        assert!((ratios.day.unwrap() - 0.9).abs() < 1e-9);
    }

    #[test]
    fn what_was_not_measured_is_neither_up_nor_down() {
        let mut uptime = Uptime::default();
        uptime.add(at(0), at(600), Status::Unknown);
        uptime.add(at(600), at(1_200), Status::Maintenance);
        assert_eq!(uptime.ratios(at(1_200)).day, None);
        uptime.add(at(1_200), at(1_300), Status::Warn);
        assert_eq!(uptime.ratios(at(1_300)).day, Some(1.0));
    }

    #[test]
    fn memory_stays_bounded_over_a_year() {
        let mut uptime = Uptime::default();
        for hour in 0..(365 * 24) {
            uptime.add(at(hour * 3_600), at((hour + 1) * 3_600), Status::Pass);
        }
        assert!(uptime.minutes.buckets.len() + uptime.hours.buckets.len() + uptime.days.buckets.len() < 70);
        assert_eq!(uptime.ratios(at(365 * 24 * 3_600)).month, Some(1.0));
    }
}
