//! The promise of a queue over many shapes of arrivals: how often it was broken and at what cost, beside a lag threshold
//! that was tuned in hindsight. Recordings come in, a table goes out.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use decide::Policy;
use jiff::Timestamp;
use rayon::prelude::*;
use serde::Serialize;
use series::Series;

use super::{ForesailQueue, HpaLag, KedaLag, QueueScore, QueueWorld, queue_policy, replay_queue};
use crate::compare::Setup;
use crate::load::{Load, LoadError};
use crate::random;
use crate::world::{Startup, World};
use autoscaler::{Prepared, forecast_settings};

/// Messages one consumer finishes in a second, in every scene.
const PER_CONSUMER: f64 = 100.0;
/// Consumers that the highest arrivals keep busy.
const PEAK: f64 = 30.0;
const MOST_CONSUMERS: u32 = 60;
const SLOTS_A_DAY: usize = 288;
const DAYS: usize = 12;

/// Arrivals of a slot as a share of the most there are.
type Shape = fn(usize) -> f64;

/// One shape of arrivals.
#[derive(Clone, Debug)]
pub struct ProofScene {
    /// Its name.
    pub name: String,
    /// Messages a second.
    pub arrivals: Series,
}

/// One shape of arrivals on one kind of queue.
#[derive(Clone, Debug, Serialize)]
pub struct ProofRow {
    /// The shape.
    pub scene: String,
    /// The queue.
    pub queue: QueueWorld,
    /// Median start-up of a consumer in seconds.
    pub startup_seconds: f64,
    /// Foresail.
    pub ours: QueueScore,
    /// KEDA's lag rule with the threshold that was late least at no more consumer-hours; the cheapest one where all
    /// cost more.
    pub keda: QueueScore,
    /// An HPA on lag, chosen likewise.
    pub hpa: QueueScore,
}

/// What a proof found.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Every shape on every kind of queue.
    pub rows: Vec<ProofRow>,
}

/// The kinds of queue that arrivals are replayed on: many partitions, fewer partitions with the long pauses of an eager
/// rebalance, and one that consumers share.
fn kinds(drain_within: f64) -> [(QueueWorld, Duration); 4] {
    let queue = |partitions, rebalance| QueueWorld {
        partitions,
        per_consumer: PER_CONSUMER,
        rebalance,
        drain_within,
    };
    [
        (queue(None, 0), Duration::from_secs(60)),
        (queue(Some(240), 5), Duration::from_secs(30)),
        (queue(Some(240), 5), Duration::from_secs(60)),
        (queue(Some(48), 20), Duration::from_secs(60)),
    ]
}

/// Shapes of arrivals that queues know: a wave over the day, office hours, a batch at the top of each hour, noise without
/// a season, and a level that triples one day. The same each time.
pub fn scenes() -> Vec<ProofScene> {
    let shapes: [(&str, Shape); 5] = [
        ("daily wave", |slot| wave(slot) * (1.0 + 0.05 * noise(slot, 1))),
        ("office hours", |slot| office(slot) * (1.0 + 0.05 * noise(slot, 2))),
        ("hourly batches", |slot| (0.35 * wave(slot) + batch(slot)) * (1.0 + 0.05 * noise(slot, 3))),
        ("noise", |slot| walk(slot)),
        ("level triples", |slot| {
            let level = if slot >= (DAYS - 1) * SLOTS_A_DAY + 130 { 0.9 } else { 0.3 };
            level * (0.8 + 0.2 * wave(slot)) * (1.0 + 0.05 * noise(slot, 5))
        }),
    ];
    let begin = Timestamp::UNIX_EPOCH;
    let slots = 0..DAYS * SLOTS_A_DAY;
    shapes
        .into_iter()
        .filter_map(|(name, shape)| {
            let values = slots.clone().map(|slot| 3_000.0 * shape(slot).max(0.0)).collect();
            let arrivals = Series::new(begin, Duration::from_secs(300), values).ok()?;
            Some(ProofScene { name: name.to_owned(), arrivals })
        })
        .collect()
}

fn wave(slot: usize) -> f64 {
    let day = slot as f64 / SLOTS_A_DAY as f64;
    0.55 - 0.45 * (std::f64::consts::TAU * day).cos()
}

fn office(slot: usize) -> f64 {
    let hour = (slot % SLOTS_A_DAY) as f64 / 12.0;
    let weekend = matches!((slot / SLOTS_A_DAY) % 7, 2 | 3);
    let edge = |at: f64| 1.0 / (1.0 + (-(hour - at) * 8.0).exp());
    let open = edge(8.0) - edge(18.0);
    0.08 + if weekend { 0.15 } else { 0.9 } * open
}

fn batch(slot: usize) -> f64 {
    if slot % 12 < 2 { 0.55 } else { 0.0 }
}

fn noise(slot: usize, stream: u64) -> f64 {
    random::normal(7, stream, slot as u64)
}

/// A level that wanders: the mean of the last two hours' noise, wide.
fn walk(slot: usize) -> f64 {
    let mean = (0..24).map(|back| noise(slot + 24 - back, 4)).sum::<f64>() / 24.0;
    (0.5 + 0.9 * mean).clamp(0.1, 1.0) * (1.0 + 0.1 * noise(slot, 5))
}

/// Replays `scenes` with a promise of `drain_within` on every kind of queue. Of each recording at most two days are
/// scored, and the time before them is known history. The baselines try so many `thresholds`, from a fiftieth to twice
/// what a consumer works off within the promise, evenly on a logarithmic scale.
pub fn prove(scenes: &[ProofScene], drain_within: Duration, thresholds: u32) -> Result<Proof, LoadError> {
    let prove = |scene| prove_scene(scene, drain_within, thresholds);
    let cells: Vec<Vec<ProofRow>> = scenes.par_iter().map(prove).collect::<Result<_, _>>()?;
    Ok(Proof { rows: cells.into_iter().flatten().collect() })
}

fn prove_scene(
    scene: &ProofScene,
    drain_within: Duration,
    thresholds: u32,
) -> Result<Vec<ProofRow>, LoadError> {
    let policy = Policy::simple(1, MOST_CONSUMERS, PER_CONSUMER);
    let mut setup = Setup::new(policy, Duration::from_secs(60), 11);
    setup.scored = Duration::from_secs(2 * 86_400);
    setup.peak_replicas = Some(PEAK * setup.world.capacity / PER_CONSUMER * setup.world.promise);
    let load = setup.load(&scene.arrivals)?;
    let forecasts = setup.forecasts(&load);
    let rows = kinds(drain_within.as_secs_f64()).into_par_iter().map(|(queue, startup)| {
        let world = World { startup: Startup::around(startup), ..setup.world.clone() };
        row(&scene.name, (&load, &forecasts), &world, &queue, thresholds)
    });
    Ok(rows.collect())
}

fn row(
    scene: &str,
    (load, forecasts): (&Load, &[Arc<Prepared>]),
    world: &World,
    queue: &QueueWorld,
    thresholds: u32,
) -> ProofRow {
    let policy = queue_policy(queue, world);
    let settings = forecast_settings(policy.lead_time, &[policy.protection]);
    let mut ours = ForesailQueue::new(load, policy, queue, &settings, forecasts);
    let ours = replay_queue(load, world, queue, &mut ours);
    let swept: Vec<(QueueScore, QueueScore)> = (0..thresholds)
        .into_par_iter()
        .map(|i| {
            let share = 0.02 * 100f64.powf(f64::from(i) / f64::from(thresholds.max(2) - 1));
            let threshold = share * queue.per_consumer * queue.drain_within;
            let keda = replay_queue(load, world, queue, &mut KedaLag::new(threshold, queue, world));
            (keda, replay_queue(load, world, queue, &mut HpaLag::new(threshold, world)))
        })
        .collect();
    let (keda, hpa): (Vec<_>, Vec<_>) = swept.into_iter().unzip();
    ProofRow {
        scene: scene.to_owned(),
        queue: *queue,
        startup_seconds: world.startup.median,
        keda: best(&keda, ours.consumer_hours),
        hpa: best(&hpa, ours.consumer_hours),
        ours,
    }
}

/// The least late of those that cost no more than `hours`, or the cheapest.
fn best(swept: &[QueueScore], hours: f64) -> QueueScore {
    let affordable = swept.iter().filter(|s| s.consumer_hours <= hours);
    affordable
        .min_by(|a, b| a.late_percent.total_cmp(&b.late_percent))
        .or_else(|| swept.iter().min_by(|a, b| a.consumer_hours.total_cmp(&b.consumer_hours)))
        .copied()
        .unwrap_or_default()
}

impl Proof {
    /// The proof as a table.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{:<15} {:>10} {:>5} {:>6} | {:>7} {:>6} {:>7} {:>5} {:>5} {:>7} | {:>7} {:>6} {:>5} | {:>7} {:>6} {:>5}",
            "arrivals",
            "partitions",
            "pause",
            "start",
            "late %",
            "x work",
            "x least",
            "chg/h",
            "joins",
            "oldest",
            "KEDA %",
            "x work",
            "chg/h",
            "HPA %",
            "x work",
            "chg/h"
        );
        for row in &self.rows {
            let partitions = row.queue.partitions.map_or_else(|| "shared".to_owned(), |p| p.to_string());
            let (ours, keda, hpa) = (&row.ours, &row.keda, &row.hpa);
            let _ = writeln!(
                out,
                "{:<15} {partitions:>10} {:>4}s {:>5}s | {:>7.3} {:>6.3} {:>7.3} {:>5.1} {:>5.1} {:>6.0}s | {:>7.3} {:>6.3} {:>5.1} | {:>7.3} {:>6.3} \
                 {:>5.1}",
                row.scene,
                row.queue.rebalance,
                row.startup_seconds,
                ours.late_percent,
                ours.over_work,
                ours.over_least,
                ours.changes_per_hour,
                ours.rebalances_per_hour,
                ours.oldest_seconds,
                keda.late_percent,
                keda.over_work,
                keda.changes_per_hour,
                hpa.late_percent,
                hpa.over_work,
                hpa.changes_per_hour
            );
        }
        let mean =
            |f: fn(&ProofRow) -> f64| self.rows.iter().map(f).sum::<f64>() / self.rows.len().max(1) as f64;
        let (ours, keda, hpa) =
            (mean(|r| r.ours.late_percent), mean(|r| r.keda.late_percent), mean(|r| r.hpa.late_percent));
        let fewer = |other: f64| if other > 0.0 { 100.0 * (1.0 - ours / other) } else { 0.0 };
        let _ = writeln!(
            out,
            "mean: late {ours:.3} % of the time at {:.3} x the work with {:.1} changes an hour; {:.0} % less than KEDA \
             ({keda:.3} %), {:.0} % less than an HPA on lag ({hpa:.3} %), each tuned in hindsight to no more consumer-hours",
            mean(|r| r.ours.over_work),
            mean(|r| r.ours.changes_per_hour),
            fewer(keda),
            fewer(hpa)
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_is_the_least_late_threshold_that_costs_no_more_or_the_cheapest() {
        let score = |late_percent, consumer_hours| QueueScore {
            late_percent,
            consumer_hours,
            ..QueueScore::default()
        };
        let swept = [score(9.0, 10.0), score(4.0, 12.0), score(0.1, 20.0)];
        assert_eq!(best(&swept, 15.0).late_percent, 4.0);
        assert_eq!(best(&swept, 5.0).late_percent, 9.0, "it would be unfair to have none");
    }

    #[test]
    fn shapes_are_the_same_each_time_and_never_below_zero() {
        let (first, second) = (scenes(), scenes());
        assert_eq!(first.len(), 5);
        for (a, b) in first.iter().zip(&second) {
            assert_eq!(a.arrivals, b.arrivals, "{}", a.name);
            assert!(a.arrivals.raw().iter().all(|v| *v >= 0.0), "{}", a.name);
        }
    }
}
