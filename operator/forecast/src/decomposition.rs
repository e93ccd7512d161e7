//! Seasons by MSTL (Bandara, Hyndman & Bergmeir, 2021; the `augurs` implementation), continued as they were last, and
//! a damped trend on what remains.

use augurs_core::Fit;
use augurs_mstl::MSTLModel;

use crate::past::Past;
use crate::smoothing::Damped;

/// A decomposition: one period of each season, by slot since the epoch modulo the period, and the smoothed rest.
#[derive(Clone, Debug)]
pub(crate) struct Decomposition {
    seasons: Vec<Vec<f32>>,
    rest: Damped,
}

impl Decomposition {
    /// Decomposes the history; `None` below three days.
    pub(crate) fn fit(past: &Past, h: usize) -> Option<Self> {
        let day = past.day();
        let n = past.len();
        if n < 3 * day {
            return None;
        }
        let mut periods = vec![day];
        if n >= 2 * 7 * day {
            periods.push(7 * day);
        }
        let values: Vec<f64> = past.lin.values().iter().map(|v| f64::from(*v)).collect();
        let fitted = MSTLModel::naive(periods.clone()).fit(&values).ok()?;
        let parts = fitted.fit().seasonal();
        let mut rest = past.lin.values().to_vec();
        let mut seasons = Vec::new();
        for (period, part) in periods.iter().zip(parts) {
            if part.iter().any(|v| !v.is_finite()) {
                return None;
            }
            rest.iter_mut().zip(part).for_each(|(r, s)| *r -= s);
            let mut season = vec![0.0; *period];
            for (t, s) in part.iter().enumerate().skip(n - period) {
                season[(past.first + t as i64).rem_euclid(*period as i64) as usize] = *s;
            }
            seasons.push(season);
        }
        let recent = &rest[n.saturating_sub(3 * day)..];
        Some(Self { seasons, rest: Damped::fit(recent, h) })
    }

    fn season(&self, slot: i64) -> f32 {
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
