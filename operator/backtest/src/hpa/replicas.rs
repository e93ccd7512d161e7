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

/// Shares by which the ratio of usage to target may be off before anything is done, down and up (`Tolerances`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Below the target.
    pub down: f64,
    /// Above it.
    pub up: f64,
}

impl Default for Tolerance {
    /// The flag's default.
    fn default() -> Self {
        Self { down: 0.1, up: 0.1 }
    }
}

impl Tolerance {
    fn holds(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// `GetResourceReplicas`: replicas for a CPU utilization target in percent, or `None` where no ready pod has a metric.
pub fn resource_replicas(groups: &PodGroups, current: u32, target: u32, tolerance: Tolerance) -> Option<u32> {
    let usage: i64 = groups.ready.iter().sum();
    let measured = groups.ready.len();
    if measured == 0 {
        return None;
    }
    let ratio = groups.percent(usage, measured) as f64 / f64::from(target);
    let with_unready = groups.unready > 0 && ratio > 1.0;
    if !with_unready && groups.missing == 0 {
        if tolerance.holds(ratio) {
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
    if tolerance.holds(again) || flips {
        return Some(current);
    }
    let replicas = (again * pods as f64).ceil() as u32;
    let against = (again < 1.0 && replicas > current) || (again > 1.0 && replicas < current);
    Some(if against { current } else { replicas })
}

/// `GetExternalPerPodMetricReplicas`: replicas for an external metric with a target per replica.
pub fn external_replicas(value: f64, target: f64, current: u32, tolerance: Tolerance) -> u32 {
    let ratio = value / (target * f64::from(current));
    if ratio.is_finite() && tolerance.holds(ratio) {
        return current;
    }
    (value / target - 1e-9).ceil().max(0.0) as u32
}

#[cfg(test)]
mod tests {
    //! The cases of Kubernetes itself, as facts: each has the name of the test in `kubernetes/kubernetes`,
    //! `pkg/controller/podautoscaler/replica_calculator_test.go`, without its `TestReplicaCalc`. Left out are those of kinds of
    //! metrics that no baseline has (`Pods` and `Object` metrics, external ones that aren't per pod) and those whose pods differ
    //! in their requests.
    use super::*;

    /// Name; replicas; target in percent; tolerance down and up; pods: ready, unready, hot (started a moment ago), pending,
    /// failed, deleted; the usage of the first of them in milli-units of a request of 1000; replicas expected.
    type Case = (&'static str, u32, u32, (f64, f64), &'static str, &'static [i64], Option<u32>);

    #[rustfmt::skip]
    const CASES: &[Case] = &[
    ("ScaleUp", 3, 30, (0.1, 0.1), "rrr", &[300, 500, 700], Some(5)),
    ("ContainerScaleUp", 3, 30, (0.1, 0.1), "rrr", &[300, 500, 700], Some(5)),
    ("ScaleUpUnreadyLessScale", 3, 30, (0.1, 0.1), "urr", &[300, 500, 700], Some(4)),
    ("ScaleUpContainerHotCpuLessScale", 3, 30, (0.1, 0.1), "hrr", &[300, 500, 700], Some(4)),
    ("ScaleUpHotCpuLessScale", 3, 30, (0.1, 0.1), "hrr", &[300, 500, 700], Some(4)),
    ("ScaleUpUnreadyNoScale", 3, 30, (0.1, 0.1), "ruu", &[400, 500, 700], Some(3)),
    ("ScaleHotCpuNoScale", 3, 30, (0.1, 0.1), "ruu", &[400, 500, 700], Some(3)),
    ("ScaleUpIgnoresFailedPods", 2, 30, (0.1, 0.1), "rrff", &[500, 700], Some(4)),
    ("MissingContainerMetricScaleUpIgnoresFailedPods", 2, 30, (0.1, 0.1), "rrff", &[500, 700, 1_000, 9_000], Some(4)),
    ("ScaleUpContainerIgnoresFailedPods", 2, 30, (0.1, 0.1), "rrff", &[500, 700], Some(4)),
    ("ScaleUpIgnoresDeletionPods", 2, 30, (0.1, 0.1), "rrdd", &[500, 700], Some(4)),
    ("ScaleUpContainerIgnoresDeletionPods", 2, 30, (0.1, 0.1), "rrdd", &[500, 700], Some(4)),
    ("ScaleDown", 5, 50, (0.1, 0.1), "rrrrr", &[100, 300, 500, 250, 250], Some(3)),
    ("ContainerScaleDown", 5, 50, (0.1, 0.1), "rrrrr", &[100, 300, 500, 250, 250], Some(3)),
    ("ScaleDownExcludeUnreadyPods", 5, 50, (0.1, 0.1), "rrruu", &[100, 300, 500, 250, 250], Some(2)),
    ("ScaleDownContainerExcludeUnreadyPods", 5, 50, (0.1, 0.1), "rrruu", &[100, 300, 500, 250, 250], Some(2)),
    ("ScaleDownExcludeUnscheduledPods", 5, 50, (0.1, 0.1), "rpppp", &[100], Some(1)),
    ("ScaleDownContainerExcludeUnscheduledPods", 5, 50, (0.1, 0.1), "rpppp", &[100, 300, 500, 250, 250], Some(1)),
    ("ScaleDownIgnoreHotCpuPods", 5, 50, (0.1, 0.1), "rrrhh", &[100, 300, 500, 250, 250], Some(2)),
    ("ScaleDownContainerIgnoreHotCpuPods", 5, 50, (0.1, 0.1), "rrrhh", &[100, 300, 500, 1_000, 1_000], Some(2)),
    ("ScaleDownIgnoresFailedPods", 5, 50, (0.1, 0.1), "rrrrrff", &[100, 300, 500, 250, 250], Some(3)),
    ("ScaleDownContainerIgnoresFailedPods", 5, 50, (0.1, 0.1), "rrrrrff", &[100, 300, 500, 250, 250], Some(3)),
    ("ScaleDownIgnoresDeletionPods", 5, 50, (0.1, 0.1), "rrrrrdd", &[100, 300, 500, 250, 250], Some(3)),
    ("ScaleDownIgnoresDeletionPods_StillRunning", 5, 50, (0.1, 0.1), "rrrrrdd", &[100, 300, 500, 250, 250], Some(3)),
    ("Tolerance", 3, 100, (0.1, 0.1), "rrr", &[1_010, 1_030, 1_020], Some(3)),
    ("ConfigurableTolerance, Outside of a 0% tolerance", 3, 100, (0.0, 0.0), "rrr", &[909, 1_010, 1_111], Some(4)),
    ("ConfigurableTolerance, Within a 200% scale-up tolerance", 3, 100, (0.1, 2.0), "rrr", &[1_890, 1_910, 1_900], Some(3)),
    ("ConfigurableTolerance, Outside 8% scale-up tolerance (and superfuous scale-down tolerance)", 3, 100, (2.0, 0.08), "rrr", &[1_100, 1_080, 1_090], Some(4)),
    ("ConfigurableTolerance, Within a 36% scale-down tolerance", 3, 100, (0.36, 0.1), "rrr", &[660, 640, 650], Some(3)),
    ("ConfigurableTolerance, Outside a 34% scale-down tolerance", 3, 100, (0.34, 0.1), "rrr", &[660, 640, 650], Some(2)),
    ("SuperfluousMetrics", 4, 100, (0.1, 0.1), "rrrr", &[4_000, 9_500, 3_000, 7_000, 3_200, 2_000], Some(24)),
    ("MissingMetrics", 4, 100, (0.1, 0.1), "rrrr", &[400, 95], Some(3)),
    ("EmptyMetrics", 4, 100, (0.1, 0.1), "rrrr", &[], None),
    ("MissingMetricsNoChangeEq", 2, 100, (0.1, 0.1), "rr", &[1_000], Some(2)),
    ("MissingMetricsNoChangeGt", 2, 100, (0.1, 0.1), "rr", &[1_900], Some(2)),
    ("MissingMetricsNoChangeLt", 2, 100, (0.1, 0.1), "rr", &[600], Some(2)),
    ("MissingMetricsUnreadyChange", 3, 50, (0.1, 0.1), "urr", &[100, 450], Some(3)),
    ("MissingMetricsHotCpuNoChange", 3, 50, (0.1, 0.1), "hrr", &[100, 450], Some(3)),
    ("MissingMetricsUnreadyScaleUp", 3, 50, (0.1, 0.1), "urr", &[100, 2_000], Some(4)),
    ("MissingMetricsHotCpuScaleUp", 3, 50, (0.1, 0.1), "urr", &[100, 2_000], Some(4)),
    ("MissingMetricsUnreadyScaleDown", 4, 50, (0.1, 0.1), "urrr", &[100, 100, 100], Some(3)),
    ("DuringRollingUpdateWithMaxSurge", 2, 50, (0.1, 0.1), "rrr", &[100, 100], Some(2)),
    ];

    /// `groupPods`: failed and deleted pods don't count, pending ones aren't ready, and neither is what started a moment ago.
    fn groups(pods: &str, usage: &[i64]) -> PodGroups {
        let mut groups = PodGroups { request: 1_000, ..PodGroups::default() };
        for (i, pod) in pods.chars().enumerate() {
            match (pod, usage.get(i)) {
                ('f' | 'd', _) => {}
                ('p', _) | ('u' | 'h', Some(_)) => groups.unready += 1,
                (_, None) => groups.missing += 1,
                (_, Some(used)) => groups.ready.push(*used),
            }
        }
        groups
    }

    #[test]
    fn utilization_is_calculated_as_by_kubernetes() {
        for (name, current, target, (down, up), pods, usage, expected) in CASES {
            let tolerance = Tolerance { down: *down, up: *up };
            let replicas = resource_replicas(&groups(pods, usage), *current, *target, tolerance);
            assert_eq!(replicas, *expected, "{name}");
        }
    }

    #[test]
    fn external_metrics_per_pod_are_calculated_as_by_kubernetes() {
        let cases = [
            ("ScaleUpPerPodCMExternal", 3, 2_150.0, Tolerance::default(), 4),
            ("ScaleDownPerPodCMExternal", 5, 2_867.0, Tolerance::default(), 3),
            ("TolerancePerPodCMExternal", 3, 2_900.0, Tolerance::default(), 3),
            ("ConfigurableTolerancePerPodCMExternal", 3, 2_800.0, Tolerance { down: 0.1, up: 0.01 }, 4),
        ];
        for (name, current, target, tolerance, expected) in cases {
            assert_eq!(external_replicas(8_600.0, target, current, tolerance), expected, "{name}");
        }
    }

    #[test]
    fn saturation_limits_growth_to_one_over_the_target() {
        // Utilization can't exceed the limit: at 70 % a step grows by 1.43 at most, however large the load.
        let busy = groups("rrrrrrrrrr", &[1_000; 10]);
        assert_eq!(resource_replicas(&busy, 10, 70, Tolerance::default()), Some(15));
    }
}
