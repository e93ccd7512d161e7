//! Foresail in full replays, beside the baselines.

use backtest::{
    Cell, Foresail, Kind, Point, Score, Suite, cost_at, dominating, oracle, replay, score, violation_at,
};
use decide::Protection;
use rayon::prelude::*;

use crate::args::{Args, EVERYTHING, Family};
use crate::baselines::{Known, LEAST, baselines, points};
use crate::{Scene, selection};

pub(crate) fn tell(args: &Args, scenes: &[Scene], family: &Family) {
    let found: Vec<(Cell, Vec<(&'static str, f64)>)> =
        scenes.par_iter().filter_map(|scene| run(args, scene, family)).collect();
    let table = Suite { cells: found.iter().map(|(cell, _)| cell.clone()).collect() }.table();
    let summary = |line: &&str| line.starts_with("  =") || line.starts_with("pods");
    if args.quiet {
        table.lines().filter(summary).for_each(|line| println!("{line}"));
    } else {
        print!("{table}");
    }
    if args.spent {
        spent(&found);
    }
}

fn run(args: &Args, scene: &Scene, family: &Family) -> Option<(Cell, Vec<(&'static str, f64)>)> {
    let known = baselines(args, scene).ok()?;
    let oracle = oracle(&scene.setup, &scene.load);
    let replayed = |protection: &Protection| {
        let policy = decide::Policy { protection: *protection, ..scene.setup.policy.clone() };
        let Scene { load, setup, forecasts, .. } = scene;
        let ours = Foresail::without(load, policy, &setup.forecast, forecasts, &setup.world, family.1);
        let mut ours = ours.keep_simulations();
        let outcome = replay(&scene.load, &scene.setup.world, &mut ours);
        (ours, score(&outcome, &scene.load, &oracle))
    };
    // The first protection is the one that is told about; the others show what the same cost would buy.
    let mut runs = args.protections.iter().map(replayed);
    let (ours, score) = runs.next()?;
    if family.0 == EVERYTHING {
        selection::keep(args, scene, &ours).ok()?;
    }
    let frontier: Vec<Point> = std::iter::once(&score)
        .cloned()
        .chain(runs.map(|(_, score)| score))
        .map(|s| Point {
            name: String::new(),
            violation: s.violation_percent / 100.0,
            replica_hours: s.replica_hours,
        })
        .collect();
    let mut spent: Vec<(&'static str, f64)> = ours.attribution().hours().collect();
    let best = score.replica_hours / score.over_oracle_alike;
    spent.push(("paid", score.replica_hours));
    spent.push(("oracle", best));
    if args.spent {
        let selection = ours.selection();
        let own = selection.evidence.map_or_else(String::new, |evidence| told(&evidence.score));
        println!("{:<20} {own}", scene.name);
        println!(
            "{:<20} really {:.3} % at {:.2} replicas",
            "",
            score.violation_percent,
            score.replica_hours / 24.0 / 14.0
        );
    }
    cell(scene, &score, &frontier, &known).map(|cell| (cell, spent))
}

fn cell(scene: &Scene, ours: &Score, frontier: &[Point], known: &[Known]) -> Option<Cell> {
    let hpas = points(known, Kind::Hpa);
    let swept: Vec<Point> = hpas.iter().cloned().chain(points(known, Kind::Keda)).collect();
    let hpa = known.iter().find(|k| k.name == "HPA 70%")?;
    let perfect = known.iter().find(|k| k.name == "perfect forecast")?;
    let violation = ours.violation_percent / 100.0;
    let days = (ours.violation_seconds / violation.max(1e-12) / 86_400.0).clamp(0.01, 14.0);
    Some(Cell {
        series: scene.name.clone(),
        class: scene.class,
        startup_seconds: scene.startup as f64,
        days,
        violation_percent: ours.violation_percent,
        over_tuned_hpa: ours.replica_hours / cost_at(&hpas, violation, LEAST)?,
        over_oracle: ours.over_oracle_alike,
        perfect_over_tuned_hpa: perfect.hours / cost_at(&hpas, perfect.violation, LEAST)?,
        broken_over_hpa70: ours.violation_seconds.max(10.0) / hpa.seconds.max(10.0),
        hours_over_hpa70: ours.replica_hours / hpa.hours,
        broken_at_equal_cost: violation_at(frontier, hpa.hours, LEAST).map(|v| v / hpa.violation.max(LEAST)),
        actions_over_hpa70: ours.actions_per_day / hpa.actions.max(0.1),
        reversals_per_day: ours.reversals_per_day,
        dominated_by: dominating(&swept, violation, ours.replica_hours).map(|p| p.name.clone()),
        removed_on_bad_data: ours.removed_on_bad_data,
    })
}

fn told(s: &decide::Score) -> String {
    format!(
        "{}: {:.3} % at {:.2} replicas, {:.0} changes, {:.1} reversals",
        s.strategy,
        s.violation * 100.0,
        s.replicas,
        s.changes,
        s.reversals
    )
}

/// Each word's share of the oracle's replica-hours, as the mean over cells, largest first.
fn spent(found: &[(Cell, Vec<(&'static str, f64)>)]) {
    let mut shares: std::collections::BTreeMap<&str, f64> = std::collections::BTreeMap::new();
    for (_, words) in found {
        let best = words.iter().find(|w| w.0 == "oracle").map_or(1.0, |w| w.1);
        for (word, hours) in words {
            *shares.entry(word).or_default() += hours / best / found.len() as f64;
        }
    }
    let mut shares: Vec<_> = shares.into_iter().collect();
    shares.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    println!("replica-hours over the oracle's, by what they were spent on");
    for (word, share) in shares {
        println!("  {word:<24} {:>8.2} %", share * 100.0);
    }
}
