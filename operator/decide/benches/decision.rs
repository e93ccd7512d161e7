//! Time for one decision: `cargo bench -p decide`.

#[path = "../tests/week/mod.rs"]
mod week;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use decide::{
    History, MetricObservation, Observation, Policy, Protection, Record, Selected, Selection, Startup,
    Strategy, StrategyReason, recommend,
};
use jiff::Timestamp;
use series::{Forecast, Reading, Sample, time};
use week::week;

/// A workload of 50 replicas on its daily way up, with a day of forecast at 5 minutes and an hour of history.
fn context() -> (Policy, Observation, History, Timestamp) {
    let policy = Policy::simple(2, 100, 100.0);
    let start = Timestamp::UNIX_EPOCH;
    let rows = (0..288)
        .map(|i| {
            let load = 4_000.0 + 2_000.0 * (f64::from(i) / 46.0).sin();
            [0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2].iter().map(|f| f * load).collect()
        })
        .collect();
    let levels = vec![0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99];
    let forecast = Forecast::new(start, Duration::from_secs(300), levels, rows, "seasonal").ok();
    let mut observation = Observation::of(50);
    let mut history = History::default();
    let mut now = start;
    for tick in 0..240u64 {
        now = time::after(start, Duration::from_secs(15 * tick));
        let load = 4_000.0 + (tick % 7) as f64 * 30.0;
        let reading = Sample::new(now, load).map_or_else(
            || MetricObservation::absent("load", series::AbsenceReason::Empty, ""),
            |sample| MetricObservation::fresh("load", Reading::Fresh(sample)),
        );
        observation.metrics = vec![reading];
        observation.startup =
            Startup { p95: Some(Duration::from_secs(60)), mean: Some(Duration::from_secs(45)), samples: 99 };
        history = recommend(&policy, &observation, &history, now).history;
    }
    for metric in &mut observation.metrics {
        if let Some(forecast) = &forecast {
            metric.forecast = Ok(forecast.clone());
        }
    }
    observation.selected =
        Selected { strategy: Strategy::at_quantile(0.99), reason: StrategyReason::SelectedByReplay };
    (policy, observation, history, now)
}

fn selection(c: &mut Criterion) {
    for protection in [Protection::SameCost, Protection::Share(0.99)] {
        let policy = Policy { protection, ..Policy::simple(1, 100, 100.0) };
        let simulated = week(&policy);
        c.bench_function(&format!("one selection, {protection}"), |b| {
            b.iter(|| {
                let mut selection = Selection::default();
                selection.prove(black_box(&policy), black_box(&simulated), Timestamp::UNIX_EPOCH);
                selection
            });
        });
    }
}

fn decision(c: &mut Criterion) {
    let (policy, observation, history, now) = context();
    c.bench_function("one decision", |b| {
        b.iter(|| recommend(black_box(&policy), black_box(&observation), black_box(&history), now));
    });
    c.bench_function("one recorded decision", |b| {
        b.iter(|| Record::make(black_box(&policy), black_box(&observation), black_box(&history), now));
    });
}

criterion_group!(benches, decision, selection);
criterion_main!(benches);
