//! Moves the quantile that is provisioned for, so that the share of time with too few replicas comes to what the user
//! asked for: a proportional-integral controller on the error budget (as in BACC, arXiv 2606.20575).

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

/// Time constant of the observed share of short time: a day, the season that most loads have.
const FADE_SECONDS: f64 = 86_400.0;
const PROPORTIONAL: f64 = 0.35;
/// Per day of a constant error of 1.
const INTEGRAL: f64 = 0.5;
const LONGEST_STEP: Duration = Duration::from_secs(60);

/// Observed share of time with too few replicas, and what has been made of it so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QuantileController {
    /// When it was looked last.
    pub last: Option<Timestamp>,
    /// Faded seconds observed.
    pub seconds: f64,
    /// Faded seconds with too few ready replicas.
    pub short: f64,
    /// The integral part, in log-odds of the level.
    pub integral: f64,
}

impl QuantileController {
    /// Takes in one look: whether the ready replicas were too few for the load, against a `budget` share of time.
    pub(crate) fn observe(&mut self, now: Timestamp, short: bool, budget: f64) {
        let elapsed = self.last.map_or(Duration::ZERO, |last| time::since(now, last).min(LONGEST_STEP));
        self.last = Some(now);
        let seconds = elapsed.as_secs_f64();
        let fade = (-seconds / FADE_SECONDS).exp();
        self.seconds = self.seconds * fade + seconds;
        self.short = self.short * fade + if short { seconds } else { 0.0 };
        let error = self.error(budget);
        // Windup would keep protecting long after a bad day.
        self.integral = (self.integral + INTEGRAL * error * seconds / FADE_SECONDS).clamp(-1.5, 1.5);
    }

    /// The share of the error budget burnt, minus one: -1 where nothing went wrong, 0 on pace, at most 3.
    pub fn error(&self, budget: f64) -> f64 {
        if budget <= 0.0 {
            return 0.0;
        }
        // A young observation counts as on pace for the part of a day that is missing.
        let missing = (FADE_SECONDS - self.seconds).max(0.0);
        let share = (self.short + missing * budget) / (self.seconds + missing);
        (share / budget - 1.0).clamp(-1.0, 3.0)
    }

    /// `level` moved by the observed error, in log-odds, kept within 0.6 and 0.999, or at `level` where that is outside.
    pub fn paced(&self, level: f64, budget: f64) -> f64 {
        let level = level.clamp(0.5, 0.9999);
        let odds = (level / (1.0 - level)).ln() + PROPORTIONAL * self.error(budget) + self.integral;
        (1.0 / (1.0 + (-odds).exp())).clamp(level.min(0.6), level.max(0.999))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: i64, short_every: i64) -> QuantileController {
        let mut quantile_controller = QuantileController::default();
        for i in 0..days * 5_760 {
            let short = short_every > 0 && i % short_every == 0;
            quantile_controller.observe(Timestamp::from_second(i * 15).unwrap(), short, 0.01);
        }
        quantile_controller
    }

    #[test]
    fn on_pace_the_level_stays() {
        assert_eq!(QuantileController::default().paced(0.99, 0.01), 0.99);
        let quantile_controller = days(3, 100);
        assert!((quantile_controller.paced(0.95, 0.01) - 0.95).abs() < 0.01, "{quantile_controller:?}");
    }

    #[test]
    fn a_quiet_time_lowers_the_level_and_a_short_one_raises_it() {
        let quiet = days(3, 0).paced(0.95, 0.01);
        assert!((0.6..0.93).contains(&quiet), "{quiet}");
        let short = days(3, 20).paced(0.95, 0.01);
        assert!((0.96..=0.999).contains(&short), "{short}");
    }
}
