//! The HorizontalPodAutoscaler, v2, as the baseline everything is compared with. It follows the kube-controller-manager
//! (`pkg/controller/podautoscaler`), not our own deciding code: a mistake there must not flatter us here.

mod normalize;
mod replicas;

pub use normalize::{Behavior, Normalizer, Policy, PolicyKind, Rules, Select};
pub use replicas::{PodGroups, Tolerance, external_replicas, resource_replicas};

use crate::scaler::{Answer, PodMetrics, Scaler, View};

/// What an HPA reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// CPU utilization of the pods against a target in percent of the request.
    Utilization(u32),
    /// The load against a target per replica, as an external metric with an `averageValue`.
    Average(f64),
}

/// An HPA's `spec`, without the workload.
#[derive(Clone, Debug, PartialEq)]
pub struct HpaSpec {
    /// `metrics`; the one that asks for the most replicas counts.
    pub metrics: Vec<Metric>,
    /// `behavior`; `None` where the object sets none, which isn't the same as its defaults.
    pub behavior: Option<Behavior>,
    /// `behavior.scaleDown.tolerance` and `behavior.scaleUp.tolerance`.
    pub tolerance: Tolerance,
    /// `minReplicas`.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
}

impl HpaSpec {
    /// An HPA on one metric, without `behavior`.
    pub fn on(metric: Metric, min: u32, max: u32) -> Self {
        Self { metrics: vec![metric], behavior: None, tolerance: Tolerance::default(), min, max }
    }

    /// Replicas before normalizing (`computeReplicasForMetrics`), from what the load metric says; `None` where nothing is
    /// changed, because no metric can be had or one can't and the others ask for fewer replicas.
    pub(crate) fn proposal(&self, current: u32, pods: &PodMetrics, load: Option<f64>) -> Option<u32> {
        let mut unknown = false;
        let mut most: Option<u32> = None;
        for metric in &self.metrics {
            match self.replicas(*metric, current, pods, load) {
                Some(replicas) => most = most.max(Some(replicas)),
                None => unknown = true,
            }
        }
        most.filter(|most| !unknown || *most >= current)
    }

    fn replicas(&self, metric: Metric, current: u32, pods: &PodMetrics, load: Option<f64>) -> Option<u32> {
        match metric {
            Metric::Utilization(target) => {
                pods.available.then_some(())?;
                resource_replicas(&PodGroups::of(pods), current, target, self.tolerance)
            }
            Metric::Average(target) => Some(external_replicas(load?, target, current, self.tolerance)),
        }
    }
}

/// An HPA in the plant.
#[derive(Clone, Debug)]
pub struct Hpa {
    spec: HpaSpec,
    normalizer: Normalizer,
}

impl Hpa {
    /// The HPA of a `spec`.
    pub fn new(spec: HpaSpec) -> Self {
        let normalizer = Normalizer::new(spec.behavior.clone(), spec.min, spec.max);
        Self { spec, normalizer }
    }

    /// Replicas before normalizing; `None` where the HPA changes nothing.
    pub fn proposal(&self, view: &View<'_>) -> Option<u32> {
        self.spec.proposal(view.spec, &view.pods, view.signal.reading.fresh())
    }
}

impl Scaler for Hpa {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        let Some(proposal) = self.proposal(view) else { return Answer::plain(view.spec) };
        let replicas = self.normalizer.normalize(view.second, view.spec, proposal);
        Answer::with(replicas, explain, &[("proposal", proposal), ("normalized", replicas)])
    }
}
