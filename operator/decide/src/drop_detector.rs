//! A load that falls within half a minute as it never does: perhaps users left, perhaps a part of the targets is no
//! longer counted. From the number alone nobody can tell, so nothing is removed until it has lasted for a while. What
//! goes in are fresh readings and what the forecast expects; what comes out is until when to hold, and why.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

/// Readings this far apart are compared.
pub(crate) const APART: Duration = Duration::from_secs(30);
/// A smaller fall than this share isn't looked at: a twentieth of the targets.
const LEAST: f64 = 0.05;
/// A fall counts as sudden from this multiple of the usual large one on.
const UNUSUAL: f64 = 1.5;
/// Where that is more than a tenth, a tenth of the targets can't be told from the load's own trembling anyway, and its
/// falls have a long tail: then only this multiple counts.
const UNUSUAL_OF_JUMPY: f64 = 2.0;
const JUMPY: f64 = 0.1;
/// The usual large fall is the one that this share of all falls stays below.
const QUANTILE: f64 = 0.99;
/// Step of its estimate, as a share of the load: an hour without a fall lowers it by a percent and a half.
const STEP: f64 = 0.006;
/// A load that came back to this share of what it was has come back.
const BACK: f64 = 0.97;

/// How suddenly a load usually falls, and the fall that is being waited out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DropDetector {
    /// The 99 % quantile of falls within half a minute, as a share of the load, by stochastic approximation.
    pub usual: f64,
    /// The fall that is being waited out.
    pub fall: Option<Fall>,
}

/// A sudden fall.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fall {
    /// The load before.
    pub before: f64,
    /// The load after.
    pub after: f64,
    /// Nothing is removed until then.
    pub until: Timestamp,
}

impl Default for DropDetector {
    fn default() -> Self {
        Self { usual: 0.05, fall: None }
    }
}

impl DropDetector {
    /// Takes in a reading of `value` where `before` was read half a minute earlier and the forecast, if there is one,
    /// has `expected` for now. A fall to what was expected explains itself.
    pub(crate) fn observe(
        &mut self,
        now: Timestamp,
        value: f64,
        before: f64,
        expected: Option<f64>,
        hold: Duration,
    ) {
        if self.fall.is_some_and(|fall| now >= fall.until || value >= fall.before * BACK) {
            self.fall = None;
        }
        if before <= 0.0 {
            return;
        }
        let by = 1.0 - value / before;
        let explained = expected.is_some_and(|expected| value >= expected * BACK);
        if by >= self.threshold() && !explained && self.fall.is_none() {
            self.fall = Some(Fall { before, after: value, until: time::after(now, hold) });
        }
        self.usual += STEP * if by > self.usual { QUANTILE } else { QUANTILE - 1.0 };
        self.usual = self.usual.clamp(0.0, 1.0);
    }

    /// The share of the load from which on a fall is sudden.
    fn threshold(&self) -> f64 {
        let unusual = UNUSUAL * self.usual;
        if unusual <= JUMPY { LEAST.max(unusual) } else { UNUSUAL_OF_JUMPY * self.usual }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(900);

    fn at(tick: i64) -> Timestamp {
        Timestamp::from_second(tick * 15).unwrap()
    }

    /// A load that trembles by `noise`, for a while.
    fn settled(noise: f64) -> DropDetector {
        let mut sudden = DropDetector::default();
        for tick in 0..4_000 {
            let before = 100.0 + noise * f64::from((tick * 7 % 11) as i32 - 5) / 5.0;
            let value = 100.0 + noise * f64::from(((tick + 1) * 7 % 11) as i32 - 5) / 5.0;
            sudden.observe(at(tick), value, before, None, HOLD);
        }
        DropDetector { fall: None, ..sudden }
    }

    #[test]
    fn a_tenth_less_at_once_is_sudden_where_the_load_is_smooth() {
        let mut sudden = settled(1.0);
        sudden.observe(at(5_000), 90.0, 100.0, None, HOLD);
        let fall = sudden.fall.unwrap();
        assert_eq!((fall.before, fall.after, fall.until), (100.0, 90.0, at(5_060)));
        sudden.observe(at(5_010), 91.0, 90.0, None, HOLD);
        assert!(sudden.fall.is_some());
        sudden.observe(at(5_020), 99.0, 91.0, None, HOLD);
        assert!(sudden.fall.is_none(), "it is back");
    }

    #[test]
    fn where_the_load_trembles_by_as_much_it_is_not() {
        let mut sudden = settled(20.0);
        sudden.observe(at(5_000), 90.0, 100.0, None, HOLD);
        assert!(sudden.fall.is_none(), "{sudden:?}");
    }

    #[test]
    fn a_load_that_often_falls_by_a_quarter_must_fall_by_half_to_surprise() {
        let falls = |by: f64| {
            let mut sudden = DropDetector { usual: 0.25, fall: None };
            sudden.observe(at(5_000), 100.0 * (1.0 - by), 100.0, None, HOLD);
            sudden.fall.is_some()
        };
        assert!(!falls(0.45) && falls(0.55));
    }

    #[test]
    fn a_fall_that_was_foreseen_explains_itself() {
        let mut sudden = settled(1.0);
        sudden.observe(at(5_000), 60.0, 100.0, Some(61.0), HOLD);
        assert!(sudden.fall.is_none());
    }

    #[test]
    fn after_its_time_it_is_the_new_normal() {
        let mut sudden = settled(1.0);
        sudden.observe(at(5_000), 50.0, 100.0, None, HOLD);
        sudden.observe(at(5_060), 50.0, 50.0, None, HOLD);
        assert!(sudden.fall.is_none());
    }
}
