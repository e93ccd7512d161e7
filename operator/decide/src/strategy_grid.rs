//! The strategies that are simulated: each is one point of a coarse grid, and the past of the workload chooses.

use crate::policy::{MetricKind, Policy};
use crate::strategy::{ForecastParams, HPA_WINDOW, Strategy};

/// Headrooms that are tried with an HPA's rules, besides the usual one.
const HEADROOMS: [f64; 14] = [1.0, 1.04, 1.08, 1.12, 1.17, 1.23, 1.3, 1.4, 1.5, 1.65, 1.8, 2.0, 2.3, 2.7];
/// How much of the lead time a climb is carried on where it is.
const TREND: f64 = 0.7;
/// Headrooms that are tried with the longest window.
const CALM: [f64; 8] = [1.0, 1.08, 1.17, 1.3, 1.5, 1.8, 2.3, 2.7];

/// The strategies worth trying for a policy: those of HPAs on CPU and on the load, from 37 % to 100 % of what a replica carries;
/// the load of now with its climb carried on; the same held for long; the forecast at several quantiles and margins, as it
/// is, moved to the load of now, and with a tolerance as well. Fewer are better: a week of evidence finds the best of many
/// by luck. What each family is worth is shown by `lab --select --leave-out` (`docs/guide/backtest.md`). Where only queues
/// decide, the choice is whether their arrivals' forecast counts, and at which quantile.
pub fn strategy_grid(policy: &Policy) -> Vec<Strategy> {
    if policy.metrics.iter().all(|m| matches!(m.kind, MetricKind::Backlog(_))) {
        return for_queues();
    }
    [hpas(policy), climbing(), calm(), foreseeing(), following(), tolerant()].concat()
}

fn for_queues() -> Vec<Strategy> {
    let foreseeing = [0.5, 0.8, 0.95, 0.99].map(Strategy::at_quantile);
    std::iter::once(Strategy::REACTIVE).chain(foreseeing).collect()
}

/// HPAs on CPU, of which people have one, and on the load, which a burst takes no time to show.
fn hpas(policy: &Policy) -> Vec<Strategy> {
    let usual = policy.usual_headroom();
    let usual = HEADROOMS.iter().all(|known| (known - usual).abs() > 1e-6).then_some(usual);
    let on_cpu = HEADROOMS.into_iter().chain(usual).map(|headroom| Strategy::usual_hpa(policy, headroom));
    let mut all: Vec<Strategy> = on_cpu.collect();
    for strategy in CALM.map(Strategy::hpa) {
        if !all.contains(&strategy) {
            all.push(strategy);
        }
    }
    all
}

/// An HPA that carries the climb on, without its tolerance, and two that are as restless as a load is.
fn climbing() -> Vec<Strategy> {
    let of = |headroom: f64| {
        let steady = Strategy { trend_weight: TREND, up_tolerance: 0.0, ..Strategy::hpa(headroom) };
        let quick = Strategy { down_tolerance: Strategy::REACTIVE.down_tolerance, ..steady };
        [
            steady,
            Strategy { down_stabilization: 2 * HPA_WINDOW, ..steady },
            quick,
            Strategy { trend_weight: 0.3, ..quick },
        ]
    };
    HEADROOMS[..6].iter().copied().flat_map(of).collect()
}

/// Replicas that stay for the better part of an hour, for loads that tremble.
fn calm() -> Vec<Strategy> {
    let of = |headroom: f64| {
        let held =
            Strategy { down_stabilization: 8 * HPA_WINDOW, down_tolerance: 0.15, ..Strategy::hpa(headroom) };
        [held, Strategy { trend_weight: TREND, ..held }]
    };
    CALM.into_iter().flat_map(of).collect()
}

/// The forecast as it is. Its median isn't tried: where that was enough for a week, it seldom was for the next.
fn foreseeing() -> Vec<Strategy> {
    let of = |forecast: ForecastParams| {
        let plain =
            Strategy { forecast: Some(forecast), down_stabilization: 2 * HPA_WINDOW, ..Strategy::REACTIVE };
        [plain, Strategy { trend_weight: TREND, down_tolerance: 0.1, ..plain }]
    };
    params(&[0.8, 0.95, 0.99], 0.0).flat_map(of).collect()
}

/// The forecast moved to the load of now, as quick to let go as an HPA: dear in changes, cheap in replicas.
fn following() -> Vec<Strategy> {
    let of = |forecast| Strategy {
        forecast: Some(forecast),
        down_stabilization: HPA_WINDOW,
        ..Strategy::REACTIVE
    };
    params(&[0.5, 0.65, 0.8, 0.9, 0.99], 1.0).map(of).collect()
}

/// The forecast with an HPA's tolerance: few changes, cheap in replicas. Load may be above the answer by the tolerance
/// before anything is done, so the margin makes up for it.
fn tolerant() -> Vec<Strategy> {
    let of = |(tolerance, quantile): (f64, f64)| {
        let forecast = ForecastParams { quantile, margin: 1.0 / (1.0 - tolerance), level_correction: 1.0 };
        Strategy {
            forecast: Some(forecast),
            trend_weight: TREND,
            up_tolerance: tolerance,
            ..Strategy::hpa(1.0)
        }
    };
    let quantiles = [0.5, 0.65, 0.8, 0.9];
    [0.05, 0.1].into_iter().flat_map(|tolerance| quantiles.map(|q| of((tolerance, q)))).collect()
}

fn params(quantiles: &[f64], level_correction: f64) -> impl Iterator<Item = ForecastParams> {
    let of = move |quantile: &f64| {
        [1.0, 1.05].map(|margin| ForecastParams { quantile: *quantile, margin, level_correction })
    };
    quantiles.iter().flat_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_strategy_is_tried_twice_and_they_are_few() {
        let mut policy = Policy::simple(1, 10, 1.0);
        policy.metrics[0].spare = 0.3;
        let grid = strategy_grid(&policy);
        let twice = grid.iter().enumerate().find(|(i, strategy)| grid[..*i].contains(strategy));
        assert_eq!(twice, None);
        assert!(grid.len() <= 93, "{}", grid.len());
    }
}
