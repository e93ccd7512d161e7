//! Changes of behavior: jumps of the level (CUSUM, Page 1954), and a slow decay of accuracy (the Page-Hinkley test).

/// Watches the logarithm of load over usual load for a jump that stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jump {
    mean: f32,
    spread: f32,
    seen: f32,
    up: f32,
    down: f32,
    /// The last few deviations and loads, newest last.
    window: std::collections::VecDeque<(f32, f32)>,
}

/// Deviations that aren't worth counting, and the sum at which a jump is declared, in spreads.
const SLACK: f32 = 1.0;
const ALARM: f32 = 9.0;
/// Smallest jump that counts, on the logarithmic scale: about 20 %.
const LEAST: f32 = 0.18;
/// Slots that a jump must have lasted.
pub(crate) const RECENT: usize = 3;
const BEFORE: usize = 12;

impl Jump {
    /// Takes in the newest `load` and the `usual` load at that time; true when the level just jumped.
    pub(crate) fn observe(&mut self, load: f32, usual: f32, floor: f32) -> bool {
        let level = (load + floor).ln();
        let deviation = level - (usual + floor).ln();
        self.window.push_back((deviation, level));
        if self.window.len() > RECENT + BEFORE {
            self.window.pop_front();
        }
        self.seen += 1.0;
        let off = deviation - self.mean;
        let spread = self.spread.max(0.02);
        let ready = self.seen > 60.0;
        if ready {
            self.up = (self.up + off / spread - SLACK).clamp(0.0, 2.0 * ALARM);
            self.down = (self.down - off / spread - SLACK).clamp(0.0, 2.0 * ALARM);
        }
        let share = (1.0 / self.seen).max(0.005);
        // A few deviations are learned at their full size, a jump is not.
        self.mean += share * off.clamp(-3.0 * spread, 3.0 * spread);
        self.spread += share * (off.abs().min(4.0 * spread + 0.02) - self.spread);
        if !ready || self.up.max(self.down) < ALARM || self.window.len() < RECENT + BEFORE {
            return false;
        }
        let part = |from: usize, n: usize, pick: fn(&(f32, f32)) -> f32| {
            self.window.iter().skip(from).take(n).map(pick).sum::<f32>() / n as f32
        };
        // Both the deviation and the load itself must have moved: yesterday's jump coming back in the usual load isn't
        // one of today's.
        // The median of the last three: a single spike is no jump.
        let now = |pick: fn(&(f32, f32)) -> f32| {
            let mut last: Vec<f32> = self.window.iter().skip(BEFORE).map(pick).collect();
            last.sort_unstable_by(f32::total_cmp);
            last[RECENT / 2]
        };
        let moved = now(|w| w.0) - part(0, BEFORE - 6, |w| w.0);
        let level = now(|w| w.1) - part(0, BEFORE - 6, |w| w.1);
        if moved.abs() < LEAST.max(2.0 * spread) || level.abs() < LEAST || moved * level < 0.0 {
            return false;
        }
        self.mean = now(|w| w.0);
        (self.up, self.down) = (0.0, 0.0);
        self.window.clear();
        true
    }
}

/// Watches errors, relative to their usual size, for a lasting rise (Page 1954; Hinkley 1971).
#[derive(Clone, Debug, Default)]
pub(crate) struct Drift {
    sum: f32,
    least: f32,
    /// Steps since the sum was least: how long the rise has lasted.
    rising: u32,
    drifting: bool,
}

const TOLERATED: f32 = 0.25;
const LASTING: f32 = 45.0;

impl Drift {
    /// Takes in an absolute error over its usual size. Where that makes it a drift, for how many steps it has lasted.
    pub(crate) fn observe(&mut self, relative: f32) -> Option<i64> {
        self.sum = 0.998 * (self.sum + relative.min(6.0) - 1.0 - TOLERATED);
        self.least *= 0.998;
        self.rising = self.rising.saturating_add(1);
        if self.sum <= self.least {
            self.least = self.sum;
            self.rising = 0;
        }
        let before = self.drifting;
        self.drifting = self.sum - self.least > LASTING;
        (self.drifting && !before).then_some(i64::from(self.rising))
    }

    /// Whether errors have been growing for long.
    pub(crate) fn is_drifting(&self) -> bool {
        self.drifting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(levels: impl Iterator<Item = f32>) -> Vec<usize> {
        let mut jump = Jump::default();
        levels
            .enumerate()
            .filter_map(|(t, level)| {
                let noise = 1.0 + 0.1 * ((t * 7919 % 100) as f32 / 50.0 - 1.0);
                jump.observe(level * noise, 1.0, 0.05).then_some(t)
            })
            .collect()
    }

    #[test]
    fn a_jump_is_noticed_within_half_an_hour_and_once() {
        let found = run((0..800).map(|t| if t < 500 { 1.0 } else { 2.0 }));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((500..506).contains(&found[0]), "{found:?}");
    }

    #[test]
    fn noise_and_a_single_spike_are_no_jump() {
        assert!(run((0..2000).map(|_| 1.0)).is_empty());
        assert!(run((0..2000).map(|t| if t == 700 { 3.0 } else { 1.0 })).is_empty());
    }

    #[test]
    fn growing_errors_are_a_drift_told_once_with_their_beginning() {
        let mut drift = Drift::default();
        for _ in 0..500 {
            assert_eq!(drift.observe(1.0), None);
        }
        assert!(!drift.is_drifting());
        let told: Vec<(i64, i64)> = (0..200).filter_map(|t| Some((t, drift.observe(2.0)?))).collect();
        assert!(drift.is_drifting());
        assert_eq!(told.len(), 1, "{told:?}");
        let (at, lasted) = told[0];
        assert!((lasted - at).abs() <= 2 && at < 100, "{told:?}");
    }
}
