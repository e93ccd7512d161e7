//! The value that forecasting gives to deciding: quantiles of load for each step ahead.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time;

/// Quantiles of load, one row a step: row 0 is the step that begins at `origin`, row `h` the one that begins at
/// `origin + h * step`. All values are finite, at or above zero, and rise with the level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    origin: Timestamp,
    step: Duration,
    levels: Vec<f64>,
    rows: Vec<Vec<f64>>,
    model: String,
}

/// Why a forecast can't be made of what was given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ForecastError {
    /// Levels lie in (0, 1) and rise strictly; there is at least one.
    #[error("quantile levels {0:?} must rise strictly inside (0, 1)")]
    Levels(Vec<f64>),
    /// Each row has one finite value for each level.
    #[error("row {0} doesn't hold one finite value for each level")]
    Row(usize),
    /// A forecast has at least one step, of at least a second.
    #[error("a forecast needs at least one step of at least a second")]
    Empty,
}

impl Forecast {
    /// A forecast from its quantiles: `rows[h][l]` is the value at step `h` and level `levels[l]`. Values below zero
    /// become zero (load can't be less) and a row whose quantiles cross is sorted, which never increases the pinball
    /// loss (Chernozhukov et al., "Quantile and probability curves without crossing", 2010).
    pub fn new(
        origin: Timestamp,
        step: Duration,
        levels: Vec<f64>,
        mut rows: Vec<Vec<f64>>,
        model: impl Into<String>,
    ) -> Result<Self, ForecastError> {
        let rising = levels.windows(2).all(|w| w[0] < w[1]);
        if levels.is_empty() || !rising || !levels.iter().all(|l| *l > 0.0 && *l < 1.0) {
            return Err(ForecastError::Levels(levels));
        }
        if rows.is_empty() || step.as_secs() == 0 {
            return Err(ForecastError::Empty);
        }
        for (h, row) in rows.iter_mut().enumerate() {
            if row.len() != levels.len() || row.iter().any(|v| !v.is_finite()) {
                return Err(ForecastError::Row(h));
            }
            for value in row.iter_mut() {
                *value = value.max(0.0);
            }
            row.sort_by(f64::total_cmp);
        }
        Ok(Self { origin, step, levels, rows, model: model.into() })
    }

    /// When the first forecast step begins; the newest sample the forecast saw lies before it.
    pub fn origin(&self) -> Timestamp {
        self.origin
    }

    /// The length of a step.
    pub fn step(&self) -> Duration {
        self.step
    }

    /// How many steps are forecast.
    pub fn steps(&self) -> usize {
        self.rows.len()
    }

    /// When the last forecast step ends.
    pub fn end(&self) -> Timestamp {
        self.time_of(self.rows.len())
    }

    /// The levels the forecast was made for, rising, inside (0, 1).
    pub fn levels(&self) -> &[f64] {
        &self.levels
    }

    /// What made it, for people: a model's name, or the names and weights of a blend.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// When step `index` begins.
    pub fn time_of(&self, index: usize) -> Timestamp {
        time::after(self.origin, Duration::from_secs(self.step.as_secs().saturating_mul(index as u64)))
    }

    /// The value at step `index` and `level`, linear between the known levels and clamped to the outermost.
    pub fn quantile(&self, index: usize, level: f64) -> Option<f64> {
        let row = self.rows.get(index)?;
        let above = self.levels.partition_point(|l| *l < level);
        if above == 0 {
            return row.first().copied();
        }
        if above == self.levels.len() {
            return row.last().copied();
        }
        let (l0, l1) = (self.levels[above - 1], self.levels[above]);
        let (v0, v1) = (row[above - 1], row[above]);
        if l1 == level {
            return Some(v1); // exactly, without rounding
        }
        Some(v0 + (v1 - v0) * (level - l0) / (l1 - l0))
    }

    /// The value at the step that `at` falls into; `None` outside the forecast.
    pub fn at(&self, at: Timestamp, level: f64) -> Option<f64> {
        if at < self.origin {
            return None;
        }
        let index = usize::try_from(time::since(at, self.origin).as_secs() / self.step.as_secs()).ok()?;
        self.quantile(index, level)
    }

    /// The largest value at `level` over the steps that touch `[from, to]`; `None` where the forecast knows nothing
    /// of that span. This, not the value at one point, is what capacity must carry.
    pub fn max_between(&self, from: Timestamp, to: Timestamp, level: f64) -> Option<f64> {
        (0..self.rows.len())
            .filter(|i| self.time_of(*i) <= to && self.time_of(i + 1) > from)
            .filter_map(|i| self.quantile(i, level))
            .fold(None, |max, v| Some(max.map_or(v, |m: f64| m.max(v))))
    }

    /// The steps in order: when each begins, and its value at `level`.
    pub fn path(&self, level: f64) -> impl Iterator<Item = (Timestamp, f64)> + '_ {
        (0..self.rows.len()).filter_map(move |i| Some((self.time_of(i), self.quantile(i, level)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn forecast() -> Forecast {
        let rows = vec![vec![10.0, 20.0], vec![30.0, 25.0], vec![-5.0, 12.0]];
        Forecast::new(at(0), Duration::from_secs(60), vec![0.5, 0.9], rows, "test").unwrap()
    }

    #[test]
    fn crossing_quantiles_are_sorted_and_negative_load_is_none() {
        let f = forecast();
        assert_eq!(f.quantile(1, 0.5), Some(25.0));
        assert_eq!(f.quantile(1, 0.9), Some(30.0));
        assert_eq!(f.quantile(2, 0.5), Some(0.0));
    }

    #[test]
    fn levels_between_are_linear_and_outside_are_clamped() {
        let f = forecast();
        assert!((f.quantile(0, 0.7).unwrap() - 15.0).abs() < 1e-9);
        assert_eq!(f.quantile(0, 0.1), Some(10.0));
        assert_eq!(f.quantile(0, 0.99), Some(20.0));
        assert_eq!(f.quantile(9, 0.5), None);
    }

    #[test]
    fn the_maximum_covers_every_step_it_touches() {
        let f = forecast();
        assert_eq!(f.max_between(at(0), at(59), 0.9), Some(20.0));
        assert_eq!(f.max_between(at(0), at(60), 0.9), Some(30.0));
        assert_eq!(f.max_between(at(125), at(125), 0.9), Some(12.0));
        assert_eq!(f.max_between(at(180), at(999), 0.9), None);
        assert_eq!(f.at(at(61), 0.9), Some(30.0));
    }

    #[test]
    fn nonsense_is_refused() {
        let make = |levels: Vec<f64>, rows: Vec<Vec<f64>>| {
            Forecast::new(at(0), Duration::from_secs(60), levels, rows, "x")
        };
        assert!(matches!(make(vec![0.9, 0.5], vec![vec![1.0, 2.0]]), Err(ForecastError::Levels(_))));
        assert!(matches!(make(vec![1.0], vec![vec![1.0]]), Err(ForecastError::Levels(_))));
        assert!(matches!(make(vec![0.5], vec![vec![f64::NAN]]), Err(ForecastError::Row(0))));
        assert!(matches!(make(vec![0.5], vec![]), Err(ForecastError::Empty)));
    }
}
