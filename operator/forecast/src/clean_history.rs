//! What all members look at: the filled history on a linear and a logarithmic scale, and the calendar around it.

use crate::calendar::{Calendar, DAY};
use crate::features::Place;
use crate::prefix_sums::{PrefixSums, append};

/// The filled past of one signal, in units of its usual load.
#[derive(Clone, Debug)]
pub(crate) struct CleanHistory {
    pub(crate) lin: PrefixSums,
    /// The largest of its values, 0 or more: asked for with every forecast.
    pub(crate) largest: f32,
    pub(crate) log: PrefixSums,
    /// Whether a slot was measured and may be learned from.
    pub(crate) measured: Vec<bool>,
    pub(crate) calendar: Calendar,
    /// The number of slot 0 since the epoch.
    pub(crate) first: i64,
    /// A period besides day and week, in slots; 0 for none.
    pub(crate) extra: usize,
    /// Slots of known events, `[from, to)`, by name.
    pub(crate) events: Vec<Vec<(i64, i64)>>,
    /// Further series on the same slots.
    pub(crate) regressors: Vec<PrefixSums>,
}

impl CleanHistory {
    pub(crate) fn new(
        lin: PrefixSums,
        log: PrefixSums,
        measured: Vec<bool>,
        calendar: Calendar,
        first: i64,
    ) -> Self {
        Self {
            largest: lin.values().iter().copied().fold(0.0, f32::max),
            lin,
            log,
            measured,
            calendar,
            first,
            extra: 0,
            events: Vec::new(),
            regressors: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lin.len()
    }

    pub(crate) fn day(&self) -> usize {
        self.calendar.day()
    }

    /// The newest slot. Only meaningful where there is one.
    pub(crate) fn newest(&self) -> usize {
        self.len().saturating_sub(1)
    }

    pub(crate) fn push(&mut self, value: f32, measured: bool) {
        self.lin.push(value);
        self.largest = self.largest.max(value);
        self.log.push(value.max(0.0).ln_1p());
        append(&mut self.measured, measured);
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            calendar: &self.calendar,
            first: self.first,
            extra: self.extra,
            events: &self.events,
            regressors: &self.regressors,
        }
    }

    /// The mean of the last `width` slots up to `end`, that is inside.
    pub(crate) fn recent(&self, end: usize, width: usize) -> f32 {
        self.lin.mean(end, width)
    }

    /// The value at `target`'s wall-clock time, at least `days` days earlier and before `target - h`.
    pub(crate) fn earlier(&self, target: usize, h: usize, days: usize) -> Option<f32> {
        let whole = if days >= 7 {
            h.saturating_sub(1) / (7 * self.day()) * 7
        } else {
            h.saturating_sub(1) / self.day()
        };
        self.place().days_earlier(&self.lin, target, days + whole)
    }

    /// The usual load at `target`: a mean over earlier days, yesterday counting most. First with all days alike, then
    /// with days of the other kind (workday or weekend) counting for little.
    pub(crate) fn profile(&self, target: usize, h: usize) -> Option<(f32, f32)> {
        let ahead = h.saturating_sub(1) / self.day();
        let slot = self.first + target as i64;
        let weekday = self.calendar.second_of_week(slot) / DAY;
        let weekend = weekday >= 5;
        let v = self.lin.values();
        let (mut sum, mut total, mut kind_sum, mut kind_total) = (0.0, 0.0, 0.0, 0.0);
        let mut weight = 1.0;
        let mut other = (weekday - 1 - ahead as i64).rem_euclid(7);
        for k in 1 + ahead..=DAYS + ahead {
            let back = self.calendar.days_back(slot, k);
            let Some(at) = target.checked_sub(back).filter(|i| *i >= 1 && i + 1 < v.len()) else { break };
            let value = 0.25 * v[at - 1] + 0.5 * v[at] + 0.25 * v[at + 1];
            let kind = if (other >= 5) == weekend { weight } else { OTHER_KIND * weight };
            sum += weight * value;
            total += weight;
            kind_sum += kind * value;
            kind_total += kind;
            weight *= FADING;
            other = if other == 0 { 6 } else { other - 1 };
        }
        (total > 0.0).then(|| (sum / total, kind_sum / kind_total))
    }

    /// The usual load at `target`, minding workdays and weekends.
    pub(crate) fn usual(&self, target: usize, h: usize) -> Option<f32> {
        self.profile(target, h).map(|p| p.1)
    }
}

/// Days of a profile, the weight of a day to that of the day after it, and of a day of the other kind.
const DAYS: usize = 12;
const FADING: f32 = 0.75;
const OTHER_KIND: f32 = 0.2;
