//! Series for tests, made of a shape and seeded noise.

use jiff::tz::TimeZone;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::clean_history::CleanHistory;
use crate::history::History;

/// A past of `n` slots of 5 minutes with relative noise.
pub(crate) fn past_of(n: usize, seed: u64, noise: f64, shape: impl Fn(usize) -> f64) -> CleanHistory {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut history = History::new(300);
    for t in 0..n {
        let value = shape(t) * (1.0 + noise * (rng.random::<f64>() * 2.0 - 1.0));
        let value = history.scaled(Some(value));
        history.push(t as i64, value);
    }
    history.reunite();
    history.clean(&TimeZone::UTC, 12, &[])
}
