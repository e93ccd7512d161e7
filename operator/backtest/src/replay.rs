//! One policy through one load in one world, second by second, on a simulated clock. The policy is asked at its own
//! interval and sees only what a [`View`] shows; its answer takes effect a write latency later. What happened goes out
//! as an [`Outcome`], and every decision as a [`Tick`] to whoever asked for them.

use serde::Serialize;

use crate::faults::FaultKind;
use crate::load::{Load, RUN_IN};
use crate::plant::{Plant, Second};
use crate::random;
use crate::scaler::{Answer, PodMetrics, Scaler, View, Why};
use crate::telemetry::{Observer, Past, Signal};
use crate::world::World;

/// Seconds of a scoring window.
pub const WINDOW: usize = 10;
const API: u64 = 0xA914;

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// For each scored window: whether the promise was broken.
    pub violated: Vec<bool>,
    /// For each scored window: serving replicas, as the mean.
    pub supply: Vec<f32>,
    /// For each scored window: the fewest replicas that would have kept the promise; 0 in a gap of the recording.
    pub need: Vec<u32>,
    /// For each scored window: what arrived a second.
    pub arrived: Vec<f32>,
    /// Pod-seconds paid for.
    pub pod_seconds: f64,
    /// What arrived in all, and in broken windows or dropped.
    pub requests: (f64, f64),
    /// Changes of replicas: second, before, after.
    pub changes: Vec<(usize, u32, u32)>,
    /// Pods created.
    pub created: u64,
    /// Pods removed while the measurement was missing or wrong.
    pub removed_on_bad_data: u32,
}

/// One decision, for traces.
#[derive(Clone, Debug, Serialize)]
pub struct Tick {
    /// Which policy.
    pub run: String,
    /// The moment of the decision, in the time of the recording.
    pub time: jiff::Timestamp,
    /// Arrivals a second over the last 15 seconds, as they really were.
    pub load: f64,
    /// What the policy was told the load is; `null` where it was told nothing fresh.
    pub observed: Option<f64>,
    /// Why nothing was observed, where `observed` is `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent: Option<&'static str>,
    /// Pods that serve.
    pub ready: u32,
    /// Pods on their way.
    pub pending: u32,
    /// Replicas asked for before the decision.
    pub current: u32,
    /// Replicas asked for after it.
    pub desired: u32,
    /// The fewest replicas that keep the promise in this scoring window.
    pub need: u32,
    /// Whether the promise was broken in the last complete scoring window.
    pub violated: bool,
    /// Whether this second is scored; the run-in and gaps of the recording aren't.
    pub scored: bool,
    /// Candidates, limits and record of the decision.
    #[serde(flatten)]
    pub why: Why,
}

/// Where ticks go.
pub type Recorder<'a> = &'a mut dyn FnMut(Tick);

/// Replays `load` in `world` under `scaler`.
pub fn replay(load: &Load, world: &World, scaler: &mut dyn Scaler) -> Outcome {
    Replay::new(load, world).run(scaler, "", None)
}

/// The same, with every decision of `name` given to `recorder`.
pub fn replay_recorded(
    load: &Load,
    world: &World,
    scaler: &mut dyn Scaler,
    name: &str,
    recorder: Recorder<'_>,
) -> Outcome {
    Replay::new(load, world).run(scaler, name, Some(recorder))
}

/// The replicas a window needs, for every scored window; 0 where the recording has a gap.
pub fn needs(load: &Load, world: &World) -> Vec<u32> {
    let total = load.total();
    (RUN_IN as usize..load.seconds())
        .step_by(WINDOW)
        .filter(|from| from + WINDOW <= load.seconds())
        .map(|from| need_of(load, world, total, from))
        .collect()
}

fn need_of(load: &Load, world: &World, total: &[f64], from: usize) -> u32 {
    let to = (from + WINDOW).min(total.len() - 1);
    if load.masked(from) {
        return 0;
    }
    let rate = (total[to] - total[from]) / (to - from).max(1) as f64;
    world.need(rate).clamp(world.min_replicas.max(1), world.max_replicas)
}

struct Replay<'a> {
    load: &'a Load,
    world: &'a World,
    observer: Observer,
    plant: Plant<'a>,
    outcome: Outcome,
    own_total: Option<Vec<f64>>,
    pending_write: Option<(usize, u32)>,
    cpu: Cpu,
    window: Window,
}

#[derive(Default)]
struct Window {
    arrived: f64,
    capacity: f64,
    dropped: f64,
    ready: f64,
    late: u32,
    last_violated: bool,
}

/// Utilization as the resource metrics see it: the mean over a scrape interval, visible after the ingest lag.
#[derive(Default)]
struct Cpu {
    sum: f64,
    seconds: u32,
    samples: [(usize, f64); 2],
}

impl<'a> Replay<'a> {
    fn new(load: &'a Load, world: &'a World) -> Self {
        let first = need_of(load, world, load.total(), 0);
        let start = (f64::from(first) * 1.2).ceil() as u32;
        Self {
            load,
            world,
            observer: Observer::new(world),
            plant: Plant::new(world, start.clamp(world.min_replicas.max(1), world.max_replicas)),
            outcome: Outcome::default(),
            own_total: world.retries.then(|| vec![0.0]),
            pending_write: None,
            cpu: Cpu::default(),
            window: Window::default(),
        }
    }

    fn run(mut self, scaler: &mut dyn Scaler, name: &str, mut recorder: Option<Recorder<'_>>) -> Outcome {
        let interval = scaler.interval().max(1);
        for second in 0..self.load.seconds() {
            if second > 0 && second % interval == 0 {
                let explain = recorder.is_some();
                let signal = self.signal(second);
                let answer = self.ask(scaler, second, &signal, explain);
                let wanted = answer.replicas.clamp(self.world.min_replicas, self.world.max_replicas);
                if let Some(recorder) = recorder.as_mut() {
                    recorder(self.tick(name, second, &signal, wanted, answer));
                }
                self.write(second, wanted);
            }
            if let Some((at, replicas)) = self.pending_write
                && at <= second
            {
                self.pending_write = None;
                self.plant.scale(second, replicas);
            }
            let seen = self.plant.step(second, f64::from(self.load.arrivals()[second]));
            self.account(second, &seen);
        }
        self.outcome.created = self.plant.created;
        self.outcome
    }

    fn total(&self) -> &[f64] {
        self.own_total.as_deref().unwrap_or(self.load.total())
    }

    fn signal(&self, second: usize) -> Signal {
        let past = Past::new(self.total(), second);
        self.observer.look(past, self.load.time_of(second), self.load.masked(second))
    }

    fn ask(&self, scaler: &mut dyn Scaler, second: usize, signal: &Signal, explain: bool) -> Answer {
        let view = View {
            second,
            now: self.load.time_of(second),
            spec: self.plant.spec(),
            ready: self.plant.ready(),
            pending: self.plant.pending(),
            crash_looping: self.plant.crash_looping(second),
            signal,
            pods: self.pod_metrics(second),
            startups: self.plant.startups(),
            past: Past::new(self.total(), second),
        };
        scaler.decide(&view, explain)
    }

    fn pod_metrics(&self, second: usize) -> PodMetrics {
        let visible = second.saturating_sub(self.world.telemetry.ingest as usize);
        let fault = self.observer.tainted(second);
        let gone = matches!(
            fault,
            Some(FaultKind::Outage | FaultKind::Empty | FaultKind::NotANumber | FaultKind::HalfEmpty)
        );
        let newest = self.cpu.samples.iter().find(|(at, _)| *at <= visible && *at > 0);
        let Some((at, utilization)) = newest.copied().filter(|_| !gone && !self.load.masked(second)) else {
            return PodMetrics { unready: self.plant.spec(), ..PodMetrics::default() };
        };
        let scrape = self.world.telemetry.scrape as usize;
        let mut measured = self.plant.ready_since(at.saturating_sub(scrape));
        let unready = self.plant.spec() - measured.min(self.plant.spec());
        let mut missing = 0;
        if let Some(FaultKind::Partial { missing: share }) = fault {
            missing = (f64::from(measured) * share).round() as u32;
            measured -= missing;
        }
        PodMetrics { measured, utilization, unready, missing, available: true }
    }

    fn write(&mut self, second: usize, wanted: u32) {
        let current = self.pending_write.map_or(self.plant.spec(), |(_, n)| n);
        if wanted == current {
            return;
        }
        let failed = self.world.write_failures > 0.0
            && random::uniform(self.world.seed, API, second as u64) < self.world.write_failures;
        if failed {
            return;
        }
        self.pending_write = Some((second + self.world.write_latency as usize, wanted));
        if second >= RUN_IN as usize {
            self.outcome.changes.push((second, current, wanted));
            if wanted < current && self.observer.tainted(second).is_some() {
                self.outcome.removed_on_bad_data += current - wanted;
            }
        }
    }

    fn account(&mut self, second: usize, seen: &Second) {
        if let Some(total) = &mut self.own_total {
            let before = total.last().copied().unwrap_or(0.0);
            total.push(before + seen.arrived);
        }
        self.cpu.add(second, seen, self.world.telemetry.scrape as usize);
        self.window.add(seen, self.plant.ready());
        let scored = second >= RUN_IN as usize && !self.load.masked(second);
        if scored {
            self.outcome.pod_seconds += f64::from(seen.billed);
        }
        if (second + 1).is_multiple_of(WINDOW) {
            let window = std::mem::take(&mut self.window);
            let violated = window.violates(self.world.promise);
            if second >= RUN_IN as usize {
                let need = need_of(self.load, self.world, self.load.total(), second + 1 - WINDOW);
                let o = &mut self.outcome;
                o.violated.push(violated && need > 0);
                o.need.push(need);
                o.supply.push((window.ready / WINDOW as f64) as f32);
                o.arrived.push((window.arrived / WINDOW as f64) as f32);
                o.requests.0 += window.arrived;
                o.requests.1 += if violated { window.arrived } else { window.dropped };
            }
            self.window.last_violated = violated;
        }
    }

    fn tick(&self, name: &str, second: usize, signal: &Signal, desired: u32, answer: Answer) -> Tick {
        Tick {
            run: name.to_owned(),
            time: self.load.time_of(second),
            load: rounded(Past::new(self.load.total(), second).mean(15)),
            observed: signal.reading.fresh().map(rounded),
            absent: signal.reading.absence().map(|a| a.reason.as_str()),
            ready: self.plant.ready(),
            pending: self.plant.pending(),
            current: self.plant.spec(),
            desired,
            need: need_of(self.load, self.world, self.load.total(), second / WINDOW * WINDOW),
            violated: self.window.last_violated,
            scored: second >= RUN_IN as usize && !self.load.masked(second),
            why: answer.why.map(|why| *why).unwrap_or_default(),
        }
    }
}

impl Cpu {
    fn add(&mut self, second: usize, seen: &Second, scrape: usize) {
        self.sum += if seen.capacity > 0.0 { seen.served / seen.capacity } else { 0.0 };
        self.seconds += 1;
        if (second + 1).is_multiple_of(scrape) {
            self.samples = [(second + 1, self.sum / f64::from(self.seconds)), self.samples[0]];
            self.sum = 0.0;
            self.seconds = 0;
        }
    }
}

impl Window {
    fn add(&mut self, seen: &Second, ready: u32) {
        self.arrived += seen.arrived;
        self.capacity += seen.capacity;
        self.dropped += seen.dropped;
        self.ready += f64::from(ready);
        self.late += u32::from(seen.wait > 0.5);
    }

    /// More load than the promise allows, or a wait above half a second in three of the ten seconds.
    fn violates(&self, promise: f64) -> bool {
        self.arrived > promise * self.capacity * (1.0 + 1e-9) || self.late >= 3
    }
}

/// Three significant decimals are enough for load, and keep traces small.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
