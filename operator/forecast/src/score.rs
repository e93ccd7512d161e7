//! How the blend did at one horizon, beside the last value and the same time yesterday, exponentially decayed.

use crate::members::NAIVE;
use crate::pending::Pending;

/// Decayed sums of errors and hits.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    decay: f32,
    /// Sums of absolute errors: blend, last value, yesterday.
    pub(crate) errors: [f32; 3],
    pub(crate) load: f32,
    pub(crate) weight: f32,
    pub(crate) covered: [f32; 3],
    /// Sums of pinball losses at the .95 quantile: the blend's, and those of the last value and of yesterday, each with its own
    /// quantile above it.
    pub(crate) upper: [f32; 3],
    /// How far that quantile lies above the last value and above yesterday, in their mean absolute errors.
    above: [f32; 2],
    pub(crate) scored: u64,
}

/// The quantile that decisions lean on, and that is judged.
const JUDGED: f32 = 0.95;
/// That quantile of a Laplace distribution, in its mean absolute error: where the naive quantiles begin.
const LAPLACE: f32 = 2.3;
/// How fast they follow, in mean absolute errors for each value: a day of five minutes moves them by as much as they begin with.
const FOLLOW: f32 = 0.05;

/// The loss of a quantile forecast (Koenker and Bassett, "Regression quantiles", 1978).
fn pinball(upper: f32, value: f32) -> f32 {
    if value > upper { JUDGED * (value - upper) } else { (1.0 - JUDGED) * (upper - value) }
}

impl Score {
    pub(crate) fn new(step_seconds: f32) -> Self {
        // About a day.
        let decay = 0.9965_f32.powf(step_seconds / 300.0);
        Self {
            decay,
            errors: [0.0; 3],
            load: 0.0,
            weight: 0.0,
            covered: [0.0; 3],
            upper: [0.0; 3],
            above: [LAPLACE; 2],
            scored: 0,
        }
    }

    pub(crate) fn add(&mut self, forecast: &Pending, value: f32) {
        let values =
            [forecast.mixed.center, forecast.mixed.members[NAIVE[0]], forecast.mixed.members[NAIVE[1]]];
        self.judge_upper(forecast.band.upper[1], [values[1], values[2]], value);
        for (sum, forecast) in self.errors.iter_mut().zip(values) {
            *sum = self.decay * *sum + (forecast - value).abs();
        }
        self.load = self.decay * self.load + value.abs();
        self.weight = self.decay * self.weight + 1.0;
        for (sum, upper) in self.covered.iter_mut().zip(forecast.band.upper) {
            // A value on the quantile is covered, within the precision of the history.
            let hit = if value <= upper * (1.0 + 1e-6) { 1.0 } else { 0.0 };
            *sum = self.decay * *sum + hit;
        }
        self.scored += 1;
    }

    /// Charges the upper quantiles, and lets the naive ones learn from the value (stochastic approximation of a quantile:
    /// Robbins and Monro, 1951).
    fn judge_upper(&mut self, blend: f32, naive: [f32; 2], value: f32) {
        self.upper[0] = self.decay * self.upper[0] + pinball(blend, value);
        for (n, naive) in naive.into_iter().enumerate() {
            let error = self.errors[1 + n] / self.weight.max(1.0);
            let upper = naive + self.above[n] * error;
            self.upper[1 + n] = self.decay * self.upper[1 + n] + pinball(upper, value);
            let missed = if value > upper { JUDGED } else { JUDGED - 1.0 };
            self.above[n] = (self.above[n] + FOLLOW * missed).clamp(0.0, 20.0);
        }
    }

    pub(crate) fn rescale(&mut self, factor: f32) {
        self.errors.iter_mut().chain(&mut self.upper).for_each(|e| *e *= factor);
        self.load *= factor;
    }

    /// Error over load.
    pub(crate) fn relative(&self) -> f32 {
        self.errors[0] / self.load.max(1e-9)
    }

    /// Loss of the .95 quantile over that of the last value's own (0) or of yesterday's (1).
    pub(crate) fn upper_versus(&self, which: usize) -> f32 {
        self.upper[0] / self.upper[1 + which].max(1e-9 * self.load.max(1e-9))
    }

    /// The share of values at or below the tracked upper quantile.
    pub(crate) fn coverage(&self, which: usize) -> f32 {
        self.covered[which] / self.weight.max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blend::Mixed;
    use crate::calibration::Band;

    /// Scores so many values; each is foreseen with this center and .95 quantile, after the last value and yesterday's.
    fn scored(values: impl Iterator<Item = (f32, f32, f32, f32)>) -> Score {
        let mut score = Score::new(300.0);
        for (value, last, yesterday, upper) in values {
            let (mut mixed, mut band) = (Mixed::default(), Band::default());
            (mixed.center, band.upper) = (value, [upper; 3]);
            (mixed.members[NAIVE[0]], mixed.members[NAIVE[1]]) = (last, yesterday);
            score.add(&Pending { mixed, band, rival: f32::NAN }, value);
        }
        score
    }

    #[test]
    fn an_upper_quantile_is_held_against_the_last_value_with_its_own() {
        // A load that moves by up to ten either way: the quantile of the last value learns to stand nine above it.
        let move_of = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 838_860.8 - 10.0;
        let play =
            |wide: f32| scored((0..3_000).map(move |i| (100.0 + move_of(i), 100.0, 50.0, 109.0 * wide)));
        let just = play(1.0);
        assert!((just.upper_versus(0) - 1.0).abs() < 0.1, "{}", just.upper_versus(0));
        assert!(just.upper_versus(1) < 1.1, "yesterday with its own quantile is as good here");
        let (wide, narrow) = (play(1.5), play(0.95));
        assert!(wide.upper_versus(0) > 2.0 && narrow.upper_versus(0) > 1.5);
        // A forecast that is as far off in its median as the last value is still better where it knows when it is.
        let calm = |i: u32| if i % 288 < 200 { 1.0 } else { 10.0 };
        let knows = scored((0..3_000).map(|i| {
            let value = 100.0 + calm(i) * move_of(i) / 10.0;
            (value, 100.0, 100.0, 100.0 + 0.9 * calm(i))
        }));
        assert!(knows.upper_versus(0) < 0.8, "{}", knows.upper_versus(0));
    }
}
