//! The known past of a workload, played to every strategy: what stands behind the selection of one. Heavy, pure and owned,
//! like a fit; nothing of it stays but the scores.
//!
//! Of the history, at most its newer half and at most a week is played; what lies before is only learned from. Forecasts
//! are those that would have been issued then: made by a forecaster that knew nothing but the slots before. It is fitted
//! again once a day and whenever the load changes, more seldom than in life, and asked each five minutes.

use std::sync::Arc;
use std::time::Duration;

use decide::{Known, Policy, Shadow, Simulated, Startup, Strategy, TICK, keep_span, lead};
use forecast::Settings;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::{Packed, Sample, time};

use crate::prepared::{Hindcast, Prepared};

/// How many days are played.
const DAYS: u32 = 7;
const DAY: Duration = Duration::from_hours(24);
/// A rate over a minute is that of half a minute ago.
const LAG: Duration = Duration::from_secs(30);
/// How often the forecast is asked, at most.
const ASKED_EVERY: Duration = Duration::from_mins(5);
/// How often it is fitted.
const FITTED_EVERY: Duration = DAY;
/// Less than this says nothing about a day.
const LEAST: Duration = DAY;

/// A simulation to be run.
#[derive(Clone, Debug)]
pub struct SimulationJob {
    pub(crate) policy: Policy,
    pub(crate) startup: Startup,
    pub(crate) lag: Duration,
    pub(crate) until: Timestamp,
    pub(crate) signals: Vec<SimulatedSignal>,
    pub(crate) strategies: Vec<Strategy>,
}

/// A metric's past.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedSignal {
    pub(crate) settings: Settings,
    pub(crate) history: Packed,
    pub(crate) by_minute: Packed,
    pub(crate) forecast: bool,
    /// What one replica carries, as far as that is known now.
    pub(crate) per_replica: f64,
    pub(crate) prepared: Option<Arc<Prepared>>,
}

/// What a simulation found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simulation {
    /// One for each strategy; none where there is too little history.
    pub strategies: Vec<Simulated>,
    /// Until when the past was played.
    pub until: Timestamp,
}

impl SimulationJob {
    /// Plays the past: some seconds of processor time at a step of a minute, less at longer ones.
    pub fn run(self) -> Simulation {
        let hindcasts = self.hindcasts();
        let Some(from) = self.from() else { return Simulation { strategies: Vec::new(), until: self.until } };
        let mut shadow = Shadow::new(&self.policy, &self.startup, self.lag, self.strategies.clone());
        let simulated = |strategy: &Strategy| Simulated { strategy: *strategy, days: Vec::new() };
        let mut strategies: Vec<Simulated> = self.strategies.iter().map(simulated).collect();
        let mut now = from;
        let mut day_ends = first_day_ends(from, self.until);
        let mut next = vec![0; hindcasts.len()];
        while now < self.until {
            for (next, hindcast) in next.iter_mut().zip(&hindcasts) {
                while hindcast.get(*next).is_some_and(|(at, _)| *at <= now) {
                    *next += 1;
                }
            }
            let known: Vec<Known<'_>> = self
                .signals
                .iter()
                .enumerate()
                .map(|(i, signal)| Known {
                    load: load_at(&signal.by_minute, now),
                    forecast: next[i].checked_sub(1).and_then(|last| hindcasts[i][last].1.as_deref()),
                    per_replica: signal.per_replica,
                })
                .collect();
            shadow.tick(now, &known);
            now = time::after(now, TICK);
            if now >= day_ends {
                for (strategy, day) in strategies.iter_mut().zip(shadow.take_tallies()) {
                    strategy.days.push(day);
                }
                day_ends = time::after(day_ends, DAY);
            }
        }
        Simulation { strategies, until: self.until }
    }

    /// When the past that is played begins; `None` where there is too little of it.
    fn from(&self) -> Option<Timestamp> {
        let start = self.signals.iter().map(|s| s.history.start()).max()?;
        if self.signals.iter().any(|s| s.history.is_empty()) {
            return None;
        }
        let half = time::after(start, time::since(self.until, start) / 2);
        let week = time::before(self.until, DAY * DAYS);
        let from = time::align(half.max(week), ASKED_EVERY);
        (time::since(self.until, from) >= LEAST).then_some(from)
    }

    /// The forecasts that would have been issued over the past that is played, for each metric.
    pub fn hindcasts(&self) -> Vec<Arc<Hindcast>> {
        let Some(from) = self.from() else { return vec![Arc::default(); self.signals.len()] };
        let of = |signal: &SimulatedSignal| match &signal.prepared {
            Some(prepared) => prepared.past(self.until),
            None if signal.forecast => Arc::new(hindcast(signal, self.looks_ahead(), from, self.until)),
            None => Arc::default(),
        };
        self.signals.iter().map(of).collect()
    }

    /// How far ahead its decisions look: what is forecast beyond changes nothing of it.
    fn looks_ahead(&self) -> Duration {
        let lead = lead(&self.policy, &self.startup, self.lag);
        lead.max(keep_span(&self.policy, &self.startup, lead))
    }

    /// Until when the past is played.
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

/// When the first day of the past that is played ends. Days are counted back from its end, so that each holds all times of
/// day: the first one takes between a half and one and a half.
fn first_day_ends(from: Timestamp, until: Timestamp) -> Timestamp {
    let days = (time::since(until, from).as_secs_f64() / DAY.as_secs_f64()).round() as u32;
    time::before(until, DAY * days.saturating_sub(1))
}

/// The forecasts that would have been issued from `from` until `until`, as far ahead as decisions look.
fn hindcast(signal: &SimulatedSignal, ahead: Duration, from: Timestamp, until: Timestamp) -> Hindcast {
    // A row before and after are read as well, where a load may change a step earlier or later.
    let ahead = ahead + signal.settings.step * 2;
    let horizon = ahead.max(signal.settings.decision_horizon).min(signal.settings.horizon);
    let settings = Settings { horizon, ..signal.settings.clone() };
    let mut forecaster = crate::fit::anew(&signal.history, from, &settings);
    let step = signal.history.step();
    let mut slot = time::align(from, step);
    let mut fitted = from;
    let mut now = from;
    let mut hindcast = Vec::new();
    while now < until {
        while time::after(slot, step) <= now {
            forecaster.observe_slot(slot, signal.history.at(slot));
            slot = time::after(slot, step);
            if time::since(slot, fitted) >= FITTED_EVERY || forecaster.refit_is_due() {
                forecaster.refit();
                fitted = slot;
            }
        }
        hindcast.push((now, forecaster.predict(now).ok().map(Arc::new)));
        now = time::after(now, ASKED_EVERY.max(step));
    }
    hindcast
}

/// The load as it was measured at `now`: on the line between the middles of two slots, half a minute ago.
fn load_at(by_minute: &Packed, now: Timestamp) -> Option<Sample> {
    let step = by_minute.step();
    let left = time::before(time::before(now, LAG), step / 2);
    let begin = time::align(left, step);
    let (a, b) = (by_minute.at(begin)?, by_minute.at(time::after(begin, step))?);
    let share = time::since(left, begin).as_secs_f64() / step.as_secs_f64();
    Sample::new(now, a + (b - a) * share)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one_day(24, 24)]
    #[case::less_than_one_and_a_half(35, 35)]
    #[case::one_and_a_half(36, 12)]
    #[case::two_and_a_bit(50, 26)]
    #[case::a_week(168, 24)]
    fn every_day_but_the_first_is_whole(#[case] hours: u64, #[case] first: u64) {
        let from = Timestamp::UNIX_EPOCH;
        let ends = first_day_ends(from, time::after(from, Duration::from_hours(hours)));
        assert_eq!(ends, time::after(from, Duration::from_hours(first)));
    }
}
