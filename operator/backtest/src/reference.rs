//! What a comparison is held against: the autoscaler that somebody has, or the usual HPA of the policy.

use serde::Serialize;

use crate::baseline::{Keda, KedaSpec};
use crate::baselines::Contender;
use crate::hpa::{Hpa, HpaSpec, Metric};
use crate::scaler::Scaler;
use crate::world::World;

/// An autoscaler that runs today, from its own object.
#[derive(Clone, Debug, PartialEq)]
pub struct Existing {
    /// Its object, such as `HPA shop/web`.
    pub name: String,
    /// What it does.
    pub spec: ExistingSpec,
}

/// What an existing autoscaler does.
#[derive(Clone, Debug, PartialEq)]
pub enum ExistingSpec {
    /// A HorizontalPodAutoscaler.
    Hpa(HpaSpec),
    /// A KEDA ScaledObject.
    Keda(KedaSpec),
}

impl ExistingSpec {
    /// The HPA itself, or the one that KEDA makes.
    pub fn hpa(&self) -> &HpaSpec {
        match self {
            Self::Hpa(spec) => spec,
            Self::Keda(spec) => &spec.hpa,
        }
    }
}

impl Existing {
    /// The same with its loads in a unit of which `factor` make one of before.
    pub fn in_unit(mut self, factor: f64) -> Self {
        let hpa = match &mut self.spec {
            ExistingSpec::Hpa(spec) => spec,
            ExistingSpec::Keda(spec) => {
                spec.activation *= factor;
                &mut spec.hpa
            }
        };
        for metric in &mut hpa.metrics {
            if let Metric::Average(target) = metric {
                *target *= factor;
            }
        }
        self
    }

    /// The autoscaler, ready to run.
    pub fn scaler(&self) -> Box<dyn Scaler> {
        match &self.spec {
            ExistingSpec::Hpa(spec) => Box::new(Hpa::new(spec.clone())),
            ExistingSpec::Keda(spec) => Box::new(Keda::new(spec.clone())),
        }
    }

    /// The world with the autoscaler's own bounds instead of the policy's.
    pub(crate) fn world(&self, world: &World) -> World {
        let min_replicas = match &self.spec {
            ExistingSpec::Hpa(spec) => spec.min,
            ExistingSpec::Keda(spec) => spec.idle.unwrap_or(spec.min).min(spec.min),
        };
        World { min_replicas, max_replicas: self.spec.hpa().max, ..world.clone() }
    }
}

/// What a comparison is held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// The name of its row.
    pub row: String,
    /// What it is called in a sentence, such as `an HPA at 70 %` or `the HPA shop/web`.
    pub words: String,
}

impl Reference {
    /// The HPA on CPU at so many percent of what saturates a replica.
    pub(crate) fn usual(percent: u32) -> Self {
        Self { row: Contender::Hpa(percent).name(), words: format!("an HPA at {percent} % CPU") }
    }

    pub(crate) fn existing(existing: &Existing) -> Self {
        Self { row: existing.name.clone(), words: format!("the {}", existing.name) }
    }
}
