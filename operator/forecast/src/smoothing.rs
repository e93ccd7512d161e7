//! Exponential smoothing: a damped trend on what remains after the usual day (Gardner & McKenzie, "Forecasting trends
//! in time series", 1985), on what remains after MSTL, and Holt-Winters with one season. Parameters come from small
//! grids scored by absolute error on the recent past.

use crate::clean_history::CleanHistory;

const DAMPING: f32 = 0.9;

/// Level and damped trend of a series without season.
#[derive(Clone, Debug)]
pub(crate) struct Damped {
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    damping: f32,
    level: f32,
    trend: f32,
}

impl Default for Damped {
    fn default() -> Self {
        Self { alpha: 0.6, beta: 0.1, damping: DAMPING, level: 0.0, trend: 0.0 }
    }
}

impl Damped {
    pub(crate) fn update(&mut self, value: f32) {
        let level = self.alpha * value + (1.0 - self.alpha) * (self.level + self.damping * self.trend);
        self.trend = self.beta * (level - self.level) + (1.0 - self.beta) * self.damping * self.trend;
        self.level = level;
    }

    pub(crate) fn ahead(&self, h: usize) -> f32 {
        let d = self.damping;
        self.level + self.trend * d * (1.0 - d.powi(h.min(500) as i32)) / (1.0 - d)
    }

    /// The best of a small grid on `values`, scored `h` steps ahead, in the state after the last of them.
    pub(crate) fn fit(values: &[f32], h: usize) -> Self {
        let mut best: Option<(f32, Self)> = None;
        for alpha in [0.2, 0.4, 0.7, 0.95] {
            for beta in [0.0, 0.1, 0.3] {
                let mut model =
                    Self { alpha, beta, level: values.first().copied().unwrap_or(0.0), ..Self::default() };
                let mut error = 0.0;
                for (t, value) in values.iter().enumerate() {
                    model.update(*value);
                    if let Some(actual) = values.get(t + h) {
                        error += (actual - model.ahead(h)).abs();
                    }
                }
                if best.as_ref().is_none_or(|(e, _)| error < *e) {
                    best = Some((error, model));
                }
            }
        }
        best.map_or_else(Self::default, |(_, model)| model)
    }
}

/// Additive Holt-Winters with one season and no trend (Winters 1960; trends at a 5-minute step only add noise).
#[derive(Clone, Debug, Default)]
pub(crate) struct Winters {
    alpha: f32,
    gamma: f32,
    level: f32,
    season: Vec<f32>,
    /// The slot, counted from the epoch, of the newest update.
    at: i64,
}

impl Winters {
    /// The best of a small grid over the history, by absolute error half an hour ahead.
    pub(crate) fn fit(past: &CleanHistory) -> Option<Self> {
        let (v, m) = (past.lin.values(), past.day());
        if v.len() < 3 * m {
            return None;
        }
        // Older weeks are forgotten anyway.
        let v = &v[v.len().saturating_sub(8 * m)..];
        let first = past.first + (past.len() - v.len()) as i64;
        let level = v[..m].iter().sum::<f32>() / m as f32;
        let mut best: Option<(f32, Self)> = None;
        for alpha in [0.1, 0.3, 0.6, 0.9] {
            for gamma in [0.1, 0.4] {
                let mut season = vec![0.0; m];
                for (t, value) in v[..m].iter().enumerate() {
                    season[Self::phase(first + t as i64, m)] = value - level;
                }
                let mut model = Self { alpha, gamma, level, season, at: first + m as i64 - 1 };
                let ahead = (m / 48).max(1);
                let mut error = 0.0;
                for (t, value) in v.iter().enumerate().skip(m) {
                    model.update(first + t as i64, *value);
                    if t >= 2 * m
                        && let Some(actual) = v.get(t + ahead)
                    {
                        error += (actual - model.ahead(ahead)).abs();
                    }
                }
                if best.as_ref().is_none_or(|(e, _)| error < *e) {
                    best = Some((error, model));
                }
            }
        }
        best.map(|(_, model)| model)
    }

    fn phase(slot: i64, m: usize) -> usize {
        slot.rem_euclid(m as i64) as usize
    }

    pub(crate) fn update(&mut self, slot: i64, value: f32) {
        let phase = Self::phase(slot, self.season.len());
        let s = self.season[phase];
        self.level = self.alpha * (value - s) + (1.0 - self.alpha) * self.level;
        self.season[phase] = self.gamma * (value - self.level) + (1.0 - self.gamma) * s;
        self.at = slot;
    }

    pub(crate) fn ahead(&self, h: usize) -> f32 {
        self.level + self.season[Self::phase(self.at + h as i64, self.season.len())]
    }
}
