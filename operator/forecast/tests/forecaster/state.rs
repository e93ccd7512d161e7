//! What is stored: small, bounded, and as good as what it was made of.

use super::*;

#[test]
fn a_stored_state_goes_on_as_before_and_is_small() {
    for step in [STEP, Duration::from_mins(1)] {
        let per_day = (86_400 / step.as_secs()) as usize;
        let values: Vec<f64> = noisy(15 * per_day, 0.1, |t| daily(t * DAY / per_day));
        let mut f = Forecaster::new(Settings { step, ..Settings::default() });
        f.back_fill(&Series::new(monday(), step, values.clone()).unwrap());
        let stored = serde_json::to_string(&f).unwrap();
        assert!(stored.len() <= 64 * 1024, "{} bytes at {step:?}", stored.len());
        let g: Forecaster = serde_json::from_str(&stored).unwrap();
        let origin = time::after(monday(), step * values.len() as u32);
        let (a, b) = (f.predict(origin).unwrap(), g.predict(origin).unwrap());
        for h in 0..a.steps() {
            let (x, y) = (a.quantile(h, 0.9).unwrap(), b.quantile(h, 0.9).unwrap());
            assert!((x - y).abs() < 0.05 * x, "{step:?} {h}: {x} {y}");
        }
        assert_eq!(f.standing().horizons.len(), g.standing().horizons.len());
    }
}

#[test]
fn the_state_is_small_at_any_step_and_with_further_series() {
    for (step, days) in
        [(STEP, 14), (Duration::from_mins(1), 14), (Duration::from_mins(1), 35), (Duration::from_secs(10), 5)]
    {
        let per_day = (86_400 / step.as_secs()) as usize;
        let values: Vec<f64> = noisy(days * per_day, 0.1, |t| daily(t * DAY / per_day));
        let history = Duration::from_hours(24 * days as u64);
        let mut f = Forecaster::new(Settings { step, history, ..Settings::default() });
        for (t, value) in values.iter().enumerate() {
            let begin = time::after(monday(), step * t as u32);
            f.observe_regressor("visitors", begin, Some(value / 3.0));
            f.observe_regressor("queue", begin, Some((t % 97) as f64));
            f.observe_slot(begin, Some(*value));
        }
        f.refit();
        let stored = serde_json::to_string(&f).unwrap();
        assert!(stored.len() <= 64 * 1024, "{} bytes at {step:?} over {days} days", stored.len());
        let g: Forecaster = serde_json::from_str(&stored).unwrap();
        let origin = time::after(monday(), step * values.len() as u32);
        let (a, b) = (f.estimate(origin).unwrap(), g.estimate(origin).unwrap());
        let (x, y) = (a.quantile(0, 0.5).unwrap(), b.quantile(0, 0.5).unwrap());
        assert!((x - y).abs() < 0.1 * x, "{step:?}: {x} {y}");
    }
}

#[test]
fn the_state_does_not_grow_with_time() {
    let mut f = Forecaster::new(Settings { history: Duration::from_hours(72), ..Settings::default() });
    let mut sizes = Vec::new();
    for t in 0..12 * DAY {
        f.observe_slot(at(t), Some(daily(t)));
        if t % 100 == 0 {
            f.refit();
        }
        if t == 5 * DAY || t == 12 * DAY - 1 {
            sizes.push(serde_json::to_vec(&f).unwrap().len());
        }
    }
    assert!(sizes[1] < sizes[0] + 500, "{sizes:?}");
}
