//! A smooth day and week by regression on Fourier terms (`linfa`), on the logarithmic scale and with the present
//! deviation fading ahead. Ridge comes from ordinary least squares on rows augmented with `sqrt(penalty) * I`.

use std::f64::consts::TAU;

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};

use crate::calendar::DAY;
use crate::clean_history::CleanHistory;

const OF_DAY: usize = 8;
const OF_WEEK: usize = 3;
const WEEKEND: usize = 3;
const TERMS: usize = 2 * (OF_DAY + OF_WEEK + WEEKEND) + 2;

/// The smooth calendar curve, and how fast a deviation from it fades.
#[derive(Clone, Debug)]
pub(crate) struct Fourier {
    coefficients: Vec<f32>,
    intercept: f32,
    /// What remains of a deviation after each of the horizons.
    fading: Vec<f32>,
}

fn terms(week_second: i64, weekend: bool) -> [f64; TERMS] {
    let mut out = [0.0; TERMS];
    let day = (week_second % DAY) as f64 / DAY as f64;
    let week = week_second as f64 / (7 * DAY) as f64;
    let mut put = |at: usize, angle: f64, size: f64| {
        let (s, c) = angle.sin_cos();
        out[at] = s * size;
        out[at + 1] = c * size;
    };
    for k in 0..OF_DAY {
        put(2 * k, TAU * (k + 1) as f64 * day, 1.0);
    }
    for k in 0..OF_WEEK {
        put(2 * (OF_DAY + k), TAU * (k + 1) as f64 * week, 1.0);
    }
    let on = if weekend { 1.0 } else { 0.0 };
    for k in 0..WEEKEND {
        put(2 * (OF_DAY + OF_WEEK + k), TAU * (k + 1) as f64 * day, on);
    }
    out[TERMS - 2] = on;
    out
}

impl Fourier {
    /// Fits the curve on quarter-hour means and the fading for each of `horizons`; `None` below two days.
    pub(crate) fn fit(past: &CleanHistory, horizons: &[usize]) -> Option<Self> {
        let (n, day) = (past.len(), past.day());
        if n < 2 * day {
            return None;
        }
        let chunk = (day / 96).max(1);
        let rows = n / chunk;
        let offset = n - rows * chunk;
        let mut x = Array2::<f64>::zeros((rows + TERMS, TERMS));
        let mut y = Array1::<f64>::zeros(rows + TERMS);
        for r in 0..rows {
            let end = offset + (r + 1) * chunk - 1;
            let slot = past.first + (end - chunk / 2) as i64;
            let mut row = terms(past.calendar.second_of_week(slot), past.calendar.is_weekend(slot));
            row[TERMS - 1] = r as f64 / rows as f64 - 0.5;
            x.row_mut(r).iter_mut().zip(row).for_each(|(cell, value)| *cell = value);
            y[r] = f64::from(past.log.mean(end, chunk));
        }
        let center = y.iter().take(rows).sum::<f64>() / rows as f64;
        y.iter_mut().take(rows).for_each(|v| *v -= center);
        for k in 0..TERMS {
            x[[rows + k, k]] = 2.0_f64.sqrt();
        }
        let fitted = LinearRegression::new().fit(&Dataset::new(x, y)).ok()?;
        let coefficients: Vec<f32> = fitted.params().iter().map(|v| *v as f32).collect();
        let intercept = (fitted.intercept() + center) as f32;
        if !intercept.is_finite() || coefficients.iter().any(|c| !c.is_finite()) {
            return None;
        }
        let mut model = Self { coefficients, intercept, fading: Vec::new() };
        model.fade(past, horizons);
        Some(model)
    }

    /// How much of a deviation remains after each horizon: least squares through the origin on the last week.
    fn fade(&mut self, past: &CleanHistory, horizons: &[usize]) {
        let n = past.len();
        let from = n.saturating_sub(7 * past.day());
        let rest: Vec<f32> = (from..n).map(|t| past.log.values()[t] - self.curve(past, t)).collect();
        self.fading = horizons
            .iter()
            .map(|h| {
                let (mut xy, mut xx) = (0.0, 1e-9);
                for (a, b) in rest.iter().zip(rest.iter().skip(*h)) {
                    xy += a * b;
                    xx += a * a;
                }
                (xy / xx).clamp(0.0, 1.0)
            })
            .collect();
    }

    /// The curve at slot `index` of the past or after it, on the logarithmic scale.
    pub(crate) fn curve(&self, past: &CleanHistory, index: usize) -> f32 {
        let slot = past.first + index as i64;
        let row = terms(past.calendar.second_of_week(slot), past.calendar.is_weekend(slot));
        let trend = 0.5 * self.coefficients[TERMS - 1];
        self.intercept + trend + row.iter().zip(&self.coefficients).map(|(x, c)| *x as f32 * c).sum::<f32>()
    }

    /// The forecast for horizon number `key`, `h` steps ahead.
    pub(crate) fn predict(&self, past: &CleanHistory, key: usize, h: usize) -> f32 {
        let i = past.newest();
        let rest = past.log.mean(i, 2) - self.curve(past, i);
        (self.curve(past, i + h) + self.fading[key] * rest).min(20.0).exp_m1()
    }
}
