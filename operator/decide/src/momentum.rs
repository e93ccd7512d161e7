//! Which way the load is going now: the climb over the last minute, carried on for a while. Load that climbs mostly goes
//! on climbing for as long as a pod takes to start, and a measurement is half a minute old when it's read; both cost
//! whoever only looks at the last value. Whether carrying the climb on pays is for the rehearsal to tell.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

/// The climb is measured over this long: the window of the rate it's made of.
const OVER: Duration = Duration::from_secs(60);
/// Over less than this it says nothing.
const LEAST: Duration = Duration::from_secs(25);
/// Carried on, a load at most doubles: beyond that is the business of the surge rule.
const MOST: f64 = 2.0;

/// The readings of the last minute, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Momentum(VecDeque<(Timestamp, f64)>);

impl Momentum {
    /// Takes in a fresh reading.
    pub(crate) fn observe(&mut self, at: Timestamp, value: f64) {
        if self.0.back().is_some_and(|(last, _)| *last >= at) {
            return;
        }
        self.0.push_back((at, value));
        let cutoff = time::before(at, OVER);
        while self.0.front().is_some_and(|(first, _)| *first < cutoff) {
            self.0.pop_front();
        }
    }

    /// What was read about `ago` before `at`: the newest reading that is at least that old.
    pub(crate) fn before(&self, at: Timestamp, ago: Duration) -> Option<f64> {
        let cutoff = time::before(at, ago);
        self.0.iter().rev().find(|(read, _)| *read <= cutoff).map(|(_, value)| *value)
    }

    /// By which share the highest reading of the last minute is above the lowest. `None` where there are too few.
    pub(crate) fn swing(&self) -> Option<f64> {
        let over = time::since(self.0.back()?.0, self.0.front()?.0);
        let (low, high) =
            self.0.iter().fold((f64::INFINITY, 0.0f64), |(low, high), (_, v)| (low.min(*v), high.max(*v)));
        (over >= LEAST && low > 0.0).then(|| high / low - 1.0)
    }

    /// The load after `ahead` if it goes on climbing as it did; never less than the last reading, never more than
    /// twice that. `None` before the first reading.
    pub(crate) fn carried(&self, ahead: Duration) -> Option<f64> {
        let (last, value) = *self.0.back()?;
        let (first, before) = *self.0.front()?;
        let over = time::since(last, first);
        if over < LEAST || value <= before {
            return Some(value);
        }
        let climb = (value - before) / over.as_secs_f64();
        Some((value + climb * ahead.as_secs_f64()).min(value * MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(values: &[f64]) -> Momentum {
        let mut momentum = Momentum::default();
        for (i, value) in values.iter().enumerate() {
            momentum.observe(Timestamp::from_second(i as i64 * 15).unwrap(), *value);
        }
        momentum
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
    fn only_the_last_minute_counts() {
        assert_eq!(
            after(&[900.0, 0.0, 100.0, 100.0, 100.0, 100.0, 100.0]).carried(Duration::from_secs(9)),
            Some(100.0)
        );
    }
}
