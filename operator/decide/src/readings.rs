//! The fresh readings of the last five minutes, and what they tell: the mean that a surge is measured against, and which
//! way the load is going. Load that climbs mostly goes on climbing for as long as a pod takes to start, and a measurement
//! is half a minute old when it's read; both cost whoever only looks at the last value. Whether carrying the climb on
//! pays is for the simulation of strategies to tell.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

/// Readings older than this are forgotten: the long window that Knative's panic mode and surge rules compare with.
const SPAN: Duration = Duration::from_secs(300);
/// More readings than one each five seconds say no more.
const MOST: usize = 60;
/// A mean of fewer readings is no mean: at 15 s they are two minutes.
const LEAST: usize = 8;
/// The climb is measured over this long: the window of the rate it's made of.
const CLIMB_OVER: Duration = Duration::from_secs(60);
/// Over less than this it says nothing.
const LEAST_CLIMB: Duration = Duration::from_secs(25);
/// Carried on, a load at most doubles: beyond that is the business of the surge rule.
const LARGEST_CLIMB: f64 = 2.0;

/// The readings of the last five minutes, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Readings(VecDeque<(Timestamp, f64)>);

impl Readings {
    /// Takes in a fresh reading; one that isn't newer than the last is left out.
    pub(crate) fn observe(&mut self, at: Timestamp, value: f64) {
        if self.0.back().is_some_and(|(last, _)| *last >= at) {
            return;
        }
        self.0.push_back((at, value));
        let cutoff = time::before(at, SPAN);
        while self.0.len() > MOST || self.0.front().is_some_and(|(first, _)| *first < cutoff) {
            self.0.pop_front();
        }
    }

    /// The mean over five minutes, once enough of them were seen.
    pub fn mean(&self) -> Option<f64> {
        let sum = self.0.iter().map(|(_, value)| value).sum::<f64>();
        (self.0.len() >= LEAST).then(|| sum / self.0.len() as f64)
    }

    /// What was read about `ago` before `at`: the newest reading that is at least that old.
    pub(crate) fn before(&self, at: Timestamp, ago: Duration) -> Option<f64> {
        let cutoff = time::before(at, ago);
        self.0.iter().rev().find(|(read, _)| *read <= cutoff).map(|(_, value)| *value)
    }

    /// By which share the highest reading of the last minute is above the lowest. `None` where there are too few.
    pub(crate) fn swing(&self) -> Option<f64> {
        let (first, last) = self.minute()?;
        let (low, high) = self
            .0
            .iter()
            .filter(|(at, _)| *at >= first.0)
            .fold((f64::INFINITY, 0.0f64), |(low, high), (_, v)| (low.min(*v), high.max(*v)));
        (time::since(last.0, first.0) >= LEAST_CLIMB && low > 0.0).then(|| high / low - 1.0)
    }

    /// The load after `ahead` if it goes on climbing as it did over the last minute; never less than the last reading,
    /// never more than twice that. `None` before the first reading.
    pub fn carried(&self, ahead: Duration) -> Option<f64> {
        let ((first, before), (last, value)) = self.minute()?;
        let over = time::since(last, first);
        if over < LEAST_CLIMB || value <= before {
            return Some(value);
        }
        let climb = (value - before) / over.as_secs_f64();
        Some((value + climb * ahead.as_secs_f64()).min(value * LARGEST_CLIMB))
    }

    /// The first and the last reading of the last minute.
    fn minute(&self) -> Option<((Timestamp, f64), (Timestamp, f64))> {
        let last = *self.0.back()?;
        let cutoff = time::before(last.0, CLIMB_OVER);
        let first = self.0.iter().rev().take_while(|(at, _)| *at >= cutoff).last().copied()?;
        Some((first, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(values: &[f64]) -> Readings {
        let mut readings = Readings::default();
        for (i, value) in values.iter().enumerate() {
            readings.observe(Timestamp::from_second(i as i64 * 15).unwrap(), *value);
        }
        readings
    }

    #[test]
    fn a_climb_is_carried_on_and_a_fall_is_not() {
        let ahead = Duration::from_secs(60);
        assert_eq!(after(&[100.0, 110.0, 120.0, 130.0]).carried(ahead), Some(170.0));
        assert_eq!(after(&[130.0, 120.0, 110.0, 100.0]).carried(ahead), Some(100.0));
        assert_eq!(after(&[100.0, 400.0, 900.0]).carried(Duration::from_secs(600)), Some(1_800.0));
        assert_eq!(after(&[]).carried(ahead), None);
        assert_eq!(after(&[100.0, 200.0]).carried(ahead), Some(200.0), "15 seconds say nothing");
    }

    #[test]
    fn only_the_last_minute_counts_for_the_climb() {
        assert_eq!(
            after(&[900.0, 0.0, 100.0, 100.0, 100.0, 100.0, 100.0]).carried(Duration::from_secs(9)),
            Some(100.0)
        );
    }

    #[test]
    fn a_mean_is_one_of_five_minutes_once_two_of_them_were_seen() {
        assert_eq!(after(&[10.0; 7]).mean(), None);
        let mut values = vec![1_000.0];
        values.extend([10.0; 20]);
        values.push(31.0);
        assert_eq!(after(&values).mean(), Some(11.0), "the first is older than five minutes");
    }
}
