//! The bars of a folder of CSVs without the rest of the executable: `bars DIR STARTUPS [TEXT] [PROTECTION]`.

use std::time::{Duration, Instant};

use backtest::{Setup, Suite, parse_csv, replay_series};

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
        let issued = setup.issue(&load);
        let forecast = begin.elapsed();
        for (suite, protection) in suites.iter_mut().zip(&protections) {
            setup.policy.protection = *protection;
            suite.cells.extend(replay_series(&name, &recording, &setup, &startups, (&load, &issued), &|_| {}));
        }
        eprintln!("{name}: forecasts {forecast:.1?}, replays {:.1?}", begin.elapsed() - forecast);
    }
    for (suite, protection) in suites.iter().zip(&protections) {
        println!("protection {}\n{}", protection, suite.table());
    }
    Ok(())
}
