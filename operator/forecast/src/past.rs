//! What all members look at: the filled history on a linear and a logarithmic scale, and the calendar around it.

use crate::calendar::Calendar;
use crate::features::Place;
use crate::plane::Plane;

/// The filled past of one signal, in units of its usual load.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) lin: Plane,
    pub(crate) log: Plane,
    /// Whether a slot was measured and may be learnt from.
    pub(crate) measured: Vec<bool>,
    pub(crate) calendar: Calendar,
    /// The number of slot 0 since the epoch.
    pub(crate) first: i64,
    /// A period besides day and week, in slots; 0 for none.
    pub(crate) extra: usize,
    /// Slots of known events, `[from, to)`, by name.
    pub(crate) events: Vec<Vec<(i64, i64)>>,
    /// Further series on the same slots.
    pub(crate) regressors: Vec<Plane>,
}

impl Past {
    pub(crate) fn new(lin: Plane, log: Plane, measured: Vec<bool>, calendar: Calendar, first: i64) -> Self {
        Self { lin, log, measured, calendar, first, extra: 0, events: Vec::new(), regressors: Vec::new() }
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
        self.log.push(value.max(0.0).ln_1p());
        self.measured.push(measured);
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
        let whole = if days >= 7 { h.saturating_sub(1) / (7 * self.day()) * 7 } else { h.saturating_sub(1) / self.day() };
        self.place().days_earlier(&self.lin, target, days + whole)
    }

    /// The usual load at `target`: a mean over earlier days, the weight of a day being `decay` to the power of its
    /// age and `other` times less where it's a weekend and `target` isn't, or the other way round.
    pub(crate) fn profile(&self, target: usize, h: usize, decay: f32, other: f32) -> Option<f32> {
        let ahead = h.saturating_sub(1) / self.day();
        let slot = self.first + target as i64;
        let weekend = self.calendar.is_weekend(slot);
        let v = self.lin.values();
        let (mut sum, mut total, mut weight) = (0.0, 0.0, 1.0);
        for k in 1 + ahead..=12 + ahead {
            let back = self.calendar.days_back(slot, k);
            let Some(at) = target.checked_sub(back).filter(|i| *i >= 1 && i + 1 < v.len()) else { break };
            let kind = if other < 1.0 && self.calendar.is_weekend(slot - back as i64) != weekend { other } else { 1.0 };
            sum += weight * kind * (0.25 * v[at - 1] + 0.5 * v[at] + 0.25 * v[at + 1]);
            total += weight * kind;
            weight *= decay;
        }
        (total > 0.0).then(|| sum / total)
    }
}
