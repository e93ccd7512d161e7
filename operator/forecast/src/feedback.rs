//! Does the signal follow our own replicas? Then a forecast of it would feed on itself: an average per pod falls when
//! pods are added, whatever the load does. What counts is the part of the signal that the forecast a step before didn't
//! foresee, in the steps after a change of replicas.

use serde::{Deserialize, Serialize};

/// Steps from a change of replicas on that are looked at. In the very step of the change only a fall counts: a rise may
/// well have been the cause of it.
const LAGS: usize = 4;
/// Changes needed for a verdict.
const ENOUGH: f32 = 20.0;
/// Correlation above which the signal is said to follow.
const FOLLOWS: f32 = 0.3;
const MEMORY: f32 = 0.98;

/// Correlation of surprises with changes of replicas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Feedback {
    latest: Option<f32>,
    slot_mean: Option<(f32, f32)>,
    changes: [f32; LAGS],
    sums: [[f32; 3]; LAGS],
    seen: f32,
}

impl Feedback {
    /// Takes in how many replicas there are now.
    pub(crate) fn replicas(&mut self, count: f64) {
        if count.is_finite() && count >= 0.0 {
            let (sum, n) = self.slot_mean.unwrap_or((0.0, 0.0));
            self.slot_mean = Some((sum + count as f32, n + 1.0));
        }
    }

    /// Closes a slot. `surprise` is the scaled error of the forecast of it made a step before.
    pub(crate) fn close(&mut self, surprise: Option<f32>) {
        self.changes.rotate_right(1);
        self.changes[0] = 0.0;
        if let Some((sum, n)) = self.slot_mean.take() {
            let now = sum / n;
            if let Some(before) = self.latest.filter(|b| *b > 0.0 && now > 0.0) {
                self.changes[0] = (now / before).ln();
            }
            self.latest = Some(now);
        }
        if let Some(surprise) = surprise.filter(|s| s.is_finite()) {
            let surprise = surprise.clamp(-10.0, 10.0);
            for (lag, change) in self.changes.iter().enumerate() {
                if *change != 0.0 {
                    let s = &mut self.sums[lag];
                    *s = [
                        MEMORY * s[0] + change * change,
                        MEMORY * s[1] + surprise * surprise,
                        MEMORY * s[2] + change * surprise,
                    ];
                    if lag == 0 {
                        self.seen += 1.0;
                    }
                }
            }
        }
    }

    /// The strongest correlation, if it's strong enough for a verdict.
    pub(crate) fn follows(&self) -> Option<f32> {
        if self.seen < ENOUGH {
            return None;
        }
        let least = FOLLOWS.max(3.0 / self.seen.min(1.0 / (1.0 - MEMORY)).sqrt());
        self.sums
            .iter()
            .map(|s| s[2] / (s[0] * s[1]).max(1e-12).sqrt())
            .enumerate()
            .filter(|(lag, r)| *lag > 0 || *r < 0.0)
            .map(|(_, r)| r)
            .max_by(|a, b| a.abs().total_cmp(&b.abs()))
            .filter(|r| r.abs() > least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(effect: f32) -> Option<f32> {
        let mut feedback = Feedback::default();
        let mut replicas = 10.0_f64;
        let (mut change, mut before_that) = (0.0_f32, 0.0_f32);
        for t in 0..600_u32 {
            let noise = (t * 7919 % 101) as f32 / 50.0 - 1.0;
            feedback.replicas(replicas);
            // A fall shows at once, a rise one step later.
            let acting = if effect < 0.0 { change } else { before_that };
            feedback.close(Some(effect * acting * 10.0 + noise));
            before_that = change;
            let before = replicas;
            if t % 7 == 0 {
                replicas = if (t / 7) % 2 == 0 { 14.0 } else { 10.0 };
            }
            change = (replicas / before).ln() as f32;
        }
        feedback.follows()
    }

    #[test]
    fn an_average_per_pod_is_recognized() {
        assert!(run(-1.0).unwrap() < -0.3);
        assert!(run(1.0).unwrap() > 0.3);
    }

    #[test]
    fn load_from_outside_is_not() {
        assert_eq!(run(0.0), None);
    }
}
