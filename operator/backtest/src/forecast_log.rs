//! The forecasts that would have been issued. What a forecaster says depends on what was measured and not on any policy,
//! so one run of it serves every policy and every start-up time of a comparison.

use std::sync::Arc;
use std::time::Duration;

use autoscaler::{Autoscaler, ForecastState, Inputs, MetricInput, Prepared, Setup, SignalSpec, Work};
use decide::{LeadTime, Policy};
use forecast::{Accuracy, HorizonScore, Settings};
use jiff::Timestamp;
use series::{Forecast, NoForecast, NoForecastReason, Series, time};

use crate::load::Load;
use crate::telemetry::{Observer, Past};

/// No coarser than this, however coarse the recording.
const COARSEST: Duration = Duration::from_secs(300);

/// The settings for a recording of this step: between two of its values there is nothing to be learned.
pub(crate) fn of_recording(settings: &Settings, step: Duration) -> Settings {
    Settings { step: settings.step.max(step.min(COARSEST)), ..settings.clone() }
}

/// How a replay's only metric is measured.
pub(crate) fn signal(settings: &Settings, prepared: Option<Arc<Prepared>>) -> SignalSpec {
    SignalSpec { identity: "replay".to_owned(), settings: settings.clone(), keeps_history: true, prepared }
}

/// Runs the forecaster over `load` as `observer` shows it.
pub(crate) fn learn(load: &Load, observer: &Observer, settings: &Settings) -> Prepared {
    // Simulations forecast the past as far ahead as their lead time asks for, and these serve every start-up time.
    let lead_time = LeadTime::Fixed(settings.horizon);
    let setup = Setup {
        policy: Policy { lead_time, ..Policy::simple(1, 1, 1.0) },
        pause: None,
        signals: vec![signal(settings, None)],
        place: 0.0,
    };
    let mut learner = Autoscaler::new(setup);
    let mut prepared = Prepared::default();
    learner.warm_up(0, load.earlier(), None, load.start());
    work_off(&mut learner, &mut prepared, load.start());
    for second in (0..load.seconds()).step_by(15) {
        let now = load.time_of(second);
        let signal = observer.look(Past::new(load.total(), second), now, load.masked(second));
        let inputs = Inputs { metrics: vec![MetricInput::of(signal.reading)], ..Inputs::of(1) };
        for state in &learner.step(&inputs, now).forecasts {
            prepared.issue(now, state);
        }
        work_off(&mut learner, &mut prepared, now);
    }
    prepared
}

/// Does all the work that is due. Of simulations only the forecasts are wanted: what they choose depends on a policy.
fn work_off(learner: &mut Autoscaler, prepared: &mut Prepared, now: Timestamp) {
    while let Some(job) = learner.take_job(now) {
        if let Work::Simulation(simulation) = job.work() {
            let until = simulation.until();
            for hindcast in simulation.hindcasts() {
                prepared.hindcast(until, hindcast);
            }
        }
        let done = job.not_simulated().unwrap_or_else(|| job.run());
        learner.take_over(done);
    }
}

/// The forecasts of somebody who knows the load: every quantile is what comes. With them, what is left between Foresail
/// and the oracle is the price of deciding, not of forecasting.
pub(crate) fn perfect(load: &Load, settings: &Settings) -> Prepared {
    const STEP: u64 = 60;
    let rows = settings.horizon.as_secs().div_ceil(STEP) as usize;
    let accuracy = Arc::new(flawless());
    let issue = |known: &Series, at: Timestamp| {
        let row = |h: usize| {
            let at = time::after(at, Duration::from_secs(STEP * h as u64));
            let value = known.at(at).or_else(|| known.last().map(|l| l.1)).unwrap_or(0.0);
            vec![value; settings.levels.len()]
        };
        let rows = (0..rows).map(row).collect();
        let forecast = Forecast::new(at, Duration::from_secs(STEP), settings.levels.clone(), rows, "perfect");
        let refused = |_| NoForecast::new(NoForecastReason::NoData, "nothing is known");
        ForecastState {
            forecast: forecast.map(Arc::new).map_err(refused),
            accuracy: Some(Arc::clone(&accuracy)),
        }
    };
    let mut prepared = Prepared::default();
    let history = load.history();
    for (at, _) in history.iter() {
        prepared.issue(at, &issue(history, at));
    }
    if let Ok(values) = Series::new(load.start(), Duration::from_secs(STEP), per_minute(load.recorded())) {
        for (at, _) in values.iter() {
            prepared.issue(at, &issue(&values, at));
        }
    }
    prepared
}

fn per_minute(seconds: &[f32]) -> Vec<f64> {
    seconds.chunks(60).map(|c| c.iter().map(|v| f64::from(*v)).fold(0.0, f64::max)).collect()
}

fn flawless() -> Accuracy {
    let horizon = HorizonScore {
        ahead: Duration::from_secs(300),
        scored: 1_000,
        error: 0.0,
        versus_last_value: 0.0,
        versus_yesterday: 0.0,
        coverage_90: 1.0,
        coverage_95: 1.0,
    };
    Accuracy { model: "perfect".to_owned(), horizons: vec![horizon], ..Accuracy::default() }
}
