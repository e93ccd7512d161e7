//! What learning costs one policy: `cargo run --release -p autoscaler --example warm_up -- [STEP_SECONDS]...`
//!
//! For each step of the forecast, with two weeks of history: the first fit, a refit, the simulation of the last seven days
//! (all strategies), and one step of the autoscaler.

#![allow(clippy::disallowed_methods, reason = "a measurement of time needs a clock")]

mod steps;

use std::time::{Duration, Instant};

use autoscaler::{Autoscaler, Inputs, MetricInput, Setup, SignalSpec, Work};
use decide::Policy;
use forecast::Settings;
use jiff::Timestamp;
use series::{Reading, Sample, Series, time};

const DAY: u64 = 86_400;

fn load(second: f64) -> f64 {
    let day = (second / DAY as f64 * std::f64::consts::TAU).cos();
    let week = (second / (7 * DAY) as f64 * std::f64::consts::TAU).sin();
    let noise = (second * 12.9898).sin().mul_add(43_758.547, 0.0).fract();
    (2_000.0 - 1_400.0 * day + 200.0 * week) * (1.0 + 0.05 * noise)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    steps::each(measure)
}

fn measure(step: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let start = Timestamp::from_second(1_767_571_200)?;
    let slots = 15 * DAY / step.as_secs();
    let values = (0..slots).map(|i| load((i * step.as_secs()) as f64)).collect();
    let history = Series::new(start, step, values)?;
    let now = history.end();
    let settings = Settings { step, horizon: Duration::from_hours(4), ..Settings::default() };
    let signal = SignalSpec { identity: "load".to_owned(), settings, keeps_history: true, prepared: None };
    let policy = Policy::simple(2, 200, 80.0);
    let mut autoscaler = Autoscaler::new(Setup { policy, pause: None, signals: vec![signal], place: 0.0 });
    autoscaler.warm_up(0, &history, None, now);
    println!("step {} s", step.as_secs());
    while let Some(job) = autoscaler.take_job(now) {
        let what = if matches!(job.work(), Work::Simulation(_)) { "simulation" } else { "first fit" };
        let begun = Instant::now();
        let done = job.run();
        println!("  {what:<12} {:>8.1} ms", begun.elapsed().as_secs_f64() * 1e3);
        autoscaler.take_over(done);
    }
    let (mut steps, mut longest, mut refits) = (Duration::ZERO, Duration::ZERO, Vec::new());
    for tick in 0..480u32 {
        let at = time::after(now, Duration::from_secs(15) * tick);
        let second = time::since(at, start).as_secs_f64();
        let reading = Sample::new(at, load(second)).map(Reading::Fresh).ok_or("finite")?;
        let inputs = Inputs { metrics: vec![MetricInput::of(reading)], ..Inputs::of(40) };
        let begun = Instant::now();
        let decided = autoscaler.step(&inputs, at);
        let took = begun.elapsed();
        steps += took;
        longest = longest.max(took);
        std::hint::black_box(&decided);
        while let Some(job) = autoscaler.take_job(at) {
            let begun = Instant::now();
            autoscaler.take_over(job.run());
            refits.push(begun.elapsed());
        }
    }
    let refit = refits.iter().sum::<Duration>() / u32::try_from(refits.len().max(1))?;
    println!("  {:<12} {:>8.1} ms", "refit", refit.as_secs_f64() * 1e3);
    println!(
        "  {:<12} {:>8.3} ms, at most {:.3}",
        "one step",
        steps.as_secs_f64() * 1e3 / 480.0,
        longest.as_secs_f64() * 1e3
    );
    println!("  {:<12} {:>8} bytes in the status", "kept", serde_json::to_string(&autoscaler.saved())?.len());
    Ok(())
}
