//! The strategies that are simulated: each is one point of a coarse grid, and the past of the workload chooses.

use std::time::Duration;

use crate::policy::{MetricKind, Policy};
use crate::strategy::{ForecastParams, Strategy};

/// The stabilization window of an HPA without `behavior`.
const WINDOW: Duration = Duration::from_secs(300);
/// How much of the lead time a climb is carried on where it is.
const TREND: f64 = 0.7;
/// Headrooms that are tried with longer windows.
const CALMER: [f64; 8] = [1.0, 1.08, 1.17, 1.3, 1.5, 1.8, 2.3, 2.7];

/// The strategies worth trying for a policy: an HPA's from 37 % to 100 % of what a replica carries, with its tolerance;
/// the load of now with headroom, its climb carried on or not, and with longer windows; the forecast as it is, and moved
/// to the load of now, at several quantiles and margins. Each of ours restless, for whoever counts replicas, and calm.
/// Where only queues decide, the choice is whether their arrivals' forecast counts, and at which quantile.
pub fn strategy_grid(policy: &Policy) -> Vec<Strategy> {
    if policy.metrics.iter().all(|m| matches!(m.kind, MetricKind::Backlog(_))) {
        return for_queues();
    }
    let mut strategies = without_forecast();
    strategies.extend(with_forecast());
    strategies.extend(quick());
    strategies
}

fn for_queues() -> Vec<Strategy> {
    let foreseeing = [0.5, 0.8, 0.95, 0.99].map(Strategy::at_quantile);
    std::iter::once(Strategy::REACTIVE).chain(foreseeing).collect()
}

fn without_forecast() -> Vec<Strategy> {
    let mut strategies = Vec::new();
    for headroom in [1.0, 1.04, 1.08, 1.12, 1.17, 1.23, 1.3, 1.4, 1.5, 1.65, 1.8, 2.0, 2.3, 2.7] {
        let hpa = Strategy {
            down_stabilization: WINDOW,
            up_tolerance: 0.1,
            down_tolerance: 0.1,
            headroom,
            ..Strategy::REACTIVE
        };
        strategies.push(hpa);
        if headroom < 1.25 {
            let climbing = Strategy { trend_weight: TREND, up_tolerance: 0.0, ..hpa };
            strategies.extend([climbing, Strategy { down_stabilization: 2 * WINDOW, ..climbing }]);
        }
        if CALMER.contains(&headroom) {
            for (window, trend) in [4 * WINDOW, 8 * WINDOW].into_iter().flat_map(|w| [(w, 0.0), (w, TREND)]) {
                strategies.push(Strategy {
                    down_stabilization: window,
                    trend_weight: trend,
                    down_tolerance: 0.15,
                    ..hpa
                });
            }
        }
    }
    strategies
}

fn with_forecast() -> Vec<Strategy> {
    let mut strategies = Vec::new();
    for quantile in [0.5, 0.8, 0.95, 0.99] {
        for margin in [1.0, 1.05, 1.12, 1.25] {
            let forecast = |level_correction| Some(ForecastParams { quantile, margin, level_correction });
            let plain =
                Strategy { forecast: forecast(0.0), down_stabilization: 2 * WINDOW, ..Strategy::REACTIVE };
            let calm = Strategy { up_tolerance: 0.1, down_tolerance: 0.15, ..plain };
            let following = Strategy { forecast: forecast(1.0), ..plain };
            for headroom in [1.0, 1.12] {
                let calm = Strategy { headroom, ..calm };
                strategies.extend([
                    Strategy { trend_weight: TREND, ..calm },
                    Strategy { down_stabilization: 4 * WINDOW, ..calm },
                ]);
            }
            strategies.extend([
                plain,
                Strategy { trend_weight: TREND, down_tolerance: 0.1, ..plain },
                Strategy { down_stabilization: 8 * WINDOW, ..plain },
                following,
                Strategy {
                    down_stabilization: 4 * WINDOW,
                    up_tolerance: 0.1,
                    down_tolerance: 0.15,
                    ..following
                },
            ]);
        }
    }
    strategies
}

/// Those that are as quick to let go as an HPA: dear in changes, cheap in replicas.
fn quick() -> Vec<Strategy> {
    let quick = Strategy { down_stabilization: WINDOW, ..Strategy::REACTIVE };
    let mut strategies = Vec::new();
    for headroom in [1.0, 1.04, 1.08, 1.12, 1.17] {
        strategies.extend([0.3, TREND].map(|trend_weight| Strategy { headroom, trend_weight, ..quick }));
    }
    for quantile in [0.5, 0.65, 0.8, 0.9, 0.99] {
        for margin in [1.0, 1.05, 1.12] {
            let foreseeing = |level_correction| Strategy {
                forecast: Some(ForecastParams { quantile, margin, level_correction }),
                ..quick
            };
            strategies.extend([0.0, 0.5, 1.0].map(foreseeing));
        }
    }
    strategies
}
