//! The forecasts that would have been issued: the forecaster of production, fed with what was measured up to each step,
//! asked at each step, and refitted on its cadence. What it saw doesn't depend on any policy, so one run of it serves
//! every policy and every start-up time of a comparison.

use std::sync::Arc;
use std::time::Duration;

use forecast::{Forecaster, HorizonScore, NoForecast, NoForecastReason, Settings, Standing};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::{Forecast, Reading, Sample, Series, time};

use crate::load::Load;
use crate::telemetry::{Observer, Past};

/// What the forecaster said at one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Issue {
    /// When.
    pub at: Timestamp,
    /// The forecast, or why there was none to act on.
    pub forecast: Result<Arc<Forecast>, NoForecast>,
    /// How it stood.
    pub standing: Arc<Standing>,
}

/// How forecasts are issued.
#[derive(Clone, Debug)]
pub struct Cadence {
    /// The forecaster's settings.
    pub settings: Settings,
    /// Time between two refits.
    pub refit: Duration,
}

impl Default for Cadence {
    fn default() -> Self {
        let settings = Settings { step: FINEST, ..Settings::default() };
        Self { settings, refit: Duration::from_secs(3_600) }
    }
}

/// The forecast's step, as an operator's policies have it unless they say otherwise.
const FINEST: Duration = Duration::from_secs(60);
/// No coarser than this, however coarse the recording.
const COARSEST: Duration = Duration::from_secs(300);

impl Cadence {
    /// The same for a recording of this step: between two of its values there is nothing to be learnt.
    #[must_use]
    pub fn of_recording(mut self, step: Duration) -> Self {
        self.settings.step = self.settings.step.max(step.min(COARSEST));
        self
    }
}

/// Everything a forecaster said over the known history and the replay, and what it was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Issued {
    /// Issues over the history before the replay, oldest first: what a rehearsal practises on.
    pub before: Vec<Issue>,
    /// Issues over the replay, oldest first.
    pub during: Vec<Issue>,
}

impl Issued {
    /// Runs the forecaster over `load` as `observer` shows it. Of the history, the first half is only learnt from.
    pub fn run(load: &Load, observer: &Observer, cadence: &Cadence) -> Self {
        let history = load.history();
        let half = time::after(history.start(), time::since(history.end(), history.start()) / 2);
        let mut issuer = Issuer::new(cadence, &history.between(history.start(), half), half);
        let mut before = Vec::new();
        for (begin, value) in history.between(half, history.end()).iter() {
            // A slot is known when it's over.
            before.extend(issuer.slot(begin, history.step(), value));
        }
        let mut during = Vec::new();
        for second in (0..load.seconds()).step_by(15) {
            let now = load.time_of(second);
            let signal = observer.look(Past::new(load.total(), second), now, load.masked(second));
            if let Reading::Fresh(sample) = signal.reading {
                during.extend(issuer.sample(now, sample));
            }
            issuer.keep_up(now);
        }
        Self { before, during }
    }

    /// The forecasts of somebody who knows the load: every quantile is what comes. With them, what is left between
    /// Foresail and the oracle is the price of deciding, not of forecasting.
    pub fn perfect(load: &Load, cadence: &Cadence) -> Self {
        const STEP: u64 = 60;
        let rows = cadence.settings.horizon.as_secs().div_ceil(STEP) as usize;
        let standing = Arc::new(flawless());
        let values = Series::new(load.start(), Duration::from_secs(STEP), per_minute(load.recorded()));
        let issue = |known: &Series, at: Timestamp| {
            let row = |h: usize| {
                let at = time::after(at, Duration::from_secs(STEP * h as u64));
                let value = known.at(at).or_else(|| known.last().map(|l| l.1)).unwrap_or(0.0);
                vec![value; cadence.settings.levels.len()]
            };
            let rows = (0..rows).map(row).collect();
            let forecast = Forecast::new(
                at,
                Duration::from_secs(STEP),
                cadence.settings.levels.clone(),
                rows,
                "perfect",
            );
            let refused = |_| NoForecast::new(NoForecastReason::NoData, "nothing is known");
            Issue { at, forecast: forecast.map(Arc::new).map_err(refused), standing: Arc::clone(&standing) }
        };
        let history = load.history();
        let half = time::after(history.start(), time::since(history.end(), history.start()) / 2);
        let before = history.between(half, history.end()).iter().map(|(at, _)| issue(history, at)).collect();
        let during = values
            .map(|values| values.iter().map(|(at, _)| issue(&values, at)).collect())
            .unwrap_or_default();
        Self { before, during }
    }

    /// What stood at `now`: the newest issue that isn't after it.
    pub fn at(&self, now: Timestamp) -> Option<&Issue> {
        let newest = |issues: &[Issue]| issues.partition_point(|i| i.at <= now).checked_sub(1);
        newest(&self.during)
            .and_then(|i| self.during.get(i))
            .or_else(|| newest(&self.before).and_then(|i| self.before.get(i)))
    }

    /// The last thing said before the end: the standing to report.
    pub fn last(&self) -> Option<&Issue> {
        self.during.last()
    }
}

fn per_minute(seconds: &[f32]) -> Vec<f64> {
    seconds.chunks(60).map(|c| c.iter().map(|v| f64::from(*v)).fold(0.0, f64::max)).collect()
}

fn flawless() -> Standing {
    let horizon = HorizonScore {
        ahead: Duration::from_secs(300),
        scored: 1_000,
        error: 0.0,
        versus_last_value: 0.0,
        versus_yesterday: 0.0,
        coverage_90: 1.0,
        coverage_95: 1.0,
    };
    Standing { model: "perfect".to_owned(), horizons: vec![horizon], ..Standing::default() }
}

/// A rate over a minute, scraped a few seconds ago, is true of half a minute ago.
pub(crate) const LAG: Duration = Duration::from_secs(30);

/// The forecaster with its cadence: asked whenever a slot has become complete.
struct Issuer<'a> {
    cadence: &'a Cadence,
    forecaster: Forecaster,
    slot: Timestamp,
    refit_at: Timestamp,
}

impl<'a> Issuer<'a> {
    fn new(cadence: &'a Cadence, known: &Series, now: Timestamp) -> Self {
        let mut forecaster = Forecaster::new(cadence.settings.clone());
        forecaster.back_fill(known);
        let slot = time::align(now, cadence.settings.step);
        Self { cadence, forecaster, slot, refit_at: time::after(now, cadence.refit) }
    }

    /// Takes in a slot of recorded history, which may be coarser or finer than the forecaster's.
    fn slot(&mut self, begin: Timestamp, length: Duration, value: Option<f64>) -> Option<Issue> {
        let now = time::after(begin, length);
        self.keep_up(now);
        if length >= self.cadence.settings.step {
            self.forecaster.observe_slot(begin, value);
            return Some(self.issue(now));
        }
        value.and_then(|value| self.sample(now, Sample::new(begin, value)?))
    }

    /// Takes in a measurement known at `now`.
    fn sample(&mut self, now: Timestamp, sample: Sample) -> Option<Issue> {
        self.forecaster.observe(sample);
        let slot = time::align(sample.time(), self.cadence.settings.step);
        let complete = slot > self.slot;
        self.slot = self.slot.max(slot);
        complete.then(|| self.issue(now))
    }

    fn keep_up(&mut self, now: Timestamp) {
        if now >= self.refit_at || self.forecaster.refit_is_due() {
            self.forecaster.refit();
            self.refit_at = time::after(now, self.cadence.refit);
        }
    }

    fn issue(&self, now: Timestamp) -> Issue {
        Issue {
            at: now,
            forecast: self.forecaster.predict(now).map(Arc::new),
            standing: Arc::new(self.forecaster.standing()),
        }
    }
}
