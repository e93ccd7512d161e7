//! KEDA: an HPA on an external metric with a target per replica, and KEDA's own part between none and one replica.
//! From its documentation and `pkg/scaling/executor/scale_scaledobjects.go`: `pollingInterval` and `cooldownPeriod` only matter
//! between 0 and 1; an empty or NaN answer counts as 0 (`ignoreNullValues` is true by default); after `failureThreshold`
//! failed calls a `fallback` gives a number, where one is set.

use series::AbsenceReason;

use crate::hpa::{HpaSpec, Metric, Normalizer};
use crate::scaler::{Answer, PodMetrics, Scaler, View};

/// A ScaledObject's `spec`, without the workload.
#[derive(Clone, Debug, PartialEq)]
pub struct KedaSpec {
    /// The HPA that KEDA makes of it; `threshold` is the [`Metric::Average`] in it. Its `minReplicas` is 1 at least.
    pub hpa: HpaSpec,
    /// `minReplicaCount`, which may be 0.
    pub min: u32,
    /// `idleReplicaCount`: how many run while there is nothing to do, where that isn't `min`.
    pub idle: Option<u32>,
    /// `activationThreshold`: above it there is something to do.
    pub activation: f64,
    /// `pollingInterval` in seconds.
    pub polling: usize,
    /// `cooldownPeriod` in seconds.
    pub cooldown: usize,
    /// `ignoreNullValues`: nothing counts as 0.
    pub ignore_null: bool,
    /// `fallback`.
    pub fallback: Option<Fallback>,
}

/// What counts after several calls in a row have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// `failureThreshold`: after more calls than this.
    pub failures: u32,
    /// `replicas`.
    pub replicas: u32,
    /// `behavior`.
    pub kind: FallbackKind,
}

/// Which number a fallback gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FallbackKind {
    /// `static`: the one that is written.
    #[default]
    Static,
    /// `currentReplicas`.
    Current,
    /// `currentReplicasIfHigher`: the larger of the two.
    CurrentIfHigher,
    /// `currentReplicasIfLower`: the smaller of the two.
    CurrentIfLower,
}

impl Fallback {
    fn replicas(self, current: u32) -> u32 {
        match self.kind {
            FallbackKind::Static => self.replicas,
            FallbackKind::Current => current,
            FallbackKind::CurrentIfHigher => current.max(self.replicas),
            FallbackKind::CurrentIfLower => current.min(self.replicas),
        }
    }
}

impl KedaSpec {
    /// A Prometheus trigger with its `threshold` per replica and every default, between `min` (which may be 0) and `max`
    /// replicas.
    pub fn on(threshold: f64, min: u32, max: u32) -> Self {
        Self {
            hpa: HpaSpec::on(Metric::Average(threshold), min.max(1), max),
            min,
            idle: None,
            activation: 0.0,
            polling: 30,
            cooldown: 300,
            ignore_null: true,
            fallback: None,
        }
    }

    /// Replicas while there is nothing to do; `None` where the HPA alone decides.
    fn at_rest(&self) -> Option<u32> {
        self.idle.filter(|idle| *idle < self.min).or((self.min == 0).then_some(0))
    }
}

/// A ScaledObject in the plant.
#[derive(Clone, Debug)]
pub struct Keda {
    spec: KedaSpec,
    failures: u32,
    polled: Option<usize>,
    /// When there was something to do last.
    active: usize,
    normalizer: Normalizer,
}

impl Keda {
    /// The ScaledObject of a `spec`.
    pub fn new(spec: KedaSpec) -> Self {
        let normalizer = Normalizer::new(spec.hpa.behavior.clone(), spec.hpa.min, spec.hpa.max);
        Self { spec, failures: 0, polled: None, active: 0, normalizer }
    }

    /// The metric as KEDA's metrics server hands it on; `None` for an error.
    fn metric(&self, view: &View<'_>) -> Option<f64> {
        match view.signal.reading.absence() {
            None => view.signal.reading.fresh(),
            Some(a) if matches!(a.reason, AbsenceReason::Empty | AbsenceReason::NotANumber) => {
                self.spec.ignore_null.then_some(0.0)
            }
            // KEDA doesn't look at the time of a sample: what the server still answers is taken.
            Some(a) if matches!(a.reason, AbsenceReason::Stale | AbsenceReason::Future) => {
                match &view.signal.reading {
                    series::Reading::Stale { sample, .. } | series::Reading::Fresh(sample) => {
                        Some(sample.value())
                    }
                    series::Reading::Absent(_) => None,
                }
            }
            Some(_) => None,
        }
    }

    /// The metric that makes the HPA want what `fallback` says.
    fn fallback(&self, current: u32) -> Option<f64> {
        let fallback = self.spec.fallback.filter(|f| self.failures > f.failures)?;
        let threshold = self.spec.hpa.metrics.iter().find_map(|metric| match metric {
            Metric::Average(threshold) => Some(*threshold),
            Metric::Utilization(_) => None,
        })?;
        Some(threshold * f64::from(fallback.replicas(current)))
    }

    /// What KEDA itself sets between resting and working, once per polling; `None` where the HPA decides.
    fn rest_or_work(&mut self, second: usize, current: u32, value: Option<f64>) -> Option<u32> {
        let rest = self.spec.at_rest()?;
        let resting = current <= rest;
        if self.polled.is_some_and(|at| second - at < self.spec.polling) {
            // The HPA leaves a workload without replicas alone.
            return (resting && current == 0).then_some(0);
        }
        self.polled = Some(second);
        match value {
            Some(value) if value > self.spec.activation => {
                self.active = second;
                resting.then_some(self.spec.min.max(1))
            }
            Some(_) if resting || second - self.active > self.spec.cooldown => Some(rest),
            _ => (current == 0).then_some(0),
        }
    }

    /// Replicas to set where `current` are set, the pods' metrics are these, and the trigger's query answers `value`, or fails.
    pub fn step(&mut self, second: usize, current: u32, pods: &PodMetrics, value: Option<f64>) -> u32 {
        self.failures = if value.is_some() { 0 } else { self.failures + 1 };
        if let Some(replicas) = self.rest_or_work(second, current, value) {
            return replicas;
        }
        let value = value.or_else(|| self.fallback(current));
        let Some(proposal) = self.spec.hpa.proposal(current, pods, value) else { return current };
        self.normalizer.normalize(second, current, proposal)
    }
}

impl Scaler for Keda {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        let value = self.metric(view);
        let replicas = self.step(view.second, view.spec, &view.pods, value);
        Answer::with(replicas, explain, &[("keda", replicas)])
    }
}
