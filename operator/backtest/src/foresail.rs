//! Foresail in a replay: the operator's own [`Autoscaler`], told what the replay shows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use autoscaler::{
    Applied, Autoscaler, Decided, Inputs, MetricInput, Prepared, Savings, Setup, Simulation, StartUp,
};
use decide::{CalendarWindow, Plan, Policy, Record, Replicas, Selection, Strategy};
use forecast::Settings;
use jiff::Timestamp;
use series::{Absence, AbsenceReason, Reading, time};

use crate::attribution::Attribution;
use crate::forecast_log::{of_recording, signal};
use crate::load::Load;
use crate::scaler::{Answer, Scaler, View, Why};
use crate::telemetry::{Observer, Past, Signal};
use crate::world::World;

/// At this share of the usual number of series or below, a source speaks of vanished series.
const VANISHED_SHARE: f64 = 0.5;
/// Decisions of an hour, over which the usual number is the largest.
const HOUR: usize = 240;
/// Pods are told as ready so long ago that the autoscaler counts them at once.
const TOLD_AFTER: Duration = Duration::from_secs(6);

/// Foresail.
pub struct Foresail {
    autoscaler: Autoscaler,
    startups: usize,
    unwanted: fn(&Strategy) -> bool,
    /// How each metric is measured, where there are several.
    parts: Vec<(Arc<Load>, Observer)>,
    /// For each metric, how many series fed it at the decisions of the last hour.
    series: Vec<VecDeque<u32>>,
    attribution: Attribution,
    calendar: Vec<CalendarWindow>,
    last: Option<Decided>,
    /// Where they're wanted.
    simulations: Option<Vec<Simulation>>,
}

impl Foresail {
    /// Foresail with a policy whose metrics are those of the load, and with the forecasts that were made for them before;
    /// without them it makes its own. It knows the history before the replay, and measures as everybody in `world` does.
    pub fn new(
        load: &Load,
        policy: Policy,
        settings: &Settings,
        prepared: &[Arc<Prepared>],
        world: &World,
    ) -> Self {
        Self::without(load, policy, settings, prepared, world, |_| false)
    }

    /// The same without the strategies that are `unwanted`: shows what those are worth.
    pub fn without(
        load: &Load,
        policy: Policy,
        settings: &Settings,
        prepared: &[Arc<Prepared>],
        world: &World,
        unwanted: fn(&Strategy) -> bool,
    ) -> Self {
        let settings = of_recording(settings, load.history().step());
        let calendar = policy.calendar.clone();
        let metrics = policy.metrics.len();
        let signals = (0..metrics).map(|m| signal(&settings, prepared.get(m).cloned())).collect();
        let mut autoscaler = Autoscaler::new(Setup { policy, pause: None, signals, place: 0.0 });
        for metric in 0..metrics {
            let load = load.parts().get(metric).map_or(load, |part| part);
            autoscaler.warm_up(metric, load.earlier(), None, load.start());
        }
        let parts = load.parts().iter().map(|part| (Arc::clone(part), Observer::new(world))).collect();
        Self {
            autoscaler,
            startups: 0,
            unwanted,
            parts,
            series: vec![VecDeque::new(); metrics],
            attribution: Attribution::default(),
            calendar,
            last: None,
            simulations: None,
        }
    }

    /// Keeps what each simulation found.
    pub fn keep_simulations(mut self) -> Self {
        self.simulations = Some(Vec::new());
        self
    }

    /// What each simulation found, oldest first; empty unless [kept](Self::keep_simulations).
    pub fn simulations(&self) -> &[Simulation] {
        self.simulations.as_deref().unwrap_or_default()
    }

    /// What is selected, and on which evidence.
    pub fn selection(&self) -> &Selection {
        self.autoscaler.selection()
    }

    /// The newest decision, with what belongs to it; `None` before the first.
    pub fn last(&self) -> Option<&Decided> {
        self.last.as_ref()
    }

    /// Replica-hours that were saved.
    pub fn savings(&self) -> &Savings {
        self.autoscaler.savings()
    }

    /// Where the replica-hours of its decisions went, from the first one on.
    pub fn attribution(&self) -> &Attribution {
        &self.attribution
    }

    /// What one replica carries of the first metric, as far as it's known: declared, or learned by now.
    pub fn per_replica(&self) -> f64 {
        let first = self.autoscaler.setup().policy.metrics.first();
        first.map_or(1.0, |metric| self.autoscaler.per_replica(&metric.name))
    }

    /// Replicas for the loads as measured, without any headroom.
    fn needed(&self, inputs: &Inputs) -> Option<u32> {
        let metrics = self.autoscaler.setup().policy.metrics.iter().zip(&inputs.metrics);
        let need = |(metric, input): (&decide::MetricPolicy, &MetricInput)| {
            Some((input.reading.fresh()? / self.autoscaler.per_replica(&metric.name)).ceil() as u32)
        };
        metrics.filter_map(need).max()
    }

    fn inputs(&mut self, view: &View<'_>) -> Inputs {
        let ready = time::before(view.now, TOLD_AFTER);
        let startups = view.startups[self.startups.min(view.startups.len())..]
            .iter()
            .map(|took| StartUp { ready, took: Duration::from_secs(u64::from(*took)) })
            .collect();
        self.startups = view.startups.len();
        let known = view.pods.available && view.pods.missing == 0;
        let signals: Vec<Signal> = if self.parts.is_empty() {
            vec![view.signal.clone()]
        } else {
            let look = |(load, observer): &(Arc<Load>, Observer)| {
                observer.look(Past::new(load.total(), view.second), view.now, load.masked(view.second))
            };
            self.parts.iter().map(look).collect()
        };
        let metrics = signals.into_iter().zip(&mut self.series).map(|(signal, series)| MetricInput {
            coverage: signal.coverage,
            used: known.then_some(view.pods.utilization),
            ..MetricInput::of(reading(signal, series))
        });
        let metrics = metrics.collect();
        Inputs {
            replicas: Replicas {
                spec: view.spec,
                ready: view.ready,
                pending: view.pending - view.crash_looping,
                crash_looping: view.crash_looping,
                ..Replicas::default()
            },
            startups,
            metrics,
            calendar: self.calendar.clone(),
            ..Inputs::of(view.spec)
        }
    }
}

/// The reading as a source gives it: absent where far fewer series feed it than in the last hour.
fn reading(signal: Signal, series: &mut VecDeque<u32>) -> Reading {
    if signal.reading.fresh().is_none() {
        return signal.reading;
    }
    let usual = series.iter().copied().max().unwrap_or(0);
    if f64::from(signal.series) <= VANISHED_SHARE * f64::from(usual) {
        let message = format!("{} series instead of {usual}", signal.series);
        return Reading::Absent(Absence::new(AbsenceReason::SeriesVanished, message));
    }
    series.push_back(signal.series);
    if series.len() > HOUR {
        series.pop_front();
    }
    signal.reading
}

impl Scaler for Foresail {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        let inputs = self.inputs(view);
        let decided = self.autoscaler.step(&inputs, view.now);
        let replicas = carry_out(&mut self.autoscaler, &decided.plan, view.spec, view.now);
        let keep = |found: &Simulation| {
            if let Some(kept) = &mut self.simulations {
                kept.push(found.clone());
            }
        };
        work_off(&mut self.autoscaler, view.now, self.unwanted, keep);
        let needed = self.needed(&inputs).unwrap_or(view.spec);
        self.attribution.note(&decided.record.recommendation, needed);
        let why = explain.then(|| Box::new(explained(&decided.record)));
        self.last = Some(decided);
        Answer { replicas, why }
    }
}

/// What a plan comes to where every write succeeds.
pub(crate) fn carry_out(autoscaler: &mut Autoscaler, plan: &Plan, spec: u32, now: Timestamp) -> u32 {
    let applied = match *plan {
        Plan::Scale { from, to } | Plan::Suggest { from, to } => Applied::Yes { from, to },
        Plan::Hold { .. } => Applied::No { replicas: spec },
    };
    autoscaler.applied(now, applied);
    match applied {
        Applied::Yes { to, .. } => to,
        Applied::No { .. } | Applied::Unknown => spec,
    }
}

/// Does the work that is due, at once, without `unwanted` strategies; `found` is told what each simulation found.
pub(crate) fn work_off(
    autoscaler: &mut Autoscaler,
    now: Timestamp,
    unwanted: fn(&Strategy) -> bool,
    mut found: impl FnMut(&Simulation),
) {
    while let Some(mut job) = autoscaler.take_job(now) {
        job.leave_out(unwanted);
        let done = job.run();
        done.simulation().into_iter().for_each(&mut found);
        autoscaler.take_over(done);
    }
}

fn explained(record: &Record) -> Why {
    let r = &record.recommendation;
    Why {
        candidates: r
            .candidates
            .iter()
            .filter_map(|c| Some((c.source.as_str().to_owned(), c.replicas?)))
            .collect(),
        limits: r.limits.iter().map(|l| (l.reason.as_str().to_owned(), l.message.clone())).collect(),
        record: Some(record.clone()),
    }
}
