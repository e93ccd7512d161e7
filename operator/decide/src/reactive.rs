//! The answer to the load there is: what an HPA would say, what bursts need on top, and what a surge needs.

use crate::policy::MetricKind;

/// A short-term load this many times the longer one is a surge, as in Knative's panic mode.
pub(crate) const SURGE: f64 = 2.0;
/// Ready replicas that carry this multiple of what they can, under a load that grows, are a surge too.
pub(crate) const OVERLOAD: f64 = 1.5;
/// A load grows where the short-term one is this many times the longer one.
pub(crate) const GROWTH: f64 = 1.2;
/// Neither counts below this multiple of the burst that is large and usual for the load.
pub(crate) const UNUSUAL: f64 = 2.0;
/// Headroom in a surge: it's still growing.
pub(crate) const SURGE_HEADROOM: f64 = 1.5;

/// Replicas for `load` where each carries `per_replica`; 0 for no load. Saturates.
pub(crate) fn need(load: f64, per_replica: f64) -> u32 {
    let ratio = load / per_replica;
    // What is a rounding error above a whole number isn't a reason for another replica.
    if ratio > 0.0 { (ratio - 1e-9).ceil().max(0.0) as u32 } else { 0 }
}

/// What an HPA answers to an external metric (`GetExternalPerPodMetricReplicas` and `GetExternalMetricReplicas` of
/// Kubernetes' `replica_calculator.go`): the load over the target, and no change within the tolerance. The second
/// value says whether it was within. `target` is the metric's, or what was learnt in its place.
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
