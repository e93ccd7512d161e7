//! KEDA: an HPA on an external metric with a target per replica, and KEDA's own part between none and one replica.
//! From its documentation: `pollingInterval` 30 s and `cooldownPeriod` 300 s only matter between 0 and 1; an empty or
//! NaN answer counts as 0 (`ignoreNullValues` is true by default); after `failureThreshold` failed calls a `fallback`
//! gives a fixed number, where one is set.

use series::AbsenceReason;

use crate::hpa::{Behavior, Normalizer, Tolerance, external_replicas};
use crate::scaler::{Answer, Scaler, View};

/// A ScaledObject with one Prometheus trigger.
#[derive(Clone, Debug)]
pub struct Keda {
    threshold: f64,
    min: u32,
    ignore_null: bool,
    fallback: Option<(u32, u32)>,
    failures: u32,
    idle_since: Option<usize>,
    normalizer: Normalizer,
}

impl Keda {
    /// A trigger with its `threshold` per replica, between `min` (which may be 0) and `max` replicas.
    pub fn new(threshold: f64, min: u32, max: u32) -> Self {
        let normalizer = Normalizer::new(None::<Behavior>, min.max(1), max);
        Self { threshold, min, ignore_null: true, fallback: None, failures: 0, idle_since: None, normalizer }
    }

    /// With `fallback`: after so many failures, so many replicas.
    pub fn fallback(mut self, failures: u32, replicas: u32) -> Self {
        self.fallback = Some((failures, replicas));
        self
    }

    /// The metric as KEDA's metrics server hands it on; `None` for an error.
    fn metric(&self, view: &View<'_>) -> Option<f64> {
        match view.signal.reading.absence() {
            None => view.signal.reading.fresh(),
            Some(a) if matches!(a.reason, AbsenceReason::Empty | AbsenceReason::NotANumber) => {
                self.ignore_null.then_some(0.0)
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

    /// Between no replica and one: on the first message up, down only after the cooldown.
    fn zero_or_one(&mut self, view: &View<'_>, value: f64) -> Option<u32> {
        if self.min > 0 {
            return None;
        }
        if value > 0.0 {
            self.idle_since = None;
            return (view.spec == 0).then_some(1);
        }
        let since = *self.idle_since.get_or_insert(view.second);
        (view.spec == 0 || view.second - since >= 300).then_some(0)
    }
}

impl Scaler for Keda {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        let Some(value) = self.metric(view) else {
            self.failures += 1;
            let replicas = match self.fallback {
                Some((after, n)) if self.failures >= after => {
                    self.normalizer.normalize(view.second, view.spec, n)
                }
                _ => view.spec,
            };
            return Answer::with(replicas, explain, &[("no metric", replicas)]);
        };
        self.failures = 0;
        if let Some(n) = self.zero_or_one(view, value) {
            return Answer::with(n, explain, &[("activation", n)]);
        }
        let proposal = external_replicas(value, self.threshold, view.spec, Tolerance::default());
        let replicas = self.normalizer.normalize(view.second, view.spec, proposal);
        Answer::with(replicas, explain, &[("proposal", proposal), ("normalized", replicas)])
    }
}
