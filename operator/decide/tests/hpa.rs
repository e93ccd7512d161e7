//! The HPA's own worked examples: an `AutoscalePolicy` without forecasts does what an HPA does.
//!
//! Sources: "Horizontal Pod Autoscaling" of the Kubernetes documentation, and the tables of
//! `pkg/controller/podautoscaler/horizontal_test.go` (`TestNormalizeDesiredReplicas`,
//! `TestScalingWithRules`, `TestCalculateScaleUpLimitWithScalingRules`) of Kubernetes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use decide::{
    Behavior, ForecastUse, History, LimitReason, MetricObservation, Observation, Policy, RateKind,
    RatePolicy, ScalingRules, SelectPolicy, StepLimits, Timing, recommend,
};
use jiff::Timestamp;
use rstest::rstest;
use series::{Reading, Sample};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_600_000 + second).unwrap()
}

/// A policy that is an HPA: no forecasts, no step limits of ours.
fn hpa(min: u32, max: u32, behavior: Option<Behavior>) -> Policy {
    let steps = StepLimits { dead_band: 0.0, per_minute: 1.0, of_recent_peak: 0.0 };
    // Nor waits an HPA when the load falls as it never does.
    let timing = Timing { after_fall: Duration::ZERO, ..Timing::default() };
    Policy { forecast: ForecastUse::Off, behavior, steps, timing, ..Policy::simple(min, max, 100.0) }
}

fn observation(spec: u32, load: f64, now: Timestamp) -> Observation {
    let sample = Sample::new(now, load).unwrap();
    let metric = MetricObservation::fresh("load", Reading::Fresh(sample));
    Observation { metrics: vec![metric], ..Observation::of(spec) }
}

/// Decides at each second for the load, obeying each decision; the replicas after each.
fn run(policy: &Policy, start: u32, loads: &[(i64, f64)]) -> Vec<u32> {
    let mut history = History::default();
    let mut spec = start;
    loads
        .iter()
        .map(|(second, load)| {
            let now = at(*second);
            let decision = recommend(policy, &observation(spec, *load, now), &history, now);
            history = decision.history;
            history.scaled(now, spec, decision.recommendation.target);
            spec = decision.recommendation.target;
            spec
        })
        .collect()
}

#[test]
fn without_behavior_one_replica_may_become_four_at_once_and_with_it_five() {
    // "nil" doubles or goes to 4 (`calculateScaleUpLimit`); the defaults of a set `behavior` add 4 or 100 %.
    let loads = [(0, 5_000.0), (15, 5_000.0), (30, 5_000.0)];
    assert_eq!(run(&hpa(1, 100, None), 1, &loads), [4, 8, 16]);
    assert_eq!(run(&hpa(1, 100, Some(Behavior::default())), 1, &loads), [5, 10, 20]);
}

#[test]
fn the_way_down_waits_for_five_minutes_of_lower_recommendations() {
    // "stabilizationWindowSeconds: 300 ... the largest value of the past 5 minutes is used".
    let loads: Vec<(i64, f64)> = (0..30).map(|i| (i * 15, if i == 0 { 1_000.0 } else { 300.0 })).collect();
    for behavior in [None, Some(Behavior::default())] {
        let replicas = run(&hpa(1, 100, behavior), 10, &loads);
        let down = replicas.iter().position(|r| *r < 10).unwrap();
        assert_eq!(down * 15, 300, "the recommendation of second 0 is out of the window at 300");
        assert_eq!(replicas[down], 3);
    }
}

#[test]
fn a_scale_up_window_takes_the_smallest_recommendation_in_it() {
    let behavior = Behavior {
        scale_up: ScalingRules { stabilization_window: Duration::from_secs(60), ..ScalingRules::up() },
        ..Behavior::default()
    };
    let loads = [(0, 300.0), (15, 900.0), (30, 600.0), (45, 900.0), (60, 900.0), (75, 900.0), (90, 900.0)];
    assert_eq!(run(&hpa(1, 100, Some(behavior)), 3, &loads), [3, 3, 3, 3, 6, 6, 9]);
}

/// "Example: limit velocity": at most 10 % or 4 pods, whichever removes more, in a minute.
#[test]
fn eighty_pods_fall_by_a_tenth_a_minute_until_four_pods_are_more() {
    let policies = vec![
        RatePolicy { kind: RateKind::Pods, value: 4, period: Duration::from_secs(60) },
        RatePolicy { kind: RateKind::Percent, value: 10, period: Duration::from_secs(60) },
    ];
    let scale_down = ScalingRules { stabilization_window: Duration::ZERO, policies, ..ScalingRules::down() };
    let policy = hpa(10, 100, Some(Behavior { scale_down, ..Behavior::default() }));
    let loads: Vec<(i64, f64)> = (0..9).map(|i| (i * 60, 1_000.0)).collect();
    // The documentation: 80 -> 72, then 10 % of 72 rounds to 65, ... and 4 pods from 40 on. Percent are truncated:
    // 80 * 0.9 = 72, 72 * 0.9 = 64.8 -> 64, as `calculateScaleDownLimitWithScalingRules` computes.
    assert_eq!(run(&policy, 80, &loads), [72, 64, 57, 51, 45, 40, 36, 32, 28]);
}

#[rstest]
// Pods and percent of what there was at the start of the period; Max takes the larger, Min the smaller.
#[case::max(SelectPolicy::Max, 20)]
#[case::min(SelectPolicy::Min, 14)]
#[case::disabled(SelectPolicy::Disabled, 10)]
fn the_selected_policy_limits_the_way_up(#[case] select_policy: SelectPolicy, #[case] expected: u32) {
    let scale_up = ScalingRules { select_policy, ..ScalingRules::up() };
    let policy = hpa(1, 100, Some(Behavior { scale_up, ..Behavior::default() }));
    assert_eq!(run(&policy, 10, &[(0, 9_000.0)]), [expected]);
}

#[test]
fn what_was_added_within_the_period_counts_and_what_was_removed_is_put_back() {
    // 4 pods a minute: after 10 -> 14 nothing more until the minute is over.
    let policies = vec![RatePolicy { kind: RateKind::Pods, value: 4, period: Duration::from_secs(60) }];
    let scale_up = ScalingRules { policies, ..ScalingRules::up() };
    let policy = hpa(1, 100, Some(Behavior { scale_up, ..Behavior::default() }));
    let loads: Vec<(i64, f64)> = (0..6).map(|i| (i * 15, 9_000.0)).collect();
    assert_eq!(run(&policy, 10, &loads), [14, 14, 14, 14, 18, 18]);
}

#[rstest]
#[case::within_tolerance(10, 1_095.0, 10)]
#[case::above(10, 1_101.0, 12)]
#[case::just_inside_below(10, 905.0, 10)]
fn a_tenth_of_tolerance_is_left_alone(#[case] spec: u32, #[case] load: f64, #[case] expected: u32) {
    assert_eq!(run(&hpa(1, 100, None), spec, &[(0, load)]), [expected]);
}

#[rstest]
#[case::too_many(hpa(1, 8, None), 6, 2_000.0, 8, LimitReason::TooManyReplicas)]
#[case::too_few(hpa(3, 8, Some(Behavior { scale_down: ScalingRules { stabilization_window: Duration::ZERO, ..ScalingRules::down() }, ..Behavior::default() })), 6, 10.0, 3, LimitReason::TooFewReplicas)]
#[case::above_max(hpa(1, 8, None), 12, 900.0, 8, LimitReason::TooManyReplicas)]
#[case::scaled_to_zero(hpa(1, 8, None), 0, 900.0, 0, LimitReason::ScalingDisabled)]
fn limits_have_the_words_of_the_hpa(
    #[case] policy: Policy,
    #[case] spec: u32,
    #[case] load: f64,
    #[case] expected: u32,
    #[case] reason: LimitReason,
) {
    let now = at(0);
    let decision = recommend(&policy, &observation(spec, load, now), &History::default(), now);
    let r = decision.recommendation;
    assert_eq!(r.target, expected, "{r:?}");
    assert!(r.limits.iter().any(|l| l.reason == reason), "{:?}", r.limits);
}
