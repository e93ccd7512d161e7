//! How lag is scaled on elsewhere: so many waiting messages a consumer.

use super::{QueueScaler, QueueView, QueueWorld};
use crate::hpa::{Normalizer, Tolerance, external_replicas};
use crate::world::World;

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
        let most = queue.partitions.unwrap_or(u32::MAX).min(world.max_replicas);
        Self { threshold, most, normalizer: Normalizer::new(None, world.min_replicas.max(1), most) }
    }
}

impl QueueScaler for KedaLag {
    fn decide(&mut self, view: &QueueView, _: &[u32]) -> u32 {
        let proposal =
            external_replicas(view.backlog, self.threshold, view.spec, Tolerance::default()).min(self.most);
        self.normalizer.normalize(view.second, view.spec, proposal)
    }
}

/// An HPA on lag as an external metric, `AverageValue`: the same rule without knowing of partitions.
#[derive(Clone, Debug)]
pub struct HpaLag {
    target: f64,
    normalizer: Normalizer,
}

impl HpaLag {
    /// With a target of so many waiting messages a consumer, and the controller's default behavior.
    pub fn new(target: f64, world: &World) -> Self {
        Self { target, normalizer: Normalizer::new(None, world.min_replicas.max(1), world.max_replicas) }
    }
}

impl QueueScaler for HpaLag {
    fn decide(&mut self, view: &QueueView, _: &[u32]) -> u32 {
        let proposal = external_replicas(view.backlog, self.target, view.spec, Tolerance::default());
        self.normalizer.normalize(view.second, view.spec, proposal)
    }
}
