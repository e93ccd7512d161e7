//! How a load becomes replicas: the parameters that the simulation of a workload's own past chooses among
//! ([`Strategy`]), and the same with everything that the policy and the last minutes say put in ([`Sizing`]). The
//! decision and the simulation size with the same [`Sizing`], by the same functions.

use std::fmt;
use std::time::Duration;

use series::{Forecast, time};

use serde::{Deserialize, Serialize};

use crate::peaks::Peaks;
use crate::policy::{ForecastUse, Policy};
use crate::predictive::{level_correction, peak};
use crate::reactive::need;
use crate::seconds;
use crate::words::words;

/// The stabilization window of an HPA without `behavior`.
pub(crate) const HPA_WINDOW: Duration = Duration::from_secs(300);
/// Its tolerance.
const HPA_TOLERANCE: f64 = 0.1;
/// What saturates a pod over what it carries: with processor sharing, answers take five times as long at 80 % as at rest,
/// and a target is set about there.
const SATURATION: f64 = 1.25;

/// One way to size a workload. Dimensionless but for [`Self::down_stabilization`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// Replicas for `headroom` times the load measured now, 1 or more. An HPA whose target is 70 % of what a replica
    /// can carry has a headroom of 1.43.
    pub headroom: f64,
    /// How the forecast takes part; `None` where it doesn't.
    pub forecast: Option<ForecastParams>,
    /// How long a larger answer still counts on the way down, beyond what `behavior` says: an HPA's stabilization
    /// window. The noisier a load, the longer it pays to wait.
    #[serde(with = "seconds")]
    pub down_stabilization: Duration,
    /// How much of the load's climb over the last minute is carried on over the lead time, 0 or more; see
    /// [`crate::Readings::carried`].
    pub trend_weight: f64,
    /// A way up that is no larger than this share of the replicas isn't made, 0 to 0.5: an HPA's tolerance.
    pub up_tolerance: f64,
    /// Nor is a way down that is smaller than this share, 0 to 0.5.
    pub down_tolerance: f64,
    /// Asks for at most so many times the pods that have started, and answers no surge, as an HPA on CPU does: a pod shows no
    /// more than it has. `None` where nothing limits it.
    #[serde(default)]
    pub growth: Option<f64>,
}

/// How the forecast takes part in a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForecastParams {
    /// The quantile to provision for, inside (0, 1).
    pub quantile: f64,
    /// Factor on that quantile, 1 or more.
    pub margin: f64,
    /// How far the forecast is moved to the load measured now, 0 to 1: at 0 it's taken as it is, at 1 only its growth
    /// from now on counts. A forecast is some minutes old, and a measurement isn't.
    pub level_correction: f64,
}

impl Strategy {
    /// The load there is and nothing else.
    pub const REACTIVE: Self = Self {
        headroom: 1.0,
        forecast: None,
        down_stabilization: Duration::ZERO,
        trend_weight: 0.0,
        up_tolerance: 0.0,
        down_tolerance: 0.05,
        growth: None,
    };

    /// What an HPA without `behavior` does whose target leaves this headroom: its tolerance, and its window.
    pub(crate) fn hpa(headroom: f64) -> Self {
        Self {
            headroom,
            down_stabilization: HPA_WINDOW,
            up_tolerance: HPA_TOLERANCE,
            down_tolerance: HPA_TOLERANCE,
            ..Self::REACTIVE
        }
    }

    /// What the HPA that people have does with this headroom: where the policy's metrics keep something spare, it is one on CPU.
    pub(crate) fn usual_hpa(policy: &Policy, headroom: f64) -> Self {
        // Its pods show at most what saturates them, over a target that leaves the headroom.
        let growth = (policy.usual_headroom() > 1.0).then_some(headroom * SATURATION);
        Self { growth, ..Self::hpa(headroom) }
    }

    /// Whether an HPA could do the same.
    pub fn is_hpa(&self) -> bool {
        self.forecast.is_none() && self.down_stabilization <= HPA_WINDOW && self.trend_weight <= 0.0
    }

    /// The forecast at this quantile, as it is.
    pub fn at_quantile(quantile: f64) -> Self {
        let forecast = ForecastParams { quantile, margin: 1.0, level_correction: 0.0 };
        Self { forecast: Some(forecast), ..Self::REACTIVE }
    }
}

/// A strategy in words, as in `q80 of the forecast x 1.05; load x 1.12; down after 600s`.
impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(params) = self.forecast {
            write!(f, "q{:.0} of the forecast", params.quantile * 100.0)?;
            if params.margin > 1.0 {
                write!(f, " x {:.2}", params.margin)?;
            }
            if params.level_correction > 0.0 {
                write!(f, ", moved {:.0}% of the way to the load", params.level_correction * 100.0)?;
            }
            f.write_str("; ")?;
        }
        write!(f, "load x {:.2}", self.headroom)?;
        if self.trend_weight > 0.0 {
            write!(f, ", climbing on at {:.0}%", self.trend_weight * 100.0)?;
        }
        if let Some(growth) = self.growth {
            write!(f, ", at most {growth:.2} x ready")?;
        }
        if !self.down_stabilization.is_zero() {
            write!(f, "; down after {}s", self.down_stabilization.as_secs())?;
        }
        Ok(())
    }
}

/// A strategy, and why it is the one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selected {
    /// The strategy.
    pub strategy: Strategy,
    /// Why it was selected.
    pub reason: StrategyReason,
}

impl Default for Selected {
    fn default() -> Self {
        Self { strategy: Strategy::REACTIVE, reason: StrategyReason::InsufficientHistory }
    }
}

impl Selected {
    /// Whether the strategy was chosen by simulating this workload's own past. Its parameters then say all there is:
    /// what they were chosen with is what is done.
    pub fn by_replay(&self) -> bool {
        matches!(self.reason, StrategyReason::SelectedByReplay | StrategyReason::SafestOnReplay)
    }
}

/// Replicas that the forecast wants again within minutes are kept at this quantile at most: more caution than that is
/// for capacity that takes a start-up to come, and what runs is there already.
const KEEP_QUANTILE: f64 = 0.9;

/// Every number that sizes one metric's replicas now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizing {
    /// Factor on the load measured now.
    pub headroom: f64,
    /// Share of the climb that is carried on over the lead time.
    pub trend_weight: f64,
    /// How the forecast takes part.
    pub forecast: Option<ForecastParams>,
    /// Load over target within these shares, up and down, changes nothing: the HPA's tolerance.
    pub load_tolerance: (f64, f64),
    /// A smaller way up, as a share of the replicas, isn't made.
    pub up_tolerance: f64,
    /// A load up to this many times its mean of five minutes is usual: no surge.
    pub usual_peak: f64,
    /// The most that is asked for, in pods that have started, where that is limited; no surge is answered then.
    pub growth: Option<f64>,
}

impl Sizing {
    /// Resolves what was selected for a metric with these peaks.
    pub fn resolve(policy: &Policy, selected: &Selected, peaks: &Peaks) -> Self {
        let strategy = selected.strategy;
        let replayed = selected.by_replay();
        // The simulation chose headroom and tolerance with this workload's peaks in its load.
        Self {
            headroom: strategy.headroom.max(1.0),
            trend_weight: strategy.trend_weight.clamp(0.0, 4.0),
            forecast: strategy.forecast.filter(|_| replayed && policy.forecast == ForecastUse::Auto),
            load_tolerance: if replayed { (0.0, 0.0) } else { policy.load_tolerance() },
            up_tolerance: strategy.up_tolerance,
            usual_peak: if replayed { peaks.usual() } else { 1.0 },
            growth: strategy.growth.filter(|_| replayed),
        }
    }

    /// What is asked of `replicas` where no more than [`Strategy::growth`] times the pods that have started may be; one at
    /// least, for nothing shows that there is a load.
    pub(crate) fn limited(&self, replicas: u32, spec: u32, started: u32) -> u32 {
        let Some(growth) = self.growth else { return replicas };
        // Pods that start use nothing yet: an HPA counts them as such on its way up, and so asks for no change.
        replicas.min(need(f64::from(started) * growth, 1.0).max(spec).max(1))
    }

    /// The load to provide for, of the load measured now and what it would be after the lead time if it went on
    /// climbing.
    pub fn present_load(&self, measured: f64, climbed: f64) -> f64 {
        (measured + (climbed - measured).max(0.0) * self.trend_weight) * self.headroom
    }

    /// Replicas for [`Self::present_load`].
    pub fn present(&self, measured: f64, climbed: f64, per_replica: f64) -> u32 {
        need(self.present_load(measured, climbed), per_replica)
    }

    /// The loads that the forecast wants carried.
    pub fn coming(
        &self,
        forecast: &Forecast,
        span: &Span,
        measured: Option<(jiff::Timestamp, f64)>,
    ) -> Option<Coming> {
        let params = self.forecast?;
        let moved = Coming::moved(forecast, measured, params.level_correction);
        Some(Coming::of(forecast, span, params.quantile)?.times(params.margin * moved))
    }
}

/// How far ahead a decision looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// When it is made.
    pub now: jiff::Timestamp,
    /// How far ahead capacity is ordered.
    pub lead: Duration,
    /// How far ahead replicas are kept that would be wanted again.
    pub keep: Duration,
}

/// Loads that a forecast wants carried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coming {
    /// Within the lead time.
    pub load: f64,
    /// Within the time for which replicas are kept.
    pub keep: f64,
}

impl Coming {
    /// The largest of a forecast's quantile within the lead time, and within the time for which replicas are kept.
    pub(crate) fn of(forecast: &Forecast, span: &Span, quantile: f64) -> Option<Self> {
        let load = peak(forecast, span.now, time::after(span.now, span.lead), quantile)?;
        let keep = peak(forecast, span.now, time::after(span.now, span.keep), quantile.min(KEEP_QUANTILE))?;
        Some(Self { load, keep })
    }

    /// The factor that moves a forecast `share` of the way to what was measured.
    pub(crate) fn moved(forecast: &Forecast, measured: Option<(jiff::Timestamp, f64)>, share: f64) -> f64 {
        measured.map_or(1.0, |(at, value)| level_correction(forecast, at, value, share))
    }

    /// So many times as much.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { load: self.load * factor, keep: self.keep * factor }
    }
}

words! {
    /// Why a strategy was taken.
    StrategyReason {
        /// Forecasts are switched off.
        ForecastOff,
        /// Nothing was replayed yet.
        InsufficientHistory,
        /// The best strategy that keeps the protection on replayed history, or that costs no more than the usual HPA there.
        SelectedByReplay,
        /// None keeps the protection on replayed history; the one that comes closest.
        SafestOnReplay,
    }
}
