//! The cost of one forecaster: fit, update, predict, and a start from two weeks of history.
//! `cargo bench -p forecast`

#![allow(missing_docs, reason = "the macro's functions")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use forecast::{Forecaster, Settings};
use jiff::Timestamp;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use series::{Series, time};

/// Days with two peaks, quieter weekends, and noise.
fn load(step: Duration, days: usize) -> Series {
    let mut rng = SmallRng::seed_from_u64(11);
    let per_day = (86_400 / step.as_secs()) as usize;
    let values = (0..days * per_day)
        .map(|t| {
            let day = std::f64::consts::TAU * t as f64 / per_day as f64;
            let weekend = if (t / per_day) % 7 >= 5 { 0.6 } else { 1.0 };
            let shape = 500.0 + weekend * (300.0 * day.sin() + 120.0 * (2.0 * day).cos());
            shape * (1.0 + 0.1 * (rng.random::<f64>() - 0.5))
        })
        .collect();
    Series::new(Timestamp::from_second(1_767_225_600).unwrap_or_default(), step, values)
        .unwrap_or_else(|e| unreachable!("{e}"))
}

fn costs(c: &mut Criterion) {
    for (name, seconds) in [("5m", 300), ("1m", 60)] {
        let step = Duration::from_secs(seconds);
        let history = load(step, 14);
        let mut fitted = Forecaster::new(Settings { step, ..Settings::default() });
        fitted.back_fill(&history);
        let mut group = c.benchmark_group(name);
        group.sample_size(20);
        group.bench_function("fit", |b| {
            b.iter_batched_ref(|| fitted.clone(), Forecaster::refit, BatchSize::LargeInput);
        });
        group.bench_function("update", |b| {
            let mut forecaster = fitted.clone();
            let mut at = history.end();
            b.iter(|| {
                forecaster.observe_slot(at, Some(500.0));
                at = time::after(at, step);
            });
        });
        group.bench_function("predict", |b| b.iter(|| black_box(fitted.predict(history.end()))));
        group.finish();
        c.bench_function(&format!("{name}/start from 14 days"), |b| {
            b.iter(|| {
                let mut forecaster = Forecaster::new(Settings { step, ..Settings::default() });
                forecaster.back_fill(&history);
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    targets = costs
}
criterion_main!(benches);
