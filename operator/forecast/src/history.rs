//! What was measured, slot by slot, and its cleaning. Gaps stay gaps in the history; only the copy that models look at
//! is filled, with a note of which slots were really measured. Values are kept in single precision, as multiples of
//! the usual load.

use jiff::tz::TimeZone;

use crate::calendar::Calendar;
use crate::clean_history::CleanHistory;
use crate::prefix_sums::{PrefixSums, append};
use crate::settings::Window;

/// The most that a value counts as until the unit is looked at again. The first load ever seen may be next to nothing (what is
/// left of a rate that faded out), so nearly everything has to fit above it; squares of it still fit into single precision.
const BEFORE_REUNION: f64 = 1e15;
/// The most that a value counts as once the unit is right.
const MOST: f32 = 1e6;
/// Values above so many times what nine in ten stay below are glitches, and don't say what is usual.
const UNUSUAL: f64 = 100.0;

/// The mean of loads, but for those far above nine in ten of the ones that aren't 0; 0 where there are none.
fn usual(loads: Vec<f64>) -> f64 {
    let mut above: Vec<f64> = loads.iter().copied().filter(|v| *v > 0.0).collect();
    if above.is_empty() {
        return 0.0;
    }
    let place = above.len() * 9 / 10;
    let high = *above.select_nth_unstable_by(place, f64::total_cmp).1;
    let known = loads.iter().filter(|v| **v <= UNUSUAL * high);
    let (sum, n) = known.fold((0.0, 0.0), |(s, n), v| (s + v, n + 1.0));
    sum / n
}

/// The raw history of one signal on a grid of slots.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) step: i64,
    /// What 1 stands for.
    pub(crate) unit: f64,
    /// The number of the first slot since the epoch.
    pub(crate) first: i64,
    /// NaN is a gap.
    pub(crate) values: Vec<f32>,
}

impl History {
    pub(crate) fn new(step: i64) -> Self {
        Self { step, unit: 0.0, first: 0, values: Vec::new() }
    }

    /// The number of the slot after the newest.
    pub(crate) fn end(&self) -> i64 {
        self.first + self.values.len() as i64
    }

    /// A measurement as a multiple of the usual load; NaN for what is no load.
    pub(crate) fn scaled(&mut self, value: Option<f64>) -> f32 {
        let Some(value) = value.filter(|v| v.is_finite() && *v >= 0.0) else { return f32::NAN };
        if self.unit <= 0.0 && value > 0.0 {
            self.unit = value.clamp(1e-200, 1e200);
        }
        if self.unit > 0.0 { (value / self.unit).min(BEFORE_REUNION) as f32 } else { 0.0 }
    }

    pub(crate) fn push(&mut self, slot: i64, value: f32) {
        if self.values.is_empty() {
            self.first = slot;
        }
        append(&mut self.values, value);
    }

    /// Forgets all but the newest `slots`.
    pub(crate) fn keep_last(&mut self, slots: usize) {
        let surplus = self.values.len().saturating_sub(slots);
        self.values.drain(..surplus);
        self.first += surplus as i64;
    }

    /// The share of slots with a value among the newest `slots`.
    pub(crate) fn coverage(&self, slots: usize) -> f64 {
        let from = self.values.len().saturating_sub(slots);
        let newest = &self.values[from..];
        newest.iter().filter(|v| v.is_finite()).count() as f64 / newest.len().max(1) as f64
    }

    /// Slots since the newest value.
    pub(crate) fn silence(&self) -> usize {
        self.values.iter().rev().take_while(|v| v.is_nan()).count()
    }

    /// The factor by which values have to be multiplied so that their mean is near 1 again; 1 where it is.
    pub(crate) fn reunite(&mut self) -> f32 {
        let known = self.values.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v));
        let mean = usual(known.collect());
        if mean <= 0.0 || (0.4..2.5).contains(&mean) {
            return 1.0;
        }
        let unit = (self.unit * mean).clamp(1e-250, 1e250);
        let factor = (self.unit / unit) as f32;
        self.unit = unit;
        self.values.iter_mut().for_each(|v| *v = (*v * factor).min(MOST));
        factor
    }

    /// Takes the usual load among `values` as the unit, where there is none yet.
    pub(crate) fn choose_unit(&mut self, values: impl Iterator<Item = f64>) {
        let usual = usual(values.filter(|v| v.is_finite() && *v >= 0.0).collect());
        if self.unit <= 0.0 && usual > 0.0 {
            self.unit = usual.clamp(1e-200, 1e200);
        }
    }

    /// The cleaned past: gaps filled, glitches taken out, excluded windows not to be learned from.
    pub(crate) fn clean(&self, zone: &TimeZone, ahead: usize, excluded: &[Window]) -> CleanHistory {
        let n = self.values.len();
        let calendar = Calendar::new(zone, self.step, self.first - 1, self.end() + 2 * ahead as i64 + 600);
        let day = calendar.day();
        let mut values = self.values.clone();
        drop_glitches(&mut values, day);
        for window in excluded {
            let slot = |t: jiff::Timestamp| t.as_second().div_euclid(self.step) - self.first;
            let from = slot(window.from).clamp(0, n as i64) as usize;
            let to = (slot(window.to) + 1).clamp(from as i64, n as i64) as usize;
            values[from..to].fill(f32::NAN);
        }
        let measured: Vec<bool> = values.iter().map(|v| v.is_finite()).collect();
        fill(&mut values, day);
        // What just happened is taken as it is: a glitch can't be told from the begin of a rise yet.
        let log = PrefixSums::new(values.iter().map(|v| v.max(0.0).ln_1p()).collect());
        CleanHistory::new(PrefixSums::new(values), log, measured, calendar, self.first)
    }
}

/// How many slots in a row count as a glitch at most.
const GLITCH: usize = 2;

/// Turns glitches into gaps: one or two slots that stand alone, far above all of their surroundings and of the same
/// time on the days around, or at zero amid steady load, as scrapes around a restart show. The last hour is left alone.
fn drop_glitches(values: &mut [f32], day: usize) {
    let n = values.len();
    let hour = (day / 24).max(3);
    if n < 4 * hour {
        return;
    }
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    if sorted.len() < 2 * hour {
        return;
    }
    let rank = |q: f64, sorted: &mut Vec<f32>| {
        let at = ((sorted.len() - 1) as f64 * q) as usize;
        *sorted.select_nth_unstable_by(at, f32::total_cmp).1
    };
    let high = rank(0.99, &mut sorted);
    let low = rank(0.02, &mut sorted);
    let raw = values.to_vec();
    let around = |from: i64, to: i64, skip: std::ops::Range<i64>, pick: fn(f32, f32) -> f32, start: f32| {
        (from.max(0)..to.min(n as i64))
            .filter(|t| !skip.contains(t))
            .map(|t| raw[t as usize])
            .filter(|v| v.is_finite())
            .fold(start, pick)
    };
    for i in hour..n - hour {
        let (v, t) = (raw[i], i as i64);
        let spike = v > 5.0 * high && high > 0.0;
        let hole = v <= 0.0 && low > 0.0;
        if !spike && !hole {
            continue;
        }
        let own = t - GLITCH as i64 + 1..t + GLITCH as i64;
        let h = (hour / 2).max(3) as i64;
        if spike {
            let near = around(t - h, t + h + 1, own, f32::max, 0.0);
            let d = day as i64;
            let same = around(t - d - h, t - d + h + 1, 0..0, f32::max, 0.0).max(around(
                t + d - h,
                t + d + h + 1,
                0..0,
                f32::max,
                0.0,
            ));
            if v > 5.0 * near.max(same) {
                values[i] = f32::NAN;
            }
        } else if around(t - h, t + h + 1, own, f32::min, f32::INFINITY) > 0.25 * low {
            values[i] = f32::NAN;
        }
    }
}

/// Fills gaps for models: up to an hour by a line, longer ones by the same time a day earlier, else by a line.
fn fill(values: &mut [f32], day: usize) {
    let n = values.len();
    let hour = (day / 24).max(2);
    let mut i = 0;
    while i < n {
        if values[i].is_finite() {
            i += 1;
            continue;
        }
        let begin = i;
        while i < n && !values[i].is_finite() {
            i += 1;
        }
        let after = if i < n { Some(values[i]) } else { None };
        let before = begin.checked_sub(1).map(|b| values[b]);
        let left = before.or(after).unwrap_or(0.0);
        let right = after.unwrap_or(left);
        for j in begin..i {
            values[j] = if i - begin > hour && j >= day {
                values[j - day]
            } else {
                left + (right - left) * (j - begin + 1) as f32 / (i - begin + 1) as f32
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(values: Vec<f32>) -> History {
        History { step: 300, unit: 1.0, first: 0, values }
    }

    #[test]
    fn short_gaps_become_a_line_and_long_ones_yesterday() {
        let mut values: Vec<f32> = (0..600).map(|t| (t % 288) as f32).collect();
        values[400..403].fill(f32::NAN);
        values[450..500].fill(f32::NAN);
        let past = history(values).clean(&TimeZone::UTC, 12, &[]);
        assert_eq!(past.lin.values()[401], 113.0);
        assert_eq!(past.lin.values()[470], (470 - 288) as f32);
        assert!(!past.measured[401] && past.measured[404]);
    }

    #[test]
    fn a_glitch_is_not_learned_but_a_daily_spike_is() {
        let mut values = vec![1.0_f32; 288 * 5];
        values[700] = 500.0;
        values[900] = 0.0;
        let past = history(values.clone()).clean(&TimeZone::UTC, 12, &[]);
        assert!(!past.measured[700] && !past.measured[900]);
        assert_eq!(past.lin.values()[700], 1.0);
        for day in 0..5 {
            values[day * 288 + 50] = 500.0;
        }
        let past = history(values).clean(&TimeZone::UTC, 12, &[]);
        assert!(past.measured[288 + 50]);
    }

    #[test]
    fn the_unit_follows_the_load() {
        let mut h = History::new(300);
        assert!(h.scaled(Some(-1.0)).is_nan() && h.scaled(Some(f64::INFINITY)).is_nan());
        assert_eq!(h.scaled(Some(0.0)), 0.0);
        for slot in 0..100 {
            let v = h.scaled(Some(if slot == 0 { 1.0 } else { 1e12 }));
            h.push(slot, v);
        }
        let factor = h.reunite();
        assert!(factor < 1e-4 && h.values[50] > 0.4 && h.values[50] < 2.5);
    }
}
