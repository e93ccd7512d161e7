//! How sure a ratio to the HPA tuned in hindsight is: days are drawn with replacement, each with what all strategies came to on
//! it (the day-block bootstrap: Künsch, Annals of Statistics 17, 1989). The HPA is the simulated one here, so that both see the
//! same days.

use backtest::{Point, cost_at};
use decide::Tally;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::baselines::LEAST;
use crate::selection::{geometric_mean, score};

/// How often days are drawn.
const DRAWS: usize = 200;

/// One day of one series.
pub(crate) struct Day {
    pub(crate) ours: Tally,
    pub(crate) hpas: Vec<Tally>,
}

/// Between what and what the geometric mean over series lies in nine draws of ten.
pub(crate) fn interval(series: &[&[Day]]) -> Option<(f64, f64)> {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut draws: Vec<f64> = (0..DRAWS)
        .map(|_| geometric_mean(series.iter().filter_map(|days| ratio(&drawn(&mut rng, days)))))
        .collect();
    draws.sort_by(f64::total_cmp);
    Some((*draws.get(DRAWS / 20)?, *draws.get(DRAWS - 1 - DRAWS / 20)?))
}

fn drawn<'a>(rng: &mut SmallRng, days: &'a [Day]) -> Vec<&'a Day> {
    (0..days.len()).map(|_| &days[rng.random_range(0..days.len())]).collect()
}

/// Replicas over those of the HPA that is short as long.
fn ratio(days: &[&Day]) -> Option<f64> {
    let ours = score(&days.iter().map(|day| day.ours).collect::<Vec<_>>())?;
    let hpas = days.iter().map(|day| day.hpas.len()).min()?;
    let points: Vec<Point> = (0..hpas)
        .filter_map(|i| score(&days.iter().map(|day| day.hpas[i]).collect::<Vec<_>>()))
        .map(|s| Point { name: String::new(), violation: s.violation, replica_hours: s.replicas })
        .collect();
    Some(ours.replicas / cost_at(&points, ours.violation, LEAST)?)
}
