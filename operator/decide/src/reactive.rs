//! The answer to the load there is: what an HPA would say, what bursts need on top, and what a surge needs.

use crate::policy::MetricKind;

/// A load this many times its mean of five minutes is a surge, as in Knative's panic mode.
const SURGE: f64 = 2.0;
/// Ready replicas that carry this multiple of what they can, under a load that grows, are a surge too.
const OVERLOAD: f64 = 1.5;
/// A load grows where it is this many times its mean.
const GROWTH: f64 = 1.2;
/// Headroom in a surge: it's still growing.
pub(crate) const SURGE_HEADROOM: f64 = 1.5;

/// Whether a load surges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surge {
    /// The load measured now.
    pub(crate) load: f64,
    /// Its mean over five minutes, where that is known.
    pub(crate) mean: Option<f64>,
    /// What a replica carries.
    pub(crate) per_replica: f64,
    /// A load up to this many times its mean is usual here: [`crate::Sizing::usual_peak`].
    pub(crate) usual_peak: f64,
}

impl Surge {
    /// How many times its mean the load is.
    pub(crate) fn times(&self) -> Option<f64> {
        self.mean.filter(|mean| *mean > 0.0).map(|mean| self.load / mean)
    }

    /// Whether the load jumped. A handful of requests more than nothing is no surge.
    pub(crate) fn is_sudden(&self) -> bool {
        self.load > self.per_replica && self.times().is_some_and(|times| times >= SURGE.max(self.usual_peak))
    }

    /// The replicas that the surge needs, if there is one for so many ready replicas.
    pub(crate) fn replicas(&self, ready: u32) -> Option<u32> {
        let grows = self.times().is_some_and(|times| times >= GROWTH.max(self.usual_peak));
        let carried = self.per_replica * f64::from(ready.max(1));
        let overloaded = self.load > self.per_replica && grows && self.load > OVERLOAD * carried;
        (self.is_sudden() || overloaded).then(|| need(self.load * SURGE_HEADROOM, self.per_replica))
    }
}

/// Replicas for `load` where each carries `per_replica`; 0 for no load. Saturates.
pub fn need(load: f64, per_replica: f64) -> u32 {
    let ratio = load / per_replica;
    // What is a rounding error above a whole number isn't a reason for another replica.
    if ratio > 0.0 { (ratio - 1e-9).ceil().max(0.0) as u32 } else { 0 }
}

/// What an HPA answers to an external metric (`GetExternalPerPodMetricReplicas` and `GetExternalMetricReplicas` of
/// Kubernetes' `replica_calculator.go`): the load over the target, and no change within the tolerance. The second
/// value says whether it was within. `target` is the metric's, or what was learned in its place.
pub(crate) fn hpa(
    kind: &MetricKind,
    target: f64,
    value: f64,
    spec: u32,
    ready: u32,
    tolerance: (f64, f64),
) -> (u32, bool) {
    let within = |ratio: f64| 1.0 - tolerance.1 <= ratio && ratio <= 1.0 + tolerance.0;
    match kind {
        MetricKind::Value => {
            let ratio = value / target;
            if within(ratio) {
                return (spec, true);
            }
            (need(ratio * f64::from(ready), 1.0), false)
        }
        MetricKind::AverageValue | MetricKind::Backlog(_) => {
            if spec > 0 && within(value / (target * f64::from(spec))) {
                return (spec, true);
            }
            (need(value, target), false)
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::policy::MetricPolicy;

    #[rstest]
    // The HPA's documentation, "Algorithm details": desired = ceil(current * value / target).
    #[case::doubled(4, 800.0, 100.0, 8, false)]
    #[case::halved(4, 200.0, 100.0, 2, false)]
    #[case::within_a_tenth(10, 1_090.0, 100.0, 10, true)]
    #[case::just_outside(10, 1_110.0, 100.0, 12, false)]
    #[case::within_a_tenth_below(10, 910.0, 100.0, 10, true)]
    #[case::nothing_to_do(3, 0.0, 100.0, 0, false)]
    fn an_average_value_is_divided_by_the_target(
        #[case] spec: u32,
        #[case] value: f64,
        #[case] target: f64,
        #[case] replicas: u32,
        #[case] within: bool,
    ) {
        let metric = MetricPolicy::average("load", target);
        assert_eq!(hpa(&metric.kind, target, value, spec, spec, (0.1, 0.1)), (replicas, within));
    }

    #[test]
    fn a_value_scales_the_ready_replicas() {
        let metric = MetricPolicy { kind: MetricKind::Value, ..MetricPolicy::average("latency", 100.0) };
        assert_eq!(hpa(&metric.kind, 100.0, 150.0, 6, 4, (0.1, 0.1)), (6, false));
        assert_eq!(hpa(&metric.kind, 100.0, 105.0, 6, 4, (0.1, 0.1)), (6, true));
    }

    #[test]
    fn each_direction_has_its_own_tolerance() {
        let metric = MetricPolicy::average("load", 100.0);
        assert_eq!(hpa(&metric.kind, 100.0, 1_050.0, 10, 10, (0.0, 0.1)), (11, false));
        assert_eq!(hpa(&metric.kind, 100.0, 950.0, 10, 10, (0.1, 0.0)), (10, false));
    }

    #[test]
    fn absurd_loads_saturate() {
        assert_eq!(need(f64::MAX, f64::MIN_POSITIVE), u32::MAX);
        assert_eq!(need(300.0, 100.0), 3);
        assert_eq!(need(-5.0, 100.0), 0);
        assert_eq!(need(f64::NAN, 100.0), 0);
    }
}
