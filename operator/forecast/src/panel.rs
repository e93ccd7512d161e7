//! All members side by side: each is fitted on the history, moved along by every new slot, and asked for its forecast
//! at a few horizons.

use crate::analog;
use crate::decomposition::Decomposition;
use crate::features::{self, Row, WIDTH};
use crate::fourier::Fourier;
use crate::past::Past;
use crate::ridge::{self, Problem, Ridge};
use crate::simple;
use crate::smoothing::{Damped, Winters};
use crate::trees::{self, Forest, Growth};

/// How many members there are.
pub(crate) const MEMBERS: usize = simple::COUNT + 8;

const DAMPED: usize = simple::COUNT;
const WINTERS: usize = DAMPED + 1;
const MSTL: usize = DAMPED + 2;
const FOURIER: usize = DAMPED + 3;
const ANALOG: usize = DAMPED + 4;
const LOG_RIDGE: usize = DAMPED + 5;
const TREES: usize = DAMPED + 6;
const TREES_REST: usize = DAMPED + 7;

/// The names of the members.
pub(crate) fn name(member: usize) -> &'static str {
    const OTHERS: [&str; 8] =
        ["profile-damped", "holt-winters", "mstl", "fourier", "analog", "log-ridge", "trees", "ridge-trees"];
    simple::NAMES.get(member).or_else(|| OTHERS.get(member - simple::COUNT)).copied().unwrap_or("?")
}

/// The fitted members.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panel {
    /// Horizons in steps, rising.
    pub(crate) keys: Vec<usize>,
    damped: Option<Damped>,
    winters: Option<Winters>,
    mstl: Option<Decomposition>,
    fourier: Option<Fourier>,
    ridges: Vec<Option<Ridge>>,
    /// Grown on the load itself, which suits loads that switch, saturate or close.
    trees: Vec<Option<Forest>>,
    /// Grown on what the ridge leaves, which suits everything else.
    trees_rest: Vec<Option<Forest>>,
    forests: u64,
    round: u64,
}

/// How the trees are grown, but for their number.
const GROWTH: Growth =
    Growth { trees: 0, leaves: 12, rate: 0.13, least_rows: 8, row_share: 0.5, feature_share: 0.5, seed: 0 };
/// How many trees for a horizon, and how much of each counts. An hour ahead there is more to learn than a step ahead;
/// beyond, decisions look only to keep what there is.
fn growth(minutes: i64, seed: u64) -> Growth {
    let (trees, rate) = match minutes {
        ..=10 => (16, 0.13),
        21..=60 => (60, 0.1),
        _ => (32, 0.13),
    };
    Growth { trees, rate, seed, ..GROWTH }
}

/// The most rows that a regression learns from: more history is thinned out, so that the cost of a fit is bounded.
const MOST_ROWS: usize = 2100;

/// The rows for one horizon, on the logarithmic scale.
struct Table {
    rows: Vec<Row>,
    targets: Vec<f32>,
    weights: Vec<f32>,
}

fn table(past: &Past, h: usize, round: u64) -> Table {
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
            complete * 0.5_f32.powf(age / 7.0)
        } else {
            0.0
        });
    }
    t
}

impl Panel {
    pub(crate) fn new(keys: Vec<usize>) -> Self {
        let n = keys.len();
        Self {
            keys,
            ridges: vec![None; n],
            trees: vec![None; n],
            trees_rest: vec![None; n],
            ..Self::default()
        }
    }

    /// Fits all members anew; the trees only where `heavy`. `fresh` starts without what was learnt before.
    pub(crate) fn refit(&mut self, past: &Past, heavy: bool, fresh: bool) {
        let (n, day) = (past.len(), past.day());
        if n < day {
            return;
        }
        self.round += 1;
        if fresh {
            self.ridges.fill(None);
            self.trees.fill(None);
            self.trees_rest.fill(None);
        }
        self.forests += u64::from(heavy);
        let from = n.saturating_sub(3 * day);
        let rest: Vec<f32> = (from..n)
            .map(|t| past.lin.values()[t] - past.usual(t, 0).unwrap_or(past.lin.values()[t]))
            .collect();
        let middle = self.keys.get(self.keys.len() / 2).copied().unwrap_or(1);
        self.damped = Some(Damped::fit(&rest, middle));
        self.winters = Winters::fit(past);
        self.mstl = Decomposition::fit(past, middle);
        self.fourier = Fourier::fit(past, &self.keys);
        for key in 0..self.keys.len() {
            self.regress(past, key, heavy);
        }
    }

    fn regress(&mut self, past: &Past, key: usize, heavy: bool) {
        let t = table(past, self.keys[key], self.round);
        if t.rows.len() < 2 * WIDTH {
            return;
        }
        let problem = Problem { rows: &t.rows, targets: &t.targets, weights: &t.weights, penalty: 3.0 };
        self.ridges[key] = ridge::fit(&problem, self.ridges[key].as_ref(), 1);
        let Some(model) = self.ridges[key].as_ref().filter(|_| heavy) else { return };
        let minutes = self.keys[key] as i64 * past.calendar.step_seconds() / 60;
        let growth = growth(minutes, self.round * 31 + key as u64);
        // One kind of forest each time, to spread the cost; both where one is missing.
        let rest_is_due = self.forests.is_multiple_of(2);
        if rest_is_due || self.trees_rest[key].is_none() {
            let rest: Vec<f32> = t.rows.iter().zip(&t.targets).map(|(r, y)| y - model.predict(r)).collect();
            self.trees_rest[key] = trees::grow(&t.rows, &rest, &t.weights, &growth);
        }
        if !rest_is_due || self.trees[key].is_none() {
            self.trees[key] = trees::grow(&t.rows, &t.targets, &t.weights, &growth);
        }
    }

    /// Moves the members along to the newest slot of `past`.
    pub(crate) fn update(&mut self, past: &Past) {
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
    pub(crate) fn predict(&self, past: &Past, out: &mut Vec<f32>) {
        out.clear();
        out.resize(self.keys.len() * MEMBERS, 0.0);
        let i = past.newest();
        let slot = past.first + i as i64;
        let place = past.place();
        let near = analog::neighbours(past);
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
            if let Some(model) = &self.ridges[key] {
                let mut row = [0.0; WIDTH];
                features::fill(&place, &past.log, i, h, &mut row);
                let most = (1.2 * model.range.1).min(20.0);
                let value = model.predict(&row);
                let rest = self.trees_rest[key].as_ref().map_or(0.0, |forest| forest.predict(&row));
                cells[LOG_RIDGE] = value.min(most).exp_m1();
                cells[TREES_REST] = (value + rest).min(most).exp_m1();
                let grown = self.trees[key].as_ref().map_or(value, |forest| forest.predict(&row));
                cells[TREES] = grown.min(most).exp_m1();
            }
            for cell in cells.iter_mut() {
                *cell = if cell.is_finite() { cell.max(0.0) } else { fallback.max(0.0) };
            }
        }
    }
}
