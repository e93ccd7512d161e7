//! What follows from a change. A jump of the level or a lasting rise of errors asks for an early refit and, some hours
//! later, for a challenger: a second set of regressions for which the load before the change counts for little. It runs
//! beside the champion, and takes over only once its forecasts have been better than the champion's; what came of it is
//! told in [`Accuracy`](crate::Accuracy). The regressions themselves are compared, not the blend: after a change the
//! blend doesn't trust the old ones, and would hardly notice better ones in their place.

use jiff::Timestamp;

use super::Forecaster;
use crate::regressions::Regressions;

/// Seconds from noticing a change to the refit it asks for: a few slots of the new load.
const REFIT_AFTER: i64 = 900;
/// Seconds between two refits that are asked for.
const ASK_EVERY: i64 = 3600;
/// Seconds of new load before a challenger can learn from it.
const LEARN_AFTER: i64 = 3 * 3600;
/// Seconds to a verdict: a day, which has all times of day in it. Looking for a small advantage again and again would find
/// one by chance.
const VERDICT: i64 = 24 * 3600;
/// The challenger's error over the champion's below which it takes over.
const BETTER: f32 = 0.9;

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

/// What a change asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// The slot from which on a refit is due, and that in which the last such refit was asked for.
    refit: Option<i64>,
    asked: Option<i64>,
    /// A challenger, for a load that behaves differently from this slot on.
    challenger: Option<(Cause, i64)>,
}

/// A challenger beside the champion.
#[derive(Clone, Debug)]
pub(crate) struct Contest {
    cause: Cause,
    pub(crate) challenger: Regressions,
    begun: i64,
    /// Sums of absolute errors of champion and challenger, and forecasts scored, by the horizons that decisions look at.
    errors: Vec<[f32; 2]>,
    scored: Vec<u32>,
}

impl Contest {
    /// Scores what `champion` and `challenger` said of a value at horizon number `key`.
    pub(crate) fn score(&mut self, key: usize, champion: f32, challenger: f32, value: f32) {
        if challenger.is_finite()
            && let (Some(errors), Some(scored)) = (self.errors.get_mut(key), self.scored.get_mut(key))
        {
            errors
                .iter_mut()
                .zip([champion, challenger])
                .for_each(|(error, said)| *error += (said - value).abs());
            *scored += 1;
        }
    }

    /// The error of the challenger over that of the champion, the geometric mean over the horizons with enough forecasts.
    fn ratio(&self, least: u32) -> Option<f32> {
        let logs: Vec<f32> = self
            .errors
            .iter()
            .zip(&self.scored)
            .filter(|(_, scored)| **scored >= least)
            .map(|(e, _)| (e[1].max(1e-9) / e[0].max(1e-9)).ln())
            .collect();
        (!logs.is_empty()).then(|| (logs.iter().sum::<f32>() / logs.len() as f32).exp())
    }
}

impl Forecaster {
    /// Notes a change that began in slot `since`. While one is dealt with, further ones only ask for a refit.
    pub(crate) fn raise(&mut self, cause: Cause, since: i64) {
        let now = self.history.end();
        let step = self.history.step;
        let lately = self.wanted.asked.is_some_and(|asked| (now - asked) * step < ASK_EVERY);
        if self.wanted.refit.is_none() && !lately {
            self.wanted.refit = Some(now + REFIT_AFTER / step);
            self.wanted.asked = Some(now);
        }
        if self.contest.is_none() && self.wanted.challenger.is_none() {
            self.wanted.challenger = Some((cause, since));
        }
    }

    /// Whether what was noticed asks for a [`refit`](Self::refit) now, ahead of its turn: the level jumped a quarter of an
    /// hour ago, or errors have been growing. At most once an hour.
    pub fn refit_is_due(&self) -> bool {
        self.wanted.refit.is_some_and(|at| self.history.end() >= at)
    }

    /// Begins a contest when there is enough of the new load, and fits the challenger of one that runs.
    pub(crate) fn tend_contest(&mut self) {
        let (Some(past), false) = (&self.past, self.ensemble.keys.is_empty()) else { return };
        let end = self.history.end();
        let seconds = |slots: i64| slots * self.history.step;
        self.wanted.refit = self.wanted.refit.filter(|at| end < *at);
        let ready = |(_, since): &(Cause, i64)| seconds(end - since) >= LEARN_AFTER;
        if let Some((cause, since)) = self.wanted.challenger.take_if(|wanted| ready(wanted)) {
            let mut challenger = self.ensemble.champion.clone();
            challenger.since = Some(since);
            let horizons = self.ensemble.decided;
            self.contest = Some(Contest {
                cause,
                challenger,
                begun: end,
                errors: vec![[0.0; 2]; horizons],
                scored: vec![0; horizons],
            });
        }
        if let Some(contest) = &mut self.contest {
            contest.challenger.fit(past, &self.ensemble.keys);
        }
    }

    /// Ends the contest where there is a verdict.
    pub(crate) fn judge(&mut self) {
        let Some(contest) = &self.contest else { return };
        let step = self.history.step;
        let end = self.history.end();
        let lasted = (end - contest.begun) * step;
        if lasted < VERDICT {
            return;
        }
        let Some(ratio) = contest.ratio((lasted / step / 2) as u32) else {
            self.contest = None;
            return;
        };
        let when = |slot: i64| Timestamp::from_second(slot * step).unwrap_or_default();
        let since = contest.challenger.since.unwrap_or(contest.begun);
        let (cause, since) = (contest.cause.words(), when(since));
        if let Some(contest) = self.contest.take_if(|_| ratio < BETTER) {
            self.ensemble.champion = contest.challenger;
            self.change = Some(format!(
                "{cause} at {since}: models for which the load before counts for little took over at {}, with {:.0} % of \
                 the error of those before over a day",
                when(end),
                100.0 * ratio
            ));
        } else {
            self.contest = None;
            self.change = Some(format!(
                "{cause} at {since}: models for which the load before counts for little were tried for a day and \
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
            errors: vec![[0.0; 2]; 2],
            scored: vec![0; 2],
        }
    }

    #[test]
    fn the_ratio_is_over_the_horizons_with_enough_forecasts() {
        let mut c = contest();
        assert_eq!(c.ratio(1), None);
        for _ in 0..10 {
            c.score(0, 11.0, 10.5, 10.0);
        }
        c.score(1, 10.0, 20.0, 10.0);
        c.score(1, 10.0, f32::NAN, 10.0);
        c.score(7, 10.0, 20.0, 10.0);
        assert!((c.ratio(5).unwrap() - 0.5).abs() < 1e-6);
        assert_eq!(c.scored, [10, 1]);
    }
}
