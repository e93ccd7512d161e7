//! Selections, played on simulations: for each day, a strategy is selected on the simulation of the days before, as the
//! operator does it, and what came of it is what the next simulation says of that strategy and day. A selection takes
//! milliseconds this way and not minutes, so that many can be compared. A full replay knows more: how the selected
//! strategies follow each other.

use std::path::PathBuf;

use autoscaler::Simulation;
use backtest::{Foresail, Kind, Point, cost_at, dominating, replay, violation_at};
use decide::{
    Policy, Protection, Score, Selected, Selection, SelectionRule, Simulated, Strategy, StrategyReason,
    Tally, is_usual_hpa,
};
use rayon::prelude::*;

use crate::args::{Args, Family};
use crate::baselines::{Known, LEAST, baselines, points};
use crate::bootstrap::{Day, interval};
use crate::foreseen::{self, foreseen};
use crate::{Failure, Scene, folds};

/// A promise is missed where it is broken for so much longer than it says, and that wasn't told beforehand.
const MISSED: f64 = 0.0025;
/// How many of the worst series are told.
const TOLD: usize = 6;

/// A scene with its simulations, one a day, and the baselines.
pub(crate) struct Played<'a> {
    pub(crate) scene: &'a Scene,
    simulations: Vec<Simulation>,
    known: Vec<Known>,
}

/// What a selection came to on one scene.
pub(crate) struct Outcome {
    name: String,
    pub(crate) over_tuned_hpa: f64,
    violation: f64,
    violation_of_hpa70: f64,
    broken_over_hpa70: f64,
    hours_over_hpa70: f64,
    changes_over_hpa70: f64,
    dominated: bool,
    /// On most days the evidence said that no strategy keeps the promise.
    told: bool,
    selected: usize,
    days: Vec<Day>,
}

/// Where the simulations of a scene are kept.
pub(crate) fn kept(args: &Args, name: &str, startup: u64) -> PathBuf {
    args.cache.join(format!("{name}.{startup}.simulations.json"))
}

pub(crate) fn tell(args: &Args, scenes: &[Scene]) {
    let played: Vec<Played<'_>> = scenes
        .par_iter()
        .filter_map(|scene| {
            let found = simulations(args, scene).and_then(|s| Ok((s, baselines(args, scene)?)));
            let found = found.inspect_err(|error| eprintln!("left out {}: {error}", scene.name));
            let (simulations, known) = found.ok()?;
            Some(Played { scene, simulations, known })
        })
        .collect();
    if args.folds {
        folds::tell(args, &played);
        return;
    }
    println!(
        "{:<10} {:>7} {:<12} {:>6} {:>6} {:>5} {:>7} {:>6} {:>8} {:>9} {:>8} {:>6} {:>10} {:>17}",
        "pods start",
        "promise",
        "without",
        "series",
        "R/HPA*",
        "worst",
        "broken",
        "hours",
        "changes",
        "dominated",
        "missed",
        "told",
        "strategies",
        "R by simulation"
    );
    for startup in &args.startups {
        let here: Vec<&Played<'_>> = played.iter().filter(|p| p.scene.startup == *startup).collect();
        for protection in &args.protections {
            let of = |p: &&Played<'_>| {
                let policy = Policy { protection: *protection, ..p.scene.setup.policy.clone() };
                foreseen(&p.simulations, &policy)
            };
            let found: Vec<_> = here.iter().filter_map(of).collect();
            println!("{}", foreseen::line(*startup, *protection, &found));
        }
        for family in &args.left_out {
            let of = |protection: &Protection| -> Vec<Outcome> {
                here.par_iter()
                    .filter_map(|p| outcome(&SelectionRule::default(), p, *protection, family))
                    .collect()
            };
            let all: Vec<Vec<Outcome>> = args.protections.iter().map(of).collect();
            for (protection, outcomes) in args.protections.iter().zip(&all) {
                line(*startup, *protection, family, outcomes);
            }
            if args.protections.len() > 1 {
                println!("{:<10} at the cost of the HPA at 70 %: broken {:.2}", "", at_equal_cost(&all));
            }
        }
    }
}

/// What the promises together would break at the cost of the HPA at 70 %, over what that breaks: the mean over series.
fn at_equal_cost(all: &[Vec<Outcome>]) -> f64 {
    let series = all.first().map_or(0, Vec::len);
    let of = |i: usize| {
        let outcomes: Vec<&Outcome> = all.iter().filter_map(|outcomes| outcomes.get(i)).collect();
        let point = |o: &&Outcome| Point {
            name: String::new(),
            violation: o.violation,
            replica_hours: o.hours_over_hpa70,
        };
        let points: Vec<Point> = outcomes.iter().map(point).collect();
        let usual = outcomes.first()?.violation_of_hpa70.max(LEAST);
        Some(violation_at(&points, 1.0, LEAST)? / usual)
    };
    geometric_mean((0..series).filter_map(of))
}

/// The geometric mean; NaN of nothing.
pub(crate) fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value.ln(), n + 1.0));
    (sum / n).exp()
}

/// Outcomes together: geometric means, the worst, and how many are dominated.
pub(crate) struct Together {
    pub(crate) series: usize,
    pub(crate) over_tuned_hpa: f64,
    pub(crate) worst: f64,
    pub(crate) broken: f64,
    pub(crate) hours: f64,
    pub(crate) changes: f64,
    pub(crate) dominated: usize,
}

impl Together {
    pub(crate) fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome> + Clone) -> Self {
        let mean = |of: fn(&Outcome) -> f64| geometric_mean(outcomes.clone().map(of));
        Self {
            series: outcomes.clone().count(),
            over_tuned_hpa: mean(|o| o.over_tuned_hpa),
            worst: outcomes.clone().map(|o| o.over_tuned_hpa).fold(0.0, f64::max),
            broken: mean(|o| o.broken_over_hpa70),
            hours: mean(|o| o.hours_over_hpa70),
            changes: mean(|o| o.changes_over_hpa70),
            dominated: outcomes.filter(|o| o.dominated).count(),
        }
    }
}

fn line(startup: u64, protection: Protection, family: &Family, outcomes: &[Outcome]) {
    let days: Vec<&[Day]> = outcomes.iter().map(|o| o.days.as_slice()).collect();
    let sure = interval(&days).map_or_else(String::new, |(low, high)| format!("{low:.3} to {high:.3}"));
    let all = Together::of(outcomes.iter());
    // Without a promised share of the time, what counts is to be short no longer than the HPA at 70 %.
    let allowed = |o: &Outcome| match protection {
        Protection::Share(share) => 1.0 - share,
        Protection::SameCost => o.violation_of_hpa70,
    };
    println!(
        "{:<10} {:>7} {:<12} {:>6} {:>6.3} {:>5.3} {:>7.2} {:>6.3} {:>8.2} {:>9} {:>8} {:>6} {:>10.1} {sure:>17}",
        format!("{startup} s"),
        protection.to_string(),
        family.0,
        all.series,
        all.over_tuned_hpa,
        all.worst,
        all.broken,
        all.hours,
        all.changes,
        all.dominated,
        outcomes.iter().filter(|o| !o.told && o.violation > allowed(o) + MISSED).count(),
        outcomes.iter().filter(|o| o.told).count(),
        outcomes.iter().map(|o| o.selected as f64).sum::<f64>() / outcomes.len() as f64,
    );
    let mut worst: Vec<&Outcome> = outcomes.iter().collect();
    worst.sort_by(|a, b| b.over_tuned_hpa.total_cmp(&a.over_tuned_hpa));
    let told = |o: &&Outcome| format!("{} {:.3} ({:.2} %)", o.name, o.over_tuned_hpa, 100.0 * o.violation);
    let told: Vec<String> = worst.iter().take(TOLD).map(told).collect();
    println!("{:<10} worst: {}", "", told.join(", "));
}

/// Keeps the simulations of a replay.
pub(crate) fn keep(args: &Args, scene: &Scene, ours: &Foresail) -> Result<(), Failure> {
    std::fs::write(kept(args, &scene.name, scene.startup), serde_json::to_vec(ours.simulations())?)?;
    Ok(())
}

/// The simulations of a replay; those that were kept aren't made again.
fn simulations(args: &Args, scene: &Scene) -> Result<Vec<Simulation>, Failure> {
    if let Ok(text) = std::fs::read(kept(args, &scene.name, scene.startup)) {
        return Ok(serde_json::from_slice(&text)?);
    }
    let Scene { load, setup, forecasts, .. } = scene;
    let ours = Foresail::new(load, setup.policy.clone(), &setup.forecast, forecasts, &setup.world);
    let mut ours = ours.keep_simulations();
    replay(load, &setup.world, &mut ours);
    keep(args, scene, &ours)?;
    Ok(ours.simulations().to_vec())
}

/// What a selection by `rule` comes to on a scene.
pub(crate) fn outcome(
    rule: &SelectionRule,
    played: &Played<'_>,
    protection: Protection,
    family: &Family,
) -> Option<Outcome> {
    let policy = Policy { protection, ..played.scene.setup.policy.clone() };
    let mut selection = Selection::default();
    let mut next = |simulation: &Simulation| {
        let wanted = |s: &&Simulated| !family.1(&s.strategy);
        let known: Vec<Simulated> = simulation.strategies.iter().filter(wanted).cloned().collect();
        selection.prove_by(rule, &policy, &known, simulation.until);
        selection.selected
    };
    came_of(played, &policy, &mut next)
}

/// What the strategy comes to that the rule would have selected had it known all days beforehand: no selection among these
/// strategies is to be expected to do better.
pub(crate) fn hindsight(
    rule: &SelectionRule,
    played: &Played<'_>,
    protection: Protection,
) -> Option<Outcome> {
    let policy = Policy { protection, ..played.scene.setup.policy.clone() };
    let [_, days @ ..] = played.simulations.as_slice() else { return None };
    let of = |strategy: Strategy| Simulated {
        strategy,
        days: days.iter().filter_map(|simulation| day(simulation, |s| *s == strategy)).collect(),
    };
    let last = days.last()?;
    let known: Vec<Simulated> = last.strategies.iter().map(|s| of(s.strategy)).collect();
    let mut selection = Selection::default();
    selection.prove_by(rule, &policy, &known, last.until);
    came_of(played, &policy, &mut |_| selection.selected)
}

/// What came of what was selected on each simulation, on the day after it.
fn came_of(
    played: &Played<'_>,
    policy: &Policy,
    select: &mut dyn FnMut(&Simulation) -> Option<Selected>,
) -> Option<Outcome> {
    let (mut ours, mut usual, mut days) = (Vec::new(), Vec::new(), Vec::new());
    let mut selected: Vec<Strategy> = Vec::new();
    let mut told = 0;
    for pair in played.simulations.windows(2) {
        let Some(now) = select(&pair[0]).filter(Selected::by_replay) else { continue };
        let own = day(&pair[1], |s| *s == now.strategy);
        let hpas = pair[1].strategies.iter().filter(|s| s.strategy.is_hpa());
        days.extend(
            own.map(|ours| Day { ours, hpas: hpas.filter_map(|s| s.days.last().copied()).collect() }),
        );
        ours.extend(own);
        usual.extend(day(&pair[1], |s| is_usual_hpa(policy, s)));
        told += usize::from(now.reason == StrategyReason::SafestOnReplay);
        if !selected.contains(&now.strategy) {
            selected.push(now.strategy);
        }
    }
    let ours_days = ours.len();
    let (ours, usual) = (score(&ours)?, score(&usual)?);
    let hpa70 = played.known.iter().find(|k| k.name == "HPA 70%")?;
    let hpas = points(&played.known, Kind::Hpa);
    let swept: Vec<Point> = hpas.iter().cloned().chain(points(&played.known, Kind::Keda)).collect();
    // The HPA at 70 % stands in both models, so hours are counted in its own.
    let hours = ours.replicas / usual.replicas * hpa70.hours;
    Some(Outcome {
        name: played.scene.name.clone(),
        over_tuned_hpa: hours / cost_at(&hpas, ours.violation, LEAST)?,
        violation: ours.violation,
        violation_of_hpa70: usual.violation,
        broken_over_hpa70: ours.violation.max(LEAST) / usual.violation.max(LEAST),
        hours_over_hpa70: ours.replicas / usual.replicas,
        changes_over_hpa70: ours.changes.max(0.1) / usual.changes.max(0.1),
        dominated: dominating(&swept, ours.violation, hours).is_some(),
        told: 2 * told > ours_days,
        selected: selected.len(),
        days,
    })
}

/// What the newest day of a simulation says of a strategy.
pub(crate) fn day(simulation: &Simulation, wanted: impl Fn(&Strategy) -> bool) -> Option<Tally> {
    simulation.strategies.iter().find(|s| wanted(&s.strategy))?.days.last().copied()
}

/// Days together.
pub(crate) fn score(days: &[Tally]) -> Option<Score> {
    days.iter().sum::<Tally>().score(Strategy::REACTIVE)
}
