//! All members side by side: each is fitted on the history, and asked for its forecast at a few horizons.

use crate::analog;
use crate::clean_history::CleanHistory;
use crate::fourier::Fourier;
use crate::members::{ANALOG, FOURIER, MEMBERS};
use crate::regressions::Regressions;
use crate::simple::{self, LAST};

/// No member foresees more than so many times the largest load of the history. A curve that is continued far from what it was
/// fitted on can say anything, and one such forecast moves the scale of all errors for days; what really grows beyond that
/// is followed by the last value.
const MOST_GROWTH: f32 = 2.0;

/// The fitted members.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ensemble {
    /// Horizons in steps, rising.
    pub(crate) keys: Vec<usize>,
    /// How many of them, from the first on, decisions look at.
    pub(crate) decided: usize,
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

    /// Fits all members anew. `fresh` starts without what was learned before.
    pub(crate) fn refit(&mut self, past: &CleanHistory, fresh: bool) {
        if past.len() < past.day() {
            return;
        }
        self.fourier = Fourier::fit(past, &self.keys);
        if fresh {
            self.champion.forget();
        }
        self.champion.fit(past, &self.keys);
    }

    /// Every member's forecast at every horizon: `out[key * MEMBERS + member]`, from 0 to twice the largest load known.
    pub(crate) fn predict(&self, past: &CleanHistory, out: &mut Vec<f32>) {
        out.clear();
        out.resize(self.keys.len() * MEMBERS, 0.0);
        let i = past.newest();
        let near = analog::neighbors(past);
        let now = simple::Now::new(past);
        for (key, h) in self.keys.iter().copied().enumerate() {
            let cells = &mut out[key * MEMBERS..(key + 1) * MEMBERS];
            let usual = past.profile(i + h, h);
            simple::predict(past, &now, h, usual, cells);
            let fallback = cells[6];
            cells[FOURIER..].fill(fallback);
            if let Some(fourier) = &self.fourier {
                cells[FOURIER] = fourier.predict(past, key, h);
            }
            if let Some(value) = analog::predict(past, &near, h) {
                cells[ANALOG] = value;
            }
            for cell in cells.iter_mut() {
                *cell = if cell.is_finite() { *cell } else { fallback };
            }
        }
        self.champion.predict(past, &self.keys, out);
        let most = MOST_GROWTH * past.largest;
        for cell in out.iter_mut() {
            *cell = cell.clamp(0.0, most);
        }
        for member in self.left_out.iter().copied() {
            out.chunks_mut(MEMBERS).for_each(|cells| cells[member] = cells[LAST]);
        }
    }
}
