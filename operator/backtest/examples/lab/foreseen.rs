//! What a workload's own replay foresaw, beside what the days after brought: whoever reads a status believes that number.

use autoscaler::Simulation;
use decide::{Evidence, Policy, Protection, Range, Selection, Tally, is_usual_hpa};

use crate::selection::{day, score};

/// The least that has to come after, in days.
const LEAST_DAYS: usize = 3;

/// One series at one start-up time.
pub(crate) struct Foreseen {
    /// Replicas over the usual HPA's: what came over what was foreseen, less one.
    cost: f64,
    /// Share of time with too few replicas that came, less the share foreseen.
    violation: f64,
    /// The same of the share that is spared beside the usual HPA.
    spared: f64,
    /// Whether what came lay in the interval that was told.
    within: (bool, bool),
}

/// Selects on the days before the middle of the simulations, and compares with the days after it, over which the
/// selection goes on. `None` where too few days follow.
pub(crate) fn foreseen(simulations: &[Simulation], policy: &Policy) -> Option<Foreseen> {
    let middle = simulations.len() / 2;
    let mut selection = Selection::default();
    let mut told: Option<Evidence> = None;
    let (mut came, mut usual): (Vec<Tally>, Vec<Tally>) = (Vec::new(), Vec::new());
    for (i, pair) in simulations.windows(2).enumerate() {
        selection.prove(policy, &pair[0].strategies, pair[0].until);
        if i < middle {
            told = selection.evidence;
        } else {
            let strategy = selection.selected?.strategy;
            came.push(day(&pair[1], |s| *s == strategy)?);
            usual.push(day(&pair[1], |s| is_usual_hpa(policy, s))?);
        }
    }
    let (told, days) = (told?, came.len());
    let (came, usual) = (score(&came).filter(|_| days >= LEAST_DAYS)?, score(&usual)?);
    let cost = came.replicas / usual.replicas;
    let within = |range: Option<Range>, value: f64| range.is_some_and(|r| (r.low..=r.high).contains(&value));
    Some(Foreseen {
        cost: cost / (told.score.replicas / told.usual_replicas?) - 1.0,
        violation: came.violation - told.score.violation,
        spared: (usual.violation - came.violation) - (told.usual_violation? - told.score.violation),
        within: (within(told.cost_to_come, cost), within(told.violation_to_come, came.violation)),
    })
}

/// One line about all series at a start-up time.
pub(crate) fn line(startup: u64, protection: Protection, found: &[Foreseen]) -> String {
    let n = found.len().max(1) as f64;
    let median = |of: fn(&Foreseen) -> f64| {
        let mut all: Vec<f64> = found.iter().map(|f| of(f).abs()).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let mean = |of: fn(&Foreseen) -> f64| found.iter().map(of).sum::<f64>() / n;
    let share = |of: fn(&Foreseen) -> bool| 100.0 * found.iter().filter(|f| of(f)).count() as f64 / n;
    format!(
        "{startup} s, {protection}, {} series: what came differs from what was foreseen by {:.1} % of the usual HPA's replicas, {:.2} points \
         of shortage and {:.2} points of what is spared of the usual HPA's (medians; means {:+.1} %, {:+.2}, {:+.2}), and lies within the interval told for {:.0} % and {:.0} %",
        found.len(),
        100.0 * median(|f| f.cost),
        100.0 * median(|f| f.violation),
        100.0 * median(|f| f.spared),
        100.0 * mean(|f| f.cost),
        100.0 * mean(|f| f.violation),
        100.0 * mean(|f| f.spared),
        share(|f| f.within.0),
        share(|f| f.within.1),
    )
}
