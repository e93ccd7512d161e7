//! One measurement.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One measurement: when it was true, by the clock of the server that measured it, and its finite value.
///
/// NaN and infinities are no measurements; [`Sample::new`] refuses them, so whoever holds a `Sample` can count on
/// a number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    time: Timestamp,
    value: f64,
}

impl Sample {
    /// A sample, or `None` where `value` is NaN or infinite.
    pub fn new(time: Timestamp, value: f64) -> Option<Self> {
        value.is_finite().then_some(Self { time, value })
    }

    /// When the value was true.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The value, always finite, in the unit of its source.
    pub fn value(&self) -> f64 {
        self.value
    }
}
