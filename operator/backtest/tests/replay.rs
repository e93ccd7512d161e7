//! What a replay promises: the same seed gives the same numbers, nobody sees the future, bad data removes no pod, and
//! every recorded decision can be made again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use autoscaler::Prepared;
use backtest::baseline::{Fallback, FallbackKind, Keda, KedaSpec};
use backtest::hpa::{HpaSpec, Metric};
use backtest::{
    Answer, Comparison, Contender, Existing, ExistingSpec, Fault, FaultKind, Foresail, Load, Scaler, Setup,
    Tick, View, compare, menu, replay, replay_recorded,
};
use decide::{Capacity, Policy, Record, Strategy};
use jiff::Timestamp;
use series::Series;

const DAY: f64 = 86_400.0;

/// Five days at five minutes: a daily wave with a lunch peak, changed by `bend` where a test wants it.
fn recording(bend: impl Fn(f64, f64) -> f64) -> Series {
    let value = |i: u32| {
        let t = f64::from(i) * 300.0 / DAY;
        let wave = 1_500.0 - 1_200.0 * (std::f64::consts::TAU * t).cos();
        let lunch = if (0.5..0.55).contains(&t.fract()) { 900.0 } else { 0.0 };
        bend(t, wave + lunch)
    };
    let start = Timestamp::from_second(1_767_571_200).unwrap();
    Series::new(start, Duration::from_secs(300), (0..5 * 288).map(value).collect()).unwrap()
}

fn setup() -> Setup {
    let mut setup = Setup::new(Policy::simple(1, 200, 80.0), Duration::from_secs(60), 11);
    setup.scored = Duration::from_secs(86_400);
    setup.contenders = vec![Contender::Hpa(70), Contender::Keda(70), Contender::PerfectForecast];
    setup
}

fn run(setup: &Setup, recording: &Series) -> Comparison {
    let load = setup.load(recording).unwrap();
    let forecasts = setup.forecasts(&load);
    compare(setup, &load, &forecasts, &|_| {})
}

fn ticks(setup: &Setup, load: &Load, forecasts: &[Arc<Prepared>]) -> Vec<Tick> {
    let mut ticks = Vec::new();
    let mut ours = Foresail::new(load, setup.policy.clone(), &setup.forecast, forecasts, &setup.world);
    replay_recorded(load, &setup.world, &mut ours, "Foresail", &mut |tick| ticks.push(tick));
    ticks
}

#[test]
fn all_metrics_of_a_policy_are_replayed() {
    let mut setup = setup();
    let mut jobs = setup.policy.metrics[0].clone();
    (jobs.name, jobs.target) = ("jobs".to_owned(), 10.0);
    setup.policy.metrics.push(jobs);
    // Jobs run while requests rest, and need forty replicas then.
    let night = |t: f64| (0.05..0.2).contains(&t.fract());
    let recordings = [recording(|_, v| v), recording(|t, _| if night(t) { 400.0 } else { 20.0 })];
    let load = setup.load_of_metrics(&recordings).unwrap();
    let forecasts = setup.forecasts(&load);
    assert_eq!(forecasts.len(), 2);
    let ticks = ticks(&setup, &load, &forecasts);
    let middle = |tick: &&Tick| {
        let t = (tick.time.as_second() - 1_767_571_200) as f64 / DAY;
        tick.scored && (0.1..0.15).contains(&t.fract())
    };
    let at_night: Vec<&Tick> = ticks.iter().filter(middle).collect();
    assert!(at_night.len() > 100 && at_night.iter().all(|t| t.desired >= 38), "{:?}", at_night[0]);
    let metrics = &at_night[0].why.record.as_ref().unwrap().observation.metrics;
    let value = |m: usize| metrics[m].reading.fresh().unwrap();
    assert!(value(0) > 350.0 && (300.0..500.0).contains(&value(1)), "{metrics:?}");
    let compared = compare(&setup, &load, &forecasts, &|_| {});
    let broken = |name: &str| compared.row(name).unwrap().score.violation_percent;
    assert!(broken("Foresail") < 1.0 && broken("perfect forecast") < 1.0, "{}", broken("Foresail"));
}

#[test]
fn the_autoscaler_that_runs_today_is_what_foresail_is_held_against() {
    let recording = recording(|_, v| v);
    let usual = run(&setup(), &recording);
    // 80 is what a replica carries, and 80 % of what saturates it: without spare, the usual HPA is at 80 % CPU.
    assert_eq!(
        (usual.reference.row.as_str(), usual.reference.words.as_str()),
        ("HPA 80%", "an HPA at 80 % CPU")
    );
    let spec = HpaSpec::on(Metric::Utilization(70), 1, 200);
    let existing = Existing { name: "HPA shop/web".to_owned(), spec: ExistingSpec::Hpa(spec) };
    let found = run(&Setup { existing: Some(existing), ..setup() }, &recording);
    assert_eq!(found.reference.words, "the HPA shop/web");
    let hours = |name: &str| found.row(name).unwrap().score.replica_hours;
    assert_eq!(hours("HPA shop/web"), hours("HPA 70%"));
    let saved = hours("HPA shop/web") - found.rows[0].score.replica_hours;
    let told = found.advice.unwrap().saved_hours_a_month;
    assert!((told - saved * 30.4 / found.days).abs() < 1e-6, "{told} {saved}");
}

/// What an HPA, the usual one and the one that follows climbs come to in life is what their simulation says they would have.
#[test]
fn a_strategy_costs_on_a_day_what_its_simulation_says_of_that_day() {
    // By the minute: a day that trembles, and a night of next to nothing with bursts.
    let value = |minute: u32| {
        let hour = f64::from(minute % 1_440) / 60.0;
        let tremble = f64::from(minute.wrapping_mul(2_654_435_761) >> 20) / 4_096.0;
        let burst = if minute.is_multiple_of(17) { 40.0 } else { 1.0 };
        if hour < 10.0 { 12.0 * burst } else { (900.0 + 40.0 * hour) * (0.8 + 0.4 * tremble) }
    };
    let start = Timestamp::from_second(1_767_571_200).unwrap();
    let recording = Series::new(start, Duration::from_secs(60), (0..5 * 1_440).map(value).collect()).unwrap();
    let mut setup = setup();
    setup.policy = backtest::policy_for(80.0);
    setup.scored = Duration::from_secs(2 * 86_400);
    let load = setup.load(&recording).unwrap();
    let forecasts = setup.forecasts(&load);
    let without: [fn(&Strategy) -> bool; 3] = [
        |s| s.to_string() != "load x 1.14, at most 1.43 x ready; down after 300s",
        |s| s.to_string() != "load x 1.00, climbing on at 70%; down after 600s",
        |s| s.to_string() != "q80 of the forecast; load x 1.00; down after 600s",
    ];
    for unwanted in without {
        let policy = setup.policy.clone();
        let ours = Foresail::without(&load, policy, &setup.forecast, &forecasts, &setup.world, unwanted);
        let mut ours = ours.keep_simulations();
        let mut ticks = Vec::new();
        replay_recorded(&load, &setup.world, &mut ours, "Foresail", &mut |tick| ticks.push(tick));
        let last = ours.simulations().last().unwrap();
        let [simulated] = last.strategies.as_slice() else { panic!("{:?}", last.strategies) };
        let day = simulated.days.last().unwrap();
        let of_day =
            |tick: &&Tick| tick.time < last.until && tick.time >= last.until - Duration::from_secs(86_400);
        let lived: Vec<f64> = ticks.iter().filter(of_day).map(|t| f64::from(t.desired)).collect();
        assert_eq!(lived.len(), 5_760, "the day was replayed");
        let lived = lived.iter().sum::<f64>() / lived.len() as f64;
        let said = day.replicas as f64 / f64::from(day.ticks);
        assert!(
            (lived / said - 1.0).abs() < 0.02,
            "{}: {lived:.2} lived, {said:.2} simulated",
            simulated.strategy
        );
    }
}

/// Replicas of a ScaledObject, with the second of each decision counted from `hour`, over the hours that follow.
fn keda(spec: KedaSpec, bend: impl Fn(f64, f64) -> f64, faults: Vec<Fault>, hour: f64) -> Vec<(f64, u32)> {
    let mut setup = setup();
    (setup.world.min_replicas, setup.world.faults, setup.dispersion) = (0, faults, 0.0);
    let load = setup.load(&recording(bend)).unwrap();
    let from = 1_767_571_200.0 + (4.0 * 24.0 + hour) * 3_600.0;
    let mut ticks = Vec::new();
    let mut keep = |tick: Tick| ticks.push((tick.time.as_second() as f64 - from, tick.desired));
    replay_recorded(&load, &setup.world, &mut Keda::new(spec), "KEDA", &mut keep);
    ticks
}

#[test]
fn a_scaled_object_rests_after_its_cooldown_and_wakes_when_it_is_polled() {
    // Work from 06:00 to 12:00 on the scored day, above the activation threshold; a trickle otherwise.
    let work = |t: f64, _: f64| if (4.25..4.5).contains(&t) { 400.0 } else { 4.0 };
    let on = KedaSpec { activation: 10.0, cooldown: 600, ..KedaSpec::on(80.0, 0, 200) };
    let ticks = keda(on.clone(), work, Vec::new(), 12.0);
    let at = |hour: f64| ticks.iter().rfind(|t| t.0 <= (hour - 12.0) * 3_600.0).unwrap().1;
    assert_eq!((at(5.5), at(9.0), at(13.5)), (0, 5, 0));
    let rest = ticks.iter().find(|t| t.0 > 0.0 && t.1 == 0).unwrap().0;
    // The slope between two slots takes five minutes, the rate a minute more.
    assert!((600.0..1_020.0).contains(&rest), "rested after {rest} s");
    let woke = ticks.iter().find(|t| t.0 > -7.0 * 3_600.0 && t.1 == 1).unwrap().0;
    let slow = keda(KedaSpec { polling: 900, ..on.clone() }, work, Vec::new(), 12.0);
    let woke_slowly = slow.iter().find(|t| t.0 > -7.0 * 3_600.0 && t.1 == 1).unwrap().0;
    assert!(woke_slowly > woke && (woke_slowly - woke) < 900.0, "{woke} {woke_slowly}");
    let idle = keda(KedaSpec { min: 3, idle: Some(1), ..on }, work, Vec::new(), 12.0);
    let idle_at = |hour: f64| idle.iter().rfind(|t| t.0 <= (hour - 12.0) * 3_600.0).unwrap().1;
    assert_eq!((idle_at(5.5), idle_at(9.0), idle_at(13.5)), (1, 5, 1));
}

#[test]
fn a_fallback_counts_after_enough_failures() {
    let hour = backtest::RUN_IN as usize + 8 * 3_600;
    let fault = Fault { kind: FaultKind::Outage, from: hour, to: hour + 3_600 };
    let with = |kind| {
        let fallback = Some(Fallback { failures: 3, replicas: 9, kind });
        let spec = KedaSpec { fallback, ..KedaSpec::on(80.0, 1, 200) };
        let ticks = keda(spec, |_, _| 400.0, vec![fault], 8.0);
        let at = |seconds: f64| ticks.iter().rfind(|t| t.0 <= seconds).unwrap().1;
        (at(-60.0), at(30.0), at(1_800.0))
    };
    assert_eq!(with(FallbackKind::Static), (5, 5, 9));
    assert_eq!(with(FallbackKind::CurrentIfHigher), (5, 5, 9));
    assert_eq!(with(FallbackKind::Current), (5, 5, 5));
    assert_eq!(with(FallbackKind::CurrentIfLower), (5, 5, 5));
}

#[test]
fn the_same_seed_gives_the_same_numbers_on_any_number_of_threads() {
    let recording = recording(|_, v| v);
    let json = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| serde_json::to_string(&run(&setup(), &recording)).unwrap())
    };
    assert_eq!(json(1), json(3));
}

#[test]
fn nobody_sees_the_future() {
    // The same until noon of the scored day, and something else altogether afterwards.
    let noon = 4.5;
    let (a, b) = (recording(|_, v| v), recording(|t, v| if t < noon { v } else { v * 0.2 + 40.0 }));
    let setup = setup();
    let decisions = |recording: &Series| {
        let load = setup.load(recording).unwrap();
        let forecasts = setup.forecasts(&load);
        ticks(&setup, &load, &forecasts).into_iter().map(|t| (t.time, t.desired)).collect::<Vec<_>>()
    };
    let (a, b) = (decisions(&a), decisions(&b));
    let split = Timestamp::from_second(1_767_571_200 + (noon * DAY) as i64).unwrap();
    // Arrivals are drawn on the line between slots, so the slot before the change already leans towards it.
    let until = series::time::before(split, Duration::from_secs(450));
    let before =
        |all: &[(Timestamp, u32)]| all.iter().filter(|(t, _)| *t < until).copied().collect::<Vec<_>>();
    assert!(before(&a).len() > 2_000);
    assert!(before(&a) == before(&b), "decisions differ before the load does");
    assert!(a != b);
}

#[test]
fn no_pod_is_removed_on_missing_or_wrong_data() {
    let mut setup = setup();
    let load = setup.load(&recording(|_, v| v)).unwrap();
    // In the evening, when the load falls and every second decision removes something.
    for mut fault in menu(0, 0) {
        (fault.from, fault.to) = (fault.from + 68_400, fault.to + 68_400);
        setup.world.faults = vec![fault];
        let forecasts = setup.forecasts(&load);
        let mut ours = Foresail::new(&load, setup.policy.clone(), &setup.forecast, &forecasts, &setup.world);
        let outcome = replay(&load, &setup.world, &mut ours);
        assert_eq!(outcome.removed_on_bad_data, 0, "{:?}", fault.kind);
    }
}

#[test]
fn a_quiet_prometheus_empties_keda_and_not_us() {
    let mut setup = setup();
    // An hour without an answer at the height of the day: KEDA takes an empty answer for no load.
    let noon = 3_600 + 12 * 3_600;
    setup.world.faults = vec![Fault { kind: FaultKind::Empty, from: noon, to: noon + 3_600 }];
    let found = run(&setup, &recording(|_, v| v));
    let removed = |name: &str| found.row(name).unwrap().score.removed_on_bad_data;
    assert!(removed("KEDA 70%") > 10);
    assert_eq!(removed("Foresail"), 0);
}

#[test]
fn every_recorded_decision_can_be_made_again() {
    let setup = setup();
    let load = setup.load(&recording(|_, v| v)).unwrap();
    let forecasts = setup.forecasts(&load);
    let ticks = ticks(&setup, &load, &forecasts);
    for tick in ticks.iter().step_by(97) {
        let line = backtest::line(tick).unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let record: Record = serde_json::from_value(value["record"].clone()).unwrap();
        assert!(record.holds(), "{line}");
        assert_eq!(record.recommendation.target, tick.desired);
    }
}

#[test]
fn a_trace_line_tells_the_whole_decision() {
    let setup = setup();
    let load = setup.load(&recording(|_, v| v)).unwrap();
    let forecasts = setup.forecasts(&load);
    let ticks = ticks(&setup, &load, &forecasts);
    let value = serde_json::to_value(&ticks[3_000]).unwrap();
    for field in [
        "run",
        "time",
        "load",
        "observed",
        "ready",
        "pending",
        "current",
        "desired",
        "need",
        "candidates",
        "limits",
    ] {
        assert!(value.get(field).is_some(), "{field} in {value}");
    }
    let candidates = value["candidates"].as_array().unwrap();
    let asks = |source: &str| candidates.iter().any(|c| c[0] == source);
    // Which of the two answers to the load of now there is depends on the strategy that the shadow has chosen by then.
    assert!(asks("Reactive") || asks("Burst"), "{candidates:?}");
    assert!(asks("Predictive") && asks("Keep"), "{candidates:?}");
}

#[test]
fn a_clairvoyant_is_never_far_from_the_oracle_and_the_hpa_is() {
    let found = run(&setup(), &recording(|_, v| v));
    let over = |name: &str| found.row(name).unwrap().score.over_oracle;
    assert!(over("perfect forecast") < 1.1, "{}", over("perfect forecast"));
    assert!(over("HPA 70%") > over("perfect forecast"));
}

/// A load that is three times as high from the middle of the scored day on, for good.
#[test]
fn a_level_shift_is_recovered_from_within_half_an_hour() {
    let shift = 4.5;
    let setup = setup();
    let load = setup.load(&recording(|t, v| if t < shift { v } else { 3.0 * v })).unwrap();
    let forecasts = setup.forecasts(&load);
    let ticks = ticks(&setup, &load, &forecasts);
    let at =
        |minutes: f64| Timestamp::from_second(1_767_571_200 + (shift * DAY + minutes * 60.0) as i64).unwrap();
    let span = |from: f64, to: f64| ticks.iter().filter(move |t| t.time >= at(from) && t.time < at(to));
    // Pods that take a minute carry it soon, and from then on for the 99 % of the time that are promised.
    let (broken, all) = (span(10.0, 360.0).filter(|t| t.violated).count(), span(10.0, 360.0).count());
    assert!(broken * 100 <= all, "{broken} of {all} ticks broken again after ten minutes");
    let replicas = |t: &Tick| f64::from(t.desired) / f64::from(t.need.max(1));
    let surplus = span(30.0, 120.0).map(replicas).sum::<f64>() / span(30.0, 120.0).count() as f64;
    assert!((1.0..1.6).contains(&surplus), "{surplus} times the need");
    // The forecast takes longer, and is left out until it has moved along: its median for the next quarter of an hour is where the load will be.
    let bias = |minutes: f64| -> Option<f64> {
        let forecast = forecasts[0].at(at(minutes))?.forecast.as_ref().ok()?;
        let (mut foreseen, mut came) = (0.0, 0.0);
        for ahead in [2.0, 5.0, 10.0, 15.0] {
            foreseen += forecast.at(at(minutes + ahead), 0.5)?;
            let second =
                ((shift - 4.0) * DAY + (minutes + ahead) * 60.0) as usize + backtest::RUN_IN as usize;
            came += f64::from(load.recorded()[second]);
        }
        Some((foreseen / came - 1.0).abs())
    };
    let back = (1..90).map(f64::from).find(|m| bias(*m).is_some_and(|b| b < 0.05));
    assert!(back.is_some_and(|minutes| minutes <= 40.0), "{back:?} minutes");
}

/// A user who thinks that a replica carries 50, where it carries 80 within its promise, and lets Foresail learn.
#[test]
fn capacity_is_learned_within_a_tenth_in_thirty_hours_and_never_far_too_high() {
    let truth = 80.0;
    let mut setup = setup();
    setup.scored = Duration::from_secs(3 * 86_400);
    let load = setup.load(&recording(|_, v| v)).unwrap();
    let forecasts = setup.forecasts(&load);
    let declared = {
        let mut ours = Foresail::new(&load, setup.policy.clone(), &setup.forecast, &forecasts, &setup.world);
        replay(&load, &setup.world, &mut ours)
    };
    setup.policy.metrics[0].target = 50.0;
    setup.policy.metrics[0].capacity = Capacity::Learned;
    let mut learner = Watched {
        ours: Foresail::new(&load, setup.policy, &setup.forecast, &forecasts, &setup.world),
        seen: vec![],
    };
    let learned = replay(&load, &setup.world, &mut learner);
    let highest = learner.seen.iter().copied().fold(0.0, f64::max);
    assert!(highest <= 1.1 * truth, "{highest} is far too high");
    // An HPA's tolerance keeps the load on a replica within a narrow range, so that it takes more than a day to learn from.
    let later = &learner.seen[5_760 * 5 / 4 + 240..];
    let off = later.iter().find(|v| (**v / truth - 1.0).abs() > 0.1);
    assert_eq!(off, None, "after thirty hours: {:?}", learner.ours.per_replica());
    // Costs what it costs to know it, but for the first hours.
    assert!(
        learned.pod_seconds < 1.3 * declared.pod_seconds,
        "{} {}",
        learned.pod_seconds,
        declared.pod_seconds
    );
}

/// Foresail, and what it thought a replica carries at each decision.
struct Watched {
    ours: Foresail,
    seen: Vec<f64>,
}

impl Scaler for Watched {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        self.seen.push(self.ours.per_replica());
        self.ours.decide(view, explain)
    }
}

/// Between two values of a recording there is nothing to be learned, and a policy may want it coarser.
#[test]
fn forecasts_are_as_fine_as_the_policy_wants_and_the_recording_allows() {
    let minutes = Duration::from_mins;
    let step = |wanted: Option<Duration>, every| {
        let start = "2026-01-05T00:00:00Z".parse().unwrap();
        let values = (0..4 * 1_440 / every).map(|i| 500.0 + (i % 7) as f64).collect();
        let recording = Series::new(start, minutes(every), values).unwrap();
        let mut setup = setup();
        setup.forecast.step = wanted.unwrap_or(setup.forecast.step);
        let load = setup.load(&recording).unwrap();
        setup.forecasts(&load)[0].last().unwrap().forecast.as_ref().unwrap().step()
    };
    assert_eq!(step(None, 5), minutes(5));
    assert_eq!(step(None, 60), minutes(5));
    assert_eq!(step(Some(minutes(5)), 1), minutes(5));
    let setup = setup();
    let forecasts = setup.forecasts(&setup.load(&recording(|_, v| v)).unwrap());
    let issue = forecasts[0].last().unwrap().forecast.as_ref().unwrap();
    assert_eq!(issue.step(), minutes(5));
}
