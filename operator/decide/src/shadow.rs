//! The decision, simulated for many strategies at once on a workload's own past. Each strategy owns a simulated workload
//! that is scaled as the decision would scale it, with pods that start late, and is charged for its replicas and for the
//! time in which they were too few. Loads and forecasts come in, one tick after the other, as they were known then; a
//! [`Tally`] for each strategy goes out. Sizing and the way down are the decision's own ([`Sizing`], [`crate::WayDown`]); a test
//! holds both against each other, tick by tick.
//!
//! Not simulated: pods that crash, budgets of the fleet, and calendars.

mod workload;

use std::time::Duration;

use jiff::Timestamp;
use series::{Forecast, Sample, time};

use crate::candidates::foreseen_drop;
use crate::history::MetricHistory;
use crate::lead::{keep_span, lead};
use crate::observation::Startup;
use crate::policy::{MetricKind, Policy};
use crate::predictive::peak;
use crate::strategy::{Coming, Sizing, Span, Strategy};
use crate::tally::Tally;
use crate::validate::learn_load;
use workload::Workload;

/// What one tick knows of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The load, or a queue's arrivals per second, as measured; `None` where nothing fresh was.
    pub load: Option<Sample>,
    /// The forecast that stood then.
    pub forecast: Option<&'a Forecast>,
    /// What one replica carries, or one consumer finishes per second.
    pub per_replica: f64,
}

/// The simulation.
#[derive(Debug)]
pub struct Shadow {
    policy: Policy,
    startup: Duration,
    lead: Duration,
    keep: Duration,
    metrics: Vec<MetricHistory>,
    workloads: Vec<Workload>,
    /// The quantiles that strategies ask of forecasts, and the shares by which they move them to the load: few of each are
    /// shared by many.
    quantiles: Vec<f64>,
    shares: Vec<f64>,
    began: Option<Timestamp>,
    /// Until when a load far below everything foreseen holds replicas, and how many.
    drop_hold: Option<(Timestamp, u32)>,
}

/// What is the same for all workloads in a tick.
struct Tick<'a> {
    span: Span,
    /// The most replicas that the policy allows.
    most: u32,
    second: u32,
    known: &'a [Known<'a>],
    /// Each metric's load, and what it would be after the lead time if it went on climbing.
    loads: Vec<Option<(f64, f64)>>,
    /// Everything is fresh and has been for a while, and nothing fell without a reason.
    may_lower: bool,
    /// Replicas for the median foreseen, where the load is far below everything foreseen.
    dropped: Option<u32>,
    drop_hold: Option<u32>,
    /// Each metric's mean of the last minutes, and up to how many times that its load is usual.
    means: Vec<Option<f64>>,
    usual_peaks: Vec<f64>,
    /// For each metric, what its forecast says at each quantile, and how far each share moves that.
    coming: Vec<Vec<Option<Coming>>>,
    moved: Vec<Vec<f64>>,
    /// The largest median foreseen within the lead time, of each metric whose load is gone.
    medians: Vec<Option<f64>>,
}

impl Shadow {
    /// Workloads under `policy` for each of `strategies`, whose pods start as was measured.
    pub fn new(policy: &Policy, startup: &Startup, lag: Duration, strategies: Vec<Strategy>) -> Self {
        let lead = lead(policy, startup, lag);
        let (mut quantiles, mut shares) = (Vec::new(), Vec::new());
        let workloads = strategies.into_iter().map(|strategy| {
            let ahead = strategy.forecast.map(|forecast| {
                (place(&mut quantiles, forecast.quantile), place(&mut shares, forecast.level_correction))
            });
            Workload::new(policy, strategy, ahead)
        });
        Self {
            workloads: workloads.collect(),
            quantiles,
            shares,
            policy: policy.clone(),
            startup: startup.mean.unwrap_or_else(|| lead.saturating_sub(lag + policy.timing.interval)),
            lead,
            keep: keep_span(policy, startup, lead),
            metrics: vec![MetricHistory::default(); policy.metrics.len()],
            began: None,
            drop_hold: None,
        }
    }

    /// Takes in one tick: what was known of each metric, in the policy's order. Ticks are [`crate::TICK`] apart.
    pub fn tick(&mut self, now: Timestamp, known: &[Known<'_>]) {
        let second = time::since(now, *self.began.get_or_insert(now)).as_secs();
        let span = Span { now, lead: self.lead, keep: self.keep };
        for ((memory, policy), known) in self.metrics.iter_mut().zip(&self.policy.metrics).zip(known) {
            let Some(sample) = known.load else {
                memory.last_bad = Some(now);
                memory.absent_since = memory.absent_since.or(Some(now));
                continue;
            };
            memory.absent_since = None;
            if !matches!(policy.kind, MetricKind::Backlog(_)) {
                let after_fall = self.policy.timing.after_fall;
                learn_load(memory, &policy.kind, sample, known.forecast, now, after_fall);
            }
        }
        let tick = self.common(span, u32::try_from(second).unwrap_or(u32::MAX), known);
        for workload in &mut self.workloads {
            workload.tick(&self.policy, self.startup, &tick);
        }
    }

    fn common<'a>(&mut self, span: Span, second: u32, known: &'a [Known<'a>]) -> Tick<'a> {
        let now = span.now;
        let caution = self.policy.timing.after_outage;
        let calm = |memory: &MetricHistory| {
            memory.absent_since.is_none()
                && memory.last_bad.is_none_or(|bad| time::since(now, bad) >= caution)
                && memory.drops.fall.is_none()
        };
        let loads = self.metrics.iter().zip(known).map(|(memory, known)| {
            known.load.map(|load| (load.value(), memory.readings.carried(self.lead).unwrap_or(load.value())))
        });
        let dropped = known
            .iter()
            .filter_map(|k| foreseen_drop(k.load?.value(), k.forecast?, now, k.per_replica))
            .max();
        self.drop_hold = match (dropped, self.drop_hold) {
            (Some(floor), Some((until, held))) => Some((until, floor.min(held).max(1))),
            (Some(floor), None) => Some((time::after(now, self.policy.timing.after_drop), floor)),
            (None, hold) => hold.filter(|_| known.iter().any(|k| k.load.is_none())),
        };
        Tick {
            span,
            most: self.policy.max_replicas,
            second,
            known,
            loads: loads.collect(),
            may_lower: self.metrics.iter().all(calm),
            dropped,
            drop_hold: self.drop_hold.filter(|(until, _)| now < *until).map(|(_, floor)| floor),
            means: self.metrics.iter().map(|memory| memory.readings.mean().or(memory.peaks.mean)).collect(),
            usual_peaks: self.metrics.iter().map(|memory| memory.peaks.usual()).collect(),
            coming: known.iter().map(|known| self.coming(known, &span)).collect(),
            moved: known.iter().map(|known| self.moved(known)).collect(),
            medians: known.iter().map(|known| median_while_gone(known, &span)).collect(),
        }
    }

    /// What a metric's forecast says at each quantile.
    fn coming(&self, known: &Known<'_>, span: &Span) -> Vec<Option<Coming>> {
        let of = |quantile: &f64| Coming::of(known.forecast?, span, *quantile);
        self.quantiles.iter().map(of).collect()
    }

    /// How far each share moves a metric's forecast to its load.
    fn moved(&self, known: &Known<'_>) -> Vec<f64> {
        let measured = known.load.map(|load| (load.time(), load.value()));
        let of = |share: &f64| known.forecast.map_or(1.0, |f| Coming::moved(f, measured, *share));
        self.shares.iter().map(of).collect()
    }

    /// Replicas that each strategy asks for now.
    pub fn replicas(&self) -> impl Iterator<Item = u32> + '_ {
        self.workloads.iter().map(Workload::replicas)
    }

    /// What each strategy cost and missed since this was asked last.
    pub fn take_tallies(&mut self) -> impl Iterator<Item = Tally> + '_ {
        self.workloads.iter_mut().map(Workload::take_tally)
    }
}

impl Tick<'_> {
    /// The loads to come of a metric, as [`Sizing::coming`] has them.
    fn coming(&self, metric: usize, sizing: &Sizing, ahead: Option<(usize, usize)>) -> Option<Coming> {
        let (params, (quantile, share)) = sizing.forecast.zip(ahead)?;
        Some(self.coming[metric][quantile]?.times(params.margin * self.moved[metric][share]))
    }
}

fn median_while_gone(known: &Known<'_>, span: &Span) -> Option<f64> {
    let forecast = known.forecast.filter(|_| known.load.is_none())?;
    peak(forecast, span.now, time::after(span.now, span.lead), 0.5)
}

/// The place of a value among `all`, where it's added if it isn't there.
fn place(all: &mut Vec<f64>, value: f64) -> usize {
    all.iter().position(|known| *known == value).unwrap_or_else(|| {
        all.push(value);
        all.len() - 1
    })
}
