//! The deciding code of production on a simulated queue.

use std::sync::Arc;
use std::time::Duration;

use decide::{
    History, MetricObservation, Observation, Outlook, Plan, Policy, QueueObservation, Replicas, plan,
    recommend,
};
use series::{Reading, Sample};

use super::{QueueScaler, QueueView, QueueWorld};
use crate::issued::Issued;
use crate::load::Load;
use crate::world::World;

/// Foresail on a queue.
pub struct ForesailQueue<'a> {
    load: &'a Load,
    policy: Policy,
    partitions: Option<u32>,
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
            startup: crate::ours::startup(startups),
            metrics: vec![MetricObservation {
                outlook,
                standing,
                queue: Some(QueueObservation {
                    arrivals: Some(view.arrivals),
                    served: Some(view.served),
                    partitions: self.partitions,
                    oldest: Some(Duration::from_secs_f64(view.oldest)),
                }),
                ..MetricObservation::fresh(name, reading)
            }],
            ..Observation::of(view.spec)
        }
    }
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

/// The policy for a queue's promise: everything else at its default, throughput learnt.
pub fn queue_policy(queue: &QueueWorld, world: &World) -> Policy {
    let metric = decide::MetricPolicy::backlog("queue", Duration::from_secs_f64(queue.drain_within));
    Policy { metrics: vec![metric], ..Policy::simple(world.min_replicas.max(1), world.max_replicas, 1.0) }
}
