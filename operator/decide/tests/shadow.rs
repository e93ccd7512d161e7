//! The simulation against the decision: the same strategy on the same load asks for the same replicas, tick by tick.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::VecDeque;
use std::time::Duration;

use decide::{
    Behavior, ForecastParams, History, Known, MetricObservation, Observation, Policy, Replicas, Score,
    Selected, Shadow, Startup, Strategy, StrategyReason, TICK, recommend, strategy_grid,
};
use jiff::Timestamp;
use proptest::prelude::{Just, ProptestConfig, any, prop_assert_eq, proptest};
use series::{AbsenceReason, Forecast, Reading, Sample, time};

const LAG: Duration = Duration::from_secs(20);
const PER_REPLICA: f64 = 100.0;
const TICKS: usize = 600;

fn at(tick: usize) -> Timestamp {
    Timestamp::from_second(1_767_571_200 + tick as i64 * 15).unwrap()
}

fn startup() -> Startup {
    let (p95, mean) = (Some(Duration::from_secs(60)), Some(Duration::from_secs(45)));
    Startup { p95, mean, samples: 40 }
}

/// A load that wanders, jumps and falls, with gaps.
#[derive(Clone, Debug)]
struct Play {
    seed: u64,
    amplitude: f64,
    jumps: bool,
    gaps: bool,
}

fn noise(seed: u64, i: u64) -> f64 {
    let x = (seed ^ i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    ((x ^ (x >> 32)) % 10_000) as f64 / 5_000.0 - 1.0
}

impl Play {
    fn load(&self, tick: usize) -> f64 {
        let slow = (tick as f64 / 90.0).sin() * self.amplitude;
        let step = if self.jumps && (tick / 97) % 3 == 2 { 1_200.0 } else { 0.0 };
        (1_500.0 + 900.0 * slow + step + 60.0 * noise(self.seed, tick as u64)).max(0.0)
    }

    fn measured(&self, tick: usize) -> Option<f64> {
        // It begins with a load: what was asked for when one was lost before that, nobody knows.
        let gap = self.gaps && tick > 0 && noise(self.seed ^ 7, tick as u64 / 20) > 0.85;
        (!gap).then(|| self.load(tick))
    }

    fn forecast(&self, tick: usize) -> Forecast {
        let rows = (0..30).map(|m| {
            let load = self.load(tick + m * 4) * (1.0 + 0.05 * noise(self.seed ^ 3, (tick + m) as u64));
            vec![load * 0.7, load, load * 1.15]
        });
        Forecast::new(at(tick), Duration::from_secs(60), vec![0.05, 0.5, 0.99], rows.collect(), "made up")
            .unwrap()
    }
}

/// Replicas asked for by the decision, whose pods start as those of the simulation do, and what was in the way.
fn decided(policy: &Policy, strategy: Strategy, play: &Play) -> (Vec<u32>, Vec<String>) {
    let selected = Selected { strategy, reason: StrategyReason::SelectedByReplay };
    let mut history = History::default();
    let (mut spec, mut ready): (u32, u32) = (0, 0);
    let mut starting: VecDeque<(usize, u32)> = VecDeque::new();
    let (mut asked, mut why) = (Vec::new(), Vec::new());
    for tick in 0..TICKS {
        while let Some((_, n)) = starting.pop_front_if(|(serves, _)| *serves <= tick * 15) {
            ready += n;
        }
        let now = at(tick);
        let reading = play.measured(tick).and_then(|v| Sample::new(now, v));
        let mut metric = reading.map_or_else(
            || MetricObservation::absent("load", AbsenceReason::Empty, "gone"),
            |sample| MetricObservation::fresh("load", Reading::Fresh(sample)),
        );
        metric.forecast = Ok(play.forecast(tick));
        if tick == 0 {
            // The first wish is where the simulation begins.
            let observation = Observation {
                metrics: vec![metric.clone()],
                startup: startup(),
                lag: LAG,
                selected,
                ..Observation::of(1)
            };
            let first = recommend(policy, &observation, &History::default(), now).recommendation.uncapped;
            spec = first.clamp(policy.min_replicas, policy.max_replicas);
            ready = spec;
        }
        let observation = Observation {
            replicas: Replicas { spec, ready, pending: spec - ready, ..Replicas::default() },
            metrics: vec![metric],
            startup: startup(),
            lag: LAG,
            selected,
            ..Observation::of(spec)
        };
        let decision = recommend(policy, &observation, &history, now);
        history = decision.history;
        let to = decision.recommendation.target;
        history.scaled(now, spec, to);
        if to > spec {
            starting.push_back((tick * 15 + 45, to - spec));
        } else {
            let mut left = spec - to;
            while left > 0
                && let Some((_, n)) = starting.back_mut()
            {
                let cut = left.min(*n);
                (*n, left) = (*n - cut, left - cut);
                if *n == 0 {
                    starting.pop_back();
                }
            }
            ready -= left.min(ready);
        }
        spec = to;
        asked.push(spec);
        why.push(format!("{:?}", decision.recommendation.limits));
    }
    (asked, why)
}

/// Replicas asked for by the simulation.
fn simulated(policy: &Policy, strategy: Strategy, play: &Play) -> Vec<u32> {
    let mut shadow = Shadow::new(policy, &startup(), LAG, vec![strategy]);
    (0..TICKS)
        .map(|tick| {
            let load = play.measured(tick).and_then(|v| Sample::new(at(tick), v));
            let forecast = play.forecast(tick);
            shadow.tick(at(tick), &[Known { load, forecast: Some(&forecast), per_replica: PER_REPLICA }]);
            shadow.replicas().next().unwrap()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_simulation_asks_for_what_the_decision_asks_for(
        (seed, jumps, gaps, ruled) in any::<(u64, bool, bool, bool)>(),
        amplitude in 0.1f64..1.2,
        index in 0usize..1_000,
        max in proptest::prelude::prop_oneof![Just(1_000u32), 25u32..60],
    ) {
        let mut policy = Policy { protection: decide::Protection::Share(0.5), ..Policy::simple(1, max, PER_REPLICA) };
        policy.behavior = ruled.then(Behavior::default);
        let grid = strategy_grid(&policy);
        let strategy = grid[index % grid.len()];
        let play = Play { seed, amplitude, jumps, gaps };
        let ours = simulated(&policy, strategy, &play);
        let (theirs, why) = decided(&policy, strategy, &play);
        let differs = ours.iter().zip(&theirs).position(|(a, b)| a != b);
        let there = differs.unwrap_or(0);
        let around = there.saturating_sub(5)..(there + 5).min(TICKS);
        let told = (strategy, &ours[around.clone()], &theirs[around], &why[there]);
        prop_assert_eq!(differs, None, "{:?}", told);
    }
}

#[test]
fn foresight_keeps_a_promise_that_headroom_breaks_and_costs_less() {
    // A load that climbs steeply each hour, with a forecast that knows it or doesn't.
    let load = |tick: u64| if tick % 240 < 60 { 4_000.0 } else { 1_600.0 };
    let policy = Policy::simple(1, 1_000, 80.0);
    let strategies = vec![
        Strategy { headroom: 1.3, down_stabilization: Duration::from_secs(300), ..Strategy::REACTIVE },
        Strategy {
            forecast: Some(ForecastParams { quantile: 0.5, margin: 1.05, level_correction: 0.0 }),
            ..Strategy::REACTIVE
        },
        Strategy { headroom: 2.0, down_stabilization: Duration::from_secs(300), ..Strategy::REACTIVE },
    ];
    let mut shadow = Shadow::new(&policy, &startup(), LAG, strategies.clone());
    for tick in 0..2 * 5_760u64 {
        let now = time::after(at(0), TICK * u32::try_from(tick).unwrap());
        let rows = (0..20).map(|h| vec![load(tick + h * 4), load(tick + h * 4)]).collect();
        let forecast = Forecast::new(now, Duration::from_secs(60), vec![0.5, 0.99], rows, "known").unwrap();
        let load = Sample::new(now, load(tick.saturating_sub(2)));
        shadow.tick(now, &[Known { load, forecast: Some(&forecast), per_replica: 80.0 }]);
    }
    let scores: Vec<Score> =
        shadow.take_tallies().zip(&strategies).map(|(t, s)| t.score(*s).unwrap()).collect();
    assert!(scores[0].violation > 0.01 && scores[1].violation < 0.001, "{scores:?}");
    assert!(scores[1].replicas < scores[2].replicas && scores[0].replicas < scores[2].replicas, "{scores:?}");
    assert!((scores[0].days - 2.0).abs() < 1e-9);
}

#[test]
fn a_queue_that_is_foreseen_keeps_its_promise_at_less_than_the_most() {
    let policy = Policy {
        metrics: vec![decide::MetricPolicy::backlog("queue", Duration::from_secs(120))],
        ..Policy::simple(1, 100, 1.0)
    };
    let grid = strategy_grid(&policy);
    assert!(grid.len() < 10, "{}", grid.len());
    let rate = |tick: u64| 1_000.0 - 800.0 * (tick as f64 / 5_760.0 * std::f64::consts::TAU).cos();
    let mut shadow = Shadow::new(&policy, &startup(), LAG, grid.clone());
    for tick in 0..5_760u64 {
        let now = time::after(at(0), TICK * u32::try_from(tick).unwrap());
        let rows = (0..20).map(|h| vec![rate(tick + h * 4), rate(tick + h * 4) * 1.1]).collect();
        let forecast = Forecast::new(now, Duration::from_secs(60), vec![0.5, 0.99], rows, "known").unwrap();
        let load = Sample::new(now, rate(tick));
        shadow.tick(now, &[Known { load, forecast: Some(&forecast), per_replica: 50.0 }]);
    }
    for score in shadow.take_tallies().zip(&grid).map(|(t, s)| t.score(*s).unwrap()) {
        assert!(score.violation < 0.01, "{score:?}");
        assert!((20.0..40.0).contains(&score.replicas), "20 consumers' work: {score:?}");
    }
}
