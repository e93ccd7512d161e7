//! A restart on a simulated clock: what was learned survives it, and after the first fit it is as if it hadn't been.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use autoscaler::{Autoscaler, Saved};
use decide::StrategyReason;

use world::{DAY, TICK, at, history, run, setup, tick, work_off};

const STEP: i64 = 300;

/// Saves, stores, reads and restores, as a status does.
fn stored(saved: &Saved) -> Saved {
    let text = serde_json::to_string(saved).unwrap();
    assert!(text.len() < 8_000, "{} bytes: {text}", text.len());
    Saved::read(serde_json::from_str(&text).unwrap()).unwrap()
}

#[test]
fn after_a_restart_everything_is_as_it_was() {
    // In the middle of a slot.
    let killed = 3 * DAY + 9 * 3_600 + 90;
    let (mut old, mut workload) = run(setup(STEP), STEP, killed);
    let selected = old.selection().clone();
    assert!(selected.selected.is_some_and(|s| s.by_replay()), "{selected:?}");

    let mut new = Autoscaler::restore(setup(STEP), stored(&old.saved()));
    assert_eq!(new.selection(), old.selection());
    assert_eq!(new.startups(), old.startups());
    assert_eq!(new.history(), old.history());
    assert_eq!(new.per_replica("load"), old.per_replica("load"));

    // Three ticks pass until the history was read and learned from.
    let mut of_new = workload.clone();
    for second in (killed..killed + 3 * TICK).step_by(TICK as usize) {
        let theirs = tick(&mut old, &mut workload, second);
        let inputs = of_new.inputs(second, true);
        let ours = new.step(&inputs, at(second));
        let applied = of_new.carry_out(&ours.plan, second);
        new.applied(at(second), applied);
        assert_eq!(ours.record.recommendation.strategy, theirs.record.recommendation.strategy);
        let (a, b) = (&ours.record.recommendation, &theirs.record.recommendation);
        assert!(of_new.spec >= workload.spec, "{} below {}: {a:#?} {b:#?}", of_new.spec, workload.spec);
    }
    let wanted = new.wanted_history(at(killed));
    let &[(0, from, _)] = wanted.as_slice() else { panic!("{wanted:?}") };
    let from = from.as_second() - world::START;
    let by_minute = history(killed - 30 - 8 * DAY, killed - 30, 60);
    new.warm_up(0, &history(from.max(-10 * DAY), killed - 90, STEP), Some(&by_minute), at(killed));
    work_off(&mut new, killed + 3 * TICK);

    of_new = workload.clone();
    let mut compared = 0;
    for second in (killed + 3 * TICK..killed + DAY + DAY / 2).step_by(TICK as usize) {
        let theirs = tick(&mut old, &mut workload, second);
        let ours = tick(&mut new, &mut of_new, second);
        let (a, b) = (&ours.record.recommendation, &theirs.record.recommendation);
        // Windows remember the three ticks: afterwards nothing tells the two apart.
        if second >= killed + 3_600 {
            assert_eq!(a, b, "at {second}");
            assert_eq!(ours.record.observation, theirs.record.observation, "at {second}");
            compared += 1;
        }
    }
    assert!(compared > 8_000);
    assert_eq!(new.selection(), old.selection(), "the day's simulation chose the same");
}

#[test]
fn what_no_source_keeps_is_given_back_after_a_restart() {
    let mut alone = setup(STEP);
    alone.signals[0].keeps_history = false;
    let mut old = Autoscaler::new(alone.clone());
    assert_eq!(old.profiles(), [], "what was kept isn't known yet, and must not be overwritten");
    old.warm_up(0, &history(-15 * DAY, 0, STEP), None, at(0));
    world::work_off(&mut old, 0);
    let mut workload = world::Workload::new(10);
    let killed = DAY / 2;
    let mut theirs = None;
    for second in (0..killed).step_by(TICK as usize) {
        theirs = Some(tick(&mut old, &mut workload, second));
    }

    let mut kept = old.profiles();
    let (identity, profile) = kept.remove(0);
    let text = serde_json::to_string(&profile).unwrap();
    assert!(identity == "a" && text.len() <= 4_096, "{} bytes of {identity}", text.len());
    let profile: series::Packed = serde_json::from_str(&text).unwrap();
    let weeks = profile.between(profile.start(), profile.end());
    assert!(weeks.len() >= 14 * 96, "{} slots", weeks.len());

    let mut new = Autoscaler::restore(alone, stored(&old.saved()));
    assert_eq!(new.wanted_history(at(killed)).len(), 1);
    new.warm_up(0, &weeks, None, at(killed));
    world::work_off(&mut new, killed);
    let ours = tick(&mut new, &mut workload, killed);
    let median = |decided: &autoscaler::Decided| {
        let forecast = decided.forecasts[0].forecast.as_ref().unwrap();
        forecast.quantile(11, 0.5).unwrap()
    };
    let (ours, theirs) = (median(&ours), median(&theirs.unwrap()));
    assert!((ours / theirs - 1.0).abs() < 0.05, "{ours} and {theirs} an hour ahead");
    assert!(new.selection().evidence.is_some_and(|e| e.score.days > 6.0), "{:?}", new.selection());
}

#[test]
fn that_a_signal_follows_replicas_is_remembered_over_new_forecasters_and_restarts() {
    let seen = |autoscaler: &Autoscaler| {
        let saved = serde_json::to_value(autoscaler.saved()).unwrap();
        saved["feedback"]["load"]["seen"].as_f64().unwrap()
    };
    // A forecaster is made anew when three tenths of a day have passed.
    let anew = DAY * 3 / 10;
    let (mut old, mut workload) = run(setup(STEP), STEP, anew - 600);
    let before = seen(&old);
    assert!(before >= 20.0, "{before} changes");
    for second in (anew - 600..anew + 600).step_by(TICK as usize) {
        tick(&mut old, &mut workload, second);
    }
    let after = seen(&old);
    assert!(after >= before, "{after} changes after {before}");

    let mut new = Autoscaler::restore(setup(STEP), stored(&old.saved()));
    assert_eq!(seen(&new), after);
    new.warm_up(0, &history(-10 * DAY, anew + 600, STEP), None, at(anew + 600));
    world::work_off(&mut new, anew + 600);
    assert_eq!(seen(&new), after, "the first fit knows nothing of replicas");
}

#[test]
fn another_version_is_dropped_and_not_misread() {
    let (old, _) = run(setup(STEP), STEP, 3_600);
    let mut value = serde_json::to_value(old.saved()).unwrap();
    assert!(Saved::read(value.clone()).is_some());
    value["version"] = 99.into();
    assert_eq!(Saved::read(value), None);
    assert_eq!(Saved::read(serde_json::json!({"replicas": 3})), None);
}

#[test]
fn another_query_begins_another_history_and_is_no_drop_of_the_load() {
    let (mut old, mut workload) = run(setup(STEP), STEP, DAY / 2);
    let mut other = setup(STEP);
    other.signals[0].identity = "b".to_owned();
    old.change(other.clone());
    assert_eq!(old.wanted_history(at(DAY / 2)).len(), 1);
    let before = old.history().metric("load").cloned();
    assert_eq!(before, None, "what was learned of the other query is void");
    let decided = tick(&mut old, &mut workload, DAY / 2);
    let reasons: Vec<_> = decided.record.recommendation.limits.iter().map(|l| l.reason.as_str()).collect();
    assert!(!reasons.contains(&"UnexplainedDrop"), "{reasons:?}");

    let restored = Autoscaler::restore(other, run(setup(STEP), STEP, 3_600).0.saved());
    assert_eq!(restored.history().metric("load"), None);
    assert!(restored.selection().selected.is_some_and(|s| s.reason != StrategyReason::ForecastOff));
}
