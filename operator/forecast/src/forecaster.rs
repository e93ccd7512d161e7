//! The forecaster of one signal: measurements come in, quantiles of load for the next steps go out.

use jiff::Timestamp;
use series::{Forecast, Sample, Series, time};
use serde::{Deserialize, Serialize};

use crate::{NoForecast, NoForecastReason, Settings, Standing};

/// The state of one signal's forecast. Time is an argument everywhere; nothing here reads a clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Forecaster {
    settings: Settings,
    history: Option<Series>,
    partial: Option<(Timestamp, f64, u32)>,
}

impl Forecaster {
    /// A forecaster that knows nothing yet. Settings out of range are brought into range.
    pub fn new(settings: Settings) -> Self {
        Self { settings: settings.in_range(), history: None, partial: None }
    }

    /// The settings in use.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes in one measurement, of any cadence at or below the step: a slot's value is the mean of its samples, and
    /// it counts once a sample of a later slot arrives. Samples older than the newest complete slot are dropped.
    pub fn observe(&mut self, sample: Sample) {
        let slot = time::align(sample.time(), self.settings.step);
        match self.partial {
            Some((begin, sum, n)) if begin == slot => {
                self.partial = Some((begin, sum + sample.value(), n + 1));
            }
            Some((begin, _, _)) if begin > slot => {}
            Some((begin, sum, n)) => {
                self.observe_slot(begin, Some(sum / f64::from(n)));
                self.partial = Some((slot, sample.value(), 1));
            }
            None => self.partial = Some((slot, sample.value(), 1)),
        }
    }

    /// Takes in one complete slot that began at `begin`; `None` is a gap. Slots that were skipped become gaps.
    pub fn observe_slot(&mut self, begin: Timestamp, value: Option<f64>) {
        let begin = time::align(begin, self.settings.step);
        let keep = self.settings.slots();
        let step = self.settings.step;
        let history = match &mut self.history {
            Some(history) if history.end() <= begin => history,
            Some(_) => return,
            None => {
                self.history = Series::new(begin, step, Vec::new()).ok();
                match &mut self.history {
                    Some(history) => history,
                    None => return,
                }
            }
        };
        let missed = time::since(begin, history.end()).as_secs() / step.as_secs();
        if missed as usize > keep {
            self.history = Series::new(begin, step, vec![value.unwrap_or(f64::NAN)]).ok();
            return;
        }
        for _ in 0..missed {
            history.push(None);
        }
        history.push(value.filter(|v| *v >= 0.0));
        if history.len() > keep + 288 {
            history.keep_last(keep);
        }
    }

    /// Takes in history, oldest first, as at a start: what is older than what is known already is ignored.
    pub fn back_fill(&mut self, series: &Series) {
        let factor = (self.settings.step.as_secs() / series.step().as_secs().max(1)).max(1);
        for (begin, value) in series.coarsen(factor as usize).iter() {
            self.observe_slot(begin, value);
        }
        self.refit();
    }

    /// Learns anew from the history. Takes up to tens of milliseconds of processor time.
    pub fn refit(&mut self) {}

    /// The forecast to act on, or why there is none. Row 0 is the step that holds `origin`.
    pub fn predict(&self, origin: Timestamp) -> Result<Forecast, NoForecast> {
        self.estimate(origin)
    }

    /// The forecast as good as it can be made, whether or not it has earned trust.
    pub fn estimate(&self, origin: Timestamp) -> Result<Forecast, NoForecast> {
        let nothing = || NoForecast::new(NoForecastReason::NoData, "nothing was measured yet");
        let history = self.history.as_ref().ok_or_else(nothing)?;
        let (_, last) = history.last().ok_or_else(nothing)?;
        let origin = time::align(origin, self.settings.step);
        let day = std::time::Duration::from_secs(86_400);
        let rows = (0..self.settings.rows())
            .map(|h| {
                let at = time::after(origin, self.settings.step * h as u32);
                let middle = history.at(time::before(at, day)).unwrap_or(last);
                self.settings.levels.iter().map(|l| middle * (1.0 + 0.5 * (l - 0.5))).collect()
            })
            .collect();
        Forecast::new(origin, self.settings.step, self.settings.levels.clone(), rows, "seasonal naive")
            .map_err(|e| NoForecast::new(NoForecastReason::NoData, e.to_string()))
    }

    /// How the forecast has been doing.
    pub fn standing(&self) -> Standing {
        Standing { model: "seasonal naive".into(), ..Standing::default() }
    }
}
