//! The HorizontalPodAutoscaler, v2, as the baseline everything is compared with. It follows the kube-controller-manager
//! (`pkg/controller/podautoscaler`), not our own deciding code: a mistake there must not flatter us here.

mod normalize;
mod replicas;

pub use normalize::{Behavior, Normalizer, Policy, PolicyKind, Rules, Select};
pub use replicas::{PodGroups, Tolerance, external_replicas, resource_replicas};

use crate::scaler::{Answer, Scaler, View};

/// What an HPA reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// CPU utilization of the pods against a target in percent of the request.
    Utilization(u32),
    /// An external metric against a target per replica, as KEDA sets it up.
    Average(f64),
}

/// An HPA in the plant.
#[derive(Clone, Debug)]
pub struct Hpa {
    metric: Metric,
    tolerance: Tolerance,
    normalizer: Normalizer,
}

impl Hpa {
    /// An HPA with the controller's own defaults. `behavior` is `None` where the object sets none, which isn't the
    /// same as its defaults.
    pub fn new(metric: Metric, behavior: Option<Behavior>, min: u32, max: u32) -> Self {
        Self { metric, tolerance: Tolerance::default(), normalizer: Normalizer::new(behavior, min, max) }
    }

    /// Replicas before normalizing; `None` where the metric can't be had, on which the HPA changes nothing.
    pub fn proposal(&self, view: &View<'_>) -> Option<u32> {
        match self.metric {
            Metric::Utilization(target) => {
                let groups = PodGroups::of(&view.pods);
                view.pods.available.then_some(())?;
                resource_replicas(&groups, view.spec, target, self.tolerance)
            }
            Metric::Average(target) => {
                let value = view.signal.reading.fresh()?;
                Some(external_replicas(value, target, view.spec, self.tolerance))
            }
        }
    }
}

impl Scaler for Hpa {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        let Some(proposal) = self.proposal(view) else { return Answer::plain(view.spec) };
        let replicas = self.normalizer.normalize(view.second, view.spec, proposal);
        Answer::with(replicas, explain, &[("proposal", proposal), ("normalized", replicas)])
    }
}
