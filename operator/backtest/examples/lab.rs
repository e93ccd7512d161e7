//! A bench for whoever changes how Foresail decides: recordings are replayed again and again, while the
//! baselines, which a change of the decision doesn't touch, are kept in a folder. Prints the bars as
//! `foresail backtest --suite` does, and with `--spent` where the replica-hours above the oracle's went.
//!
//! `cargo run --release -p backtest --example lab -- DIR CACHE [--startup 60,180] [--step 60] [--only TEXT,TEXT]
//! [--protection 0.99,0.98,0.97,0.95,0.9,0.8,0.7,0.5] [--leave-out FAMILY,FAMILY] [--spent] [--quiet]`
//!
//! The first protection is told about; with others beside it, so is what the cost of the HPA at 70 % would buy. `--step`
//! is the forecast's, in seconds. `--leave-out` takes families of strategies out of the simulation that selects among them,
//! one at a time (`nothing`, `forecast`, `correction`, `margin`, `trend`, `headroom`, `long`, `quick`, `tolerance`, `low`,
//! `high`): what a family is worth is what the others lose without it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use autoscaler::Prepared;
use backtest::{
    Cell, Class, Contender, Foresail, Kind, Load, Point, Score, Setup, Startup, Suite, cost_at, dominating,
    oracle, parse_csv, replay, score, violation_at,
};
use decide::Strategy;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Args {
    folder: PathBuf,
    cache: PathBuf,
    startups: Vec<u64>,
    step: Option<u64>,
    only: Vec<String>,
    protections: Vec<f64>,
    /// Families that are left out, one at a time.
    left_out: Vec<Family>,
    spent: bool,
    quiet: bool,
}

fn args() -> Result<Args, Failure> {
    let mut words = std::env::args().skip(1);
    let mut next = |what: &str| words.next().ok_or_else(|| format!("{what} is missing"));
    let mut found = Args {
        folder: next("DIR")?.into(),
        cache: next("CACHE")?.into(),
        startups: vec![60],
        step: None,
        only: vec![String::new()],
        protections: vec![0.99],
        left_out: vec![family("nothing")?],
        spent: false,
        quiet: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--startup" => found.startups = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--step" => found.step = Some(value()?.parse()?),
            "--only" => found.only = value()?.split(',').map(str::to_owned).collect(),
            "--protection" => {
                found.protections = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--leave-out" => found.left_out = value()?.split(',').map(family).collect::<Result<_, _>>()?,
            "--spent" => found.spent = true,
            "--quiet" => found.quiet = true,
            _ => return Err(format!("{word} isn't understood").into()),
        }
    }
    Ok(found)
}

/// A family's name, and its strategies.
type Family = (String, fn(&Strategy) -> bool);

/// The family of this name.
fn family(name: &str) -> Result<Family, String> {
    const TEN_MINUTES: Duration = Duration::from_mins(10);
    const FIVE_MINUTES: Duration = Duration::from_mins(5);
    let unwanted: fn(&Strategy) -> bool = match name {
        "nothing" => |_| false,
        "forecast" => |s| s.forecast.is_some(),
        "correction" => |s| s.forecast.is_some_and(|f| f.level_correction > 0.0),
        "margin" => |s| s.forecast.is_some_and(|f| f.margin > 1.0),
        "low" => |s| s.forecast.is_some_and(|f| f.quantile < 0.75),
        "high" => |s| s.forecast.is_some_and(|f| f.quantile > 0.9),
        "headroom" => |s| s.forecast.is_some() && s.headroom > 1.0,
        "trend" => |s| s.trend_weight > 0.0,
        "long" => |s| s.down_stabilization > TEN_MINUTES,
        "quick" => |s| s.down_stabilization <= FIVE_MINUTES && (s.forecast.is_some() || s.trend_weight > 0.0),
        // An HPA has its tolerance.
        "tolerance" => |s| s.up_tolerance > 0.0 && s.forecast.is_some(),
        _ => return Err(format!("there is no family {name}")),
    };
    Ok((name.to_owned(), unwanted))
}

/// A baseline's run, as kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    name: String,
    kind: String,
    violation: f64,
    seconds: f64,
    hours: f64,
    actions: f64,
    reversals: f64,
}

struct Scene {
    name: String,
    class: Class,
    startup: u64,
    setup: Setup,
    load: Arc<Load>,
    forecasts: Vec<Arc<Prepared>>,
}

fn main() -> Result<(), Failure> {
    let args = args()?;
    std::fs::create_dir_all(&args.cache)?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(&args.folder)?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "csv"))
        .filter(|path| args.only.iter().any(|text| path.to_string_lossy().contains(text)))
        .collect();
    files.sort();
    let scenes: Vec<Scene> = files.par_iter().flat_map(|file| scenes(&args, file)).collect();
    for family in &args.left_out {
        if args.left_out.len() > 1 {
            println!("without {}", family.0);
        }
        tell(&args, &scenes, family);
    }
    Ok(())
}

fn tell(args: &Args, scenes: &[Scene], family: &Family) {
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

fn scenes(args: &Args, file: &Path) -> Vec<Scene> {
    let made = || -> Result<Vec<Scene>, Failure> {
        let name = file.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let recording = parse_csv(&std::fs::read_to_string(file)?)?;
        let class = Class::of(&recording);
        let setup = |startup: u64| {
            let policy = decide::Policy::simple(1, 1_000, 80.0);
            let mut setup = Setup::new(policy, Duration::from_secs(startup), 1);
            setup.peak_replicas = Some(50.0);
            setup.contenders = Contender::swept();
            (setup.variants, setup.protections) = (true, args.protections.clone());
            setup.world.startup = Startup::around(Duration::from_secs(startup));
            if let Some(step) = args.step {
                setup.forecast.step = Duration::from_secs(step);
            }
            setup
        };
        let load = Arc::new(setup(60).load(&recording)?);
        let forecasts = setup(60).forecasts(&load);
        let scene = |startup: &u64| Scene {
            name: name.clone(),
            class,
            startup: *startup,
            setup: setup(*startup),
            load: Arc::clone(&load),
            forecasts: forecasts.clone(),
        };
        Ok(args.startups.iter().map(scene).collect())
    };
    made().unwrap_or_else(|error| {
        eprintln!("left out {}: {error}", file.display());
        Vec::new()
    })
}

/// The baselines' runs; those that were kept aren't made again.
fn baselines(args: &Args, scene: &Scene) -> Result<Vec<Known>, Failure> {
    let path = args.cache.join(format!("{}.{}.json", scene.name, scene.startup));
    let mut known: Vec<Known> = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(_) => Vec::new(),
    };
    let missing: Vec<Contender> =
        Contender::swept().into_iter().filter(|c| known.iter().all(|k| k.name != c.name())).collect();
    if missing.is_empty() {
        return Ok(known);
    }
    let oracle = oracle(&scene.setup, &scene.load);
    let made = |contender: &Contender| {
        let mut scaler = contender.scaler(&scene.load, &scene.setup.world);
        let outcome = replay(&scene.load, &scene.setup.world, &mut *scaler);
        let s = score(&outcome, &scene.load, &oracle);
        Known {
            name: contender.name(),
            kind: format!("{:?}", contender.kind()),
            violation: s.violation_percent / 100.0,
            seconds: s.violation_seconds,
            hours: s.replica_hours,
            actions: s.actions_per_day,
            reversals: s.reversals_per_day,
        }
    };
    known.par_extend(missing.par_iter().map(made));
    std::fs::write(&path, serde_json::to_vec(&known)?)?;
    Ok(known)
}

fn run(args: &Args, scene: &Scene, family: &Family) -> Option<(Cell, Vec<(&'static str, f64)>)> {
    let known = baselines(args, scene).ok()?;
    let oracle = oracle(&scene.setup, &scene.load);
    let replayed = |protection: &f64| {
        let policy = decide::Policy { protection: *protection, ..scene.setup.policy.clone() };
        let Scene { load, setup, forecasts, .. } = scene;
        let mut ours = Foresail::without(load, policy, &setup.forecast, forecasts, &setup.world, family.1);
        let outcome = replay(&scene.load, &scene.setup.world, &mut ours);
        (ours, score(&outcome, &scene.load, &oracle))
    };
    // The first protection is the one that is told about; the others show what the same cost would buy.
    let mut runs = args.protections.iter().map(replayed);
    let (ours, score) = runs.next()?;
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
    let points = |kind: Kind| -> Vec<Point> {
        known
            .iter()
            .filter(|k| k.kind == format!("{kind:?}"))
            .map(|k| Point { name: k.name.clone(), violation: k.violation, replica_hours: k.hours })
            .collect()
    };
    let hpas = points(Kind::Hpa);
    let swept: Vec<Point> = hpas.iter().cloned().chain(points(Kind::Keda)).collect();
    let hpa = known.iter().find(|k| k.name == "HPA 70%")?;
    let perfect = known.iter().find(|k| k.name == "perfect forecast")?;
    let violation = ours.violation_percent / 100.0;
    let days = (ours.violation_seconds / violation.max(1e-12) / 86_400.0).clamp(0.01, 14.0);
    let least = 10.0 / (14.0 * 86_400.0);
    Some(Cell {
        series: scene.name.clone(),
        class: scene.class,
        startup_seconds: scene.startup as f64,
        days,
        violation_percent: ours.violation_percent,
        over_tuned_hpa: ours.replica_hours / cost_at(&hpas, violation, least)?,
        over_oracle: ours.over_oracle_alike,
        perfect_over_tuned_hpa: perfect.hours / cost_at(&hpas, perfect.violation, least)?,
        broken_over_hpa70: ours.violation_seconds.max(10.0) / hpa.seconds.max(10.0),
        hours_over_hpa70: ours.replica_hours / hpa.hours,
        broken_at_equal_cost: violation_at(frontier, hpa.hours, least).map(|v| v / hpa.violation.max(least)),
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
