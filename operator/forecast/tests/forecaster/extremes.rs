//! Loads at the edge of what numbers can be.

use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_assert, prop_oneof, proptest};

use super::*;

#[test]
fn a_constant_load_is_forecast_as_itself() {
    let f = filled(Settings::default(), &vec![42.0; 3 * DAY]);
    let forecast = f.estimate(at(3 * DAY)).unwrap();
    for h in 0..12 {
        assert!((forecast.quantile(h, 0.5).unwrap() - 42.0).abs() < 0.5, "{forecast:?}");
        assert!(forecast.quantile(h, 0.99).unwrap() < 44.0);
    }
}

#[test]
fn no_load_at_all_is_a_load() {
    let f = filled(Settings::default(), &vec![0.0; 4 * DAY]);
    let forecast = f.estimate(at(4 * DAY)).unwrap();
    for h in 0..12 {
        assert_eq!(forecast.quantile(h, 0.5), Some(0.0));
        assert!(forecast.quantile(h, 0.99).unwrap() < 1e-3, "{forecast:?}");
    }
}

#[test]
fn the_unit_of_load_does_not_matter() {
    let values = noisy(5 * DAY, 0.1, daily);
    let forecast = |unit: f64| {
        let scaled: Vec<f64> = values.iter().map(|v| v * unit).collect();
        filled(Settings::default(), &scaled).estimate(at(5 * DAY)).unwrap()
    };
    let plain = forecast(1.0);
    for unit in [1e-12, 1e15] {
        let other = forecast(unit);
        for (h, level) in [(0, 0.5), (2, 0.9), (11, 0.5), (11, 0.99)] {
            let ratio = other.quantile(h, level).unwrap() / unit / plain.quantile(h, level).unwrap();
            assert!((ratio - 1.0).abs() < 0.01, "unit {unit}, row {h}, level {level}: {ratio}");
        }
    }
}

/// What is left of a rate that faded out, before the first load: next to nothing, and still above 0.
#[test]
fn the_first_load_may_be_next_to_nothing() {
    for residue in [1e-9, 1e-17, 1e-300] {
        let mut values = noisy(8 * DAY, 0.05, daily);
        values[..60].fill(0.0);
        values[60] = residue;
        let all_at_once = filled(Settings::default(), &values[..6 * DAY]);
        let mut one_by_one = filled(Settings::default(), &values[..61]);
        walk(&mut one_by_one, &values[..6 * DAY], 61, 1);
        for mut f in [all_at_once, one_by_one] {
            for (t, forecast) in walk(&mut f, &values, 6 * DAY, 1) {
                let (said, upper) = (forecast.quantile(0, 0.5).unwrap(), forecast.quantile(0, 0.99).unwrap());
                assert!((said / daily(t) - 1.0).abs() < 0.3, "{residue}: {said} for {}", daily(t));
                assert!(upper < 2.0 * daily(t), "{residue}: {upper} for {}", daily(t));
            }
        }
    }
}

/// However a load goes, what is foreseen stays within reach of what was seen.
#[test]
fn nothing_is_foreseen_that_is_far_beyond_what_was_seen() {
    let mut rng = SmallRng::seed_from_u64(11);
    for case in 0..12 {
        let (open, peak, spikes) =
            (rng.random_range(2..20), rng.random_range(1.0..1e4), rng.random_range(0..3));
        let glitch = (case % 3 == 0).then(|| rng.random_range(0..4 * DAY));
        let load = |t: usize| {
            let hour = t % DAY / 12;
            let on = hour >= open && (t / DAY) % 7 < 5;
            let burst = if spikes > 0 && t % 97 < spikes { 4.0 } else { 1.0 };
            let glitch = if glitch == Some(t) { 1e5 } else { 1.0 };
            if on { peak * burst * glitch * (1.0 + (t * 7_919 % 101) as f64 / 50.0) } else { 0.0 }
        };
        let values: Vec<f64> = (0..10 * DAY).map(load).collect();
        let most = (0..10 * DAY).filter(|t| glitch != Some(*t)).map(load).fold(0.0, f64::max);
        let mut f = filled(Settings::default(), &values[..7 * DAY]);
        for (t, forecast) in walk(&mut f, &values, 7 * DAY, 1) {
            let row = |level| forecast.quantile(0, level).unwrap();
            assert!(
                row(0.5) < 2.5 * most && row(0.95) < 5.0 * most,
                "case {case}, slot {t}: {} of {most}",
                row(0.95)
            );
        }
    }
}

#[test]
fn a_history_ridden_with_gaps_is_forecast_from_what_is_left() {
    let mut values = noisy(8 * DAY, 0.05, daily);
    for (t, value) in values.iter_mut().enumerate() {
        if t % 5 == 1 || (t / 40) % 7 == 3 {
            *value = f64::NAN;
        }
    }
    let f = filled(Settings::default(), &values);
    let next = f.estimate(at(8 * DAY)).unwrap();
    for h in [0, 5, 11] {
        let (said, true_load) = (next.quantile(h, 0.5).unwrap(), daily(8 * DAY + h));
        assert!((said - true_load).abs() < 0.12 * true_load, "row {h}: {said} instead of {true_load}");
    }
}

#[test]
fn restarts_of_a_counter_leave_no_trace() {
    // Requests as a counter that starts again at zero every 17 hours, read once a minute.
    let mut total = 0.0;
    let mut counter = Vec::new();
    for minute in 0..4 * 1440_usize {
        total = if minute % 1020 == 0 { 0.0 } else { total + 60.0 * daily(minute / 5) };
        counter.push(Sample::new(time::after(monday(), Duration::from_mins(minute as u64)), total).unwrap());
    }
    let mut f = Forecaster::new(Settings::default());
    for sample in forecast::rates(&counter) {
        f.observe(sample);
    }
    f.refit();
    let next = f.estimate(at(4 * DAY)).unwrap();
    for h in [0, 11] {
        let (said, true_load) = (next.quantile(h, 0.5).unwrap(), daily(4 * DAY + h));
        assert!((said - true_load).abs() < 0.05 * true_load, "row {h}: {said} instead of {true_load}");
    }
}

fn anything() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.0..1e4_f64,
        2 => Just(0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-1.0),
        1 => Just(1e300),
        1 => Just(1e-300),
        1 => Just(5e-324),
        1 => Just(f64::MAX),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn whatever_comes_in_a_forecast_is_finite_rising_and_not_negative(
        values in prop::collection::vec(anything(), 1..700),
        skip in 0_usize..500,
        hours in 0_u64..30,
        days in 0_usize..4,
    ) {
        let mut f = Forecaster::new(Settings { horizon: Duration::from_hours(hours), ..Settings::default() });
        let mut base = vec![f64::NAN; skip];
        base.extend(&values);
        for _ in 0..days {
            base.extend(&values);
        }
        f.back_fill(&Series::new(monday(), STEP, base.clone()).unwrap());
        for (t, value) in values.iter().take(50).enumerate() {
            f.observe_slot(at(base.len() + t + t % 3), Some(*value));
        }
        f.refit();
        let origin = at(base.len() + 60);
        if let Ok(forecast) = f.estimate(origin) {
            for h in 0..forecast.steps() {
                let mut before = 0.0;
                for level in forecast.levels() {
                    let value = forecast.quantile(h, *level).unwrap();
                    prop_assert!(value.is_finite() && value >= before, "{h} {level}: {value} below {before}");
                    before = value;
                }
            }
        }
        let _ = f.predict(origin);
        let _ = f.accuracy();
    }
}
