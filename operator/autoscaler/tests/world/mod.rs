//! A workload on a simulated clock: a load that comes and goes by the day, measured each 15 s, and pods that follow.

#![allow(dead_code, reason = "each test uses its part")]

use std::time::Duration;

use autoscaler::{Applied, Autoscaler, Decided, Inputs, MetricInput, Setup, SignalSpec, StartUp};
use decide::{Plan, Policy};
use forecast::Settings;
use jiff::Timestamp;
use series::{Absence, AbsenceReason, Reading, Sample, Series, time};

pub(crate) const TICK: i64 = 15;
pub(crate) const DAY: i64 = 86_400;
pub(crate) const START: i64 = 1_767_571_200;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

/// Requests per second: a daily wave with noise that is the same in every run.
pub(crate) fn load(second: i64) -> f64 {
    let wave = 1_500.0 - 1_100.0 * (std::f64::consts::TAU * second as f64 / DAY as f64).cos();
    let x = (second.div_euclid(TICK) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let noise = ((x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f64 / (1u64 << 24) as f64;
    wave * (1.0 + 0.06 * (noise - 0.5))
}

/// What a Prometheus would answer for `[from, to)`: the mean of each slot, and of a minute its last reading.
pub(crate) fn history(from: i64, to: i64, step: i64) -> Series {
    let slot = |begin: i64| {
        let first = if step <= 60 { begin + step - TICK } else { begin };
        let samples: Vec<f64> = (first..begin + step).step_by(TICK as usize).map(load).collect();
        samples.iter().sum::<f64>() / samples.len() as f64
    };
    let values = (from..to).step_by(step as usize).map(slot).collect();
    Series::new(at(from), Duration::from_secs(step as u64), values).unwrap()
}

pub(crate) fn setup(step: i64) -> Setup {
    let settings = Settings { step: Duration::from_secs(step as u64), ..Settings::default() };
    let signal = SignalSpec { identity: "a".to_owned(), settings, keeps_history: true, prepared: None };
    Setup { policy: Policy::simple(2, 100, 80.0), pause: None, signals: vec![signal], place: 0.3 }
}

/// The workload as the autoscaler left it.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) spec: u32,
    ready: u32,
    starting: Vec<(i64, u32)>,
    startups: Vec<StartUp>,
}

impl Workload {
    pub(crate) fn new(spec: u32) -> Self {
        Self { spec, ready: spec, starting: Vec::new(), startups: Vec::new() }
    }

    /// What is to be told at `second`.
    pub(crate) fn inputs(&mut self, second: i64, measured: bool) -> Inputs {
        for (ready, n) in std::mem::take(&mut self.starting) {
            if ready <= second {
                self.ready += n;
                let took = Duration::from_secs(45);
                self.startups.extend((0..n).map(|_| StartUp { ready: at(ready), took }));
            } else {
                self.starting.push((ready, n));
            }
        }
        let reading = if measured {
            Reading::Fresh(Sample::new(at(second), load(second)).unwrap())
        } else {
            Reading::Absent(Absence::new(AbsenceReason::Unreachable, "connection refused"))
        };
        let mut inputs = Inputs { metrics: vec![MetricInput::of(reading)], ..Inputs::of(self.spec) };
        inputs.replicas.ready = self.ready.min(self.spec);
        inputs.replicas.pending = self.spec - inputs.replicas.ready;
        inputs.startups.clone_from(&self.startups);
        inputs
    }

    /// Carries a plan out.
    pub(crate) fn carry_out(&mut self, plan: &Plan, second: i64) -> Applied {
        let Plan::Scale { from, to } = *plan else { return Applied::No { replicas: self.spec } };
        if to > from {
            self.starting.push((second + 45, to - from));
        } else {
            self.starting.clear();
            self.ready = self.ready.min(to);
        }
        self.spec = to;
        Applied::Yes { from, to }
    }
}

/// One tick, with the work that it makes due.
pub(crate) fn tick(autoscaler: &mut Autoscaler, workload: &mut Workload, second: i64) -> Decided {
    let inputs = workload.inputs(second, true);
    let decided = autoscaler.step(&inputs, at(second));
    let applied = workload.carry_out(&decided.plan, second);
    autoscaler.applied(at(second), applied);
    work_off(autoscaler, second);
    decided
}

/// Does the work that is due.
pub(crate) fn work_off(autoscaler: &mut Autoscaler, second: i64) {
    while let Some(job) = autoscaler.take_job(at(second)) {
        autoscaler.take_over(job.run());
    }
}

/// An autoscaler that knows ten days and has run for `until` seconds.
pub(crate) fn run(setup: Setup, step: i64, until: i64) -> (Autoscaler, Workload) {
    let mut autoscaler = Autoscaler::new(setup);
    autoscaler.warm_up(0, &history(-10 * DAY, 0, step), Some(&history(-7 * DAY, 0, 60)), at(0));
    work_off(&mut autoscaler, 0);
    let mut workload = Workload::new(10);
    for second in (0..until).step_by(TICK as usize) {
        tick(&mut autoscaler, &mut workload, second);
    }
    (autoscaler, workload)
}

/// A duration in seconds.
pub(crate) fn since(second: i64) -> Duration {
    time::since(at(second), at(0))
}
