//! How long `foresail run` takes to learn from the past of many policies, and what that does to the loop of decisions.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::{SignedDuration, Timestamp};

use crate::fleet::{Fleet, PATIENCE};
use crate::foresail::values;
use crate::{Foresail, Shape};

/// Days of the past that evidence of a strategy has, but for what was not measured of the first.
const DAYS: f64 = 6.9;
/// How often is asked how far learning got.
const ASKED_EVERY: Duration = Duration::from_secs(2);

/// What was measured, each from the start of the process.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Until every policy was decided on.
    pub decided: Duration,
    /// Until the first policy decided with a forecast.
    pub first_forecast: Duration,
    /// Until every policy did.
    pub forecasts: Duration,
    /// Until the first strategy was selected on seven days of the past.
    pub first_selected: Duration,
    /// Until every policy had one.
    pub selected: Duration,
    /// How much later than planned policies were looked at meanwhile: 99 % of the looks were no later, in seconds.
    pub delay_p99: f64,
}

/// Sets everything up and watches.
///
/// # Errors
/// Fails when a server doesn't start, or something takes longer than a quarter of an hour.
pub async fn measure(policies: usize) -> Result<Measured> {
    let noon = Timestamp::now() - SignedDuration::from_hours(5);
    let hours = |h: i64| h * 3_600;
    let shape = Shape::daily(noon, &[(0, 300.0), (hours(6), 900.0), (hours(12), 300.0), (hours(18), 100.0)]);
    let (fleet, access) = Fleet::start(policies, shape).await?;
    let begun = Instant::now();
    let foresail = fleet.foresail(&access).await?;
    let decided = "foresail_policy_last_decision_timestamp_seconds";
    let (forecast, days) = ("foresail_forecast_value", "foresail_policy_simulated_days");
    let [decided, first_forecast, forecasts, first_selected, selected] = reached(
        &foresail,
        begun,
        [
            Goal { metric: decided, least: 1.0, wanted: policies },
            Goal { metric: forecast, least: f64::MIN, wanted: 1 },
            // A median and an upper bound each.
            Goal { metric: forecast, least: f64::MIN, wanted: 2 * policies },
            Goal { metric: days, least: DAYS, wanted: 1 },
            Goal { metric: days, least: DAYS, wanted: policies },
        ],
    )
    .await?;
    let delay_p99 = foresail.quantile("foresail_decision_delay_seconds", 0.99).await?;
    Ok(Measured { decided, first_forecast, forecasts, first_selected, selected, delay_p99 })
}

/// So many series of a metric at this value or above.
struct Goal {
    metric: &'static str,
    least: f64,
    wanted: usize,
}

/// When each goal was reached. Asked seldom: the metrics of hundreds of policies are work for whoever is measured.
async fn reached<const N: usize>(
    foresail: &Foresail,
    begun: Instant,
    goals: [Goal; N],
) -> Result<[Duration; N]> {
    let mut reached = [None; N];
    let mut last = String::new();
    while begun.elapsed() < PATIENCE {
        match foresail.metrics().await {
            Ok(page) => {
                for (goal, reached) in goals.iter().zip(&mut reached).filter(|(_, reached)| reached.is_none())
                {
                    let found = values(&page, goal.metric).filter(|(_, value)| *value >= goal.least).count();
                    *reached = (found >= goal.wanted).then(|| begun.elapsed());
                    last = format!("{}: {found} of {}", goal.metric, goal.wanted);
                }
            }
            // Whoever is busy may answer late.
            Err(error) => last = format!("{error:#}"),
        }
        if reached.iter().all(Option::is_some) {
            return Ok(reached.map(Option::unwrap_or_default));
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
    bail!("not within {PATIENCE:?}; at last: {last}")
}
