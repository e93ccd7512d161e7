//! The baselines' runs, kept in a folder: a change of the decision doesn't touch them.

use backtest::{Contender, Kind, Point, oracle, replay, score};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::args::Args;
use crate::{Failure, Scene};

/// Ten seconds in two weeks, as a share: less broken time than that is luck.
pub(crate) const LEAST: f64 = 10.0 / (14.0 * 86_400.0);

/// A baseline's run, as kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) violation: f64,
    pub(crate) seconds: f64,
    pub(crate) hours: f64,
    pub(crate) actions: f64,
    pub(crate) reversals: f64,
}

/// The baselines' runs; those that were kept aren't made again.
pub(crate) fn baselines(args: &Args, scene: &Scene) -> Result<Vec<Known>, Failure> {
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

/// The points of all targets of one kind.
pub(crate) fn points(known: &[Known], kind: Kind) -> Vec<Point> {
    let of = |k: &Known| Point { name: k.name.clone(), violation: k.violation, replica_hours: k.hours };
    known.iter().filter(|k| k.kind == format!("{kind:?}")).map(of).collect()
}
