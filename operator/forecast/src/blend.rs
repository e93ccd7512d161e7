//! One forecast out of many at one horizon: the mean of two ways to weigh members by how they did.
//!
//! The first is Bernstein online aggregation with the gradient trick (Wintenberger, "Optimal learning with Bernstein
//! online aggregation", 2017) on absolute error, which follows the best *mixture*; the second weighs by a power of the
//! decayed absolute error, which follows the best *member* faster. Both only use errors of forecasts that were made
//! before the value was known.

use crate::panel::MEMBERS;

/// Memory of the aggregation per 5 minutes: about two days.
const SLOW: f32 = 0.998;
/// Memory of the inverse-error weights per 5 minutes: about eight hours.
const FAST: f32 = 0.99;
const POWER: i32 = 8;

/// The values of all members.
pub(crate) type Values = [f32; MEMBERS];

/// What was forecast, kept until the value is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mixed {
    pub(crate) members: Values,
    aggregated: f32,
    /// The blend.
    pub(crate) centre: f32,
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
    aggregate: Values,
    inverse: Values,
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
            aggregate: even,
            inverse: even,
        }
    }

    /// The blend of `members`.
    pub(crate) fn mix(&self, members: &Values) -> Mixed {
        let dot = |w: &Values| w.iter().zip(members).map(|(w, x)| w * x).sum::<f32>();
        let aggregated = dot(&self.aggregate);
        Mixed { members: *members, aggregated, centre: 0.5 * (aggregated + dot(&self.inverse)) }
    }

    /// Learns from a forecast whose value is now known.
    pub(crate) fn score(&mut self, past: &Mixed, value: f32) {
        let slope = if past.aggregated > value { 1.0 } else { -1.0 };
        self.count = self.fast * self.count + 1.0;
        for m in 0..MEMBERS {
            let regret = slope * (past.aggregated - past.members[m]);
            self.regret[m] = self.slow * self.regret[m] + regret;
            self.square[m] = self.slow * self.square[m] + regret * regret;
            self.error[m] = self.fast * self.error[m] + (past.members[m] - value).abs();
        }
        self.weigh();
    }

    /// Makes the past count less, as after a jump of the level.
    pub(crate) fn forget(&mut self, keep: f32) {
        self.count *= keep;
        for m in 0..MEMBERS {
            self.regret[m] *= keep;
            self.square[m] *= keep;
            self.error[m] *= keep;
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
    }

    /// Recomputes the weights from what was learnt.
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
        if !self.aggregate.iter().chain(&self.inverse).all(|w| w.is_finite()) {
            let even = [1.0 / MEMBERS as f32; MEMBERS];
            (self.aggregate, self.inverse) = (even, even);
        }
    }

    /// The weight of each member.
    pub(crate) fn weights(&self) -> Values {
        let mut out = [0.0; MEMBERS];
        for (m, w) in out.iter_mut().enumerate() {
            *w = 0.5 * (self.aggregate[m] + self.inverse[m]);
        }
        out
    }
}
