//! From what happened to numbers people compare. No composite: each number stands for itself.

use jiff::Timestamp;
use serde::Serialize;

use crate::load::{Load, RUN_IN};
use crate::oracle::Oracle;
use crate::replay::{Outcome, WINDOW};

/// The numbers of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    /// Share of scored time in which the promise was broken, in percent.
    pub violation_percent: f64,
    /// The same in seconds.
    pub violation_seconds: f64,
    /// Share of requests in broken windows or dropped, in percent.
    pub requests_percent: f64,
    /// The longest stretch of broken promise, in seconds.
    pub worst_seconds: f64,
    /// When that began.
    pub worst_at: Option<Timestamp>,
    /// Share of the time on ramps (need rose by a fifth or more within 15 minutes) in which it was broken, in percent.
    pub ramp_percent: f64,
    /// Replica-hours paid for, start-up and drain included.
    pub replica_hours: f64,
    /// Replica-hours over those of the oracle that never breaks the promise.
    pub over_oracle: f64,
    /// Replica-hours over those of the oracle that breaks it as long as this run did.
    pub over_oracle_alike: f64,
    /// Replica-hours that were missing.
    pub shortfall_hours: f64,
    /// The elasticity measures of the SPEC research group.
    pub elasticity: Elasticity,
    /// Changes of replicas a day.
    pub actions_per_day: f64,
    /// Pods created a day.
    pub created_per_day: f64,
    /// Changes in the other direction within 10 minutes, a day.
    pub reversals_per_day: f64,
    /// The largest single change, in replicas.
    pub largest_step: u32,
    /// Pods removed while the measurement was missing or wrong.
    pub removed_on_bad_data: u32,
}

/// Herbst et al., "Ready for Rain?", SPEC RG 2016: shares in percent.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Elasticity {
    /// Mean relative shortfall.
    pub under_accuracy: f64,
    /// Mean relative surplus.
    pub over_accuracy: f64,
    /// Share of time with too few replicas.
    pub under_time: f64,
    /// Share of time with too many.
    pub over_time: f64,
    /// Share of time in which supply and demand moved in different directions.
    pub instability: f64,
}

/// Scores a run of `load`. `oracle` is that of the same needs.
pub fn score(outcome: &Outcome, load: &Load, oracle: &Oracle) -> Score {
    let window = WINDOW as f64;
    let scored = outcome.need.iter().filter(|n| **n > 0).count().max(1);
    let days = scored as f64 * window / 86_400.0;
    let broken = outcome.violated.iter().filter(|v| **v).count();
    let violation = broken as f64 / scored as f64;
    let (worst, worst_index) = longest(&outcome.violated);
    let largest_step = outcome.changes.iter().map(|(_, a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    Score {
        violation_percent: violation * 100.0,
        violation_seconds: broken as f64 * window,
        requests_percent: 100.0 * outcome.requests.1 / outcome.requests.0.max(f64::MIN_POSITIVE),
        worst_seconds: worst as f64 * window,
        worst_at: (worst > 0).then(|| load.time_of(RUN_IN as usize + worst_index * WINDOW)),
        ramp_percent: on_ramps(outcome),
        replica_hours: outcome.pod_seconds / 3_600.0,
        over_oracle: outcome.pod_seconds / oracle.without_violation().pod_seconds,
        over_oracle_alike: outcome.pod_seconds / oracle.within(violation).pod_seconds,
        shortfall_hours: shortfall(outcome) * window / 3_600.0,
        elasticity: elasticity(outcome),
        actions_per_day: outcome.changes.len() as f64 / days,
        created_per_day: outcome.created as f64 / days,
        reversals_per_day: f64::from(reversals(&outcome.changes)) / days,
        largest_step,
        removed_on_bad_data: outcome.removed_on_bad_data,
    }
}

fn longest(violated: &[bool]) -> (usize, usize) {
    let (mut best, mut at, mut run) = (0, 0, 0);
    for (i, v) in violated.iter().enumerate() {
        run = if *v { run + 1 } else { 0 };
        if run > best {
            (best, at) = (run, i + 1 - run);
        }
    }
    (best, at)
}

fn on_ramps(outcome: &Outcome) -> f64 {
    let back = 900 / WINDOW;
    let (mut on, mut broken) = (0u32, 0u32);
    for i in back..outcome.need.len() {
        let (before, now) = (outcome.need[i - back], outcome.need[i]);
        if before > 0 && f64::from(now) >= 1.2 * f64::from(before) {
            on += 1;
            broken += u32::from(outcome.violated[i]);
        }
    }
    100.0 * f64::from(broken) / f64::from(on.max(1))
}

fn shortfall(outcome: &Outcome) -> f64 {
    outcome.need.iter().zip(&outcome.supply).map(|(d, s)| (f64::from(*d) - f64::from(*s)).max(0.0)).sum()
}

fn elasticity(outcome: &Outcome) -> Elasticity {
    let mut e = Elasticity::default();
    let mut n = 0.0;
    let mut last: Option<(f64, f64)> = None;
    for (d, s) in outcome.need.iter().zip(&outcome.supply) {
        if *d == 0 {
            last = None;
            continue;
        }
        let (d, s) = (f64::from(*d), f64::from(*s));
        n += 1.0;
        e.under_accuracy += (d - s).max(0.0) / d;
        e.over_accuracy += (s - d).max(0.0) / d;
        e.under_time += f64::from(u8::from(s < d));
        e.over_time += f64::from(u8::from(s > d));
        if let Some((before_d, before_s)) = last {
            let sign = |x: f64| if x.abs() < 1e-6 { 0.0 } else { x.signum() };
            e.instability += f64::from(u8::from(sign(d - before_d) != sign(s - before_s)));
        }
        last = Some((d, s));
    }
    let percent = |x: f64| 100.0 * x / f64::max(n, 1.0);
    Elasticity {
        under_accuracy: percent(e.under_accuracy),
        over_accuracy: percent(e.over_accuracy),
        under_time: percent(e.under_time),
        over_time: percent(e.over_time),
        instability: percent(e.instability),
    }
}

fn reversals(changes: &[(usize, u32, u32)]) -> u32 {
    let up = |(_, a, b): &(usize, u32, u32)| b > a;
    changes.windows(2).filter(|w| up(&w[0]) != up(&w[1]) && w[1].0 - w[0].0 <= 600).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_stretch_is_found_where_it_begins() {
        assert_eq!(longest(&[true, false, true, true, false]), (2, 2));
        assert_eq!(longest(&[false; 3]), (0, 0));
    }

    #[test]
    fn only_quick_changes_of_direction_are_reversals() {
        assert_eq!(reversals(&[(0, 1, 2), (60, 2, 1), (120, 1, 3), (1_000, 3, 2)]), 2);
    }

    #[test]
    fn a_static_surplus_shows_as_over_and_never_under() {
        let outcome = Outcome {
            need: vec![2; 100],
            supply: vec![4.0; 100],
            violated: vec![false; 100],
            ..Outcome::default()
        };
        let e = elasticity(&outcome);
        assert_eq!((e.over_accuracy, e.under_accuracy, e.over_time), (100.0, 0.0, 100.0));
    }
}
