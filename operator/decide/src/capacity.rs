//! What one replica can carry while its promises hold, learned from load and utilization per replica.
//!
//! The model is a line, `used = a + s * load`, fitted by least squares whose weights fade with a time constant of a day
//! (`science`: recursive weighted least squares, here in the form of faded sums). Capacity is where the line reaches
//! the safe utilization; what is used is the lower 10 % bound of that, and never far beyond what was seen.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

use crate::observation::Utilization;

/// Up to this share of its scarcest resource a replica answers in time: with processor sharing, latency is five times
/// the idle one at 0.8 (`1 / (1 - 0.8)`).
pub const SAFE_UTILIZATION: f64 = 0.8;
const FADE_SECONDS: f64 = 86_400.0;
/// Readings 15 s apart of a one-minute rate say about as much as one in four independent ones.
const INDEPENDENT: f64 = 0.25;
const LEAST_WEIGHT: f64 = 200.0;
const LEAST_RANGE: f64 = 1.25;
const LEAST_FIT: f64 = 0.8;
const EXTRAPOLATE: f64 = 1.3;
/// The lower 10 % bound of a normal distribution, in standard deviations.
const LOWER: f64 = 1.2816;

/// Faded sums of the fit, and the range of loads seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Learner {
    /// When the last look was taken in.
    pub last: Option<Timestamp>,
    /// Sum of weights.
    pub weight: f64,
    sum_load: f64,
    sum_used: f64,
    sum_load_load: f64,
    sum_load_used: f64,
    sum_used_used: f64,
    lowest: f64,
    highest: f64,
}

/// What the learner makes of what it saw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Learned {
    /// Known well enough to act on.
    Known {
        /// Load one replica can carry, at the lower 10 % bound.
        per_replica: f64,
        /// The same without that caution.
        expected: f64,
        /// Share of variance the line explains, 0 to 1.
        fit: f64,
    },
    /// Not yet.
    Learning {
        /// What is missing.
        why: Gap,
    },
}

/// What is missing for a capacity to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gap {
    /// Too few looks.
    FewLooks,
    /// Load was always about the same.
    NarrowRange,
    /// Utilization doesn't follow load.
    PoorFit,
}

impl Learner {
    /// Takes in one look at the ready replicas. Looks that no replica could have (negative, not finite, more than fully
    /// used) are left out.
    pub(crate) fn observe(&mut self, now: Timestamp, look: Utilization) {
        let sane = look.load > 0.0 && look.load < 1e100 && look.used > 0.0;
        // At saturation the line bends: load can still rise and utilization can't.
        if !sane || look.used > 0.97 {
            return;
        }
        let elapsed = self.last.map_or(Duration::ZERO, |last| time::since(now, last));
        let fade = (-elapsed.as_secs_f64() / FADE_SECONDS).exp();
        for sum in [
            &mut self.weight,
            &mut self.sum_load,
            &mut self.sum_used,
            &mut self.sum_load_load,
            &mut self.sum_load_used,
            &mut self.sum_used_used,
        ] {
            *sum *= fade;
        }
        self.weight += 1.0;
        self.sum_load += look.load;
        self.sum_used += look.used;
        self.sum_load_load += look.load * look.load;
        self.sum_load_used += look.load * look.used;
        self.sum_used_used += look.used * look.used;
        self.lowest = if self.highest > 0.0 { self.lowest.min(look.load) } else { look.load };
        self.highest = self.highest.max(look.load);
        self.last = Some(now);
    }

    /// What one replica can carry.
    pub fn learned(&self) -> Learned {
        if self.weight < LEAST_WEIGHT {
            return Learned::Learning { why: Gap::FewLooks };
        }
        if self.highest < LEAST_RANGE * self.lowest {
            return Learned::Learning { why: Gap::NarrowRange };
        }
        let (mean_load, mean_used) = (self.sum_load / self.weight, self.sum_used / self.weight);
        let load_load = self.sum_load_load - self.weight * mean_load * mean_load;
        let load_used = self.sum_load_used - self.weight * mean_load * mean_used;
        let used_used = self.sum_used_used - self.weight * mean_used * mean_used;
        let fit = if load_load > 0.0 && used_used > 0.0 {
            load_used * load_used / (load_load * used_used)
        } else {
            0.0
        };
        if fit < LEAST_FIT || load_used <= 0.0 {
            return Learned::Learning { why: Gap::PoorFit };
        }
        let slope = load_used / load_load;
        let expected = mean_load + (SAFE_UTILIZATION - mean_used) / slope;
        let looks = self.weight * INDEPENDENT;
        let variance = (used_used * (1.0 - fit)).max(0.0) / (self.weight - 2.0);
        let distance = expected - mean_load;
        let spread =
            (variance / looks + distance * distance * variance / (load_load * INDEPENDENT)).sqrt() / slope;
        let per_replica = (expected - LOWER * spread).min(EXTRAPOLATE * self.highest);
        if per_replica <= 0.0 {
            return Learned::Learning { why: Gap::PoorFit };
        }
        Learned::Known { per_replica, expected, fit }
    }

    /// Starts over from a part of what is known, as after a new version of the workload: the sums count for a tenth,
    /// so that the new version's own looks soon prevail.
    pub fn relearn(&mut self) {
        for sum in [
            &mut self.weight,
            &mut self.sum_load,
            &mut self.sum_used,
            &mut self.sum_load_load,
            &mut self.sum_load_used,
            &mut self.sum_used_used,
        ] {
            *sum *= 0.1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(looks: impl Iterator<Item = (f64, f64)>) -> Learner {
        let mut learner = Learner::default();
        for (i, (load, used)) in looks.enumerate() {
            learner.observe(Timestamp::from_second(i as i64 * 15).unwrap(), Utilization { load, used });
        }
        learner
    }

    /// A deterministic stand-in for noise, -1 to 1.
    fn noise(i: u32) -> f64 {
        (f64::from(i) * 12.9898).sin().mul_add(43_758.547, 0.0).fract()
    }

    #[test]
    fn capacity_is_within_a_tenth_of_the_truth_and_not_above_it() {
        // Saturates at 100 with 5 % idle use: safe at 0.8 is load 78.9.
        let learner = feed((0..5_760).map(|i| {
            let load = 50.0 + 20.0 * (f64::from(i) / 400.0).sin();
            (load, 0.05 + 0.0095 * load + 0.02 * noise(i))
        }));
        let Learned::Known { per_replica, expected, fit } = learner.learned() else { panic!("{learner:?}") };
        assert!(per_replica <= expected);
        assert!((0.9..=1.0).contains(&(per_replica / 78.95)), "{per_replica}");
        assert!(fit > 0.8);
    }

    #[test]
    fn it_never_reaches_far_beyond_what_was_seen() {
        let learner = feed((0..2_000).map(|i| {
            let load = 10.0 + f64::from(i % 10);
            (load, 0.001 * load)
        }));
        let Learned::Known { per_replica, .. } = learner.learned() else { panic!("{learner:?}") };
        assert!((per_replica - 1.3 * 19.0).abs() < 1e-9, "{per_replica}");
    }

    #[test]
    fn it_says_what_is_missing() {
        let why = |learner: Learner| match learner.learned() {
            Learned::Learning { why } => Some(why),
            Learned::Known { .. } => None,
        };
        assert_eq!(why(feed((0..50).map(|i| (f64::from(i + 1), 0.01)))), Some(Gap::FewLooks));
        assert_eq!(why(feed((0..500).map(|_| (50.0, 0.5)))), Some(Gap::NarrowRange));
        let unrelated = feed((0..500).map(|i| (10.0 + f64::from(i % 20), 0.3 + 0.2 * noise(i))));
        assert_eq!(why(unrelated), Some(Gap::PoorFit));
    }

    #[test]
    fn looks_no_replica_could_have_are_left_out() {
        let learner = feed([(f64::NAN, 0.5), (10.0, f64::INFINITY), (-1.0, 0.5), (10.0, 0.99)].into_iter());
        assert_eq!(learner, Learner::default());
    }
}
