//! The bars of a folder of CSVs without the rest of the executable: `bars DIR STARTUPS [TEXT] [PROTECTION]`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backtest::{Foresail, Issued, Load, Setup, Suite, parse_csv, replay, replay_series};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let startups: Vec<Duration> =
        args[2].split(',').map(|s| s.parse().map(Duration::from_secs)).collect::<Result<_, _>>()?;
    let only = args.get(3).cloned().unwrap_or_default();
    let protections: Vec<f64> = args
        .get(4)
        .map_or("99", String::as_str)
        .split(',')
        .map(|p| p.parse::<f64>().map(|p| p / 100.0))
        .collect::<Result<_, _>>()?;
    let policy = decide::Policy::simple(1, 1_000, 80.0);
    let mut setup = Setup::new(policy, Duration::from_secs(60), 1);
    setup.peak_replicas = Some(50.0);
    if let Some(step) = args.get(5) {
        if let Ok(step) = step.parse() {
            setup.cadence.settings.step = Duration::from_secs(step);
        }
    }
    setup.clairvoyant = args.get(6).is_some_and(|a| a == "perfect");
    let mut files: Vec<_> = std::fs::read_dir(&args[1])?.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "csv"));
    files.retain(|p| only.split(',').any(|o| p.to_string_lossy().contains(o)));
    files.sort();
    let mut suites: Vec<Suite> = protections.iter().map(|_| Suite { cells: Vec::new() }).collect();
    for path in files {
        let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let Ok(recording) = parse_csv(&std::fs::read_to_string(&path)?) else { continue };
        let begin = Instant::now();
        let load = setup.load(&recording)?;
        let issued = cached(&setup, &load, &name);
        let forecast = begin.elapsed();
        if std::env::var_os("BARS_DEBUG").is_some() {
            debug(&setup, &load, &issued, &name);
        }
        for (suite, protection) in suites.iter_mut().zip(&protections) {
            setup.policy.protection = *protection;
            suite.cells.extend(replay_series(
                &name,
                &recording,
                &setup,
                &startups,
                (&load, &issued),
                &|_| {},
            ));
        }
        eprintln!("{name}: forecasts {forecast:.1?}, replays {:.1?}", begin.elapsed() - forecast);
    }
    for (suite, protection) in suites.iter().zip(&protections) {
        println!("protection {}\n{}", protection, suite.table());
    }
    Ok(())
}

/// Forecasts are the slow part; with `BARS_CACHE` set they are kept in that folder between runs.
fn cached(setup: &Setup, load: &Load, name: &str) -> Arc<Issued> {
    let Some(folder) = std::env::var_os("BARS_CACHE").filter(|_| !setup.clairvoyant) else {
        return setup.issue(load);
    };
    let file = format!("{name}-{}.json", setup.cadence.settings.step.as_secs());
    let path = std::path::Path::new(&folder).join(file);
    if let Some(issued) = std::fs::read(&path).ok().and_then(|b| serde_json::from_slice::<Issued>(&b).ok()) {
        return Arc::new(issued);
    }
    let issued = setup.issue(load);
    let kept = serde_json::to_vec(issued.as_ref()).map(|bytes| std::fs::write(&path, bytes));
    if !matches!(kept, Ok(Ok(()))) {
        eprintln!("{} can't be kept", path.display());
    }
    issued
}

/// The stance in place at the end, what the rehearsal says of it over its last days, and what really happened then.
fn debug(setup: &Setup, load: &Load, issued: &Arc<Issued>, name: &str) {
    let mut ours = Foresail::new(load, setup.policy.clone(), Arc::clone(issued));
    let outcome = replay(load, &setup.world, &mut ours);
    let last = outcome.violated.len().min(7 * 8_640);
    let tail = &outcome.violated[outcome.violated.len() - last..];
    let violation = tail.iter().filter(|v| **v).count() as f64 / last as f64;
    let spec = outcome.pod_seconds / (outcome.need.len() as f64 * 10.0);
    let mut scores = ours.rehearsed();
    scores.sort_by(|a, b| a.replicas.total_cmp(&b.replicas));
    println!("## {name}: real V {:.3}% R {spec:.2}; stance {:?}", violation * 100.0, ours.stance());
    let mut best = f64::INFINITY;
    for s in &scores {
        let taken = ours.stance() == Some(s.stance);
        let like_hpa = s.stance.foresight.is_none() && s.stance.hold.as_secs() == 300;
        if s.violation < best || taken || like_hpa {
            best = best.min(s.violation);
            let f = s
                .stance
                .foresight
                .map_or(String::from("-"), |f| format!("q{} x{} f{}", f.level, f.margin, f.follow));
            println!(
                "   {}{:15} h{:.2} hold {:4}: V {:.3}% R {:.2} changes {:.0} reversals {:.0}",
                if taken { "*" } else { " " },
                f,
                s.stance.headroom,
                s.stance.hold.as_secs(),
                s.violation * 100.0,
                s.replicas,
                s.changes,
                s.reversals
            );
        }
    }
}
