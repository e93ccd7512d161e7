//! A bench for whoever changes how Foresail decides: recordings are replayed again and again, while the
//! baselines, which a change of the decision doesn't touch, are kept in a folder. Prints the bars as
//! `foresail backtest --suite` does, and with `--spent` where the replica-hours above the oracle's went.
//!
//! `cargo run --release -p backtest --example lab -- DIR CACHE [--startup 60,180] [--step 60] [--only TEXT,TEXT]
//! [--protection SameCost,0.99,0.97,0.9] [--leave-out FAMILY,FAMILY] [--spent] [--quiet] [--select] [--folds]`
//!
//! The first protection is told about; with others beside it, so is what the cost of the HPA at 70 % would buy. `--step`
//! is the forecast's, in seconds. `--leave-out` takes families of strategies out of those that are selected among, one at
//! a time (`nothing`, `forecast`, `following`, `tolerant`, `margin`, `low`, `high`, `trend`, `calm`): what a family is worth is what the
//! others lose without it. `--select` plays selections on simulations, which
//! are made once and kept in CACHE too: remove `CACHE/*.simulations.json` when anything but the selection changes. It also says
//! how far what a workload's own replay foresaw is from what came, and on how many series a promise was missed by more than .25
//! points without that having been told beforehand (`told`: no strategy keeps it). `--folds` chooses the constants of the selection on all
//! families of series but one (a series' family is its name up to the first `_`), and plays that one with them; beside it stands what
//! the best single strategy of each series would have come to, known beforehand.

mod args;
mod baselines;
mod bootstrap;
mod folds;
mod foreseen;
mod replays;
mod selection;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use autoscaler::Prepared;
use backtest::{Class, Contender, Load, Setup, Startup, parse_csv};
use rayon::prelude::*;

use args::Args;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Scene {
    name: String,
    class: Class,
    startup: u64,
    setup: Setup,
    load: Arc<Load>,
    forecasts: Vec<Arc<Prepared>>,
}

fn main() -> Result<(), Failure> {
    let args = args::args()?;
    std::fs::create_dir_all(&args.cache)?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(&args.folder)?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "csv"))
        .filter(|path| args.only.iter().any(|text| path.to_string_lossy().contains(text)))
        .collect();
    files.sort();
    let scenes: Vec<Scene> = files.par_iter().flat_map(|file| scenes(&args, file)).collect();
    if args.select {
        selection::tell(&args, &scenes);
        return Ok(());
    }
    for family in &args.left_out {
        if args.left_out.len() > 1 {
            println!("without {}", family.0);
        }
        replays::tell(&args, &scenes, family);
    }
    Ok(())
}

fn scenes(args: &Args, file: &Path) -> Vec<Scene> {
    let made = || -> Result<Vec<Scene>, Failure> {
        let name = file.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let recording = parse_csv(&std::fs::read_to_string(file)?)?;
        let class = Class::of(&recording);
        let setup = |startup: u64| {
            let policy = backtest::policy_for(80.0);
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
        let kept = |startup: &u64| selection::kept(args, &name, *startup).exists();
        let known = args.select && args.startups.iter().all(kept);
        let forecasts = if known { Vec::new() } else { setup(60).forecasts(&load) };
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
