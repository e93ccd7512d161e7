//! All members side by side: each is fitted on the history, moved along by every new slot, and asked for its forecast
//! at a few horizons.

use crate::analog;
use crate::clean_history::CleanHistory;
use crate::decomposition::Decomposition;
use crate::fourier::Fourier;
use crate::members::{ANALOG, DAMPED, FOURIER, MEMBERS, MSTL, WINTERS};
use crate::regressions::Regressions;
use crate::simple::{self, LAST};
use crate::smoothing::{Damped, Winters};

/// The fitted members.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ensemble {
    /// Horizons in steps, rising.
    pub(crate) keys: Vec<usize>,
    /// How many of them, from the first on, decisions look at.
    pub(crate) decided: usize,
    damped: Option<Damped>,
    winters: Option<Winters>,
    mstl: Option<Decomposition>,
    fourier: Option<Fourier>,
    /// The regressions in use.
    pub(crate) champion: Regressions,
    /// A member in whose place the last value stands.
    pub(crate) left_out: Vec<usize>,
}

impl Ensemble {
    pub(crate) fn new(keys: Vec<usize>, decided: usize) -> Self {
        Self { champion: Regressions::new(keys.len(), None), keys, decided, ..Self::default() }
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
        let middle = self.keys.get(self.decided / 2).copied().unwrap_or(1);
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
        for member in self.left_out.iter().copied() {
            out.chunks_mut(MEMBERS).for_each(|cells| cells[member] = cells[LAST]);
        }
    }
}
