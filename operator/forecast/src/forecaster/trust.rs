//! When a forecast may be acted on: enough fresh history, a record better than doing nothing clever, quantiles that
//! hold, and a signal that doesn't follow our own replicas. Everything else is a refusal with its numbers.

use std::time::Duration;

use jiff::Timestamp;
use series::{Forecast, time};

use super::Forecaster;
use super::quantile_rows::blend_name;
use crate::accuracy::{Accuracy, HorizonScore, Season};
use crate::horizon_model::HorizonModel;
use crate::{NoForecast, NoForecastReason};

/// Share of the last day that must have been measured.
const LEAST_COVERAGE: f64 = 0.8;
/// Error over load above which a number means little.
const MOST_ERROR: f32 = 0.5;
/// Error over load at which a forecast is good enough even where another is better: a load that repeats itself exactly.
const GOOD_ENOUGH: f32 = 0.02;
/// Coverage of the .95 quantile below which it isn't believed.
const LEAST_HITS: f32 = 0.85;
/// Scored forecasts before a record counts.
const RECORD: u64 = 100;
/// How long after a jump of the level forecasts have to prove themselves anew.
const AFTER_JUMP: i64 = 1800;

impl Forecaster {
    /// The forecast to act on, or why there is none. Row 0 is the step that holds `origin`; the newest complete slot
    /// should have ended just before.
    ///
    /// # Errors
    ///
    /// [`NoForecast`] with its reason, in the order of [`NoForecastReason`]: nothing measured; less than two seasons;
    /// too many gaps in the last day; the newest value older than three steps (ten minutes at least); an upper quantile no better
    /// than those that the last value and the same time yesterday have of their own, over about the last day, at any horizon
    /// that decisions look at (unless the error is below 2 %); error above half of load;
    /// less than 85 % of values at or below the .95 quantile; the level jumped within the last half hour and the error
    /// is still well above what it was; the signal follows our replicas.
    pub fn predict(&self, origin: Timestamp) -> Result<Forecast, NoForecast> {
        let forecast = self.estimate(origin)?;
        self.refuse(origin).map_or(Ok(forecast), Err)
    }

    /// Why the forecast shouldn't be acted on at `origin`, if so.
    fn refuse(&self, origin: Timestamp) -> Option<NoForecast> {
        let no = |reason, message| Some(NoForecast::new(reason, message));
        let (day, step) = (self.day(), self.history.step);
        let known = self.history.values.len();
        let season = self.seasons.iter().map(|s| s.slots).min().unwrap_or(day).min(day);
        if known + 1 < 2 * season {
            let hours = |slots: usize| slots as f64 * step as f64 / 3600.0;
            return no(
                NoForecastReason::HistoryTooShort,
                format!("{:.1} h of history, two seasons are {:.1} h", hours(known), hours(2 * season)),
            );
        }
        let coverage = self.history.coverage(day);
        if coverage < LEAST_COVERAGE {
            return no(
                NoForecastReason::TooManyGaps,
                format!("{:.0} % of the last day was measured, 80 % are needed", 100.0 * coverage),
            );
        }
        let newest_end = self.history.end() - self.history.silence() as i64;
        let age = origin.as_second() - newest_end * step;
        if age > (3 * step).max(600) {
            return no(NoForecastReason::Stale, format!("the newest complete slot ended {age} s ago"));
        }
        self.refuse_by_record().or_else(|| self.refuse_after_jump())
    }

    fn refuse_by_record(&self) -> Option<NoForecast> {
        let no = |reason, message| Some(NoForecast::new(reason, message));
        let scored: Vec<&HorizonModel> = self.decided().iter().filter(|t| t.score.scored >= RECORD).collect();
        let (Some(first), Some(last)) = (scored.first(), scored.last()) else {
            return no(
                NoForecastReason::HistoryTooShort,
                format!("fewer than {RECORD} forecasts could be compared with what came"),
            );
        };
        let worse = |t: &&&HorizonModel| {
            t.score.relative() > GOOD_ENOUGH && t.score.upper_versus(0).max(t.score.upper_versus(1)) >= 1.0
        };
        if scored.iter().filter(worse).count() == scored.len() {
            return no(
                NoForecastReason::NotBetterThanNaive,
                format!(
                    "loss of the .95 quantile {:.2} of the last value's own and {:.2} of yesterday's over the last day",
                    last.score.upper_versus(0),
                    last.score.upper_versus(1)
                ),
            );
        }
        if first.score.relative() > MOST_ERROR {
            return no(
                NoForecastReason::TooInaccurate,
                format!("error is {:.0} % of load even one step ahead", 100.0 * first.score.relative()),
            );
        }
        let hits = scored.iter().map(|t| t.score.coverage(1)).fold(1.0, f32::min);
        if hits < LEAST_HITS {
            return no(
                NoForecastReason::Uncalibrated,
                format!("{:.0} % of values at or below the .95 quantile", 100.0 * hits),
            );
        }
        if let Some(correlation) = self.feedback.follows() {
            return no(
                NoForecastReason::FollowsReplicas,
                format!(
                    "correlation {correlation:.2} with changes of replicas just before; \
                     scale on load from outside, not on an average per pod"
                ),
            );
        }
        None
    }

    fn refuse_after_jump(&self) -> Option<NoForecast> {
        let slot = self.jumped?;
        let ago = (self.history.end() - slot) * self.history.step;
        let track = self.decided().iter().find(|t| t.ahead > 1).or(self.tracks.first())?;
        let unsettled = track.calibration.recent > 3.0 * track.calibration.usual;
        (ago < AFTER_JUMP && unsettled).then(|| {
            NoForecast::new(
                NoForecastReason::LevelShift,
                format!("the level jumped {} min ago and the forecast hasn't followed yet", ago / 60),
            )
        })
    }

    /// How the forecast has been doing. Cheap enough to ask at every step.
    pub fn accuracy(&self) -> Accuracy {
        let step = self.settings.step;
        let horizons = self
            .tracks
            .iter()
            .filter(|t| t.score.scored > 0)
            .map(|t| HorizonScore {
                ahead: step * t.ahead as u32,
                scored: t.score.scored,
                error: f64::from(t.score.relative()),
                versus_last_value: f64::from(t.score.upper_versus(0)),
                versus_yesterday: f64::from(t.score.upper_versus(1)),
                coverage_90: f64::from(t.score.coverage(0)),
                coverage_95: f64::from(t.score.coverage(1)),
            })
            .collect();
        let seasons = self
            .seasons
            .iter()
            .map(|s| Season { period: step * s.slots as u32, strength: f64::from(s.strength) })
            .collect();
        Accuracy {
            model: blend_name(self),
            chosen_because: match &self.change {
                Some(change) => format!("{}; {change}", self.why()),
                None => self.why(),
            },
            horizons,
            seasons,
            history_coverage: self.history.coverage(self.settings.slots()),
            history: Duration::from_secs((self.history.values.len() as i64 * self.history.step) as u64),
            level_shift: self
                .jumped
                .filter(|slot| *slot >= self.history.first)
                .and_then(|slot| Timestamp::from_second(slot * self.history.step).ok())
                .map(|begin| time::align(begin, step)),
            drifting: self.drift.is_drifting(),
            change: self.change.clone(),
        }
    }

    fn why(&self) -> String {
        let Some(track) = self.decided().last().filter(|t| t.score.scored > 0) else {
            return "no forecast could be compared with what came yet".to_owned();
        };
        let minutes = track.ahead as i64 * self.history.step / 60;
        let errors = &track.blend.error;
        let best = (0..errors.len()).min_by(|a, b| errors[*a].total_cmp(&errors[*b])).unwrap_or(0);
        let relative = |sum: f32| {
            100.0 * sum / track.blend.count.max(1.0) / (track.score.load / track.score.weight).max(1e-9)
        };
        format!(
            "over the last hours the best single member {minutes} min ahead was {} with an error of {:.1} % of load, \
             the last value had {:.1} %; the blend had {:.1} % over the last day",
            crate::members::name(best),
            relative(errors[best]),
            relative(errors[0]),
            100.0 * track.score.relative()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    /// Ten days with a daily hump, and the time at which the next slot begins.
    fn trusted() -> (Forecaster, Timestamp) {
        let start = Timestamp::from_second(1_767_225_600).unwrap();
        let values = (0..10 * 288_i64).map(|t| {
            let noise = (t * 7919 % 101) as f64 / 1000.0;
            (2.0 + (std::f64::consts::TAU * t as f64 / 288.0).sin()) * (1.0 + noise)
        });
        let history = series::Series::new(start, Duration::from_secs(300), values.collect()).unwrap();
        let mut forecaster = Forecaster::new(Settings::default());
        forecaster.back_fill(&history);
        (forecaster, history.end())
    }

    fn reason(change: impl Fn(&mut Forecaster)) -> Option<NoForecastReason> {
        let (mut forecaster, now) = trusted();
        change(&mut forecaster);
        forecaster.predict(now).err().map(|no| no.reason)
    }

    fn each(f: &mut Forecaster, change: impl Fn(&mut HorizonModel)) {
        f.tracks.iter_mut().for_each(change);
    }

    #[test]
    fn a_good_record_is_trusted() {
        assert_eq!(reason(|_| {}), None);
    }

    #[test]
    fn too_few_compared_forecasts_are_too_short_a_history() {
        assert_eq!(
            reason(|f| each(f, |t| t.score.scored = RECORD - 1)),
            Some(NoForecastReason::HistoryTooShort)
        );
    }

    #[test]
    fn no_better_than_the_last_value_at_any_horizon_is_refused() {
        let no_better = |t: &mut HorizonModel| {
            (t.score.errors, t.score.upper) = ([0.2 * t.score.load; 3], [0.1 * t.score.load; 3]);
        };
        assert_eq!(reason(|f| each(f, no_better)), Some(NoForecastReason::NotBetterThanNaive));
        // One horizon at which it is better is enough: the decision looks at that of its lead time.
        let one = |f: &mut Forecaster| {
            each(f, no_better);
            f.tracks[0].score.upper[0] *= 0.5;
        };
        assert_eq!(reason(one), None);
    }

    #[test]
    fn better_than_the_last_value_but_not_than_yesterday_is_refused() {
        let not_better = |t: &mut HorizonModel| {
            t.score.errors = [0.2, 0.4, 0.4].map(|e| e * t.score.load);
            t.score.upper = [0.2, 0.4, 0.1].map(|e| e * t.score.load);
        };
        assert_eq!(reason(|f| each(f, not_better)), Some(NoForecastReason::NotBetterThanNaive));
    }

    #[test]
    fn an_error_above_half_the_load_is_refused() {
        let wrong = |t: &mut HorizonModel| t.score.errors = [0.6, 0.9, 0.9].map(|e| e * t.score.load);
        assert_eq!(reason(|f| each(f, wrong)), Some(NoForecastReason::TooInaccurate));
    }

    #[test]
    fn quantiles_that_do_not_hold_are_refused() {
        let exceeded = |t: &mut HorizonModel| t.score.covered[1] = 0.8 * t.score.weight;
        assert_eq!(reason(|f| each(f, exceeded)), Some(NoForecastReason::Uncalibrated));
    }

    #[test]
    fn a_jump_is_refused_until_the_forecast_has_followed_or_half_an_hour_has_passed() {
        let jumped = |ago: i64, recent: f32| {
            reason(move |f| {
                f.jumped = Some(f.history.end() - ago);
                each(f, |t| t.calibration.recent = recent * t.calibration.usual);
            })
        };
        assert_eq!(jumped(2, 5.0), Some(NoForecastReason::LevelShift));
        assert_eq!(jumped(2, 1.0), None);
        assert_eq!(jumped(6, 5.0), None);
    }
}
