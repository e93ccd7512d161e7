//! What the forecaster promises, on series made for each promise.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod change;
mod extremes;

use std::time::Duration;

use forecast::{Event, Forecaster, NoForecastReason, Settings, Window};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use series::{Forecast, Sample, Series, time};

const DAY: usize = 288;
const STEP: Duration = Duration::from_mins(5);

/// Midnight of Monday, 2026-03-02.
fn monday() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().unwrap()
}

fn at(slot: usize) -> Timestamp {
    time::after(monday(), STEP * slot as u32)
}

/// Load with one hump a day.
fn daily(t: usize) -> f64 {
    1000.0 + 600.0 * (std::f64::consts::TAU * (t % DAY) as f64 / DAY as f64 - 1.5).sin()
}

fn noisy(n: usize, noise: f64, shape: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut rng = SmallRng::seed_from_u64(5);
    (0..n).map(|t| shape(t) * (1.0 + noise * (rng.random::<f64>() * 2.0 - 1.0))).collect()
}

fn filled(settings: Settings, values: &[f64]) -> Forecaster {
    let mut forecaster = Forecaster::new(settings);
    forecaster.back_fill(&Series::new(monday(), STEP, values.to_vec()).unwrap());
    forecaster
}

/// The slots from `from` to `to`, one after the other, with a refit every two hours; what is forecast `ahead` slots ahead
/// at each.
fn walk(f: &mut Forecaster, values: &[f64], from: usize, ahead: usize) -> Vec<(usize, Forecast)> {
    let mut out = Vec::new();
    for (t, value) in values.iter().enumerate().skip(from) {
        f.observe_slot(at(t), Some(*value));
        if t % 24 == 0 {
            f.refit();
        }
        if t + ahead < values.len() {
            out.push((t + ahead, f.estimate(at(t + 1)).unwrap()));
        }
    }
    out
}

fn error(said: &[(usize, Forecast)], values: &[f64], ahead: usize) -> f64 {
    let sum: f64 = said.iter().map(|(t, f)| (f.quantile(ahead - 1, 0.5).unwrap() - values[*t]).abs()).sum();
    let load: f64 = said.iter().map(|(t, _)| values[*t]).sum();
    sum / load
}

fn reason(f: &Forecaster, origin: Timestamp) -> Option<NoForecastReason> {
    f.predict(origin).err().map(|e| e.reason)
}

#[test]
fn a_daily_load_is_forecast_within_its_noise_and_calibrated() {
    let values = noisy(16 * DAY, 0.1, daily);
    let mut f = filled(Settings::default(), &values[..14 * DAY]);
    let said = walk(&mut f, &values, 14 * DAY, 12);
    let wape = error(&said, &values, 12);
    assert!(wape < 0.06, "{wape}"); // the noise alone is .05
    for level in [0.9, 0.95] {
        let hits = said.iter().filter(|(t, f)| values[*t] <= f.quantile(11, level).unwrap()).count();
        let share = hits as f64 / said.len() as f64;
        assert!((share - level).abs() < 0.05, "{level}: {share}");
    }
    assert_eq!(reason(&f, at(16 * DAY)), None);
    let accuracy = f.accuracy();
    let longest = accuracy.horizons.last().unwrap();
    assert!(longest.versus_last_value < 0.7 && longest.versus_yesterday < 0.85, "{accuracy:?}");
    assert_eq!(accuracy.seasons[0].period, Duration::from_hours(24));
    assert!(accuracy.chosen_because.contains("best single member"), "{accuracy:?}");
}

#[test]
fn a_week_of_workdays_and_weekends_is_learned() {
    let weekly = |t: usize| if (t / DAY) % 7 >= 5 { 300.0 } else { daily(t) };
    let values = noisy(16 * DAY, 0.03, weekly);
    let mut f = filled(Settings::default(), &values[..14 * DAY]);
    let wape = error(&walk(&mut f, &values, 14 * DAY, 12), &values, 12);
    assert!(wape < 0.05, "{wape}");
}

#[test]
fn a_season_of_any_length_is_found_and_used() {
    for (hours, slots) in [(1.5, 18), (5.0, 60), (7.0, 84), (36.0, 432)] {
        // Busy for a third of each period.
        let values = noisy(11 * DAY, 0.05, |t| if t % slots < slots / 3 { 500.0 } else { 100.0 });
        let mut f = filled(Settings::default(), &values[..10 * DAY]);
        assert_eq!(f.accuracy().seasons[0].period, Duration::from_secs_f64(hours * 3600.0));
        let said = walk(&mut f, &values, 10 * DAY, 12);
        let wape = error(&said, &values, 12);
        let last: f64 = said.iter().map(|(t, _)| (values[*t] - values[t - 12]).abs()).sum::<f64>()
            / said.iter().map(|(t, _)| values[*t]).sum::<f64>();
        assert!(wape < 0.1 && wape < 0.6 * last, "{hours} h: {wape}, the last value {last}");
    }
}

/// Load that is at its cap or idle, in turns of `busy` and `idle` slots on average.
fn switching(n: usize, busy: f64, idle: f64) -> Vec<f64> {
    let mut rng = SmallRng::seed_from_u64(17);
    let mut values = Vec::with_capacity(n);
    let mut on = false;
    while values.len() < n {
        on = !on;
        let mean = if on { busy } else { idle };
        let turn = 4 + (-mean * (1.0 - rng.random::<f64>()).ln()) as usize;
        values
            .extend((0..turn).map(|_| (if on { 100.0 } else { 4.0 }) * (0.97 + 0.06 * rng.random::<f64>())));
    }
    values.truncate(n);
    values
}

#[test]
fn load_that_switches_at_random_is_forecast_no_worse_than_by_its_last_value() {
    for (busy, idle) in [(40.0, 60.0), (100.0, 20.0)] {
        let values = switching(14 * DAY, busy, idle);
        let mut f = filled(Settings::default(), &values[..9 * DAY]);
        let said = walk(&mut f, &values, 9 * DAY, 12);
        for ahead in [1, 3, 12] {
            let (mut ours, mut last) = (0.0, 0.0);
            for (t, forecast) in &said {
                let newest = t - 12;
                ours += (forecast.quantile(ahead - 1, 0.5).unwrap() - values[newest + ahead]).abs();
                last += (values[newest] - values[newest + ahead]).abs();
            }
            assert!(ours < 1.1 * last, "{busy}/{idle}, {ahead} ahead: {:.3}", ours / last);
        }
    }
}

#[test]
fn daylight_saving_moves_the_day() {
    // Load follows the clock of Berlin, where clocks go forward on Sunday, 2026-03-29.
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let local = |t: usize| {
        let clock = at(t).to_zoned(zone.clone());
        if (8..18).contains(&clock.hour()) { 1000.0 } else { 200.0 }
    };
    let values = noisy(28 * DAY, 0.02, local);
    let settings = |time_zone| Settings { time_zone, ..Settings::default() };
    let score = |time_zone| {
        let mut f = filled(settings(time_zone), &values[14 * DAY..27 * DAY]);
        // back_fill begins at `monday`; move on to the true times.
        let mut g = Forecaster::new(f.settings().clone());
        g.back_fill(&Series::new(at(13 * DAY), STEP, values[13 * DAY..27 * DAY].to_vec()).unwrap());
        std::mem::swap(&mut f, &mut g);
        error(&walk(&mut f, &values[..28 * DAY], 27 * DAY, 12), &values, 12)
    };
    let (with, without) = (score(zone), score(TimeZone::UTC));
    assert!(with < 0.08 && with < 0.8 * without, "{with} against {without}");
}

#[test]
fn fewer_than_two_seasons_are_refused() {
    let values = noisy(DAY + 100, 0.05, daily);
    let f = filled(Settings::default(), &values);
    assert_eq!(reason(&f, at(values.len())), Some(NoForecastReason::HistoryTooShort));
    assert_eq!(reason(&Forecaster::new(Settings::default()), monday()), Some(NoForecastReason::NoData));
}

#[test]
fn stale_and_patchy_histories_are_refused() {
    let mut values = noisy(5 * DAY, 0.05, daily);
    let f = filled(Settings::default(), &values);
    assert_eq!(reason(&f, at(5 * DAY)), None);
    assert_eq!(reason(&f, at(5 * DAY + 12)), Some(NoForecastReason::Stale));
    for t in (4 * DAY..5 * DAY).filter(|t| t % 3 == 0) {
        values[t] = f64::NAN;
    }
    assert_eq!(
        reason(&filled(Settings::default(), &values), at(5 * DAY)),
        Some(NoForecastReason::TooManyGaps)
    );
}

#[test]
fn noise_without_pattern_is_refused() {
    let mut level = 100.0_f64;
    let mut rng = SmallRng::seed_from_u64(3);
    let walk: Vec<f64> = (0..7 * DAY)
        .map(|_| {
            level = (level * (1.0 + 0.02 * (rng.random::<f64>() * 2.0 - 1.0))).clamp(10.0, 1000.0);
            level
        })
        .collect();
    let f = filled(Settings::default(), &walk);
    let accuracy = f.accuracy();
    // A random walk can't be forecast better than by its last value, and the blend must not be much worse.
    for h in &accuracy.horizons {
        assert!(h.versus_last_value < 1.1, "{accuracy:?}");
    }
    let bursts: Vec<f64> =
        (0..7 * DAY).map(|_| if rng.random::<f64>() < 0.05 { 1000.0 } else { 1.0 }).collect();
    let f = filled(Settings::default(), &bursts);
    assert!(
        matches!(
            reason(&f, at(7 * DAY)),
            Some(NoForecastReason::TooInaccurate | NoForecastReason::NotBetterThanNaive)
        ),
        "{:?}",
        f.accuracy()
    );
}

#[test]
fn a_signal_that_follows_our_replicas_is_refused() {
    let total = noisy(8 * DAY, 0.02, daily);
    let mut f = filled(Settings::default(), &total[..7 * DAY].iter().map(|v| v / 10.0).collect::<Vec<_>>());
    let mut replicas = 10.0;
    for (t, load) in total.iter().enumerate().skip(7 * DAY) {
        f.observe_replicas(replicas);
        f.observe_slot(at(t), Some(load / replicas)); // an average per pod
        if t % 6 == 0 {
            replicas = if replicas > 10.0 { 10.0 } else { 14.0 };
        }
    }
    assert_eq!(reason(&f, at(8 * DAY)), Some(NoForecastReason::FollowsReplicas));
}

#[test]
fn an_event_is_learned_from_earlier_ones() {
    // Matches at odd times double the load for two hours.
    let mut rng = SmallRng::seed_from_u64(9);
    let matches: Vec<usize> = (0..14).map(|d| d * DAY + 100 + rng.random_range(0..140)).collect();
    let load =
        |t: usize| daily(t) * if matches.iter().any(|m| (*m..m + 24).contains(&t)) { 2.0 } else { 1.0 };
    let values = noisy(14 * DAY, 0.03, load);
    let events: Vec<Event> = matches
        .iter()
        .map(|m| Event {
            name: "match".into(),
            window: Window { from: at(*m), to: at(m + 24) },
            multiplier: None,
        })
        .collect();
    let score = |events: Vec<Event>| {
        let mut f = filled(Settings { events, ..Settings::default() }, &values[..10 * DAY]);
        let said: Vec<_> = walk(&mut f, &values, 10 * DAY, 6)
            .into_iter()
            .filter(|(t, _)| matches.iter().any(|m| (*m..m + 6).contains(t)))
            .collect();
        error(&said, &values, 6)
    };
    let (with, without) = (score(events), score(Vec::new()));
    assert!(with < 0.75 * without, "{with} against {without}");
}

#[test]
fn a_stated_multiplier_is_applied() {
    let values = noisy(4 * DAY, 0.02, daily);
    let window = Window { from: at(4 * DAY + 6), to: at(4 * DAY + 12) };
    let event = Event { name: "launch".into(), window, multiplier: Some(3.0) };
    let plain = filled(Settings::default(), &values).estimate(at(4 * DAY)).unwrap();
    let with = filled(Settings { events: vec![event], ..Settings::default() }, &values)
        .estimate(at(4 * DAY))
        .unwrap();
    assert_eq!(plain.quantile(5, 0.5), with.quantile(5, 0.5));
    assert!((with.quantile(6, 0.5).unwrap() / plain.quantile(6, 0.5).unwrap() - 3.0).abs() < 1e-6);
}

#[test]
fn a_leading_regressor_helps() {
    // Visitors arrive half an hour before their load does.
    let mut rng = SmallRng::seed_from_u64(2);
    let mut level = 1.0_f64;
    let visitors: Vec<f64> = (0..12 * DAY)
        .map(|_| {
            level = (0.97 * level + 0.03 + 0.12 * (rng.random::<f64>() * 2.0 - 1.0)).max(0.1);
            100.0 * level
        })
        .collect();
    let values: Vec<f64> = (0..12 * DAY).map(|t| 5.0 * visitors[t.saturating_sub(6)]).collect();
    let score = |told: bool| {
        let mut f = Forecaster::new(Settings::default());
        let mut said = Vec::new();
        for t in 0..values.len() {
            if told {
                f.observe_regressor("visitors", at(t), Some(visitors[t]));
            }
            f.observe_slot(at(t), Some(values[t]));
            if t % 48 == 0 && t > DAY {
                f.refit();
            }
            if t > 9 * DAY && t + 6 < values.len() {
                said.push((t + 6, f.estimate(at(t + 1)).unwrap()));
            }
        }
        error(&said, &values, 6)
    };
    let (with, without) = (score(true), score(false));
    assert!(with < 0.7 * without, "{with} against {without}");
}

#[test]
fn an_excluded_incident_is_not_learned() {
    let mut values = noisy(7 * DAY, 0.03, daily);
    values[6 * DAY + 20..6 * DAY + 80].fill(20_000.0);
    let window = Window { from: at(6 * DAY + 20), to: at(6 * DAY + 80) };
    let score = |excluded: Vec<Window>| {
        let f = filled(Settings { excluded, ..Settings::default() }, &values);
        let next = f.estimate(at(7 * DAY)).unwrap();
        (next.quantile(11, 0.5).unwrap() - daily(7 * DAY + 11)).abs() / daily(7 * DAY + 11)
    };
    assert!(score(vec![window]) < 0.1);
}

#[test]
fn only_complete_slots_count() {
    let mut f = Forecaster::new(Settings::default());
    for minute in 0..10 {
        let time = time::after(monday(), Duration::from_mins(minute));
        f.observe(Sample::new(time, if minute < 5 { 10.0 } else { 1000.0 }).unwrap());
    }
    // The second slot has begun and isn't over: its samples wait.
    let forecast = f.estimate(at(1)).unwrap();
    assert!((forecast.quantile(0, 0.5).unwrap() - 10.0).abs() < 1.0, "{forecast:?}");
}

#[test]
fn the_next_hour_does_not_depend_on_how_far_beyond_is_forecast() {
    // A load that jumps on the sixth day: refusals, a challenger and its verdict have to be the same as well.
    let values = noisy(9 * DAY, 0.3, |t| daily(t) * if t > 5 * DAY + 100 { 2.0 } else { 1.0 });
    let hour = Duration::from_hours(1);
    let of = |hours: u64| {
        let settings =
            Settings { horizon: hour * hours as u32, decision_horizon: hour, ..Settings::default() };
        let mut f = filled(settings, &values[..5 * DAY]);
        let mut said = Vec::new();
        for (t, value) in values.iter().enumerate().skip(5 * DAY) {
            f.observe_slot(at(t), Some(*value));
            if t % 24 == 0 || f.refit_is_due() {
                f.refit();
            }
            let rows: Vec<_> =
                (0..12).map(|row| f.estimate(at(t + 1)).unwrap().quantile(row, 0.95)).collect();
            said.push((rows, reason(&f, at(t + 1))));
        }
        (said, f.accuracy().chosen_because)
    };
    let (near, far) = (of(1), of(30));
    assert!(near.1.contains("took over") || near.1.contains("dropped"), "{}", near.1);
    assert_eq!(near, far);
}
