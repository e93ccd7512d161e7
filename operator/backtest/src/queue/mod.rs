//! A queue and its consumers. A partitioned one is first in, first out within a partition, every change of membership
//! pauses all of its consumers, and more consumers than partitions only wait; one without partitions is worked off by
//! whoever is free. Consumers come in as whoever scales wants them; how late messages were, and what that cost, goes out.
//! The deciding code is that of production, the baselines KEDA's lag rule and an HPA on lag.

mod baseline;
mod foresail;
mod proof;

use serde::Serialize;

pub use self::baseline::{HpaLag, KedaLag};
pub use self::foresail::{ForesailQueue, queue_policy};
pub use self::proof::{Proof, ProofRow, ProofScene, prove, scenes};
use crate::load::{Load, RUN_IN};
use crate::plant::Plant;
use crate::world::World;

/// The queue's side of the world.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct QueueWorld {
    /// Partitions: as many consumers can work at once. `None` for a queue that any number of consumers share.
    pub partitions: Option<u32>,
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
    /// Consumer-hours over those of the fewest whole consumers that carry the arrivals of each minute, each with whole
    /// partitions: what is left above 1 is the price of starting early and leaving late.
    pub over_least: f64,
    /// Changes of the consumers asked for, an hour.
    pub changes_per_hour: f64,
    /// Times an hour that a consumer joined or left: those of one change come up one after the other.
    pub rebalances_per_hour: f64,
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
    let (mut late, mut scored, mut paid, mut changes, mut joins) = (0u64, 0u64, 0.0, 0u64, 0u64);
    let (mut work, mut oldest, mut members, mut paused_until) = (0.0, 0.0f64, plant.ready(), 0);
    for second in 0..load.seconds() {
        if second > 0 && second % 15 == 0 {
            let view = line.view(second, plant.spec(), plant.ready());
            let wanted = scaler.decide(&view, plant.startups()).clamp(world.min_replicas, world.max_replicas);
            if wanted != plant.spec() {
                changes += u64::from(second >= RUN_IN as usize);
                plant.scale(second, wanted);
            }
        }
        let billed = plant.step(second, 0.0).billed;
        if plant.ready() != members {
            members = plant.ready();
            paused_until = second + queue.rebalance;
            joins += u64::from(second >= RUN_IN as usize);
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
        over_least: paid / f64::max(least(load, queue), f64::MIN_POSITIVE),
        changes_per_hour: changes as f64 * 3_600.0 / scored.max(1) as f64,
        rebalances_per_hour: joins as f64 * 3_600.0 / scored.max(1) as f64,
        oldest_seconds: oldest,
    }
}

/// Consumer-seconds of the fewest whole consumers that carry the arrivals of each scored minute.
fn least(load: &Load, queue: &QueueWorld) -> f64 {
    let minutes = load.arrivals()[RUN_IN as usize..].chunks(60);
    let consumers = minutes.map(|minute| {
        let rate = minute.iter().map(|a| f64::from(*a)).sum::<f64>() / minute.len() as f64;
        let need = rate / queue.per_consumer;
        let whole = need.ceil().max(1.0);
        // Of partitions that are dealt out whole, the consumer with the most of them sets the pace.
        let dealt = queue.partitions.map(f64::from).map_or(whole, |p| {
            let each = (p / need.max(1e-9)).floor().max(1.0);
            (p / each).ceil().clamp(1.0, p)
        });
        dealt.max(1.0) * minute.len() as f64
    });
    consumers.sum()
}

/// Messages on their way: each partition gets its share of what arrives, and is worked off in order. A queue without
/// partitions is one line.
struct Line<'a> {
    load: &'a Load,
    queue: QueueWorld,
    lines: usize,
    /// Messages finished of each partition, and the second its oldest waiting message arrived in.
    served: Vec<(f64, usize)>,
    finished: Vec<f64>,
}

impl<'a> Line<'a> {
    fn new(load: &'a Load, queue: &QueueWorld) -> Self {
        Self {
            load,
            queue: *queue,
            lines: queue.partitions.unwrap_or(1).max(1) as usize,
            served: vec![(0.0, 0); queue.partitions.unwrap_or(1).max(1) as usize],
            finished: Vec::with_capacity(load.seconds()),
        }
    }

    fn arrived(&self, second: usize) -> f64 {
        self.load.total()[(second + 1).min(self.load.seconds())] / self.lines as f64
    }

    /// Works for a second with so many consumers; the age of the oldest waiting message at its end.
    fn step(&mut self, second: usize, consumers: u32) -> f64 {
        let arrived = self.arrived(second);
        let (mut oldest, mut finished) = (second + 1, 0.0);
        for p in 0..self.lines {
            // Partition p belongs to one consumer, which shares itself among all of its own.
            let share = match self.queue.partitions {
                Some(_) => share_of(p, self.lines, consumers as usize),
                None => f64::from(consumers),
            };
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use decide::Policy;
    use jiff::Timestamp;
    use series::Series;

    use super::*;
    use crate::compare::Setup;
    use crate::forecast_log::perfect;
    use autoscaler::Prepared;

    const QUEUE: QueueWorld =
        QueueWorld { partitions: Some(240), per_consumer: 100.0, rebalance: 5, drain_within: 120.0 };

    fn scene() -> (Load, Setup, Arc<Prepared>) {
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
        let forecasts = Arc::new(perfect(&load, &setup.forecast));
        (load, setup, forecasts)
    }

    /// Consumers paid for over consumers that are never idle: they are whole, start early, and go late.
    const OVER_WORK: f64 = 1.2;
    /// And over the fewest whole ones with whole partitions.
    const OVER_LEAST: f64 = 1.12;

    struct Fixed(u32);

    impl QueueScaler for Fixed {
        fn decide(&mut self, _: &QueueView, _: &[u32]) -> u32 {
            self.0
        }
    }

    #[test]
    fn enough_consumers_are_never_late_and_too_few_always() {
        let (load, Setup { world, .. }, _) = scene();
        let enough = replay_queue(&load, &world, &QUEUE, &mut Fixed(48));
        assert!(enough.late_percent < 0.01 && enough.over_work > 2.0, "{enough:?}");
        let few = replay_queue(&load, &world, &QUEUE, &mut Fixed(5));
        assert!(few.late_percent > 50.0 && few.oldest_seconds > 3_600.0, "{few:?}");
    }

    #[test]
    fn the_least_there_is_are_whole_consumers_with_whole_partitions() {
        let start = Timestamp::from_second(1_767_571_200).unwrap();
        let recording = Series::new(start, Duration::from_secs(300), vec![850.0; 288]).unwrap();
        let mut setup = Setup::new(Policy::simple(1, 48, 80.0), Duration::from_secs(60), 5);
        setup.dispersion = 0.0;
        let load = setup.load(&recording).unwrap();
        let seconds = (load.seconds() - RUN_IN as usize) as f64;
        let of = |partitions| least(&load, &QueueWorld { partitions, ..QUEUE }) / seconds;
        assert_eq!(of(None), 9.0, "8.5 consumers' work");
        // Of 15 partitions nobody may have more than one: two would be twice 56.7 a second, and a consumer does 100.
        assert_eq!((of(Some(15)), of(Some(48)), of(Some(240))), (15.0, 10.0, 9.0));
    }

    #[test]
    fn a_partition_shares_its_consumer() {
        assert_eq!(share_of(0, 4, 8), 1.0);
        assert_eq!((share_of(0, 4, 3), share_of(1, 4, 3), share_of(3, 4, 3)), (0.5, 1.0, 0.5));
        assert_eq!(share_of(2, 4, 0), 0.0);
    }

    #[test]
    fn the_promise_is_kept_better_than_by_a_lag_threshold() {
        let (load, Setup { world, forecast, .. }, forecasts) = scene();
        let mut ours =
            ForesailQueue::new(&load, queue_policy(&QUEUE, &world), &QUEUE, &forecast, &[forecasts]);
        let ours = replay_queue(&load, &world, &QUEUE, &mut ours);
        assert!(ours.late_percent <= 0.1, "{ours:?}");
        assert!(ours.over_work < OVER_WORK && ours.over_least < OVER_LEAST, "{ours:?}");
        assert!(ours.changes_per_hour <= 4.0, "{ours:?}");
        // Thresholds up to what one consumer works off within the promise: what KEDA's users are told to set.
        for share in [0.05, 0.1, 0.25, 0.5, 1.0] {
            let threshold = share * QUEUE.per_consumer * QUEUE.drain_within;
            let keda = replay_queue(&load, &world, &QUEUE, &mut KedaLag::new(threshold, &QUEUE, &world));
            let hpa = replay_queue(&load, &world, &QUEUE, &mut HpaLag::new(threshold, &world));
            for other in [keda, hpa] {
                let cheaper = other.consumer_hours <= ours.consumer_hours;
                assert!(
                    !cheaper || ours.late_percent <= 0.2 * other.late_percent,
                    "{ours:?} against {share}: {other:?}"
                );
            }
        }
    }
}
