//! A partitioned queue and its consumers: first in, first out within a partition, every change of membership pauses all
//! of them, and more consumers than partitions only wait. Consumers come in as whoever scales wants them; how late
//! messages were, and what that cost, goes out. The deciding code is that of production, the baseline KEDA's lag rule.

use std::sync::Arc;
use std::time::Duration;

use decide::{
    History, MetricKind, MetricObservation, Observation, Outlook, Plan, Policy, QueueObservation, Replicas,
    Startup, plan, recommend,
};
use serde::Serialize;
use series::{Reading, Sample};

use crate::hpa::{Normalizer, external_replicas};
use crate::issued::Issued;
use crate::load::{Load, RUN_IN};
use crate::plant::Plant;
use crate::world::World;

/// The queue's side of the world.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct QueueWorld {
    /// Partitions: as many consumers can work at once.
    pub partitions: u32,
    /// Messages one consumer finishes per second.
    pub per_consumer: f64,
    /// Seconds all consumers pause when one joins or leaves.
    pub rebalance: usize,
    /// Seconds a message may wait: the promise.
    pub drain_within: f64,
}

/// What is known of the queue when consumers are scaled.
#[derive(Clone, Copy, Debug)]
pub struct QueueView {
    /// Second of the replay.
    pub second: usize,
    /// Consumers asked for.
    pub spec: u32,
    /// Consumers that run.
    pub ready: u32,
    /// Messages waiting.
    pub backlog: f64,
    /// Messages that arrived per second over the last minute.
    pub arrivals: f64,
    /// Messages finished per second over the last minute.
    pub served: f64,
    /// Age of the oldest waiting message in seconds.
    pub oldest: f64,
}

/// Something that scales consumers every 15 seconds.
pub trait QueueScaler {
    /// Consumers wanted now.
    fn decide(&mut self, view: &QueueView, startups: &[u32]) -> u32;
}

/// What a queue's replay found.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueueScore {
    /// Share of scored seconds in which the oldest message was older than promised, in percent.
    pub late_percent: f64,
    /// Consumer-hours paid for.
    pub consumer_hours: f64,
    /// Consumer-hours over the work there was: what consumers that are never idle would take.
    pub over_work: f64,
    /// Changes of membership an hour.
    pub changes_per_hour: f64,
    /// The largest age of a message, in seconds.
    pub oldest_seconds: f64,
}

/// Replays arrivals (in messages a second) against a queue's consumers.
pub fn replay_queue(
    load: &Load,
    world: &World,
    queue: &QueueWorld,
    scaler: &mut dyn QueueScaler,
) -> QueueScore {
    let mut line = Line::new(load, queue);
    let first = (f64::from(load.arrivals()[0]) / queue.per_consumer).ceil() as u32 + 1;
    let mut plant = Plant::new(world, first.clamp(1, world.max_replicas));
    let (mut late, mut scored, mut paid, mut changes) = (0u64, 0u64, 0.0, 0u64);
    let (mut work, mut oldest, mut members, mut paused_until) = (0.0, 0.0f64, plant.ready(), 0);
    for second in 0..load.seconds() {
        if second > 0 && second % 15 == 0 {
            let view = line.view(second, plant.spec(), plant.ready());
            let wanted = scaler.decide(&view, plant.startups()).clamp(world.min_replicas, world.max_replicas);
            if wanted != plant.spec() {
                plant.scale(second, wanted);
            }
        }
        let billed = plant.step(second, 0.0).billed;
        if plant.ready() != members {
            members = plant.ready();
            paused_until = second + queue.rebalance;
            changes += u64::from(second >= RUN_IN as usize);
        }
        let working = if second < paused_until { 0 } else { members };
        let age = line.step(second, working);
        if second >= RUN_IN as usize {
            scored += 1;
            late += u64::from(age > queue.drain_within);
            oldest = oldest.max(age);
            paid += f64::from(billed);
            work += f64::from(load.arrivals()[second]) / queue.per_consumer;
        }
    }
    QueueScore {
        late_percent: 100.0 * late as f64 / scored.max(1) as f64,
        consumer_hours: paid / 3_600.0,
        over_work: paid / f64::max(work, f64::MIN_POSITIVE),
        changes_per_hour: changes as f64 * 3_600.0 / scored.max(1) as f64,
        oldest_seconds: oldest,
    }
}

/// Messages on their way: each partition gets its share of what arrives, and is worked off in order.
struct Line<'a> {
    load: &'a Load,
    queue: QueueWorld,
    /// Messages finished of each partition, and the second its oldest waiting message arrived in.
    served: Vec<(f64, usize)>,
    finished: Vec<f64>,
}

impl<'a> Line<'a> {
    fn new(load: &'a Load, queue: &QueueWorld) -> Self {
        Self {
            load,
            queue: *queue,
            served: vec![(0.0, 0); queue.partitions as usize],
            finished: Vec::with_capacity(load.seconds()),
        }
    }

    fn arrived(&self, second: usize) -> f64 {
        self.load.total()[(second + 1).min(self.load.seconds())] / f64::from(self.queue.partitions)
    }

    /// Works for a second with so many consumers; the age of the oldest waiting message at its end.
    fn step(&mut self, second: usize, consumers: u32) -> f64 {
        let arrived = self.arrived(second);
        let partitions = self.queue.partitions as usize;
        let (mut oldest, mut finished) = (second + 1, 0.0);
        for p in 0..partitions {
            // Partition p belongs to one consumer, which shares itself among all of its own.
            let share = share_of(p, partitions, consumers as usize);
            let (done, mut head) = self.served[p];
            let now = (done + self.queue.per_consumer * share).min(arrived);
            finished += now - done;
            while head <= second && self.arrived(head) <= now + 1e-9 {
                head += 1;
            }
            self.served[p] = (now, head);
            oldest = oldest.min(head);
        }
        self.finished.push(finished);
        (second + 1 - oldest) as f64
    }

    fn view(&self, second: usize, spec: u32, ready: u32) -> QueueView {
        let minute = second.clamp(1, 60);
        let total = self.load.total();
        let done: f64 = self.served.iter().map(|s| s.0).sum();
        let oldest = self.served.iter().map(|s| s.1).min().unwrap_or(second);
        QueueView {
            second,
            spec,
            ready,
            backlog: (total[second] - done).max(0.0),
            arrivals: (total[second] - total[second - minute]) / minute as f64,
            served: self.finished[self.finished.len().saturating_sub(minute)..].iter().sum::<f64>()
                / minute as f64,
            oldest: second.saturating_sub(oldest) as f64,
        }
    }
}

/// The share of a consumer that partition `p` gets: partitions are dealt out in turn.
fn share_of(p: usize, partitions: usize, consumers: usize) -> f64 {
    if consumers == 0 {
        return 0.0;
    }
    if consumers >= partitions {
        return 1.0;
    }
    let owner = p % consumers;
    let owned = partitions / consumers + usize::from(owner < partitions % consumers);
    1.0 / owned as f64
}

/// KEDA's lag rule: as many consumers as the waiting messages over `threshold`, at most one a partition, through an HPA.
#[derive(Clone, Debug)]
pub struct KedaLag {
    threshold: f64,
    most: u32,
    normalizer: Normalizer,
}

impl KedaLag {
    /// With a `lagThreshold`.
    pub fn new(threshold: f64, queue: &QueueWorld, world: &World) -> Self {
        let most = queue.partitions.min(world.max_replicas);
        Self { threshold, most, normalizer: Normalizer::new(None, world.min_replicas.max(1), most) }
    }
}

impl QueueScaler for KedaLag {
    fn decide(&mut self, view: &QueueView, _: &[u32]) -> u32 {
        let proposal = external_replicas(view.backlog, self.threshold, view.spec, 0.1).min(self.most);
        self.normalizer.normalize(view.second, view.spec, proposal)
    }
}

/// Foresail on a queue.
pub struct ForesailQueue<'a> {
    load: &'a Load,
    policy: Policy,
    partitions: u32,
    issued: Arc<Issued>,
    history: History,
}

impl<'a> ForesailQueue<'a> {
    /// With a policy whose first metric is a backlog, and the forecasts of its arrivals.
    pub fn new(load: &'a Load, policy: Policy, queue: &QueueWorld, issued: Arc<Issued>) -> Self {
        Self { load, policy, partitions: queue.partitions, issued, history: History::default() }
    }

    fn observation(&self, view: &QueueView, startups: &[u32]) -> Observation {
        let now = self.load.time_of(view.second);
        let name = self.policy.metrics.first().map_or_else(String::new, |m| m.name.clone());
        let reading = Sample::new(now, view.backlog).map_or_else(
            || Reading::Absent(series::Absence::new(series::AbsenceReason::NotANumber, "no number")),
            Reading::Fresh,
        );
        let outlook = match self.issued.at(now).map(|i| &i.forecast) {
            Some(Ok(forecast)) => Outlook::Forecast(forecast.as_ref().clone()),
            _ => Outlook::Unknown { reason: "NoData".to_owned(), message: "nothing was forecast".to_owned() },
        };
        let standing = self.issued.at(now).and_then(crate::ours::standing);
        Observation {
            replicas: Replicas {
                spec: view.spec,
                ready: view.ready,
                pending: view.spec.saturating_sub(view.ready),
                ..Replicas::default()
            },
            startup: startup(startups),
            metrics: vec![MetricObservation {
                outlook,
                standing,
                queue: Some(QueueObservation {
                    arrivals: Some(view.arrivals),
                    served: Some(view.served),
                    partitions: Some(self.partitions),
                    oldest: Some(Duration::from_secs_f64(view.oldest)),
                }),
                ..MetricObservation::fresh(name, reading)
            }],
            ..Observation::of(view.spec)
        }
    }
}

fn startup(seconds: &[u32]) -> Startup {
    crate::ours::startup(seconds)
}

impl QueueScaler for ForesailQueue<'_> {
    fn decide(&mut self, view: &QueueView, startups: &[u32]) -> u32 {
        let now = self.load.time_of(view.second);
        let observation = self.observation(view, startups);
        let decision = recommend(&self.policy, &observation, &self.history, now);
        self.history = decision.history;
        match plan(self.policy.mode, None, &decision.recommendation, now) {
            Plan::Scale { from, to } | Plan::Suggest { from, to } => {
                self.history.scaled(now, from, to);
                to
            }
            Plan::Hold { .. } => view.spec,
        }
    }
}

/// The policy for a queue's promise: everything else at its default.
pub fn queue_policy(queue: &QueueWorld, world: &World) -> Policy {
    let mut metric = decide::MetricPolicy::backlog("queue", Duration::from_secs_f64(queue.drain_within));
    metric.target = queue.per_consumer;
    if let MetricKind::Backlog(backlog) = &mut metric.kind {
        backlog.rebalance_pause = Duration::from_secs(queue.rebalance as u64);
    }
    Policy { metrics: vec![metric], ..Policy::simple(world.min_replicas.max(1), world.max_replicas, 1.0) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use series::Series;

    use super::*;
    use crate::compare::Setup;
    use crate::issued::Cadence;

    const QUEUE: QueueWorld =
        QueueWorld { partitions: 240, per_consumer: 100.0, rebalance: 5, drain_within: 120.0 };

    fn scene() -> (Load, World, Arc<Issued>) {
        let value = |i: u32| {
            let t = f64::from(i) / 288.0;
            1_800.0 - 1_400.0 * (std::f64::consts::TAU * t).cos()
        };
        let start = Timestamp::from_second(1_767_571_200).unwrap();
        let recording =
            Series::new(start, Duration::from_secs(300), (0..4 * 288).map(value).collect()).unwrap();
        let mut setup = Setup::new(Policy::simple(1, 48, 80.0), Duration::from_secs(60), 5);
        setup.scored = Duration::from_secs(86_400);
        let load = setup.load(&recording).unwrap();
        let issued = Arc::new(Issued::perfect(&load, &Cadence::default()));
        (load, setup.world, issued)
    }

    /// Consumers paid for over consumers that are never idle: steady use is 85 %, and the way down waits.
    const OVER_WORK: f64 = 1.5;

    struct Fixed(u32);

    impl QueueScaler for Fixed {
        fn decide(&mut self, _: &QueueView, _: &[u32]) -> u32 {
            self.0
        }
    }

    #[test]
    fn enough_consumers_are_never_late_and_too_few_always() {
        let (load, world, _) = scene();
        let enough = replay_queue(&load, &world, &QUEUE, &mut Fixed(48));
        assert!(enough.late_percent < 0.01 && enough.over_work > 2.0, "{enough:?}");
        let few = replay_queue(&load, &world, &QUEUE, &mut Fixed(5));
        assert!(few.late_percent > 50.0 && few.oldest_seconds > 3_600.0, "{few:?}");
    }

    #[test]
    fn a_partition_shares_its_consumer() {
        assert_eq!(share_of(0, 4, 8), 1.0);
        assert_eq!((share_of(0, 4, 3), share_of(1, 4, 3), share_of(3, 4, 3)), (0.5, 1.0, 0.5));
        assert_eq!(share_of(2, 4, 0), 0.0);
    }

    #[test]
    fn the_promise_is_kept_better_than_by_a_lag_threshold() {
        let (load, world, issued) = scene();
        let mut ours = ForesailQueue::new(&load, queue_policy(&QUEUE, &world), &QUEUE, issued);
        let ours = replay_queue(&load, &world, &QUEUE, &mut ours);
        assert!(ours.late_percent <= 0.1, "{ours:?}");
        assert!(ours.over_work < OVER_WORK, "{ours:?}");
        assert!(ours.changes_per_hour <= 4.0, "{ours:?}");
        // Thresholds up to what one consumer works off within the promise: what KEDA's users are told to set.
        for share in [0.05, 0.1, 0.25, 0.5, 1.0] {
            let threshold = share * QUEUE.per_consumer * QUEUE.drain_within;
            let keda = replay_queue(&load, &world, &QUEUE, &mut KedaLag::new(threshold, &QUEUE, &world));
            let cheaper = keda.consumer_hours <= ours.consumer_hours;
            assert!(
                !cheaper || ours.late_percent <= 0.2 * keda.late_percent,
                "{ours:?} against {share}: {keda:?}"
            );
        }
    }
}
