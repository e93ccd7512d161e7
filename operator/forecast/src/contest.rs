//! What follows from a change. A jump of the level or a lasting rise of errors asks for an early refit and, some hours
//! later, for a challenger: a second set of regressions for which the load before the change counts for little. It runs
//! beside the champion, and takes over only once its forecasts have been better than the champion's; what came of it is
//! told in [`Standing`](crate::Standing). The regressions themselves are compared, not the blend: after a change the
//! blend doesn't trust the old ones, and would hardly notice better ones in their place.

use jiff::Timestamp;

use crate::forecaster::Forecaster;
use crate::regressions::{REGRESSIONS, Regressions};

/// Seconds from noticing a change to the refit it asks for: a few slots of the new load.
const REFIT_AFTER: i64 = 900;
/// Seconds of new load before a challenger can learn from it.
const LEARN_AFTER: i64 = 3 * 3600;
/// Seconds of scored forecasts before a verdict, and after which the challenger is dropped.
const LEAST: i64 = 3 * 3600;
const MOST: i64 = 24 * 3600;
/// The challenger's error over the champion's from which on it takes over.
const BETTER: f32 = 0.97;

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Jump,
    Drift,
}

impl Cause {
    fn words(self) -> &'static str {
        match self {
            Self::Jump => "the level jumped",
            Self::Drift => "errors grew",
        }
    }
}

/// A change that was noticed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    cause: Cause,
    /// The slot from which the load behaves differently, and the one in which that was noticed.
    since: i64,
    noticed: i64,
    /// Whether a refit has followed.
    refitted: bool,
}

/// A challenger beside the champion.
#[derive(Clone, Debug)]
pub(crate) struct Contest {
    cause: Cause,
    pub(crate) challenger: Regressions,
    begun: i64,
    /// Sums of absolute errors of each regression of champion and challenger, and forecasts scored, by horizon.
    errors: Vec<[Rival; 2]>,
    scored: Vec<u32>,
}

/// What each regression of a set says at one horizon; NaN for nothing.
pub(crate) type Rival = [f32; REGRESSIONS];

impl Contest {
    /// Scores what `champion` and `challenger` said of a value at horizon number `key`.
    pub(crate) fn score(&mut self, key: usize, champion: &Rival, challenger: &Rival, value: f32) {
        if challenger.iter().all(|said| said.is_finite())
            && let (Some(errors), Some(scored)) = (self.errors.get_mut(key), self.scored.get_mut(key))
        {
            for (errors, said) in errors.iter_mut().zip([champion, challenger]) {
                errors.iter_mut().zip(said).for_each(|(error, said)| *error += (said - value).abs());
            }
            *scored += 1;
        }
    }

    /// The error of the challenger's best regression over that of the champion's best, the geometric mean over the
    /// horizons with enough forecasts.
    fn ratio(&self, least: u32) -> Option<f32> {
        let best = |errors: &Rival| errors.iter().copied().fold(f32::INFINITY, f32::min).max(1e-9);
        let logs: Vec<f32> = self
            .errors
            .iter()
            .zip(&self.scored)
            .filter(|(_, scored)| **scored >= least)
            .map(|(e, _)| (best(&e[1]) / best(&e[0])).ln())
            .collect();
        (!logs.is_empty()).then(|| (logs.iter().sum::<f32>() / logs.len() as f32).exp())
    }
}

impl Forecaster {
    /// Notes a change that began in slot `since`.
    pub(crate) fn raise(&mut self, cause: Cause, since: i64) {
        let noticed = self.history.end();
        // A jump makes errors grow: that is one change, not two.
        let day = self.day() as i64;
        if cause == Cause::Drift
            && (self.contest.is_some() || self.alarm.is_some_and(|a| noticed - a.noticed < day))
        {
            return;
        }
        self.alarm = Some(Alarm { cause, since, noticed, refitted: false });
        self.contest = None;
    }

    /// Whether what was noticed asks for a [`refit`](Self::refit) now, ahead of its turn: the level jumped a quarter of an
    /// hour ago, or errors have been growing.
    pub fn refit_is_due(&self) -> bool {
        let due = |a: &Alarm| (self.history.end() - a.noticed) * self.history.step >= REFIT_AFTER;
        self.alarm.as_ref().is_some_and(|a| !a.refitted && due(a))
    }

    /// Begins a contest when there is enough of the new load, and fits the challenger of one that runs. Trees are grown
    /// in other refits than the champion's, to spread the cost.
    pub(crate) fn tend_contest(&mut self, heavy: bool) {
        let (Some(past), false) = (&self.past, self.panel.keys.is_empty()) else { return };
        let end = self.history.end();
        let seconds = |slots: i64| slots * self.history.step;
        let mut trees = !heavy && self.rounds % 4 == 2;
        if let Some(alarm) = &mut self.alarm {
            alarm.refitted = true;
            if !heavy && seconds(end - alarm.since) >= LEARN_AFTER {
                let mut challenger = self.panel.champion.clone();
                challenger.since = Some(alarm.since);
                let horizons = self.panel.keys.len();
                self.contest = Some(Contest {
                    cause: alarm.cause,
                    challenger,
                    begun: end,
                    errors: vec![[[0.0; REGRESSIONS]; 2]; horizons],
                    scored: vec![0; horizons],
                });
                self.alarm = None;
                trees = true;
            }
        }
        if let Some(contest) = &mut self.contest {
            contest.challenger.fit(past, &self.panel.keys, trees);
        }
    }

    /// Ends the contest where there is a verdict.
    pub(crate) fn judge(&mut self) {
        let Some(contest) = &self.contest else { return };
        let step = self.history.step;
        let end = self.history.end();
        let least = (LEAST / step).max(6) as u32;
        let Some(ratio) = contest.ratio(least) else { return };
        let over = (end - contest.begun) * step >= MOST;
        if ratio >= BETTER && !over {
            return;
        }
        let when = |slot: i64| Timestamp::from_second(slot * step).unwrap_or_default();
        let since = contest.challenger.since.unwrap_or(contest.begun);
        let hours = (end - contest.begun) * step / 3600;
        let (cause, since) = (contest.cause.words(), when(since));
        if let Some(contest) = self.contest.take_if(|_| ratio < BETTER) {
            self.panel.champion = contest.challenger;
            self.change = Some(format!(
                "{cause} at {since}: models for which the load before counts for little took over at {}, with {:.0} % of \
                 the error of those before over {hours} h",
                when(end),
                100.0 * ratio
            ));
        } else {
            self.contest = None;
            self.change = Some(format!(
                "{cause} at {since}: models for which the load before counts for little were tried for {hours} h and \
                 dropped, with {:.0} % of the error of those in use",
                100.0 * ratio
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contest() -> Contest {
        Contest {
            cause: Cause::Jump,
            challenger: Regressions::default(),
            begun: 0,
            errors: vec![[[0.0; REGRESSIONS]; 2]; 2],
            scored: vec![0; 2],
        }
    }

    #[test]
    fn the_ratio_is_over_the_horizons_with_enough_forecasts() {
        let mut c = contest();
        assert_eq!(c.ratio(1), None);
        for _ in 0..10 {
            c.score(0, &[11.0, 14.0, 12.0], &[30.0, 10.5, 30.0], 10.0);
        }
        c.score(1, &[10.0; 3], &[20.0; 3], 10.0);
        c.score(1, &[10.0; 3], &[f32::NAN; 3], 10.0);
        c.score(7, &[10.0; 3], &[20.0; 3], 10.0);
        assert!((c.ratio(5).unwrap() - 0.5).abs() < 1e-6);
        assert_eq!(c.scored, [10, 1]);
    }
}
