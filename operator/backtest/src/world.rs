//! What the plant is made of: the numbers a policy can't see, and the ones it can. All of it is fixed before a replay
//! starts, and the same for every policy in it.

use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use crate::faults::Fault;
use crate::random;

const STARTUP: u64 = 0x57A7;
const NODE: u64 = 0x40DE;
const SIZE: u64 = 0x512E;

/// The world of one replay.
#[derive(Clone, Debug, Serialize)]
pub struct World {
    /// Seed of everything that happens by chance.
    pub seed: u64,
    /// Load at which one replica saturates, in the unit of the load. Hidden from policies.
    pub capacity: f64,
    /// The share of saturation up to which answers are in time, 0 to 1. With processor sharing, latency grows as
    /// `1 / (1 - rho)`, so five times the idle latency is reached at 0.8.
    pub promise: f64,
    /// How long a pod takes from creation to ready.
    pub startup: Startup,
    /// How long a removed pod is still paid for, in seconds.
    pub drain: u64,
    /// Seconds over which a ready pod comes up to its full capacity.
    pub warm_up: u64,
    /// Standard deviation of capacity between pods, as a share; 0 for equal pods.
    pub spread: f64,
    /// Share of pods that serve at half capacity.
    pub slow: f64,
    /// Seconds from a decision to the write being effective.
    pub write_latency: u64,
    /// More pods than this don't fit on the nodes.
    pub quota: Option<u32>,
    /// Spans of seconds in which pods that are created crash in a loop, until the span is over.
    pub crash_loops: Vec<Range<usize>>,
    /// Share of writes that fail, 0 to 1.
    pub write_failures: f64,
    /// Half of what is dropped comes back within ten seconds, up to twice.
    pub retries: bool,
    /// Lower bound of replicas.
    pub min_replicas: u32,
    /// Upper bound of replicas.
    pub max_replicas: u32,
    /// How load is measured.
    pub telemetry: Telemetry,
    /// What goes wrong with the measurements, and when.
    pub faults: Vec<Fault>,
}

/// Distribution of start-up times: lognormal, and now and then a node has to be waited for.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Startup {
    /// Median in seconds.
    pub median: f64,
    /// Standard deviation of the logarithm.
    pub sigma: f64,
    /// Median wait for a node in seconds.
    pub node_wait: f64,
    /// Share of pods that wait for a node, 0 to 1.
    pub node_share: f64,
}

impl Startup {
    /// The usual spread around a median.
    pub fn around(median: Duration) -> Self {
        Self { median: median.as_secs_f64(), sigma: 0.35, node_wait: 120.0, node_share: 0.05 }
    }

    /// Mean start-up time in seconds.
    pub fn mean(&self) -> f64 {
        self.median * (self.sigma * self.sigma / 2.0).exp() + self.node_share * self.node_wait
    }
}

/// How load becomes numbers in Prometheus.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Telemetry {
    /// Seconds between two scrapes of a target.
    pub scrape: u64,
    /// Seconds until a scraped sample can be queried.
    pub ingest: u64,
    /// Seconds of the rate's window.
    pub window: u64,
    /// How many targets count the load, each scraped at its own phase.
    pub targets: u64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { scrape: 15, ingest: 5, window: 60, targets: 4 }
    }
}

impl World {
    /// A world with the usual delays for replicas that saturate at `capacity` and keep their promise up to `promise` of
    /// it.
    pub fn new(capacity: f64, promise: f64, startup: Duration, seed: u64) -> Self {
        Self {
            seed,
            capacity,
            promise,
            startup: Startup::around(startup),
            drain: 30,
            warm_up: 0,
            spread: 0.0,
            slow: 0.0,
            write_latency: 1,
            quota: None,
            crash_loops: Vec::new(),
            write_failures: 0.0,
            retries: false,
            min_replicas: 1,
            max_replicas: 1_000,
            telemetry: Telemetry::default(),
            faults: Vec::new(),
        }
    }

    /// The load one replica carries within its promise.
    pub fn per_replica(&self) -> f64 {
        self.capacity * self.promise
    }

    /// The fewest replicas that keep the promise at `load`, never less than one.
    pub fn need(&self, load: f64) -> u32 {
        ((load / self.per_replica() - 1e-9).ceil().max(0.0) as u32).max(1)
    }

    /// Start-up time of the `ordinal`th pod created in `second`, in whole seconds.
    pub(crate) fn startup_of(&self, second: usize, ordinal: u64) -> u64 {
        let index = (second as u64) << 12 | ordinal & 0xFFF;
        let z = random::normal(self.seed, STARTUP, index);
        let mut seconds = self.startup.median * (self.startup.sigma * z).exp();
        if random::uniform(self.seed, NODE, index) < self.startup.node_share {
            let wait = random::normal(self.seed, NODE ^ 1, index);
            seconds += self.startup.node_wait * (self.startup.sigma * wait).exp();
        }
        (seconds.round() as u64).max(1)
    }

    /// Capacity of that pod.
    pub(crate) fn capacity_of(&self, second: usize, ordinal: u64) -> f64 {
        if self.spread <= 0.0 && self.slow <= 0.0 {
            return self.capacity;
        }
        let index = (second as u64) << 12 | ordinal & 0xFFF;
        let spread = 1.0 + self.spread * random::normal(self.seed, SIZE, index).clamp(-3.0, 3.0);
        let slow = if random::uniform(self.seed, SIZE ^ 1, index) < self.slow { 0.5 } else { 1.0 };
        self.capacity * spread * slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startups_scatter_around_their_median() {
        let world = World::new(100.0, 0.8, Duration::from_secs(60), 5);
        let mut times: Vec<u64> = (0..4_000).map(|s| world.startup_of(s, 0)).collect();
        times.sort_unstable();
        let median = times[2_000];
        assert!((57..=65).contains(&median), "{median}");
        let mean = times.iter().sum::<u64>() as f64 / 4_000.0;
        assert!((mean / world.startup.mean() - 1.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn need_is_the_least_that_keeps_the_promise() {
        let world = World::new(100.0, 0.8, Duration::from_secs(60), 5);
        let needs: Vec<u32> = [0.0, 80.0, 80.1, 800.0].iter().map(|l| world.need(*l)).collect();
        assert_eq!(needs, [1, 1, 2, 10]);
    }
}
