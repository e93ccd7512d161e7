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
    pub(crate) scored: u64,
}

impl Score {
    pub(crate) fn new(step_seconds: f32) -> Self {
        // About a day.
        let decay = 0.9965_f32.powf(step_seconds / 300.0);
        Self { decay, errors: [0.0; 3], load: 0.0, weight: 0.0, covered: [0.0; 3], scored: 0 }
    }

    pub(crate) fn add(&mut self, forecast: &Pending, value: f32) {
        let values =
            [forecast.mixed.center, forecast.mixed.members[NAIVE[0]], forecast.mixed.members[NAIVE[1]]];
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

    pub(crate) fn rescale(&mut self, factor: f32) {
        self.errors.iter_mut().for_each(|e| *e *= factor);
        self.load *= factor;
    }

    /// Error over load.
    pub(crate) fn relative(&self) -> f32 {
        self.errors[0] / self.load.max(1e-9)
    }

    /// Error over that of the last value (0) or of yesterday (1).
    pub(crate) fn versus(&self, which: usize) -> f32 {
        self.errors[0] / self.errors[1 + which].max(1e-9 * self.load.max(1e-9))
    }

    /// The share of values at or below the tracked upper quantile.
    pub(crate) fn coverage(&self, which: usize) -> f32 {
        self.covered[which] / self.weight.max(1e-9)
    }
}
