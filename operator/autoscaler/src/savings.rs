//! Replica-hours that were not run, against what a fixed number would have taken: the peak of the week.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

/// A longer silence is nobody's saving.
const LONGEST_SILENCE: Duration = Duration::from_secs(120);
/// Days whose peaks count.
const DAYS: i64 = 8;

/// Replica-seconds saved so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Savings {
    /// The most replicas needed on each day: the day since the epoch, and the number.
    peaks: VecDeque<(i64, u32)>,
    /// Replica-seconds less than at the peak of the week.
    pub seconds: f64,
    /// When counting began; `None` before the first replicas were accounted for.
    pub since: Option<Timestamp>,
    #[serde(skip)]
    last: Option<Timestamp>,
}

impl Savings {
    /// Notes that `replicas` were needed at `now`.
    pub(crate) fn needed(&mut self, now: Timestamp, replicas: u32) {
        let day = now.as_second().div_euclid(86_400);
        match self.peaks.iter_mut().find(|(d, _)| *d == day) {
            Some((_, peak)) => *peak = (*peak).max(replicas),
            None => self.peaks.push_back((day, replicas)),
        }
        self.peaks.retain(|(d, _)| *d > day - DAYS);
    }

    /// The peak of the last week.
    pub fn peak(&self) -> Option<u32> {
        self.peaks.iter().map(|(_, peak)| *peak).max()
    }

    /// Accounts for the time since the last call, in which `replicas` ran.
    pub(crate) fn account(&mut self, now: Timestamp, replicas: u32) {
        let Some(peak) = self.peak() else { return };
        let passed = self.last.map_or(Duration::ZERO, |last| time::since(now, last).min(LONGEST_SILENCE));
        self.seconds += (f64::from(peak) - f64::from(replicas)) * passed.as_secs_f64();
        self.since.get_or_insert(now);
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn savings_are_counted_against_the_peak_of_the_week() {
        let mut savings = Savings::default();
        savings.needed(at(0), 10);
        savings.account(at(0), 4);
        for tick in 1..=240 {
            savings.account(at(tick * 15), 4);
        }
        assert!((savings.seconds - 6.0 * 3_600.0).abs() < 1e-6);
        assert_eq!(savings.since, Some(at(0)));
    }

    #[test]
    fn a_peak_is_forgotten_after_a_week() {
        let mut savings = Savings::default();
        savings.needed(at(0), 50);
        savings.needed(at(9 * 86_400), 5);
        assert_eq!(savings.peak(), Some(5));
    }
}
