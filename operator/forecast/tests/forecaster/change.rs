//! The load changes its ways: noticed, absorbed, and acted upon.

use super::*;

/// The mean of error and of absolute error, over load, of forecasts `ahead` slots ahead made from half an hour after a
/// jump by `factor` for four hours, and when the jump was noticed, in minutes.
fn after_a_jump(step: Duration, ahead: usize, factor: f64) -> (f64, f64, i64) {
    let per_day = (86_400 / step.as_secs()) as usize;
    let slots = |minutes: usize| minutes * 60 / step.as_secs() as usize;
    let jump = 8 * per_day + slots(500);
    let values =
        noisy(9 * per_day, 0.04, |t| daily(t * DAY / per_day) * if t >= jump { factor } else { 1.0 });
    let at = |t: usize| time::after(monday(), step * t as u32);
    let mut f = Forecaster::new(Settings { step, ..Settings::default() });
    f.back_fill(&Series::new(monday(), step, values[..8 * per_day].to_vec()).unwrap());
    let (mut bias, mut size, mut load) = (0.0, 0.0, 0.0);
    for (t, value) in values.iter().enumerate().take(jump + slots(270)).skip(8 * per_day) {
        f.observe_slot(at(t), Some(*value));
        if t % slots(60) == 0 || f.refit_is_due() {
            f.refit();
        }
        // The newest slot seen is the one that ends half an hour after the jump, or a later one.
        if t + 1 >= jump + slots(30) {
            let said = f.estimate(at(t + 1)).unwrap().quantile(ahead - 1, 0.5).unwrap();
            let came = values[t + ahead];
            bias += said - came;
            size += (said - came).abs();
            load += came;
        }
    }
    let shift = f.accuracy().level_shift.expect("noticed");
    (bias / load, size / load, (shift.as_second() - at(jump).as_second()) / 60)
}

#[test]
fn a_level_shift_is_absorbed_within_half_an_hour() {
    for (step, ahead) in [(STEP, 3), (Duration::from_mins(1), 15)] {
        for factor in [0.4, 2.0, 3.0] {
            let (bias, wape, noticed) = after_a_jump(step, ahead, factor);
            assert!(bias.abs() < 0.05, "x{factor} at {step:?}: bias {bias}");
            assert!(wape < 0.08, "x{factor} at {step:?}: {wape}");
            assert!((0..=30).contains(&noticed), "x{factor} at {step:?}: after {noticed} min");
        }
    }
}

/// A hump a day until `change`; then a wave of two and a half hours, as of a batch job that has taken over.
fn moved(t: usize, change: usize) -> f64 {
    if t < change { daily(t) } else { 1000.0 + 700.0 * (std::f64::consts::TAU * t as f64 / 30.0).sin() }
}

#[test]
fn a_change_asks_for_a_refit_and_a_challenger_takes_over() {
    let change = 9 * DAY + 60;
    let values = noisy(13 * DAY, 0.05, |t| moved(t, change));
    let mut f = filled(Settings::default(), &values[..9 * DAY]);
    assert!(!f.refit_is_due());
    assert_eq!(f.accuracy().change, None);
    let mut asked = Vec::new();
    let mut told = Vec::new();
    for (t, value) in values.iter().enumerate().skip(9 * DAY) {
        f.observe_slot(at(t), Some(*value));
        if f.refit_is_due() {
            asked.push(t);
            f.refit();
            assert!(!f.refit_is_due());
        } else if t % 12 == 0 {
            f.refit();
        }
        if let Some(change) = f.accuracy().change.filter(|c| told.last() != Some(c)) {
            told.push(change);
        }
    }
    assert!(asked.iter().any(|t| *t > change && *t < change + 72), "changed at {change}, asked at {asked:?}");
    assert!(told.iter().any(|c| c.contains("took over")), "{told:?}");
}

#[test]
fn a_load_that_goes_on_as_before_keeps_its_champion() {
    let values = noisy(12 * DAY, 0.1, daily);
    let mut f = filled(Settings::default(), &values[..8 * DAY]);
    for (t, value) in values.iter().enumerate().skip(8 * DAY) {
        f.observe_slot(at(t), Some(*value));
        assert!(!f.refit_is_due(), "at slot {t}");
        if t % 12 == 0 {
            f.refit();
        }
    }
    let accuracy = f.accuracy();
    assert!(!accuracy.drifting && accuracy.change.is_none(), "{accuracy:?}");
}

#[test]
fn errors_that_grow_for_hours_are_a_drift() {
    // The same days, from the ninth on with ten times the noise.
    let calm = noisy(9 * DAY, 0.02, daily);
    let wild = noisy(11 * DAY, 0.4, daily);
    let values: Vec<f64> = calm.iter().chain(&wild[9 * DAY..]).copied().collect();
    let mut f = filled(Settings::default(), &calm);
    let mut noticed = None;
    for (t, value) in values.iter().enumerate().skip(9 * DAY) {
        f.observe_slot(at(t), Some(*value));
        if t % 12 == 0 || f.refit_is_due() {
            f.refit();
        }
        if f.accuracy().drifting {
            noticed.get_or_insert(t - 9 * DAY);
        }
    }
    assert!(noticed.is_some_and(|slots| slots < 72), "{noticed:?}");
}
