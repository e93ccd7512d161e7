//! What can never happen, whatever the world does.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use decide::{
    BacklogPolicy, Behavior, CalendarWindow, Capacity, Fallback, ForecastParams, ForecastUse, ForeignWrite,
    Health, History, LeadTime, LimitReason, MetricKind, MetricObservation, MetricPolicy, Observation, Policy,
    QueueObservation, RateKind, RatePolicy, Record, Replicas, ScalingRules, SelectPolicy, Selected, Startup,
    StrategyReason, Utilization, recommend,
};
use jiff::Timestamp;
use proptest::prelude::*;
use series::{Absence, AbsenceReason, Forecast, NoForecast, NoForecastReason, Reading, Sample, time};

const START: i64 = 1_767_600_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => 0.0..5_000.0,
        1 => Just(0.0),
        1 => Just(f64::MAX),
        1 => Just(-3.0),
        1 => Just(f64::MIN_POSITIVE),
    ]
}

/// Also what no source should ever say.
fn wild() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        3 => Just(None),
        3 => value().prop_map(Some),
        1 => Just(Some(f64::NAN)),
        1 => Just(Some(f64::INFINITY)),
    ]
}

fn reading(now: Timestamp) -> impl Strategy<Value = Reading> {
    let sample = move |v| Sample::new(time::before(now, Duration::from_secs(10)), v).unwrap();
    prop_oneof![
        6 => value().prop_map(move |v| Reading::Fresh(sample(v))),
        1 => value().prop_map(move |v| Reading::Stale { sample: sample(v), age: Duration::from_secs(90) }),
        1 => Just(Reading::Absent(Absence::new(AbsenceReason::Empty, "nothing matched"))),
    ]
}

fn forecast(now: Timestamp) -> impl Strategy<Value = Result<Forecast, NoForecast>> {
    let rows = proptest::collection::vec((0.0..4_000.0, 1.0..2.0), 1..40);
    let forecast = (rows, -9_000i64..600).prop_map(move |(rows, ago)| {
        let rows = rows.into_iter().map(|(m, f): (f64, f64)| vec![m / f, m, m * f]).collect();
        let origin = Timestamp::from_second(now.as_second() + ago).unwrap();
        let made = Forecast::new(origin, Duration::from_secs(60), vec![0.05, 0.5, 0.95], rows, "random");
        Ok(made.unwrap())
    });
    let unknown = Err(NoForecast::new(NoForecastReason::HistoryTooShort, "an hour"));
    prop_oneof![3 => forecast, 1 => Just(unknown)]
}

fn metric_observation(name: &'static str, now: Timestamp) -> impl Strategy<Value = MetricObservation> {
    let queue =
        (wild(), wild(), proptest::option::of(0u32..60)).prop_map(|(arrivals, served, partitions)| {
            QueueObservation { arrivals, served, partitions, oldest: None }
        });
    let coverage = prop_oneof![5 => Just(1.0), 1 => 0.0..1.0, 1 => Just(f64::NAN)];
    let used =
        proptest::option::of((0.0..500.0, 0.0..1.2).prop_map(|(load, used)| Utilization { load, used }));
    (reading(now), coverage, forecast(now), used, proptest::option::of(queue)).prop_map(
        move |(reading, coverage, forecast, utilization, queue)| MetricObservation {
            name: name.to_owned(),
            reading,
            coverage,
            forecast,
            utilization,
            queue,
        },
    )
}

fn observation(now: Timestamp) -> impl Strategy<Value = Observation> {
    let replicas = (0u32..60, 0u32..60, 0u32..20, 0u32..5, 0u32..5);
    let health = prop_oneof![
        3 => Just(Health::Unchecked),
        1 => (0i64..900).prop_map(move |ago| Health::Healthy {
            since: Timestamp::from_second(now.as_second() - ago).unwrap()
        }),
        1 => Just(Health::Unhealthy { what: "checkout answers 500".to_owned() }),
    ];
    let selected = (
        0.5f64..2.0,
        proptest::option::of((0.0f64..1.0, 0.5f64..1.5)),
        proptest::sample::select(StrategyReason::ALL),
    )
        .prop_map(|(headroom, forecast, reason)| Selected {
            strategy: decide::Strategy {
                trend_weight: 0.7,
                up_tolerance: 0.1,
                down_tolerance: 0.1,
                growth: None,
                headroom,
                forecast: forecast.map(|(quantile, margin)| ForecastParams {
                    quantile,
                    margin,
                    level_correction: 0.5,
                }),
                down_stabilization: Duration::from_secs(600),
            },
            reason,
        });
    let metrics = (
        proptest::option::weighted(0.95, metric_observation("load", now)),
        proptest::option::weighted(0.9, metric_observation("other", now)),
    );
    let foreign = proptest::option::weighted(0.05, (0i64..1_000, 0u32..60)).prop_map(move |foreign| {
        foreign.map(|(ago, replicas)| ForeignWrite {
            at: Timestamp::from_second(now.as_second() - ago).unwrap(),
            who: "kubectl".to_owned(),
            replicas,
        })
    });
    let startup = (0u64..600, 0u32..9).prop_map(|(p95, samples)| Startup {
        p95: Some(Duration::from_secs(p95)),
        mean: Some(Duration::from_secs(p95 / 2)),
        samples,
    });
    (replicas, any::<bool>(), health, metrics, startup, foreign, proptest::option::of(0u32..40), selected)
        .prop_map(
            |(
                (spec, ready, pending, unschedulable, crash_looping),
                rollout,
                health,
                metrics,
                startup,
                foreign,
                budget,
                selected,
            )| {
                Observation {
                    replicas: Replicas { spec, ready, pending, unschedulable, crash_looping },
                    rollout,
                    health,
                    metrics: [metrics.0, metrics.1].into_iter().flatten().collect(),
                    startup,
                    lag: Duration::from_secs(20),
                    foreign_writer: foreign,
                    pod_budget: budget,
                    selected,
                }
            },
        )
}

fn rules() -> impl Strategy<Value = ScalingRules> {
    let select = prop_oneof![3 => Just(SelectPolicy::Max), 1 => Just(SelectPolicy::Min), 1 => Just(SelectPolicy::Disabled)];
    let policy = (any::<bool>(), 1u32..150, 1u64..1_800).prop_map(|(pods, value, period)| RatePolicy {
        kind: if pods { RateKind::Pods } else { RateKind::Percent },
        value,
        period: Duration::from_secs(period),
    });
    (0u64..3_600, select, proptest::collection::vec(policy, 0..3), proptest::option::of(0.0..0.5)).prop_map(
        |(window, select_policy, policies, tolerance)| ScalingRules {
            stabilization_window: Duration::from_secs(window),
            select_policy,
            policies,
            tolerance,
        },
    )
}

fn kind() -> impl Strategy<Value = MetricKind> {
    prop_oneof![
        3 => Just(MetricKind::AverageValue),
        1 => Just(MetricKind::Value),
        1 => Just(MetricKind::Backlog(BacklogPolicy::within(Duration::from_secs(120)))),
    ]
}

fn metric_policy(name: &'static str) -> impl Strategy<Value = MetricPolicy> {
    let capacity = prop_oneof![
        Just(Capacity::Target),
        (1.0..300.0).prop_map(Capacity::Declared),
        Just(Capacity::Learned)
    ];
    let fallback = proptest::option::of(
        (0u64..300, 0u32..80)
            .prop_map(|(after, min_replicas)| Fallback { after: Duration::from_secs(after), min_replicas }),
    );
    (kind(), 1.0..300.0, capacity, 0.0..0.6, any::<bool>(), fallback).prop_map(
        move |(kind, target, capacity, spare, forecast, fallback)| MetricPolicy {
            name: name.to_owned(),
            kind,
            target,
            capacity,
            spare,
            forecast,
            fallback,
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let calendar = proptest::collection::vec(
        (-4_000i64..8_000, 1i64..9_000, proptest::option::of(0u32..80), proptest::option::of(1u32..80))
            .prop_map(|(from, length, min_replicas, max_replicas)| CalendarWindow {
                name: "sale".to_owned(),
                from: at(from),
                to: at(from + length),
                min_replicas,
                max_replicas,
            }),
        0..3,
    );
    let behavior = proptest::option::of(
        (rules(), rules()).prop_map(|(scale_up, scale_down)| Behavior { scale_up, scale_down }),
    );
    let metrics = (metric_policy("load"), proptest::option::of(metric_policy("other")));
    (0u32..20, 1u32..60, metrics, behavior, 0.5..0.9999, any::<bool>(), calendar, any::<bool>()).prop_map(
        |(min, room, metrics, behavior, protection, forecast, calendar, fixed)| Policy {
            metrics: std::iter::once(metrics.0).chain(metrics.1).collect(),
            behavior,
            protection: decide::Protection::Share(protection),
            forecast: if forecast { ForecastUse::Auto } else { ForecastUse::Off },
            calendar,
            lead_time: if fixed {
                LeadTime::Fixed(Duration::from_secs(300))
            } else {
                LeadTime::Measured { until_known: Duration::from_secs(120) }
            },
            ..Policy::simple(min, min + room, 1.0)
        },
    )
}

/// A policy, and what it sees in up to a dozen decisions 15 s apart.
fn story() -> impl Strategy<Value = (Policy, Vec<Observation>)> {
    let observations =
        (1usize..12).prop_flat_map(|n| (0..n).map(|i| observation(at(i as i64 * 15))).collect::<Vec<_>>());
    (policy(), observations)
}

/// Runs the decisions of a story; every recommendation is carried out where `obey`, as a controller would.
fn tell(policy: &Policy, observations: Vec<Observation>, obey: bool) -> Vec<Record> {
    let mut history = History::default();
    let mut records = Vec::new();
    let mut spec = None;
    for (i, mut observation) in observations.into_iter().enumerate() {
        let now = at(i as i64 * 15);
        if let Some(spec) = spec.filter(|_| obey) {
            observation.replicas.spec = spec;
        }
        let (record, next) = Record::make(policy, &observation, &history, now);
        history = next;
        history.scaled(now, record.recommendation.current, record.recommendation.target);
        spec = Some(record.recommendation.target);
        records.push(record);
    }
    records
}

fn touched(record: &Record) -> bool {
    record
        .recommendation
        .limits
        .iter()
        .any(|l| matches!(l.reason, LimitReason::ScalingDisabled | LimitReason::ForeignWriter))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_target_stays_within_its_bounds((policy, observations) in story(), obey in any::<bool>()) {
        for record in tell(&policy, observations, obey) {
            let r = &record.recommendation;
            prop_assert!(r.effective_min <= r.effective_max);
            prop_assert!(r.effective_min >= policy.min_replicas.min(r.effective_max));
            let untouchable = r.target == r.current && touched(&record);
            prop_assert!(untouchable || r.target >= r.effective_min || r.current < r.effective_min, "{r:?}");
            prop_assert!(untouchable || r.target <= r.effective_max, "{r:?}");
        }
    }

    #[test]
    fn nothing_is_removed_on_anything_but_fresh_data((policy, observations) in story(), obey in any::<bool>()) {
        for record in tell(&policy, observations, obey) {
            let r = &record.recommendation;
            if r.target >= r.current || r.current > r.effective_max {
                continue;
            }
            for metric in &policy.metrics {
                let observed = record.observation.metric(&metric.name);
                let usable = observed.is_some_and(|o| {
                    o.reading.fresh().is_some_and(|v| v >= 0.0) && o.coverage >= 0.9
                });
                prop_assert!(usable, "{} removed on {observed:?}", r.current - r.target);
                let bad = record.history.metric(&metric.name).and_then(|m| m.last_bad);
                let settled = bad.is_none_or(|bad| time::since(record.now, bad) >= policy.timing.after_outage);
                prop_assert!(settled, "removed {:?} after bad data", bad);
            }
            prop_assert!(!record.observation.rollout);
            let sick = matches!(record.observation.health, Health::Unhealthy { .. });
            prop_assert!(!sick, "removed while unhealthy");
            prop_assert!(r.data_fresh);
        }
    }

    #[test]
    fn the_same_arguments_give_the_same_answer_also_through_json((policy, observations) in story()) {
        for record in tell(&policy, observations, true) {
            prop_assert!(record.holds());
            // JSON has no NaN: an observation that holds one isn't written as it was.
            if let Ok(text) = serde_json::to_string(&record)
                && let Ok(back) = serde_json::from_str::<Record>(&text)
                && back.observation == record.observation
            {
                prop_assert_eq!(&back.history, &record.history);
                prop_assert_eq!(&back.policy, &record.policy);
                prop_assert!(back.holds());
            }
        }
    }

    #[test]
    fn a_trimmed_observation_decides_the_same((policy, observations) in story()) {
        let mut history = History::default();
        for (i, observation) in observations.into_iter().enumerate() {
            let now = at(i as i64 * 15);
            let whole = recommend(&policy, &observation, &history, now);
            let (record, _) = Record::make(&policy, &observation, &history, now);
            prop_assert_eq!(&whole.recommendation, &record.recommendation);
            history = whole.history;
        }
    }

    #[test]
    fn a_forecast_only_ever_raises_what_fresh_load_needs((policy, observations) in story()) {
        for record in tell(&policy, observations, true) {
            let r = &record.recommendation;
            let held = touched(&record) || r.current > r.effective_max || r.current < r.effective_min;
            if held || policy.behavior.is_some() || r.target >= r.current {
                continue;
            }
            for metric in policy.metrics.iter().filter(|m| m.kind == MetricKind::AverageValue) {
                let Some(load) = record.observation.metric(&metric.name).and_then(|o| o.reading.fresh()) else { continue };
                let capacity = match metric.capacity {
                    Capacity::Declared(capacity) => capacity,
                    Capacity::Target | Capacity::Learned => metric.target,
                };
                let least = (load / capacity.max(metric.target) - 1e-6).ceil().min(f64::from(r.effective_max));
                let learned = metric.capacity == Capacity::Learned;
                prop_assert!(learned || f64::from(r.target) >= least, "{load} / {capacity} in {r:?}");
            }
        }
    }

    #[test]
    fn every_change_has_a_reason_and_the_limits_form_a_chain((policy, observations) in story()) {
        for record in tell(&policy, observations, false) {
            let r = &record.recommendation;
            let mut number = r.uncapped;
            for limit in &r.limits {
                prop_assert_eq!(limit.from, number);
                prop_assert!(!limit.message.is_empty());
                prop_assert!(limit.from != limit.to || touched(&record));
                number = limit.to;
            }
            prop_assert_eq!(number, r.target);
            let best = r.candidates.iter().filter(|c| c.counts()).filter_map(|c| c.replicas).max();
            prop_assert_eq!(best, Some(r.uncapped));
        }
    }

    #[test]
    fn memory_is_bounded(policy in policy(), seconds in proptest::collection::vec(1i64..40, 2_000)) {
        let mut history = History::default();
        let mut now = 0;
        for (i, step) in seconds.iter().enumerate() {
            now += step;
            let observation = Observation::of(i as u32 % 7 + 1);
            let decision = recommend(&policy, &observation, &history, at(now));
            history = decision.history;
            history.scaled(at(now), i as u32 % 7 + 1, (i as u32 + 1) % 7 + 1);
        }
        prop_assert!(history.recommendations.len() <= 520 && history.supplied.len() <= 520);
        prop_assert!(history.scale_events.len() <= 3_601);
    }
}
