//! When each check is run: spread over its interval by its name, one run at a time per check, a bounded number at once
//! per host, and a run that couldn't begin in time is left out rather than queued. Definitions come in, outcomes go out
//! through a channel.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use health::check::Outcome;
use health::{Component, ComponentId, Reason, Verdict};
use jiff::Timestamp;
use telemetry::metrics::{self, Metrics};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::Instrument as _;

use crate::probe::Probe;

/// A check: the component and how it is probed.
#[derive(Clone)]
pub struct Definition {
    /// The component.
    pub component: Component,
    /// How it is asked.
    pub probe: Arc<dyn Probe>,
    /// Changes when anything about the probe does; a check whose revision stays keeps running undisturbed.
    pub revision: String,
}

/// How much may happen at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Probes of one host.
    pub per_host: usize,
    /// Probes in all.
    pub total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_host: 8, total: 512 }
    }
}

/// What one run found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: ComponentId,
    pub(crate) at: Timestamp,
    pub(crate) outcome: Outcome,
}

struct Running {
    revision: String,
    interval: Duration,
    timeout: Duration,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All checks at work. Dropping it stops them.
pub struct Schedule {
    running: HashMap<ComponentId, Running>,
    hosts: HashMap<String, Arc<Semaphore>>,
    total: Arc<Semaphore>,
    limits: Limits,
    found: mpsc::Sender<Found>,
    metrics: Metrics,
}

impl Schedule {
    pub(crate) fn new(limits: Limits, found: mpsc::Sender<Found>, metrics: Metrics) -> Self {
        Self {
            running: HashMap::new(),
            hosts: HashMap::new(),
            total: Arc::new(Semaphore::new(limits.total)),
            limits,
            found,
            metrics,
        }
    }

    /// Makes these the checks that run. One that hasn't changed isn't disturbed.
    pub(crate) fn set(&mut self, definitions: &[Definition]) {
        let wanted: HashMap<&ComponentId, &Definition> =
            definitions.iter().map(|d| (&d.component.id, d)).collect();
        self.running.retain(|id, running| {
            wanted.get(id).is_some_and(|d| {
                let settings = &d.component.settings;
                (&d.revision, settings.interval, settings.timeout)
                    == (&running.revision, running.interval, running.timeout)
            })
        });
        for (id, definition) in wanted {
            if !self.running.contains_key(id) {
                let running = self.start(definition);
                self.running.insert(id.clone(), running);
            }
        }
        let used: std::collections::HashSet<&str> = definitions.iter().map(|d| d.probe.host()).collect();
        self.hosts.retain(|host, _| used.contains(host.as_str()));
    }

    fn start(&mut self, definition: &Definition) -> Running {
        let settings = definition.component.settings.clone();
        let id = definition.component.id.clone();
        let host = definition.probe.host().to_owned();
        let permits =
            self.hosts.entry(host).or_insert_with(|| Arc::new(Semaphore::new(self.limits.per_host)));
        let run = Run {
            phase: phase(&id, settings.interval),
            metrics: self.metrics.component(id.namespace(), id.name()),
            delay: self.metrics.clone(),
            id,
            probe: definition.probe.clone(),
            interval: settings.interval.max(Duration::from_millis(100)),
            timeout: settings.timeout,
            host: permits.clone(),
            total: self.total.clone(),
            found: self.found.clone(),
        };
        Running {
            revision: definition.revision.clone(),
            interval: settings.interval,
            timeout: settings.timeout,
            task: tokio::spawn(run.forever()),
        }
    }
}

/// Where in its interval a check runs: the same place after every restart, and all over it for many checks.
fn phase(id: &ComponentId, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let share = (hasher.finish() % 10_000) as f64 / 10_000.0;
    interval.mul_f64(share)
}

struct Run {
    id: ComponentId,
    probe: Arc<dyn Probe>,
    phase: Duration,
    interval: Duration,
    timeout: Duration,
    host: Arc<Semaphore>,
    total: Arc<Semaphore>,
    found: mpsc::Sender<Found>,
    metrics: metrics::ComponentMetrics,
    delay: Metrics,
}

impl Run {
    async fn forever(self) {
        // At most one interval of a second: a new check is to say something soon.
        let mut planned = Instant::now() + self.phase.min(Duration::from_secs(60));
        loop {
            sleep_until(planned).await;
            self.delay.health_delay.observe(planned.elapsed().as_secs_f64());
            if let Some(outcome) = self.once(planned).await {
                let result = match outcome.verdict {
                    Verdict::Pass | Verdict::Warn => metrics::Outcome::Success,
                    Verdict::Fail => metrics::Outcome::Failure,
                };
                self.metrics.checked(self.probe.kind(), result, outcome.latency.as_secs_f64());
                let found = Found { id: self.id.clone(), at: Timestamp::now(), outcome };
                if self.found.send(found).await.is_err() {
                    return;
                }
            }
            planned += self.interval;
            // After a long probe or a suspended machine: go on with the rhythm, without making up for what was missed.
            let late = planned.elapsed().as_secs_f64() / self.interval.as_secs_f64();
            planned += self.interval.mul_f64(late.floor());
        }
    }

    /// One run, or `None` where its turn didn't come within the timeout: that says nothing of the component.
    async fn once(&self, planned: Instant) -> Option<Outcome> {
        let turn = async { (self.host.acquire().await, self.total.acquire().await) };
        let (Ok(_host), Ok(_total)) = tokio::time::timeout_at(planned + self.timeout, turn).await.ok()?
        else {
            return None;
        };
        let started = Instant::now();
        let span = tracing::info_span!("probe", component = %self.id, kind = self.probe.kind());
        let probed = async {
            let mut outcome = self.probe.probe().await;
            outcome.trace_id = telemetry::tracing::trace_id();
            outcome
        };
        let outcome = timeout(self.timeout, probed.instrument(span)).await.unwrap_or_else(|_| {
            let text = format!("no answer within {} ms", self.timeout.as_millis());
            Outcome::fail(Reason::Timeout, text, started.elapsed())
        });
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_spread_over_their_interval() {
        let interval = Duration::from_secs(5);
        let mut seconds = [0; 5];
        for i in 0..2_000 {
            let phase = phase(&ComponentId::new("shop", &format!("c{i}")), interval);
            assert!(phase < interval);
            seconds[phase.as_secs() as usize] += 1;
        }
        assert!(seconds.iter().all(|n| (300..500).contains(n)), "{seconds:?}");
    }
}
