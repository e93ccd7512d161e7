//! The HPA's replica calculator (`replica_calculator.go`): pods and their metrics in, a number of replicas out.

use crate::scaler::PodMetrics;

/// Pods as the calculator sorts them. Values are in milli-units of a request of 1000.
#[derive(Clone, Debug, Default)]
pub struct PodGroups {
    /// Usage of each ready pod that has a sample.
    pub ready: Vec<i64>,
    /// Pods that aren't ready yet, or have no sample since.
    pub unready: usize,
    /// Pods that should have a sample and don't.
    pub missing: usize,
    /// The request of each pod.
    pub request: i64,
}

impl PodGroups {
    /// The groups of a plant whose pods share load equally.
    pub fn of(pods: &PodMetrics) -> Self {
        Self {
            ready: vec![(pods.utilization * 1_000.0).round() as i64; pods.measured as usize],
            unready: pods.unready as usize,
            missing: pods.missing as usize,
            request: 1_000,
        }
    }

    /// Utilization in whole percent, as the controller computes it, over `usage` of so many pods.
    fn percent(&self, usage: i64, pods: usize) -> i64 {
        usage * 100 / (self.request * pods as i64).max(1)
    }
}

/// `GetResourceReplicas`: replicas for a CPU utilization target in percent, or `None` where no ready pod has a metric.
pub fn resource_replicas(groups: &PodGroups, current: u32, target: u32, tolerance: f64) -> Option<u32> {
    let usage: i64 = groups.ready.iter().sum();
    let measured = groups.ready.len();
    if measured == 0 {
        return None;
    }
    let ratio = groups.percent(usage, measured) as f64 / f64::from(target);
    let with_unready = groups.unready > 0 && ratio > 1.0;
    if !with_unready && groups.missing == 0 {
        if (1.0 - ratio).abs() <= tolerance {
            return Some(current);
        }
        return Some((ratio * measured as f64).ceil() as u32);
    }
    let (mut usage, mut pods) = (usage, measured);
    if groups.missing > 0 && ratio != 1.0 {
        // On the way down a missing pod counts as fully busy, on the way up as idle: ignorance only makes cautious.
        if ratio < 1.0 {
            let fallback = i64::from(target.max(100));
            usage += groups.missing as i64 * groups.request * fallback / 100;
        }
        pods += groups.missing;
    }
    if with_unready {
        pods += groups.unready;
    }
    let again = groups.percent(usage, pods) as f64 / f64::from(target);
    let flips = (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0);
    if (1.0 - again).abs() <= tolerance || flips {
        return Some(current);
    }
    let replicas = (again * pods as f64).ceil() as u32;
    let against = (again < 1.0 && replicas > current) || (again > 1.0 && replicas < current);
    Some(if against { current } else { replicas })
}

/// `GetExternalPerPodMetricReplicas`: replicas for an external metric with a target per replica.
pub fn external_replicas(value: f64, target: f64, current: u32, tolerance: f64) -> u32 {
    let ratio = value / (target * f64::from(current));
    if ratio.is_finite() && (1.0 - ratio).abs() <= tolerance {
        return current;
    }
    (value / target - 1e-9).ceil().max(0.0) as u32
}

#[cfg(test)]
mod tests {
    //! Worked examples of Kubernetes itself: each is named after the test in
    //! `kubernetes/kubernetes`, `pkg/controller/podautoscaler/replica_calculator_test.go`, it's taken from.
    use super::*;

    fn calc(current: u32, target: u32, ready: &[i64], unready: usize, missing: usize) -> u32 {
        let groups = PodGroups { ready: ready.to_vec(), unready, missing, request: 1_000 };
        resource_replicas(&groups, current, target, 0.1).unwrap()
    }

    #[test]
    fn test_replica_calc_scale_up() {
        assert_eq!(calc(3, 30, &[300, 500, 700], 0, 0), 5);
    }

    #[test]
    fn test_replica_calc_scale_up_unready_less_scale() {
        assert_eq!(calc(3, 30, &[500, 700], 1, 0), 4);
    }

    #[test]
    fn test_replica_calc_scale_up_hot_cpu_less_scale() {
        // The pod started a moment ago: its metric is ignored like that of an unready one.
        assert_eq!(calc(3, 30, &[500, 700], 1, 0), 4);
    }

    #[test]
    fn test_replica_calc_scale_up_unready_no_scale() {
        assert_eq!(calc(3, 30, &[400], 2, 0), 3);
    }

    #[test]
    fn test_replica_calc_scale_up_ignores_failed_pods() {
        assert_eq!(calc(2, 30, &[500, 700], 0, 0), 4);
    }

    #[test]
    fn test_replica_calc_scale_down() {
        assert_eq!(calc(5, 50, &[100, 300, 500, 250, 250], 0, 0), 3);
    }

    #[test]
    fn test_replica_calc_scale_down_include_unready_pods() {
        assert_eq!(calc(5, 50, &[100, 300, 500], 2, 0), 2);
    }

    #[test]
    fn test_replica_calc_scale_down_exclude_unscheduled_pods() {
        assert_eq!(calc(5, 50, &[100], 4, 0), 1);
    }

    #[test]
    fn test_replica_calc_superfluous_metrics() {
        assert_eq!(calc(4, 100, &[4_000, 9_500, 3_000, 7_000], 0, 0), 24);
    }

    #[test]
    fn test_replica_calc_missing_metrics() {
        assert_eq!(calc(4, 100, &[400, 95], 0, 2), 3);
    }

    #[test]
    fn test_replica_calc_missing_metrics_no_change_eq() {
        assert_eq!(calc(2, 100, &[1_000], 0, 1), 2);
    }

    #[test]
    fn test_replica_calc_missing_metrics_no_change_gt() {
        assert_eq!(calc(2, 100, &[1_900], 0, 1), 2);
    }

    #[test]
    fn test_replica_calc_missing_metrics_no_change_lt() {
        assert_eq!(calc(2, 100, &[600], 0, 1), 2);
    }

    #[test]
    fn test_replica_calc_missing_metrics_unready_change() {
        assert_eq!(calc(3, 50, &[450], 1, 1), 3);
    }

    #[test]
    fn test_replica_calc_missing_metrics_unready_scale_up() {
        assert_eq!(calc(3, 50, &[2_000], 1, 1), 4);
    }

    #[test]
    fn test_replica_calc_missing_metrics_unready_scale_down() {
        assert_eq!(calc(4, 50, &[100, 100], 1, 1), 3);
    }

    #[test]
    fn test_replica_calc_during_rolling_update_with_max_surge() {
        assert_eq!(calc(2, 50, &[100, 100], 0, 1), 2);
    }

    #[test]
    fn test_replica_calc_scale_up_per_pod_cm_external() {
        assert_eq!(external_replicas(8_600.0, 2_150.0, 3, 0.1), 4);
    }

    #[test]
    fn test_replica_calc_scale_down_per_pod_cm_external() {
        assert_eq!(external_replicas(8_600.0, 2_867.0, 5, 0.1), 3);
    }

    #[test]
    fn test_replica_calc_tolerance_per_pod_cm_external() {
        assert_eq!(external_replicas(8_600.0, 2_900.0, 3, 0.1), 3);
    }

    #[test]
    fn without_a_single_metric_there_is_no_answer() {
        assert_eq!(
            resource_replicas(&PodGroups { unready: 3, request: 1_000, ..PodGroups::default() }, 3, 50, 0.1),
            None
        );
    }

    #[test]
    fn saturation_limits_growth_to_one_over_the_target() {
        // Utilization can't exceed the limit: at 70 % a step grows by 1.43 at most, however large the load.
        assert_eq!(calc(10, 70, &[1_000; 10], 0, 0), 15);
    }
}
