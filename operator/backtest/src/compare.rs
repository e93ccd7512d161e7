//! One workload's recording, Foresail and everybody else: who would have broken the promise how long, at what cost.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use autoscaler::{Prepared, forecast_settings};
use decide::{ForecastUse, Policy, Protection};
use forecast::Settings;
use jiff::Timestamp;
use rayon::prelude::*;
use serde::Serialize;
use series::Series;

use crate::advice::{Advice, advise};
use crate::baselines::{Contender, Kind};
use crate::certainty::{Certainty, certainty};
use crate::curves::{Curves, Moment, moments};
use crate::faults::Fault;
use crate::forecast_log::{learn, of_recording, perfect};
use crate::foresail::Foresail;
use crate::frontier::{Point, cost_at, dominating};
use crate::load::{Load, LoadError, Shape};
use crate::oracle::Oracle;
use crate::reference::{Existing, Reference};
use crate::replay::{Outcome, Tick, WINDOW, needs, replay, replay_recorded};
use crate::row::{FORESAIL, Row};
use crate::scaler::Scaler;
use crate::score::score;
use crate::telemetry::Observer;
use crate::world::World;

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The policy Foresail runs under. Its metrics are those of the load; the target of the first is what one replica carries
    /// of it.
    pub policy: Policy,
    /// The world everybody runs in.
    pub world: World,
    /// How the load is forecast.
    pub forecast: Settings,
    /// What one replica carries of each metric, where that isn't the metric's target: an autoscaler's own target says where it
    /// aims, not what breaks. Empty where the targets say it.
    pub carried: Vec<f64>,
    /// Who takes part besides Foresail.
    pub contenders: Vec<Contender>,
    /// The autoscaler that runs today, which Foresail is held against; without one, it is the policy's usual HPA.
    pub existing: Option<Existing>,
    /// How much is scored, at most.
    pub scored: Duration,
    /// How much history before that is known, at most.
    pub warm_up: Duration,
    /// Scale the recording to this many replicas at its peak; `None` leaves it as it is.
    pub peak_replicas: Option<f64>,
    /// Variance over mean of a second's arrivals.
    pub dispersion: f64,
    /// Feed Foresail what really comes instead of forecasts: shows what deciding alone costs.
    pub clairvoyant: bool,
    /// Also replay Foresail without forecasts and at other protections, to recommend from.
    pub variants: bool,
    /// Which other protections.
    pub protections: Vec<Protection>,
}

/// The share of what saturates a replica up to which it answers in time.
pub const PROMISE: f64 = 0.8;
/// The share of it that the usual HPA aims at.
const USUAL: f64 = 0.7;

/// A policy for a load of which one replica carries `target`, from 1 to 1000 replicas. Its usual HPA is the one at 70 % of
/// what saturates a replica.
pub fn policy_for(target: f64) -> Policy {
    let mut policy = Policy { protection: Protection::SameCost, ..Policy::simple(1, 1_000, target) };
    policy.metrics[0].spare = 1.0 - USUAL / PROMISE;
    policy
}

impl Setup {
    /// The usual comparison of a policy at a start-up time.
    pub fn new(policy: Policy, startup: Duration, seed: u64) -> Self {
        let per_replica = policy.metrics.first().map_or(1.0, |m| m.target);
        let mut world = World::new(per_replica / PROMISE, PROMISE, startup, seed);
        world.min_replicas = policy.min_replicas;
        world.max_replicas = policy.max_replicas;
        Self {
            forecast: forecast_settings(policy.lead_time, &[]),
            policy,
            carried: Vec::new(),
            world,
            contenders: Contender::all(),
            existing: None,
            scored: Duration::from_secs(14 * 86_400),
            warm_up: Duration::from_secs(14 * 86_400),
            peak_replicas: None,
            dispersion: 1.0,
            clairvoyant: false,
            variants: false,
            protections: [0.95, 0.99, 0.999].map(Protection::Share).to_vec(),
        }
    }

    /// With what one replica carries of each of the policy's metrics, where that isn't the metric's target.
    pub fn carrying(mut self, carried: Vec<f64>) -> Self {
        if let Some(first) = carried.first() {
            self.world.capacity = first / PROMISE;
        }
        self.carried = carried;
        self
    }

    /// The usual HPA's target, in percent of what saturates a replica: it keeps what the policy keeps spare below what a
    /// replica carries.
    fn usual_percent(&self) -> u32 {
        let aim =
            self.policy.metrics.first().map_or(1.0, |metric| metric.target) / self.policy.usual_headroom();
        (100.0 * aim / self.world.capacity).round().clamp(1.0, 100.0) as u32
    }

    /// What Foresail is held against.
    pub fn reference(&self) -> Reference {
        match &self.existing {
            Some(existing) => Reference::existing(existing),
            None => Reference::usual(self.usual_percent()),
        }
    }

    /// Everybody who takes part besides Foresail.
    fn everybody(&self) -> Vec<Contender> {
        let usual = Contender::Hpa(self.usual_percent());
        let missing = self.existing.is_none() && !self.contenders.contains(&usual);
        self.contenders.iter().copied().chain(missing.then_some(usual)).collect()
    }

    /// The load of the comparison.
    pub fn load(&self, recording: &Series) -> Result<Load, LoadError> {
        Load::new(recording, &self.shape())
    }

    /// The load of a policy with several metrics: a recording of each, in the policy's order.
    pub fn load_of_metrics(&self, recordings: &[Series]) -> Result<Load, LoadError> {
        let targets = self.policy.metrics.iter().map(|metric| metric.target);
        let carried = if self.carried.is_empty() { targets.collect() } else { self.carried.clone() };
        let recordings: Vec<(Series, f64)> = recordings.iter().cloned().zip(carried).collect();
        Load::of_metrics(&recordings, &self.shape())
    }

    fn shape(&self) -> Shape {
        Shape {
            scored: self.scored,
            warm_up: self.warm_up,
            peak_replicas: self.peak_replicas,
            per_replica: self.world.per_replica(),
            capacity: self.world.capacity,
            dispersion: self.dispersion,
            seed: self.world.seed,
        }
    }

    /// The forecasts of the comparison, one for each metric; the same for every start-up time as long as load and telemetry
    /// are.
    pub fn forecasts(&self, load: &Load) -> Vec<Arc<Prepared>> {
        let mut settings = of_recording(&self.forecast, load.history().step());
        settings.levels.push(self.policy.protection.quantile());
        if self.variants {
            settings.levels.extend(self.protections.iter().map(|p| p.quantile()));
        }
        let settings = settings.in_range();
        let of = |load: &Load| {
            Arc::new(if self.clairvoyant {
                perfect(load, &settings)
            } else {
                learn(load, &Observer::new(&self.world), &settings)
            })
        };
        if load.parts().is_empty() { vec![of(load)] } else { load.parts().iter().map(|l| of(l)).collect() }
    }
}

/// Everything a comparison found.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// First scored moment.
    pub from: Timestamp,
    /// End of the scored span.
    pub to: Timestamp,
    /// Days scored, gaps of the recording left out.
    pub days: f64,
    /// Seed of the world.
    pub seed: u64,
    /// Median start-up in seconds.
    pub startup_seconds: f64,
    /// What one replica carries within its promise.
    pub per_replica: f64,
    /// Replica-hours of the oracle that never breaks the promise.
    pub oracle_hours: f64,
    /// Replica-hours of the oracle that breaks it one thousandth of the time.
    pub oracle_hours_at_tenth_percent: f64,
    /// What Foresail is held against.
    pub reference: Reference,
    /// Foresail first, then the others in the order of the line-up.
    pub rows: Vec<Row>,
    /// Foresail without forecasts and at other protections, if that was asked for.
    pub variants: Vec<Row>,
    /// What to do about it.
    pub advice: Option<Advice>,
    /// How sure the difference to the reference is; `None` for less than two days.
    pub certainty: Option<Certainty>,
    /// Where Foresail and the reference differed most.
    pub moments: Vec<Moment>,
    /// Load and replicas over time, for charts.
    #[serde(skip)]
    pub curves: Curves,
    /// The forecast's model at the end, or why there was none.
    pub forecast: String,
}

impl Comparison {
    /// The row of that name.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|r| r.name == name)
    }

    /// The swept HPAs as points.
    pub fn sweep(&self, kind: Kind) -> Vec<Point> {
        self.rows.iter().filter(|r| r.kind == kind).map(point).collect()
    }
}

/// Says what has been done so far: called after each run with its name, from any thread.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// A run to be made: a name and how to make its policy.
struct Job<'a> {
    name: String,
    kind: Kind,
    world: Cow<'a, World>,
    scaler: Box<dyn Fn() -> Box<dyn Scaler> + Send + Sync + 'a>,
}

/// Compares on a load with the forecasts made for it.
pub fn compare(
    setup: &Setup,
    load: &Load,
    forecasts: &[Arc<Prepared>],
    progress: Progress<'_>,
) -> Comparison {
    let oracle = oracle(setup, load);
    let jobs = jobs(setup, load, forecasts);
    let reference = setup.reference();
    let runs: Vec<(Row, Option<Outcome>)> = jobs
        .par_iter()
        .map(|job| {
            let outcome = replay(load, &job.world, &mut *(job.scaler)());
            progress(&job.name);
            let row = Row {
                name: job.name.clone(),
                kind: job.kind,
                score: score(&outcome, load, &oracle),
                over_tuned_hpa: None,
                dominated_by: None,
            };
            let kept = job.name == FORESAIL || job.name == reference.row;
            (row, kept.then_some(outcome))
        })
        .collect();
    assemble(setup, load, forecasts, &oracle, (reference, runs))
}

/// The names of all runs of a comparison, in order: as many as [`Progress`] will be called.
pub fn names(setup: &Setup) -> Vec<String> {
    let mut names = vec![FORESAIL.to_owned()];
    names.extend(setup.existing.iter().map(|existing| existing.name.clone()));
    names.extend(setup.everybody().into_iter().map(Contender::name));
    names.extend(variants(setup).into_iter().map(|(name, _)| name));
    names
}

/// Replays every run once more, one after the other, and hands out each decision.
pub fn record(setup: &Setup, load: &Load, forecasts: &[Arc<Prepared>], recorder: &mut dyn FnMut(Tick)) {
    for job in jobs(setup, load, forecasts) {
        replay_recorded(load, &job.world, &mut *(job.scaler)(), &job.name, recorder);
    }
}

/// The oracle of a load in the comparison's world.
pub fn oracle(setup: &Setup, load: &Load) -> Oracle {
    let restart = setup.world.startup.mean() + setup.world.drain as f64;
    Oracle::new(&needs(load, &setup.world), WINDOW as f64, restart)
}

fn jobs<'a>(setup: &'a Setup, load: &'a Load, forecasts: &'a [Arc<Prepared>]) -> Vec<Job<'a>> {
    let ours = move |policy: Policy| -> Box<dyn Scaler> {
        Box::new(Foresail::new(load, policy, &setup.forecast, forecasts, &setup.world))
    };
    let policy = setup.policy.clone();
    let world = || Cow::Borrowed(&setup.world);
    let mut jobs = vec![Job {
        name: FORESAIL.to_owned(),
        kind: Kind::Foresail,
        world: world(),
        scaler: Box::new(move || ours(policy.clone())),
    }];
    for (name, policy) in variants(setup) {
        let scaler = Box::new(move || ours(policy.clone()));
        jobs.push(Job { name, kind: Kind::Variant, world: world(), scaler });
    }
    jobs.extend(setup.existing.iter().map(|existing| Job {
        name: existing.name.clone(),
        kind: Kind::Existing,
        world: Cow::Owned(existing.world(&setup.world)),
        scaler: Box::new(|| existing.scaler()),
    }));
    jobs.extend(setup.everybody().into_iter().map(|contender| Job {
        name: contender.name(),
        kind: contender.kind(),
        world: world(),
        scaler: Box::new(move || contender.scaler(load, &setup.world)),
    }));
    jobs
}

/// Foresail under other settings.
fn variants(setup: &Setup) -> Vec<(String, Policy)> {
    if !setup.variants {
        return Vec::new();
    }
    let mut variants =
        vec![("without forecast".to_owned(), Policy { forecast: ForecastUse::Off, ..setup.policy.clone() })];
    for protection in setup.protections.iter().copied().filter(|p| *p != setup.policy.protection) {
        let policy = Policy { protection, ..setup.policy.clone() };
        variants.push((format!("protection {protection}"), policy));
    }
    variants
}

fn point(row: &Row) -> Point {
    Point {
        name: row.name.clone(),
        violation: row.score.violation_percent / 100.0,
        replica_hours: row.score.replica_hours,
    }
}

fn assemble(
    setup: &Setup,
    load: &Load,
    forecasts: &[Arc<Prepared>],
    oracle: &Oracle,
    (reference, runs): (Reference, Vec<(Row, Option<Outcome>)>),
) -> Comparison {
    let mut outcomes = Vec::new();
    let mut rows = Vec::new();
    let mut variants = Vec::new();
    for (row, outcome) in runs {
        if let Some(outcome) = outcome {
            outcomes.push((row.name.clone(), outcome));
        }
        if row.kind == Kind::Variant { variants.push(row) } else { rows.push(row) }
    }
    relate(&mut rows, &mut variants, oracle);
    let outcome = |name: &str| outcomes.iter().find(|(n, _)| n == name).map(|(_, o)| o);
    let curves = Curves::new(load, outcome(FORESAIL), outcome(&reference.row));
    let both = outcome(FORESAIL).zip(outcome(&reference.row));
    let moments = both.map_or_else(Vec::new, |(ours, hpa)| moments(load, ours, hpa, &reference.words));
    let scored = outcome(FORESAIL).map_or(0, |o| o.need.iter().filter(|n| **n > 0).count());
    let forecast =
        forecasts.first().and_then(|f| f.last()).map_or_else(String::new, |state| match &state.forecast {
            Ok(_) => state.accuracy.as_ref().map_or_else(String::new, |s| s.model.clone()),
            Err(refusal) => format!("none ({refusal})"),
        });
    let mut comparison = Comparison {
        from: load.time_of(crate::load::RUN_IN as usize),
        to: load.time_of(load.seconds()),
        days: scored as f64 * WINDOW as f64 / 86_400.0,
        seed: setup.world.seed,
        startup_seconds: setup.world.startup.median,
        per_replica: setup.world.per_replica(),
        oracle_hours: oracle.without_violation().pod_seconds / 3_600.0,
        oracle_hours_at_tenth_percent: oracle.within(0.001).pod_seconds / 3_600.0,
        reference,
        rows,
        variants,
        advice: None,
        certainty: both.and_then(|(ours, hpa)| certainty(ours, hpa)),
        moments,
        curves,
        forecast,
    };
    comparison.advice = advise(
        (&comparison.rows, &comparison.variants),
        comparison.days,
        setup.policy.protection,
        &comparison.reference,
    );
    comparison
}

/// Fills in what a row is in relation to the swept baselines.
fn relate(rows: &mut [Row], variants: &mut [Row], oracle: &Oracle) {
    let of = |kind: Kind, rows: &[Row]| rows.iter().filter(|r| r.kind == kind).map(point).collect::<Vec<_>>();
    let hpas = of(Kind::Hpa, rows);
    let swept: Vec<Point> = hpas.iter().cloned().chain(of(Kind::Keda, rows)).collect();
    let least = 1.0 / oracle.windows().max(1) as f64;
    for row in rows.iter_mut().chain(variants) {
        let p = point(row);
        row.over_tuned_hpa = cost_at(&hpas, p.violation, least).map(|hours| p.replica_hours / hours);
        row.dominated_by = dominating(&swept, p.violation, p.replica_hours).map(|d| d.name.clone());
    }
}

/// Faults spread over the scored part of a load, for a suite of them.
pub fn with_faults(mut setup: Setup, faults: Vec<Fault>) -> Setup {
    setup.world.faults = faults;
    setup
}
