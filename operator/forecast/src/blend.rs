//! One forecast out of many at one horizon: the mean of two ways to weigh members by how they did.
//!
//! The first is Bernstein online aggregation with the gradient trick (Wintenberger, "Optimal learning with Bernstein
//! online aggregation", 2017) on absolute error, which follows the best *mixture*; the second weighs by a power of the
//! decayed absolute error, which follows the best *member* faster. Both only use errors of forecasts that were made
//! before the value was known. At last, the last value is mixed in as far as that would have helped over two weeks: a
//! blend must not be worse than it where load is idle or jumps at random.

use crate::members::MEMBERS;
use crate::simple::LAST;

/// Memory of the aggregation per 5 minutes: about five days.
const SLOW: f32 = 0.9993;
/// Memory of the inverse-error weights per 5 minutes: about six hours.
const FAST: f32 = 0.985;
const POWER: i32 = 8;

/// Shares of the last value that the blend may be mixed with, the memory of how each would have done per 5 minutes, and
/// the power that makes weights of the errors: high, so that the best share takes almost all. The memory is long, about
/// two weeks: where load switches a few times a day, two days hold too few switches to tell.
const CAUTION: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
const CAREFUL: f32 = 0.9998;
const SHARP: f32 = 40.0;

/// The values of all members.
pub(crate) type Values = [f32; MEMBERS];

/// What was forecast, kept until the value is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mixed {
    pub(crate) members: Values,
    aggregated: f32,
    /// Before the last value was mixed in.
    bold: f32,
    /// The blend.
    pub(crate) center: f32,
}

/// The weights at one horizon.
#[derive(Clone, Debug)]
pub(crate) struct Blend {
    slow: f32,
    fast: f32,
    /// Decayed regret of the aggregate towards each member, and its squares.
    pub(crate) regret: Values,
    pub(crate) square: Values,
    /// Decayed absolute error of each member, and the weight behind it.
    pub(crate) error: Values,
    pub(crate) count: f32,
    careful: f32,
    /// Decayed absolute error with each share of the last value.
    pub(crate) caution: [f32; CAUTION.len()],
    aggregate: Values,
    inverse: Values,
    /// The share of the last value in the blend.
    share: f32,
}

impl Blend {
    pub(crate) fn new(step_seconds: f32) -> Self {
        let even = [1.0 / MEMBERS as f32; MEMBERS];
        Self {
            slow: SLOW.powf(step_seconds / 300.0),
            fast: FAST.powf(step_seconds / 300.0),
            regret: [0.0; MEMBERS],
            square: [0.0; MEMBERS],
            error: [0.0; MEMBERS],
            count: 0.0,
            careful: CAREFUL.powf(step_seconds / 300.0),
            caution: [0.0; CAUTION.len()],
            aggregate: even,
            inverse: even,
            share: 0.0,
        }
    }

    /// The blend of `members`.
    pub(crate) fn mix(&self, members: &Values) -> Mixed {
        let dot = |w: &Values| w.iter().zip(members).map(|(w, x)| w * x).sum::<f32>();
        let aggregated = dot(&self.aggregate);
        let bold = 0.5 * (aggregated + dot(&self.inverse));
        let center = bold + self.share * (members[LAST] - bold);
        Mixed { members: *members, aggregated, bold, center }
    }

    /// Learns from a forecast whose value is now known.
    pub(crate) fn score(&mut self, past: &Mixed, value: f32) {
        let slope = if past.aggregated > value { 1.0 } else { -1.0 };
        self.count = self.fast * self.count + 1.0;
        for (error, share) in self.caution.iter_mut().zip(CAUTION) {
            let mixed = past.bold + share * (past.members[LAST] - past.bold);
            *error = self.careful * *error + (mixed - value).abs();
        }
        for m in 0..MEMBERS {
            let regret = slope * (past.aggregated - past.members[m]);
            self.regret[m] = self.slow * self.regret[m] + regret;
            self.square[m] = self.slow * self.square[m] + regret * regret;
            self.error[m] = self.fast * self.error[m] + (past.members[m] - value).abs();
        }
        self.weigh();
    }

    /// Follows a change of the unit of load by `factor`.
    pub(crate) fn rescale(&mut self, factor: f32) {
        for m in 0..MEMBERS {
            self.regret[m] *= factor;
            self.square[m] *= factor * factor;
            self.error[m] *= factor;
        }
        self.caution.iter_mut().for_each(|e| *e *= factor);
    }

    /// Recomputes the weights from what was learned.
    pub(crate) fn weigh(&mut self) {
        let mut best = f32::NEG_INFINITY;
        let mut exponent = [0.0; MEMBERS];
        let mut rate = [0.0; MEMBERS];
        let spread = (MEMBERS as f32).ln();
        for m in 0..MEMBERS {
            rate[m] = (spread / self.square[m].max(1e-12)).sqrt();
            exponent[m] = rate[m] * self.regret[m] - spread;
            best = best.max(exponent[m]);
        }
        let mut total = 0.0;
        for m in 0..MEMBERS {
            self.aggregate[m] = rate[m] * (exponent[m] - best).exp();
            total += self.aggregate[m];
        }
        self.aggregate.iter_mut().for_each(|w| *w /= total);
        let least = self.error.iter().copied().fold(f32::INFINITY, f32::min).max(1e-9);
        let mut total = 0.0;
        for m in 0..MEMBERS {
            self.inverse[m] = (least / self.error[m].max(least)).powi(POWER);
            total += self.inverse[m];
        }
        self.inverse.iter_mut().for_each(|w| *w /= total);
        let least = self.caution.iter().copied().fold(f32::INFINITY, f32::min).max(1e-12);
        let (mut sum, mut total) = (0.0, 0.0);
        for (error, share) in self.caution.iter().zip(CAUTION) {
            // Without evidence, no caution.
            let prior = if share == 0.0 { 1.0 } else { 0.1 };
            let weight = prior * (least / error.max(least)).powf(SHARP);
            sum += weight * share;
            total += weight;
        }
        self.share = sum / total;
        if !self.aggregate.iter().chain(&self.inverse).all(|w| w.is_finite()) {
            let even = [1.0 / MEMBERS as f32; MEMBERS];
            (self.aggregate, self.inverse, self.share) = (even, even, 0.0);
        }
    }

    /// The weight of each member.
    pub(crate) fn weights(&self) -> Values {
        let mut out = [0.0; MEMBERS];
        for (m, w) in out.iter_mut().enumerate() {
            *w = 0.5 * (self.aggregate[m] + self.inverse[m]) * (1.0 - self.share);
        }
        out[LAST] += self.share;
        out
    }
}
