//! Every limit and candidate at work, one row each: the scene that brings it about, and the number it leads to.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use decide::{
    BacklogPolicy, CalendarWindow, CandidateReason, Capacity, Fallback, ForecastUse, ForeignWrite, Health,
    History, LimitReason, MetricHistory, MetricKind, MetricObservation, MetricPolicy, Mode, NoBenefit,
    Observation, Pause, Peaks, Plan, Policy, QueueObservation, Recommendation, Run, ScaleEvent, Selected,
    Source, Startup, Strategy, StrategyReason, Utilization, plan, recommend,
};
use jiff::Timestamp;
use rstest::rstest;
use series::{AbsenceReason, Forecast, Reading, Sample, time};

fn now() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

fn ago(seconds: u64) -> Timestamp {
    time::before(now(), Duration::from_secs(seconds))
}

fn ahead(seconds: u64) -> Timestamp {
    time::after(now(), Duration::from_secs(seconds))
}

/// A policy, what it sees, and what it remembers: ten replicas at 100 each, under a load of 950, in calm.
struct Case {
    policy: Policy,
    seen: Observation,
    history: History,
}

fn load(value: f64) -> MetricObservation {
    MetricObservation::fresh("load", Reading::Fresh(Sample::new(now(), value).unwrap()))
}

fn case(spec: u32, value: f64) -> Case {
    let startup =
        Startup { p95: Some(Duration::from_secs(60)), mean: Some(Duration::from_secs(45)), samples: 40 };
    let seen = Observation { metrics: vec![load(value)], startup, ..Observation::of(spec) };
    // An hour of calm: the last decision was a tick ago, and recommended what runs until six minutes ago.
    let history = History {
        last: Some(decide::Last { at: ago(15), spec }),
        supplied: vec![Run { from: ago(3_500), to: ago(15), replicas: spec }],
        ..History::default()
    };
    Case { policy: Policy::simple(2, 50, 100.0), seen, history }
}

impl Case {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The load was `mean` for five minutes; `peaks` are the usual ones.
    fn after_a_mean_of(&mut self, mean: f64, peaks: Peaks) {
        let peaks = Peaks { mean: Some(mean), last: Some((ago(15), mean)), ..peaks };
        self.history.metrics.insert("load".into(), MetricHistory { peaks, ..MetricHistory::default() });
    }

    fn decide(&self) -> Recommendation {
        recommend(&self.policy, &self.seen, &self.history, now()).recommendation
    }
}

fn trusted(mut case: Case, values: &[(u64, f64)]) -> Case {
    // Steps of a minute; each value holds from its second on.
    let rows = (0..90u64)
        .map(|i| {
            let at = values.iter().rev().find(|(from, _)| i * 60 >= *from).map_or(0.0, |v| v.1);
            vec![at * 0.9, at, at * 1.1]
        })
        .collect();
    let forecast =
        Forecast::new(now(), Duration::from_secs(60), vec![0.01, 0.5, 0.99], rows, "seasonal").unwrap();
    case.seen.metrics[0].forecast = Ok(forecast);
    case.seen.selected = Selected {
        strategy: Strategy::at_quantile(case.policy.protection.quantile()),
        reason: StrategyReason::SelectedByReplay,
    };
    case
}

fn queue(spec: u32, backlog: f64, arrivals: f64) -> Case {
    case(spec, backlog).with(|c| {
        c.policy.metrics[0] = MetricPolicy {
            kind: MetricKind::Backlog(BacklogPolicy::within(Duration::from_secs(120))),
            capacity: Capacity::Declared(100.0),
            ..MetricPolicy::average("load", 1.0)
        };
        c.seen.metrics[0].queue = Some(QueueObservation {
            arrivals: Some(arrivals),
            served: Some(arrivals),
            partitions: Some(24),
            oldest: None,
        });
    })
}

#[rstest]
#[case::health(case(10, 300.0).with(|c| c.seen.health = Health::Unhealthy { what: "errors".into() }), LimitReason::Unhealthy, 10)]
#[case::healthy_a_minute(case(10, 300.0).with(|c| c.seen.health = Health::Healthy { since: ago(60) }), LimitReason::HealthyTooShortly, 10)]
#[case::rollout(case(10, 300.0).with(|c| c.seen.rollout = true), LimitReason::RolloutInProgress, 10)]
#[case::after_an_outage(case(10, 300.0).with(|c| { c.history.metrics.insert("load".into(), MetricHistory { last_bad: Some(ago(500)), ..MetricHistory::default() }); }), LimitReason::DataJustReturned, 10)]
#[case::panic(case(10, 300.0).with(|c| c.history.panic_until = Some(ahead(60))), LimitReason::PanicHold, 10)]
#[case::stabilized(case(10, 300.0).with(|c| c.history.recommendations = vec![Run { from: ago(280), to: ago(280), replicas: 9 }]), LimitReason::ScaleDownStabilized, 9)]
#[case::a_fifth_a_minute(case(20, 300.0), LimitReason::ScaleDownStep, 16)]
#[case::what_was_removed_counts(case(18, 300.0).with(|c| c.history.scale_events = vec![ScaleEvent { at: ago(30), change: -2 }]), LimitReason::ScaleDownStep, 16)]
#[case::half_of_the_peak(case(10, 300.0).with(|c| { c.policy.steps.per_minute = 1.0; c.history.supplied = vec![Run { from: ago(1_000), to: ago(900), replicas: 12 }]; }), LimitReason::RecentPeak, 6)]
#[case::dead_band(case(40, 3_850.0).with(|c| { c.policy.tolerance = 0.0; c.policy.forecast = ForecastUse::Off; }), LimitReason::DeadBand, 40)]
#[case::needed_soon(trusted(case(10, 300.0), &[(0, 300.0), (240, 800.0)]), LimitReason::NeededSoon, 9)]
#[case::crash_loop(case(10, 1_900.0).with(|c| c.seen.replicas.crash_looping = 3), LimitReason::PodsNotStarting, 10)]
#[case::no_node(case(10, 1_900.0).with(|c| c.seen.replicas.unschedulable = 3), LimitReason::PodsNotStarting, 10)]
#[case::overdue(case(10, 1_900.0).with(|c| { c.seen.replicas.pending = 4; c.history.scale_events = vec![ScaleEvent { at: ago(400), change: 4 }]; }), LimitReason::PodsNotStarting, 10)]
#[case::budget(case(10, 1_900.0).with(|c| c.seen.pod_budget = Some(3)), LimitReason::PodBudget, 13)]
#[case::doubling(case(10, 3_500.0), LimitReason::ScaleUpLimit, 20)]
#[case::max(case(40, 7_000.0), LimitReason::TooManyReplicas, 50)]
#[case::foreign(case(10, 1_900.0).with(|c| c.seen.foreign_writer = Some(ForeignWrite { at: ago(60), who: "kubectl".into(), replicas: 10 })), LimitReason::ForeignWriter, 10)]
#[case::by_hand(case(0, 1_900.0), LimitReason::ScalingDisabled, 0)]
#[case::ceiling(case(10, 1_900.0).with(|c| c.policy.calendar = vec![window(-60, 600, None, Some(12))]), LimitReason::CalendarCeiling, 12)]
#[case::partitions(queue(20, 500_000.0, 2_000.0), LimitReason::PartitionsReached, 24)]
#[case::no_benefit(queue(10, 500_000.0, 900.0).with(|c| { c.history.metrics.insert("load".into(), MetricHistory { no_benefit: Some(NoBenefit { replicas: 10, until: ahead(60) }), ..MetricHistory::default() }); }), LimitReason::NoBenefit, 10)]
#[case::dwell(queue(10, 0.0, 1_000.0).with(|c| c.history.scale_events = vec![ScaleEvent { at: ago(60), change: 1 }]), LimitReason::ConsumerCooldown, 10)]
fn each_limit_bites(#[case] case: Case, #[case] reason: LimitReason, #[case] target: u32) {
    let r = case.decide();
    assert!(r.limits.iter().any(|l| l.reason == reason), "{:#?}", r.limits);
    assert_eq!(r.target, target, "{:#?}", r.limits);
}

fn window(from: i64, to: i64, min: Option<u32>, max: Option<u32>) -> CalendarWindow {
    let at = |s: i64| Timestamp::from_second(now().as_second() + s).unwrap();
    CalendarWindow { name: "sale".into(), from: at(from), to: at(to), min_replicas: min, max_replicas: max }
}

#[rstest]
#[case::reactive(case(10, 1_200.0).with(|c| c.policy.metrics[0].spare = 0.2), Source::Reactive, 15)]
#[case::headroom(case(10, 1_200.0).with(|c| c.seen.selected = Selected { strategy: Strategy { headroom: 1.3, ..Strategy::REACTIVE }, reason: StrategyReason::SelectedByReplay }), Source::Burst, 16)]
#[case::reactive_alone(case(10, 1_200.0).with(|c| c.policy.forecast = ForecastUse::Off), Source::Reactive, 12)]
#[case::surge(case(10, 1_100.0).with(|c| c.after_a_mean_of(500.0, Peaks::default())), Source::Panic, 17)]
#[case::foreseen(trusted(case(10, 900.0), &[(0, 900.0), (60, 1_500.0)]), Source::Predictive, 17)]
#[case::calendar_in_time(case(10, 900.0).with(|c| c.policy.calendar = vec![window(80, 600, Some(18), None)]), Source::Calendar, 18)]
#[case::fallback(case(10, 900.0).with(|c| {
    c.policy.metrics[0].fallback = Some(Fallback { after: Duration::from_secs(180), min_replicas: 14 });
    c.seen.metrics[0] = MetricObservation::absent("load", AbsenceReason::Empty, "nothing");
    c.history.metrics.insert("load".into(), MetricHistory { absent_since: Some(ago(200)), ..MetricHistory::default() });
}), Source::Fallback, 14)]
#[case::queue_steady(queue(10, 0.0, 1_000.0), Source::Backlog, 12)]
#[case::queue_behind(queue(10, 200_000.0, 850.0), Source::Backlog, 20)]
fn each_candidate_can_win(#[case] case: Case, #[case] source: Source, #[case] target: u32) {
    let r = case.decide();
    assert_eq!((r.driver.source, r.target), (source, target), "{:#?}", r.candidates);
}

/// The load doubles within five minutes, and does so every hour or never.
#[rstest]
#[case::never_before(0.1, true)]
#[case::every_hour(0.8, false)]
fn a_simulated_strategy_knows_the_peaks_that_are_usual(#[case] large: f64, #[case] surge: bool) {
    let strategy = Strategy { headroom: 1.5, ..Strategy::REACTIVE };
    let r = case(10, 1_100.0)
        .with(|c| {
            c.after_a_mean_of(500.0, Peaks { large, ..Peaks::default() });
            c.seen.selected = Selected { strategy, reason: StrategyReason::SelectedByReplay };
        })
        .decide();
    assert_eq!(r.candidates.iter().any(|c| c.source == Source::Panic), surge, "{:#?}", r.candidates);
}

/// The metric is away, and the forecast's upper quantile opens.
#[rstest]
#[case::a_quarter_above_what_ran(&[(0, 900.0), (60, 1_000.0)], 1_500.0, 13)]
#[case::what_the_median_needs(&[(0, 900.0), (60, 1_800.0)], 3_000.0, 18)]
#[case::below_both(&[(0, 900.0), (60, 900.0)], 1_150.0, 12)]
fn blind_growth_is_capped(#[case] median: &[(u64, f64)], #[case] upper: f64, #[case] target: u32) {
    let r = trusted(case(10, 900.0), median)
        .with(|c| {
            let forecast = c.seen.metrics[0].forecast.clone().unwrap();
            let rows = (0..90).map(|i| {
                let at = forecast.quantile(i, 0.5).unwrap();
                vec![at * 0.9, at, upper.max(at)]
            });
            let opened = Forecast::new(
                now(),
                Duration::from_secs(60),
                vec![0.01, 0.5, 0.99],
                rows.collect(),
                "seasonal",
            );
            c.seen.metrics[0] = MetricObservation {
                forecast: Ok(opened.unwrap()),
                ..MetricObservation::absent("load", AbsenceReason::Empty, "no answer")
            };
            c.history.metrics.insert(
                "load".into(),
                MetricHistory {
                    absent_since: Some(ago(600)),
                    replicas_at_loss: Some(10),
                    ..MetricHistory::default()
                },
            );
        })
        .decide();
    assert_eq!((r.driver.source, r.target), (Source::Predictive, target), "{:#?}", r.candidates);
    let capped = r.candidates.iter().any(|c| c.reason == CandidateReason::CappedWhileAbsent);
    assert_eq!(capped, target != 12);
}

#[rstest]
#[case::off(trusted(case(10, 900.0), &[(0, 3_000.0)]).with(|c| c.policy.forecast = ForecastUse::Off), CandidateReason::ForecastOff)]
#[case::metric_off(trusted(case(10, 900.0), &[(0, 3_000.0)]).with(|c| c.policy.metrics[0].forecast = false), CandidateReason::ForecastOff)]
#[case::untrusted(trusted(case(10, 900.0), &[(0, 3_000.0)]).with(|c| c.seen.selected = Selected::default()), CandidateReason::NotTrusted)]
#[case::none(case(10, 900.0), CandidateReason::NoForecast)]
fn a_forecast_that_doesnt_count_says_why_and_changes_nothing(
    #[case] case: Case,
    #[case] reason: CandidateReason,
) {
    let r = case.decide();
    let predictive = r.candidates.iter().find(|c| c.source == Source::Predictive).unwrap();
    assert_eq!(predictive.reason, reason);
    assert!(r.target <= 11, "{:#?}", r.candidates);
}

#[test]
fn a_ceiling_of_a_calendar_wins_over_a_floor() {
    let both = vec![window(-60, 600, Some(30), None), window(-60, 600, None, Some(12))];
    let r = case(10, 900.0).with(|c| c.policy.calendar = both).decide();
    assert_eq!((r.effective_min, r.effective_max), (12, 12));
    assert_eq!(r.target, 12);
}

#[test]
fn a_glitch_waits_for_a_second_reading_and_a_real_surge_has_one() {
    let mut c = case(10, 900.0);
    let first = recommend(&c.policy, &c.seen, &c.history, ago(15));
    c.seen.metrics = vec![load(9_000.0)];
    let glitch = recommend(&c.policy, &c.seen, &first.history, now());
    assert_eq!(glitch.recommendation.target, 10, "{:#?}", glitch.recommendation);
    let confirmed = recommend(&c.policy, &c.seen, &glitch.history, ahead(15));
    assert_eq!(confirmed.recommendation.target, 20, "as fast as the HPA may");
}

#[test]
fn a_glitch_that_is_over_holds_nothing() {
    let mut c = case(10, 900.0);
    let first = recommend(&c.policy, &c.seen, &c.history, ago(15));
    c.seen.metrics = vec![load(9_000.0)];
    let glitch = recommend(&c.policy, &c.seen, &first.history, now());
    assert!(!glitch.recommendation.data_fresh);
    // Once the stabilization window is over, and before an outage would be.
    c.seen.metrics = vec![load(300.0)];
    let mut after = glitch;
    for tick in 1..=24 {
        after = recommend(&c.policy, &c.seen, &after.history, ahead(15 * tick));
    }
    let after = after.recommendation;
    assert!(after.limits.iter().all(|l| l.reason != LimitReason::DataJustReturned), "{:#?}", after.limits);
    assert!(after.target < 10, "{after:#?}");
}

#[rstest]
#[case::as_a_surge_too(650.0, true)]
#[case::not_as_a_surge(700.0, false)]
fn a_jump_that_the_ready_pods_carry_is_not_waited_for(#[case] value: f64, #[case] fresh: bool) {
    let r = case(10, value).with(|c| c.after_a_mean_of(100.0, Peaks::default())).decide();
    assert_eq!(r.data_fresh, fresh, "{r:#?}");
}

#[test]
fn an_hpa_on_cpu_sees_no_more_than_its_pods_have() {
    let with = |growth: Option<f64>| {
        case(10, 1_900.0).with(|c| {
            c.after_a_mean_of(700.0, Peaks::default());
            c.seen.selected = Selected {
                strategy: Strategy { growth, ..Strategy::REACTIVE },
                reason: StrategyReason::SelectedByReplay,
            };
        })
    };
    let surges = |r: &Recommendation| r.candidates.iter().any(|c| c.source == Source::Panic);
    let (on_cpu, on_load) = (with(Some(1.43)).decide(), with(None).decide());
    assert_eq!((on_cpu.uncapped, surges(&on_cpu)), (15, false), "{:#?}", on_cpu.candidates);
    assert_eq!((on_load.uncapped, surges(&on_load)), (29, true), "{:#?}", on_load.candidates);
    // Pods that are too busy to be Ready show what they use; those that start show nothing.
    let with = |change: fn(&mut Case)| with(Some(1.43)).with(change).decide().uncapped;
    assert_eq!(with(|c| c.seen.replicas.ready = 2), 15);
    assert_eq!(with(|c| (c.seen.replicas.ready, c.seen.replicas.pending) = (6, 4)), 10);
    assert_eq!(with(|c| (c.policy.min_replicas, c.seen.replicas.ready, c.seen.replicas.spec) = (0, 0, 0)), 1);
}

#[rstest]
#[case::idle(0.0, 0.0, 4, 0)]
#[case::asleep(0.0, 0.0, 0, 0)]
#[case::below_the_threshold(40.0, 0.0, 0, 0)]
#[case::awake(60.0, 0.0, 0, 1)]
#[case::not_done(40.0, 0.0, 1, 1)]
#[case::still_arriving(0.0, 0.5, 1, 1)]
fn a_queue_goes_to_sleep_and_wakes_up(
    #[case] backlog: f64,
    #[case] arrivals: f64,
    #[case] spec: u32,
    #[case] uncapped: u32,
) {
    let case = queue(spec, backlog, arrivals).with(|c| {
        c.policy.min_replicas = 0;
        let mut policy = BacklogPolicy::within(Duration::from_secs(120));
        policy.activation = 50.0;
        c.policy.metrics[0].kind = MetricKind::Backlog(policy);
    });
    assert_eq!(case.decide().uncapped, uncapped, "{:#?}", case.decide().candidates);
}

#[test]
fn an_empty_queue_puts_all_of_its_consumers_to_sleep_after_the_stabilization_window() {
    let mut c = queue(12, 0.0, 0.0).with(|c| c.policy.min_replicas = 0);
    c.history.supplied = vec![Run { from: ago(3_000), to: ago(0), replicas: 12 }];
    for tick in 0..21 {
        let decision = recommend(&c.policy, &c.seen, &c.history, ahead(tick * 15));
        let (from, to) = (c.seen.replicas.spec, decision.recommendation.target);
        c.history = decision.history;
        c.history.scaled(ahead(tick * 15), from, to);
        (c.seen.replicas.spec, c.seen.replicas.ready) = (to, to);
        c.seen.metrics[0].reading = Reading::Fresh(Sample::new(ahead((tick + 1) * 15), 0.0).unwrap());
    }
    assert_eq!(c.seen.replicas.spec, 0, "{:#?}", c.history.scale_events);
    let woken = c.with(|c| c.seen.metrics[0].reading = Reading::Fresh(Sample::new(ahead(330), 5.0).unwrap()));
    let decision = recommend(&woken.policy, &woken.seen, &woken.history, ahead(330));
    assert_eq!(decision.recommendation.target, 1, "{:#?}", decision.recommendation);
}

#[test]
fn what_was_learned_of_a_replica_takes_the_place_of_its_target() {
    let mut c = case(10, 1_000.0).with(|c| {
        c.policy.metrics[0].capacity = Capacity::Learned;
        c.policy.forecast = ForecastUse::Off;
    });
    assert_eq!(c.decide().target, 10, "nothing is known yet: the target of 100 counts");
    // A replica is fully used at 250 a second: 0.8 of that are 200.
    let mut memory = MetricHistory::default();
    for look in 0..1_000_u32 {
        let load = 80.0 + 100.0 * f64::from(look % 10) / 9.0;
        c.seen.metrics[0].utilization = Some(Utilization { load, used: load / 250.0 });
        memory = recommend(&c.policy, &c.seen, &c.history, now()).history.metrics["load"].clone();
        c.history.metrics.insert("load".into(), memory.clone());
    }
    let carried = c.decide().candidates[0].replicas.unwrap();
    assert_eq!(carried, 5, "{memory:?}: {:#?}", c.decide().candidates);
}

#[test]
fn a_restart_removes_nothing_at_first() {
    let c = case(10, 100.0);
    let fresh = recommend(&c.policy, &c.seen, &History::default(), now());
    assert_eq!(fresh.recommendation.target, 10);
}

#[test]
fn an_unexplained_drop_holds_the_median_for_an_hour_and_then_it_is_the_new_normal() {
    let mut c = trusted(case(10, 200.0), &[(0, 900.0)]);
    let first = recommend(&c.policy, &c.seen, &c.history, now());
    let hold = first.history.drop_hold.unwrap();
    assert_eq!((hold.floor, hold.until), (9, ahead(3_600)));
    c.history = first.history;
    let later = recommend(&c.policy, &c.seen, &c.history, ahead(15));
    assert_eq!(later.history.drop_hold, Some(hold), "the hour counts from the beginning");
}

#[test]
fn modes_and_pauses_decide_what_is_done() {
    let r = case(10, 1_900.0).decide();
    assert!(matches!(plan(Mode::Auto, None, &r, now()), Plan::Scale { from: 10, .. }));
    assert!(matches!(plan(Mode::Recommend, None, &r, now()), Plan::Suggest { from: 10, .. }));
    let pause = Pause { until: Some(ahead(60)), reason: "migration".into() };
    let paused = plan(Mode::Auto, Some(&pause), &r, now());
    assert!(matches!(&paused, Plan::Hold { message, .. } if message.contains("migration")), "{paused:?}");
    assert!(
        matches!(plan(Mode::Auto, Some(&pause), &r, ahead(60)), Plan::Scale { .. }),
        "a pause ends by itself"
    );
    let calm = case(10, 950.0).with(|c| c.policy.forecast = ForecastUse::Off).decide();
    assert!(matches!(plan(Mode::Auto, None, &calm, now()), Plan::Hold { .. }));
}
