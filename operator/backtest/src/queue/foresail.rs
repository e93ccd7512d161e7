//! The operator's own autoscaler on a simulated queue.

use std::sync::Arc;
use std::time::Duration;

use autoscaler::{Autoscaler, Inputs, MetricInput, Prepared, QueueInput, Setup, StartUp};
use decide::{Policy, Replicas};
use forecast::Settings;
use series::{Absence, AbsenceReason, Count, Reading, Sample, time};

use super::{QueueScaler, QueueView, QueueWorld};
use crate::forecast_log::{of_recording, signal};
use crate::foresail::{carry_out, work_off};
use crate::load::Load;
use crate::world::World;

/// Foresail on a queue.
pub struct ForesailQueue<'a> {
    load: &'a Load,
    autoscaler: Autoscaler,
    partitions: Option<u32>,
    startups: usize,
}

impl<'a> ForesailQueue<'a> {
    /// With a policy whose first metric is a backlog, and the forecasts of its arrivals.
    pub fn new(
        load: &'a Load,
        policy: Policy,
        queue: &QueueWorld,
        settings: &Settings,
        prepared: &[Arc<Prepared>],
    ) -> Self {
        let settings = of_recording(settings, load.history().step());
        let signals = vec![signal(&settings, prepared.first().cloned())];
        let mut autoscaler = Autoscaler::new(Setup { policy, pause: None, signals, place: 0.0 });
        autoscaler.warm_up(0, load.earlier(), None, load.start());
        Self { load, autoscaler, partitions: queue.partitions, startups: 0 }
    }

    fn inputs(&mut self, view: &QueueView, startups: &[u32]) -> Inputs {
        let now = self.load.time_of(view.second);
        let backlog = Sample::new(now, view.backlog);
        let absent = || Absence::new(AbsenceReason::NotANumber, "no number");
        let ready = time::before(now, Duration::from_secs(6));
        let started = startups[self.startups.min(startups.len())..].iter();
        let startups_told =
            started.map(|took| StartUp { ready, took: Duration::from_secs(u64::from(*took)) }).collect();
        self.startups = startups.len();
        let queue = QueueInput {
            time: now,
            backlog: view.backlog.max(0.0) as u64,
            arrivals: Some(Count::PerSecond(view.arrivals)),
            served: Some(Count::PerSecond(view.served)),
            oldest: Some(Duration::from_secs_f64(view.oldest)),
            partitions: self.partitions,
        };
        let reading = backlog.map_or_else(|| Reading::Absent(absent()), Reading::Fresh);
        Inputs {
            replicas: Replicas {
                spec: view.spec,
                ready: view.ready,
                pending: view.spec.saturating_sub(view.ready),
                ..Replicas::default()
            },
            startups: startups_told,
            metrics: vec![MetricInput { queue: Some(queue), ..MetricInput::of(reading) }],
            ..Inputs::of(view.spec)
        }
    }
}

impl QueueScaler for ForesailQueue<'_> {
    fn decide(&mut self, view: &QueueView, startups: &[u32]) -> u32 {
        let now = self.load.time_of(view.second);
        let inputs = self.inputs(view, startups);
        let decided = self.autoscaler.step(&inputs, now);
        let replicas = carry_out(&mut self.autoscaler, &decided.plan, view.spec, now);
        work_off(&mut self.autoscaler, now, |_| false, |_| {});
        replicas
    }
}

/// The policy for a queue's promise: everything else at its default, throughput learned.
pub fn queue_policy(queue: &QueueWorld, world: &World) -> Policy {
    let metric = decide::MetricPolicy::backlog("queue", Duration::from_secs_f64(queue.drain_within));
    Policy { metrics: vec![metric], ..Policy::simple(world.min_replicas.max(1), world.max_replicas, 1.0) }
}
