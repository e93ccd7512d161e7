//! Seasons by MSTL (Bandara, Hyndman & Bergmeir, 2021; the `augurs` implementation), continued as they were last, and
//! a damped trend on what remains.

use augurs_core::Fit;
use augurs_mstl::MSTLModel;

use crate::clean_history::CleanHistory;
use crate::smoothing::Damped;

/// A decomposition: one period of each season, and the smoothed rest.
#[derive(Clone, Debug)]
pub(crate) struct Decomposition {
    /// Slots of the past to one of the seasons: five minutes are fine enough for them.
    factor: usize,
    /// By coarse slot since the epoch modulo the period.
    seasons: Vec<Vec<f32>>,
    rest: Damped,
}

impl Decomposition {
    /// Decomposes the history; `None` below three days.
    pub(crate) fn fit(past: &CleanHistory, h: usize) -> Option<Self> {
        let factor = (past.day() / 288).max(1);
        let day = past.day() / factor;
        // The newest slot ends a coarse one only by chance: coarse slots are counted from the epoch.
        let skip = (-past.first).rem_euclid(factor as i64) as usize;
        let n = past.len().saturating_sub(skip) / factor;
        if n < 3 * day {
            return None;
        }
        let mut periods = vec![day];
        if n >= 2 * 7 * day {
            periods.push(7 * day);
        }
        let values: Vec<f64> =
            (0..n).map(|t| f64::from(past.lin.mean(skip + (t + 1) * factor - 1, factor))).collect();
        let fitted = MSTLModel::naive(periods.clone()).fit(&values).ok()?;
        let first = (past.first + skip as i64).div_euclid(factor as i64);
        let mut seasons = Vec::new();
        for (period, part) in periods.iter().zip(fitted.fit().seasonal()) {
            if part.iter().any(|v| !v.is_finite()) {
                return None;
            }
            let mut season = vec![0.0; *period];
            for (t, s) in part.iter().enumerate().skip(n - period) {
                season[(first + t as i64).rem_euclid(*period as i64) as usize] = *s;
            }
            seasons.push(season);
        }
        let mut model = Self { factor, seasons, rest: Damped::default() };
        let from = past.len().saturating_sub(2 * past.day());
        let rest: Vec<f32> =
            (from..past.len()).map(|t| past.lin.values()[t] - model.season(past.first + t as i64)).collect();
        model.rest = Damped::fit(&rest, h);
        Some(model)
    }

    fn season(&self, slot: i64) -> f32 {
        let slot = slot.div_euclid(self.factor as i64);
        self.seasons.iter().map(|s| s[slot.rem_euclid(s.len() as i64) as usize]).sum()
    }

    pub(crate) fn update(&mut self, slot: i64, value: f32) {
        let season = self.season(slot);
        self.rest.update(value - season);
    }

    /// The forecast `h` steps after `slot`, the newest one.
    pub(crate) fn ahead(&self, slot: i64, h: usize) -> f32 {
        self.season(slot + h as i64) + self.rest.ahead(h)
    }
}
