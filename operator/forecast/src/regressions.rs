//! The regressions: for each horizon a ridge on the logarithm of load. Two sets of them may run side by side: the
//! champion, and a challenger fitted after a change.

use crate::clean_history::CleanHistory;
use crate::features::{self, Row, WIDTH};
use crate::members::{LOG_RIDGE, MEMBERS};
use crate::ridge::{self, Problem, Ridge};

/// One set of regressions, by horizon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Regressions {
    /// The slot from which the load behaves as it does now, where it changed: rows before count for little.
    pub(crate) since: Option<i64>,
    ridges: Vec<Option<Ridge>>,
    round: u64,
}

/// How much a row from before a change counts.
const OLD: f32 = 0.15;

/// The most rows that a regression learns from: more history is thinned out, so that the cost of a fit is bounded.
const MOST_ROWS: usize = 2100;

/// The rows for one horizon, on the logarithmic scale.
struct Table {
    rows: Vec<Row>,
    targets: Vec<f32>,
    weights: Vec<f32>,
}

fn table(past: &CleanHistory, h: usize, round: u64, since: usize) -> Table {
    let (n, day) = (past.len(), past.day());
    let from = (day / 4).min(n);
    let to = n.saturating_sub(h);
    let stride = to.saturating_sub(from).div_ceil(MOST_ROWS).max(1);
    let place = past.place();
    let rows = to.saturating_sub(from) / stride + 1;
    let mut t = Table {
        rows: Vec::with_capacity(rows),
        targets: Vec::with_capacity(rows),
        weights: Vec::with_capacity(rows),
    };
    // Each round learns from other rows of a thinned history.
    for i in (from + round as usize % stride..to).step_by(stride) {
        let mut row = [0.0; WIDTH];
        features::fill(&place, &past.log, i, h, &mut row);
        t.rows.push(row);
        t.targets.push(past.log.values()[i + h]);
        let age = (n - i) as f32 / day as f32;
        let complete = if i < day { 0.3 } else { 1.0 };
        t.weights.push(if past.measured[i] && past.measured[i + h] {
            let old = if i + h < since { OLD } else { 1.0 };
            old * complete * 0.5_f32.powf(age / 7.0)
        } else {
            0.0
        });
    }
    t
}

impl Regressions {
    /// Nothing fitted yet, for so many horizons.
    pub(crate) fn new(horizons: usize, since: Option<i64>) -> Self {
        Self { since, ridges: vec![None; horizons], round: 0 }
    }

    /// Starts without what was learned before, as after a change of the unit.
    pub(crate) fn forget(&mut self) {
        self.ridges.fill(None);
    }

    /// Fits at all horizons.
    pub(crate) fn fit(&mut self, past: &CleanHistory, keys: &[usize]) {
        self.round += 1;
        // A change of more than a week ago is in most rows by now.
        let week = 7 * past.day() as i64;
        self.since = self.since.filter(|since| past.first + past.len() as i64 - since < week);
        let since = self.since.map_or(0, |since| (since - past.first).max(0) as usize);
        for (key, h) in keys.iter().enumerate() {
            let t = table(past, *h, self.round, since);
            if t.rows.len() >= 2 * WIDTH {
                let problem =
                    Problem { rows: &t.rows, targets: &t.targets, weights: &t.weights, penalty: 3.0 };
                self.ridges[key] = ridge::fit(&problem, self.ridges[key].as_ref(), 1);
            }
        }
    }

    /// Puts what the regressions say at every horizon into `out`, as in [`Ensemble::predict`](crate::ensemble::Ensemble::predict);
    /// where one isn't fitted, what is there stays.
    pub(crate) fn predict(&self, past: &CleanHistory, keys: &[usize], out: &mut [f32]) {
        let place = past.place();
        let i = past.newest();
        for (key, (h, cells)) in keys.iter().zip(out.chunks_exact_mut(MEMBERS)).enumerate() {
            let Some(model) = &self.ridges[key] else { continue };
            let mut row = [0.0; WIDTH];
            features::fill(&place, &past.log, i, *h, &mut row);
            let load = model.predict(&row).exp_m1();
            if load.is_finite() {
                cells[LOG_RIDGE] = load.max(0.0);
            }
        }
    }
}
