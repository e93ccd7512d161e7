//! Development: sweeps on a folder of CSVs.
use backtest::*;
use rayon::prelude::*;
use std::time::{Duration, Instant};
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let startup: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let only = std::env::args().nth(3).unwrap_or_default();
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "csv") && p.display().to_string().contains(&only))
        .collect();
    files.sort();
    for f in files {
        let Ok(series) = parse_csv(&std::fs::read_to_string(&f).unwrap()) else { continue };
        let world = World::new(100.0, 0.8, Duration::from_secs(startup), 1);
        let shape = Shape {
            scored: Duration::from_secs(14 * 86400),
            warm_up: Duration::from_secs(14 * 86400),
            peak_replicas: Some(50.0),
            per_replica: 80.0,
            capacity: 100.0,
            dispersion: 1.0,
            seed: 1,
        };
        let t = Instant::now();
        let load = Load::new(&series, &shape).unwrap();
        let tl = t.elapsed();
        let oracle = Oracle::new(&needs(&load, &world), 10.0, world.startup.mean() + world.drain as f64);
        println!(
            "== {} {}d scored; load {:?}",
            f.file_stem().unwrap().to_string_lossy(),
            load.seconds() / 86400,
            tl
        );
        let all = Contender::all();
        let rows: Vec<_> = all
            .par_iter()
            .map(|c| {
                let t = Instant::now();
                let o = replay(&load, &world, &mut *c.scaler(&load, &world));
                let tr = t.elapsed();
                (c.name(), score(&o, &load, &oracle), tr)
            })
            .collect();
        for (name, s, tr) in &rows {
            println!(
                "{name:24} V {:8.3}%  R/o {:.3} alike {:.3} worst {:6.0}s  ops/d {:5.0} rev/d {:4.1} {:?}",
                s.violation_percent,
                s.over_oracle,
                s.over_oracle_alike,
                s.worst_seconds,
                s.actions_per_day,
                s.reversals_per_day,
                tr
            );
        }
        println!("total {:?}", t.elapsed());
    }
}
