//! What one consumer of a queue finishes per second, learned while it's busy.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

const FADE_SECONDS: f64 = 3_600.0;
const LEAST_WEIGHT: f64 = 4.0;
const LOWER: f64 = 1.2816;
const LONGEST_STEP: Duration = Duration::from_secs(60);
const QUICKLY_UP: f64 = 0.5;
/// Rates are measured over up to two minutes: a change of consumers in it makes them too low or too high.
const SETTLED: Duration = Duration::from_secs(120);

/// Faded mean and spread of messages per second and consumer, from looks at consumers that had work waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Throughput {
    /// When the last look was taken in.
    pub last: Option<Timestamp>,
    /// Sum of weights.
    pub weight: f64,
    /// Mean per consumer.
    pub mean: f64,
    /// Faded sum of squared distances from the mean.
    pub squares: f64,
    /// How many consumers there were at the last look,
    pub consumers: u32,
    /// since when,
    pub since: Option<Timestamp>,
    /// and whether there were more before.
    pub fewer: bool,
}

impl Throughput {
    /// Takes in what `consumers` finished per second together while `backlog` messages waited. Consumers with little
    /// to do say only what they can do at least.
    pub(crate) fn observe(&mut self, now: Timestamp, served: f64, consumers: u32, backlog: f64) {
        if consumers != self.consumers || self.since.is_none() {
            self.fewer = consumers < self.consumers;
            (self.consumers, self.since) = (consumers, Some(now));
        }
        if !(served.is_finite() && served > 0.0) || consumers == 0 {
            return;
        }
        let settled = self.since.is_some_and(|since| time::since(now, since) >= SETTLED);
        let each = served / f64::from(consumers);
        // The rate still holds the pause of the change: too low for those who joined, too high for those who are left.
        if !settled && (self.fewer || each < self.mean) {
            return;
        }
        // Work for five seconds and more waits: nobody was idle.
        let busy = backlog > served * 5.0;
        if !busy {
            // What idle hands did is the least they can do: it may correct what is known, but tells nothing by itself.
            if self.weight >= LEAST_WEIGHT && each > self.mean {
                self.mean = each;
            }
            return;
        }
        // Only looks at busy consumers make older ones fade: hours without any aren't a reason to forget.
        let elapsed = self.last.map_or(Duration::ZERO, |last| time::since(now, last)).min(LONGEST_STEP);
        let fade = (-elapsed.as_secs_f64() / FADE_SECONDS).exp();
        self.weight = self.weight * fade + 1.0;
        self.squares *= fade;
        let distance = each - self.mean;
        // Consumers that wait for one another make a look too low; nothing makes one too high.
        self.mean +=
            distance * if distance > 0.0 { (1.0 / self.weight).max(QUICKLY_UP) } else { 1.0 / self.weight };
        self.squares += distance * (each - self.mean);
        self.last = Some(now);
    }

    /// Messages per second that one consumer finishes, at the lower 10 % bound of the mean; `None` before it's known.
    pub fn per_consumer(&self) -> Option<f64> {
        if self.weight < LEAST_WEIGHT || self.mean <= 0.0 {
            return None;
        }
        let spread = (self.squares / (self.weight - 1.0)).max(0.0).sqrt() / self.weight.sqrt();
        let lower = self.mean - LOWER * spread;
        (lower > 0.0).then_some(lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_consumers_only_raise_what_is_known_and_busy_ones_correct_it() {
        let at = |i: i64| Timestamp::from_second(i * 15).unwrap();
        let mut throughput = Throughput::default();
        for i in 0..20 {
            throughput.observe(at(i), 400.0, 4, 100_000.0);
        }
        assert!((throughput.per_consumer().unwrap() - 100.0).abs() < 1e-6);
        for i in 20..40 {
            throughput.observe(at(i), 40.0, 4, 0.0);
        }
        assert!((throughput.per_consumer().unwrap() - 100.0).abs() < 1e-6, "idle says nothing");
        for i in 40..400 {
            throughput.observe(at(i), 200.0, 4, 100_000.0);
        }
        assert!((throughput.per_consumer().unwrap() - 50.0).abs() < 8.0, "{throughput:?}");
    }

    #[test]
    fn a_rate_that_is_older_than_the_last_change_of_consumers_corrects_nothing() {
        let at = |i: i64| Timestamp::from_second(i * 15).unwrap();
        let mut throughput = Throughput::default();
        for i in 0..20 {
            throughput.observe(at(i), 400.0, 4, 100_000.0);
        }
        for i in 20..28 {
            throughput.observe(at(i), 400.0, 8, 100_000.0);
        }
        assert!((throughput.per_consumer().unwrap() - 100.0).abs() < 1e-6, "the new ones have just come");
        for i in 28..36 {
            throughput.observe(at(i), 400.0, 1, 100_000.0);
        }
        assert!(
            (throughput.per_consumer().unwrap() - 100.0).abs() < 1e-6,
            "most of it was done by those who left"
        );
    }
}
