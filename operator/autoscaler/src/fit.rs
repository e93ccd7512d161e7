//! Learning: the heavy part of a forecast, owned, so that it can run on any thread and at any time.
//!
//! Fits lie on a fixed grid of time. Once a day a forecaster is made anew from the history up to then; each hour, and when
//! the load has changed, its regressions are fitted again. What stands at any moment is therefore a function of the history
//! alone: after a restart it's the same, and a job that ran late gives what it would have given in time.

use std::time::Duration;

use forecast::{Forecaster, PackedForecaster, Settings};
use jiff::Timestamp;
use series::{Packed, time};

/// How often regressions are fitted again.
const REFIT_EVERY: Duration = Duration::from_hours(1);
/// How often a forecaster is made anew.
const ANEW_EVERY: Duration = Duration::from_hours(24);

/// When fits are due: at the same times for one policy, at other times for another, so that they spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// How much later than at a full hour, or day, of the epoch.
    phase: Duration,
}

/// What is due when a slot has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A forecaster made anew from the history up to then.
    Anew(Timestamp),
    /// Regressions fitted again.
    Refit,
}

/// One complete slot: when it began, and its value.
pub(crate) type Slot = (Timestamp, Option<f64>);

impl Grid {
    /// `share`, in 0 to 1, places a policy within the day.
    pub(crate) fn new(share: f64) -> Self {
        Self { phase: ANEW_EVERY.mul_f64(share.clamp(0.0, 0.999)) }
    }

    /// The last time at or before `at` at which forecasters were made anew.
    pub(crate) fn last_anew(self, at: Timestamp) -> Timestamp {
        self.last(at, ANEW_EVERY)
    }

    fn last(self, at: Timestamp, every: Duration) -> Timestamp {
        let phase = Duration::from_secs(self.phase.as_secs() % every.as_secs());
        time::after(time::align(time::before(at, phase), every), phase)
    }

    /// What is due after the slot that began at `begin`.
    fn due(self, begin: Timestamp, step: Duration, forecaster: &Forecaster) -> Option<Due> {
        let end = time::after(begin, step);
        let crossed = |every| self.last(end, every) > self.last(begin, every);
        if crossed(ANEW_EVERY) {
            return Some(Due::Anew(end));
        }
        (crossed(REFIT_EVERY) || forecaster.refit_is_due()).then_some(Due::Refit)
    }

    /// Feeds `slots`; what is due after the first of them that makes something due, and how many were fed.
    pub(crate) fn feed(self, forecaster: &mut Forecaster, slots: &[Slot]) -> (usize, Option<Due>) {
        let step = forecaster.settings().step;
        for (i, (begin, value)) in slots.iter().enumerate() {
            forecaster.observe_slot(*begin, *value);
            if let Some(due) = self.due(*begin, step, forecaster) {
                return (i + 1, Some(due));
            }
        }
        (slots.len(), None)
    }
}

/// A forecaster to be fitted.
#[derive(Clone, Debug)]
pub struct FitJob {
    pub(crate) grid: Grid,
    pub(crate) settings: Settings,
    pub(crate) from: From,
    /// The history up to now.
    pub(crate) history: Packed,
    /// What of it has come since.
    pub(crate) slots: Vec<Slot>,
}

/// What a fit begins with.
#[derive(Clone, Debug)]
pub(crate) enum From {
    /// The history up to a time.
    History(Timestamp),
    /// A forecaster whose regressions are to be fitted again.
    Forecaster(Box<PackedForecaster>),
}

impl FitJob {
    /// Fits: tens of milliseconds, or about a second for a forecaster that is made anew.
    pub fn run(self) -> Fit {
        let mut forecaster = match self.from {
            From::Forecaster(packed) => {
                let mut forecaster = packed.unpack(&self.history);
                forecaster.refit();
                forecaster
            }
            From::History(until) => anew(&self.history, until, &self.settings),
        };
        let mut rest = &self.slots[..];
        while !rest.is_empty() {
            let (fed, due) = self.grid.feed(&mut forecaster, rest);
            rest = &rest[fed..];
            match due {
                // A day is one job: the slots after it wait for the next.
                Some(Due::Anew(_)) => break,
                Some(Due::Refit) => forecaster.refit(),
                None => {}
            }
        }
        let fed = self.slots.len() - rest.len();
        Fit { forecaster: Box::new(forecaster.pack(&self.history)), fed }
    }
}

/// A forecaster from the history up to `until`.
pub(crate) fn anew(history: &Packed, until: Timestamp, settings: &Settings) -> Forecaster {
    let mut forecaster = Forecaster::new(settings.clone());
    let from = time::before(until, forecaster.settings().history);
    forecaster.back_fill(&history.between(from, until));
    forecaster
}

/// A forecaster that was fitted.
#[derive(Clone, Debug)]
pub struct Fit {
    pub(crate) forecaster: Box<PackedForecaster>,
    /// How many of the job's slots it knows.
    pub(crate) fed: usize,
}
