//! The promise of a queue, replayed:
//! `cargo run --release -p backtest --example queues [-- DIR] [--within SECONDS] [--only NAME]
//! [--thresholds N]`.
//!
//! Without a folder the built-in shapes of arrivals are replayed; with one, each CSV of it (`timestamp,value`, messages
//! per second), scaled so that its highest arrivals keep thirty consumers busy.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use backtest::{ProofScene, parse_csv, prove, scenes};

fn main() -> Result<(), Box<dyn Error>> {
    let mut folder = None;
    let mut thresholds = 12;
    let mut only = None;
    let mut within = Duration::from_secs(120);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--within" => {
                within = Duration::from_secs(arguments.next().ok_or("--within needs seconds")?.parse()?);
            }
            "--thresholds" => thresholds = arguments.next().ok_or("--thresholds needs a number")?.parse()?,
            "--only" => only = arguments.next(),
            other => folder = Some(other.to_owned()),
        }
    }
    let mut scenes = match folder {
        Some(folder) => read(Path::new(&folder))?,
        None => scenes(),
    };
    scenes.retain(|scene| only.as_ref().is_none_or(|name| scene.name.contains(name)));
    println!("promise: no message older than {}s", within.as_secs());
    print!("{}", prove(&scenes, within, thresholds)?.table());
    Ok(())
}

fn read(folder: &Path) -> Result<Vec<ProofScene>, Box<dyn Error>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "csv"));
    paths.sort();
    let mut scenes = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let arrivals = parse_csv(&std::fs::read_to_string(&path)?).map_err(|e| format!("{name}: {e}"))?;
        scenes.push(ProofScene { name, arrivals });
    }
    Ok(scenes)
}
