//! What one policy keeps on the heap: `cargo run --release -p autoscaler --example heap -- [STEP_SECONDS]...`
//!
//! For each step of the forecast, with two weeks of history: what is there after each part came, and what that part added.
//! The last day is played tick by tick, so that what grows is seen.

mod steps;

use std::time::Duration;

use autoscaler::{Applied, Autoscaler, Inputs, MetricInput, Setup, SignalSpec, Work};
use decide::Policy;
use forecast::Settings;
use jiff::Timestamp;
use series::{Reading, Sample, Series, time};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const DAY: u64 = 86_400;
const TICK: u64 = 15;

fn load(second: f64) -> f64 {
    let day = (second / DAY as f64 * std::f64::consts::TAU).cos();
    let noise = (second * 12.9898).sin().mul_add(43_758.547, 0.0).fract();
    (2_000.0 - 1_400.0 * day) * (1.0 + 0.05 * noise)
}

/// Tells what is there, and what came since the last time.
struct Told(usize);

impl Told {
    fn tell(&mut self, what: &str) {
        let now = dhat::HeapStats::get().curr_bytes;
        let kib = |bytes: f64| bytes / 1_024.0;
        let added = kib(now as f64 - self.0 as f64);
        println!("  {what:<22} {added:>+9.1} KiB, {:>8.1} KiB in all", kib(now as f64));
        self.0 = now;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _profiler = dhat::Profiler::builder().testing().build();
    steps::each(measure)
}

fn measure(step: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let start = Timestamp::from_second(1_767_571_200)?;
    let series = |days: u64, step: Duration| {
        let slots = days * DAY / step.as_secs();
        let first = (15 - days) * DAY;
        let values = (0..slots).map(|i| load((first + i * step.as_secs()) as f64)).collect();
        Series::new(time::after(start, Duration::from_secs(first)), step, values)
    };
    println!("step {} s", step.as_secs());
    let mut told = Told(dhat::HeapStats::get().curr_bytes);
    let mut autoscaler = {
        let settings = Settings { step, ..Settings::default() };
        let signal =
            SignalSpec { identity: "load".to_owned(), settings, keeps_history: true, prepared: None };
        Autoscaler::new(Setup {
            policy: Policy::simple(2, 200, 80.0),
            pause: None,
            signals: vec![signal],
            place: 0.0,
        })
    };
    told.tell("a new policy");
    let now = time::after(start, Duration::from_secs(15 * DAY));
    autoscaler.warm_up(0, &series(15, step)?, Some(&series(8, Duration::from_mins(1))?), now);
    told.tell("its history");
    work_off(&mut autoscaler, now, &mut told, true);
    for tick in 0..DAY / TICK {
        let at = time::after(now, Duration::from_secs(TICK * tick));
        // As old as measurements are, so that slots end in the middle of others.
        let read = time::before(at, Duration::from_secs(20));
        let reading =
            Sample::new(read, load((15 * DAY + TICK * tick) as f64)).map(Reading::Fresh).ok_or("finite")?;
        let inputs = Inputs { metrics: vec![MetricInput::of(reading)], ..Inputs::of(40) };
        autoscaler.step(&inputs, at);
        autoscaler.applied(at, Applied::No { replicas: 40 });
        work_off(&mut autoscaler, at, &mut told, false);
        if tick == 0 {
            told.tell("its first decision");
        }
    }
    told.tell("a day of decisions");
    drop(autoscaler);
    told.tell("and after its end");
    Ok(())
}

fn work_off(autoscaler: &mut Autoscaler, now: Timestamp, told: &mut Told, aloud: bool) {
    while let Some(job) = autoscaler.take_job(now) {
        let what = if matches!(job.work(), Work::Simulation(_)) { "a selection" } else { "a fit" };
        autoscaler.take_over(job.run());
        if aloud {
            told.tell(what);
        }
    }
}
