//! All members side by side: each is fitted on the history, moved along by every new slot, and asked for its forecast
//! at a few horizons.

use crate::analog;
use crate::clean_history::CleanHistory;
use crate::decomposition::Decomposition;
use crate::fourier::Fourier;
use crate::regressions::Regressions;
use crate::simple;
use crate::smoothing::{Damped, Winters};

/// How many members there are.
pub(crate) const MEMBERS: usize = simple::COUNT + 8;

const DAMPED: usize = simple::COUNT;
const WINTERS: usize = DAMPED + 1;
const MSTL: usize = DAMPED + 2;
const FOURIER: usize = DAMPED + 3;
const ANALOG: usize = DAMPED + 4;
/// The regressions' members, from here on.
pub(crate) const LOG_RIDGE: usize = DAMPED + 5;
pub(crate) const TREES: usize = DAMPED + 6;
pub(crate) const TREES_REST: usize = DAMPED + 7;

/// The names of the members.
pub(crate) fn name(member: usize) -> &'static str {
    const OTHERS: [&str; 8] =
        ["profile-damped", "holt-winters", "mstl", "fourier", "analog", "log-ridge", "trees", "ridge-trees"];
    simple::NAMES.get(member).or_else(|| OTHERS.get(member - simple::COUNT)).copied().unwrap_or("?")
}

/// The fitted members.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ensemble {
    /// Horizons in steps, rising.
    pub(crate) keys: Vec<usize>,
    damped: Option<Damped>,
    winters: Option<Winters>,
    mstl: Option<Decomposition>,
    fourier: Option<Fourier>,
    /// The regressions in use.
    pub(crate) champion: Regressions,
}

impl Ensemble {
    pub(crate) fn new(keys: Vec<usize>) -> Self {
        Self { champion: Regressions::new(keys.len(), None), keys, ..Self::default() }
    }

    /// Fits all members anew; the trees only where `heavy`. `fresh` starts without what was learned before.
    pub(crate) fn refit(&mut self, past: &CleanHistory, heavy: bool, fresh: bool) {
        let (n, day) = (past.len(), past.day());
        if n < day {
            return;
        }
        let from = n.saturating_sub(3 * day);
        let rest: Vec<f32> = (from..n)
            .map(|t| past.lin.values()[t] - past.usual(t, 0).unwrap_or(past.lin.values()[t]))
            .collect();
        let middle = self.keys.get(self.keys.len() / 2).copied().unwrap_or(1);
        self.damped = Some(Damped::fit(&rest, middle));
        self.winters = Winters::fit(past);
        self.mstl = Decomposition::fit(past, middle);
        self.fourier = Fourier::fit(past, &self.keys);
        if fresh {
            self.champion.forget();
        }
        self.champion.fit(past, &self.keys, heavy);
    }

    /// Moves the members along to the newest slot of `past`.
    pub(crate) fn update(&mut self, past: &CleanHistory) {
        let i = past.newest();
        let slot = past.first + i as i64;
        let value = past.lin.values()[i];
        if let Some(damped) = &mut self.damped {
            damped.update(value - past.usual(i, 0).unwrap_or(value));
        }
        if let Some(winters) = &mut self.winters {
            winters.update(slot, value);
        }
        if let Some(mstl) = &mut self.mstl {
            mstl.update(slot, value);
        }
    }

    /// Every member's forecast at every horizon: `out[key * MEMBERS + member]`, at or above 0.
    pub(crate) fn predict(&self, past: &CleanHistory, out: &mut Vec<f32>) {
        out.clear();
        out.resize(self.keys.len() * MEMBERS, 0.0);
        let i = past.newest();
        let slot = past.first + i as i64;
        let near = analog::neighbors(past);
        let now = simple::Now::new(past);
        for (key, h) in self.keys.iter().copied().enumerate() {
            let cells = &mut out[key * MEMBERS..(key + 1) * MEMBERS];
            let usual = past.profile(i + h, h);
            simple::predict(past, &now, h, usual, cells);
            let fallback = cells[6];
            cells[DAMPED..].fill(fallback);
            if let Some((damped, usual)) = self.damped.as_ref().zip(usual) {
                cells[DAMPED] = usual.1 + damped.ahead(h);
            }
            if let Some(winters) = &self.winters {
                cells[WINTERS] = winters.ahead(h);
            }
            if let Some(mstl) = &self.mstl {
                cells[MSTL] = mstl.ahead(slot, h);
            }
            if let Some(fourier) = &self.fourier {
                cells[FOURIER] = fourier.predict(past, key, h);
            }
            if let Some(value) = analog::predict(past, &near, h) {
                cells[ANALOG] = value;
            }
            for cell in cells.iter_mut() {
                *cell = if cell.is_finite() { cell.max(0.0) } else { fallback.max(0.0) };
            }
        }
        self.champion.predict(past, &self.keys, out);
    }
}
