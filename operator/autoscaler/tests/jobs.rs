//! A job comes back to whoever waits for it, and to nobody else: through changes of the setup, a takeover and a lost job.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use autoscaler::{Autoscaler, Inputs, Job, MetricInput, Saved, Setup, Work};
use decide::{Capacity, MetricKind};
use series::{NoForecastReason, Reading, Sample};
use world::{DAY, at, history, load, setup};

const STEP: i64 = 300;

/// Two metrics, whose loads are far apart.
fn two() -> Setup {
    let mut two = setup(STEP);
    let (mut metric, mut signal) = (two.policy.metrics[0].clone(), two.signals[0].clone());
    (metric.name, signal.identity) = ("other".to_owned(), "b".to_owned());
    two.policy.metrics.push(metric);
    two.signals.push(signal);
    two
}

fn reversed(mut setup: Setup) -> Setup {
    setup.policy.metrics.reverse();
    setup.signals.reverse();
    setup
}

/// One look: `load` carries the load, `other` ten times as much.
fn look(autoscaler: &mut Autoscaler, second: i64) -> Vec<Result<f64, NoForecastReason>> {
    let metrics = autoscaler.setup().policy.metrics.clone();
    let reading = |name: &str| {
        let value = load(second) * if name == "load" { 1.0 } else { 10.0 };
        MetricInput::of(Reading::Fresh(Sample::new(at(second), value).unwrap()))
    };
    let inputs = Inputs { metrics: metrics.iter().map(|m| reading(&m.name)).collect(), ..Inputs::of(20) };
    let decided = autoscaler.step(&inputs, at(second));
    let median = |f: &series::Forecast| f.quantile(0, 0.5).unwrap();
    let state = decided.forecasts.iter();
    state.map(|s| s.forecast.as_ref().map(|f| median(f)).map_err(|n| n.reason)).collect()
}

fn is_simulation(job: &Job) -> bool {
    matches!(job.work(), Work::Simulation(_))
}

#[test]
fn a_fit_comes_back_to_its_metric_though_its_place_is_another() {
    let mut autoscaler = Autoscaler::new(two());
    autoscaler.warm_up(0, &history(-10 * DAY, 0, STEP), None, at(0));
    let job = autoscaler.take_job(at(0)).unwrap();
    autoscaler.change(reversed(two()));
    autoscaler.take_over(job.run());
    let forecasts = look(&mut autoscaler, 15);
    assert_eq!(forecasts[0], Err(NoForecastReason::Learning), "nothing was learned of the other");
    let expected = load(150);
    assert!((forecasts[1].unwrap() / expected - 1.0).abs() < 0.3, "{forecasts:?} for {expected}");
}

#[test]
fn a_fit_of_another_source_is_left_out() {
    let mut autoscaler = Autoscaler::new(setup(STEP));
    autoscaler.warm_up(0, &history(-10 * DAY, 0, STEP), None, at(0));
    let job = autoscaler.take_job(at(0)).unwrap();
    let mut other = setup(STEP);
    other.signals[0].identity = "b".to_owned();
    autoscaler.change(other);
    autoscaler.take_over(job.run());
    assert_eq!(look(&mut autoscaler, 15), [Err(NoForecastReason::Learning)]);
}

#[test]
fn a_lost_job_is_due_again_and_the_others_go_on() {
    let mut autoscaler = Autoscaler::new(two());
    for metric in [0, 1] {
        autoscaler.warm_up(metric, &history(-10 * DAY, 0, STEP), None, at(0));
    }
    let (first, second) = (autoscaler.take_job(at(0)).unwrap(), autoscaler.take_job(at(0)).unwrap());
    assert!(autoscaler.take_job(at(0)).is_none(), "both are under way");
    autoscaler.job_failed(first.id(), at(0));
    autoscaler.take_over(second.run());
    let forecasts = look(&mut autoscaler, 15);
    assert!(forecasts[0].is_err() && forecasts[1].is_ok(), "{forecasts:?}");
    let again = autoscaler.take_job(at(15)).unwrap();
    assert_ne!(again.id(), first.id());
    // What comes after all of a job that was given up is nobody's.
    autoscaler.take_over(first.run());
    assert!(look(&mut autoscaler, 30)[0].is_err());
    autoscaler.take_over(again.run());
    assert!(look(&mut autoscaler, 45)[0].is_ok());
}

/// An autoscaler that knows ten days, its fit done, and its simulation.
fn simulating(setup: Setup) -> (Autoscaler, Job) {
    let mut autoscaler = Autoscaler::new(setup);
    autoscaler.warm_up(0, &history(-10 * DAY, 0, STEP), Some(&history(-7 * DAY, 0, 60)), at(0));
    let fit = autoscaler.take_job(at(0)).unwrap();
    autoscaler.take_over(fit.run());
    let simulation = autoscaler.take_job(at(0)).unwrap();
    assert!(is_simulation(&simulation));
    (autoscaler, simulation)
}

#[test]
fn a_simulation_of_another_policy_proves_nothing() {
    let (mut autoscaler, simulation) = simulating(setup(STEP));
    let mut changed = setup(STEP);
    changed.policy.protection = decide::Protection::Share(0.9);
    autoscaler.change(changed.clone());
    autoscaler.take_over(simulation.run());
    assert_eq!(autoscaler.selection().evidence, None);
    let again = autoscaler.take_job(at(0)).unwrap();
    assert!(is_simulation(&again));
    // A change that no simulation sees doesn't disturb it.
    autoscaler.change(Setup { pause: None, ..changed });
    autoscaler.take_over(again.run());
    assert!(autoscaler.selection().evidence.is_some());
    assert!(autoscaler.take_job(at(0)).is_none());
}

#[test]
fn a_takeover_leaves_the_simulation_that_is_under_way() {
    let (mut autoscaler, simulation) = simulating(setup(STEP));
    autoscaler.adopt(Saved::default());
    assert!(autoscaler.take_job(at(0)).is_none(), "one is under way");
    autoscaler.take_over(simulation.run());
    assert!(autoscaler.selection().evidence.is_some());
}

#[test]
fn a_metric_that_cannot_be_simulated_does_not_keep_the_others_from_being_selected_for() {
    let mut setup = two();
    setup.policy.metrics[1].kind = MetricKind::Value;
    let mut autoscaler = Autoscaler::new(setup);
    assert_eq!(autoscaler.wanted_history(at(0)).len(), 1, "a value has no use for one");
    autoscaler.warm_up(0, &history(-10 * DAY, 0, STEP), Some(&history(-7 * DAY, 0, 60)), at(0));
    world::work_off(&mut autoscaler, 0);
    assert!(autoscaler.selection().evidence.is_some());
}

#[test]
fn a_load_that_is_not_forecast_takes_part_in_the_simulation() {
    let mut setup = setup(STEP);
    setup.policy.metrics[0].forecast = false;
    let mut autoscaler = Autoscaler::new(setup);
    assert_eq!(autoscaler.wanted_history(at(0)).len(), 1);
    autoscaler.warm_up(0, &history(-10 * DAY, 0, STEP), Some(&history(-7 * DAY, 0, 60)), at(0));
    let job = autoscaler.take_job(at(0)).unwrap();
    assert!(is_simulation(&job), "nothing is fitted");
    autoscaler.take_over(job.run());
    assert!(autoscaler.selection().evidence.is_some());
    assert_eq!(look(&mut autoscaler, 15), [Err(NoForecastReason::Off)]);
}

#[test]
fn what_was_learned_of_a_metric_outlives_another_way_to_forecast_it() {
    let mut learning = setup(STEP);
    learning.policy.metrics[0].capacity = Capacity::Learned;
    let mut autoscaler = Autoscaler::new(learning.clone());
    look(&mut autoscaler, 15);
    let known = autoscaler.history().metric("load").cloned();
    assert!(known.is_some());
    learning.signals[0].settings.history /= 2;
    autoscaler.change(learning);
    assert_eq!(autoscaler.history().metric("load").cloned(), known);
    assert_eq!(autoscaler.wanted_history(at(15)).len(), 1, "its history is read again");
}
