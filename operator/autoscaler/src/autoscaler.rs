//! One workload over time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use decide::{
    Capacity, ForecastAccuracy, ForecastUse, ForeignWrite, History, MetricKind, MetricObservation,
    MetricPolicy, Observation, Pause, Plan, Policy, QueueObservation, Record, Selection, Utilization, lead,
    plan, strategy_grid,
};
use jiff::Timestamp;
use series::{Absence, Forecast, NoForecast, NoForecastReason, Packed, Reading, Series, time};

use crate::fit::{Fit, FitJob, Grid};
use crate::inputs::{Inputs, MetricInput};
use crate::queue_flow::{Flow, QueueFlow};
use crate::saved::Saved;
use crate::savings::Savings;
use crate::signal::{Signal, SignalSpec, score_at};
use crate::simulation::{SimulatedSignal, Simulation, SimulationJob};
use crate::start_ups::StartUps;

/// Scrape, ingest and write delay together: how late is seen and acted.
pub const LAG: Duration = Duration::from_secs(20);
/// How long after somebody else's write it is still mentioned.
const FOREIGN_FOR: Duration = Duration::from_mins(10);
/// At this level the forecaster keeps count of values below the quantile.
const COUNTED_LEVEL: f64 = 0.95;

/// What a workload's autoscaler is made of.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setup {
    /// What the user wants.
    pub policy: Policy,
    /// Scaling rests, with an end and a reason.
    pub pause: Option<Pause>,
    /// What each metric of the policy is measured by, in the same order.
    pub signals: Vec<SignalSpec>,
    /// Where in the day this workload's fits lie, 0 to 1: another number for each workload spreads them.
    pub place: f64,
}

/// One workload over time: everything it knows came in through these calls, and nothing it does depends on a clock, a
/// thread or a client. The same calls in the same order give the same [`Decided`], bit for bit.
#[derive(Debug)]
pub struct Autoscaler {
    setup: Setup,
    grid: Grid,
    signals: Vec<Signal>,
    flows: Vec<QueueFlow>,
    startups: StartUps,
    history: History,
    selection: Selection,
    savings: Savings,
    /// Replicas as they were left behind.
    expected: Option<u32>,
    foreign: Option<ForeignWrite>,
    /// The next minutes of the last forecasts.
    forecasts: BTreeMap<String, Forecast>,
    simulation: SimulationState,
}

/// How far the simulation of the known past got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SimulationState {
    /// Not run since the start, or run until then.
    #[default]
    Never,
    Running,
    Until(Timestamp),
}

/// Work that takes time, to be run wherever there is room for it.
#[derive(Clone, Debug)]
pub enum Job {
    /// A fit of the metric with this index.
    Fit(usize, Box<FitJob>),
    /// A simulation of the known past.
    Simulation(Box<SimulationJob>),
}

/// What a [`Job`] came to.
#[derive(Clone, Debug)]
pub enum Done {
    /// A forecaster.
    Fit(usize, Fit),
    /// Scores of strategies.
    Simulation(Simulation),
}

impl Job {
    /// Fits or simulates: milliseconds to seconds of one core, so never on a thread that serves others.
    pub fn run(self) -> Done {
        match self {
            Self::Fit(metric, job) => Done::Fit(metric, job.run()),
            Self::Simulation(job) => Done::Simulation(job.run()),
        }
    }
}

/// What was decided, and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The decision with everything it was made of.
    pub record: Record,
    /// What is to be done.
    pub plan: Plan,
    /// How each metric's forecast stands, in the policy's order.
    pub forecasts: Vec<ForecastState>,
}

/// How a metric's forecast stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ForecastState {
    /// The whole forecast, or why there is none.
    pub forecast: Result<Arc<Forecast>, NoForecast>,
    /// How it has been doing; `None` before the first fit.
    pub standing: Option<Arc<forecast::Standing>>,
}

/// What came of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Applied {
    /// Nothing was written: the target asks for so many replicas.
    No {
        /// Replicas that the target asks for.
        replicas: u32,
    },
    /// It was written and accepted.
    Yes {
        /// Replicas before.
        from: u32,
        /// Replicas after.
        to: u32,
    },
    /// Nobody knows what the target asks for now.
    Unknown,
}

impl Autoscaler {
    /// An autoscaler that knows nothing yet.
    pub fn new(setup: Setup) -> Self {
        let grid = Grid::new(setup.place);
        Self {
            grid,
            signals: setup.signals.iter().map(|spec| Signal::new(spec.clone(), grid)).collect(),
            flows: vec![QueueFlow::default(); setup.signals.len()],
            startups: StartUps::default(),
            history: History::default(),
            selection: Selection::default(),
            savings: Savings::default(),
            expected: None,
            foreign: None,
            forecasts: BTreeMap::new(),
            simulation: SimulationState::Never,
            setup,
        }
    }

    /// An autoscaler that goes on where another was, as far as that was kept.
    pub fn restore(setup: Setup, saved: Saved) -> Self {
        let mut autoscaler = Self::new(setup);
        autoscaler.adopt(saved);
        autoscaler
    }

    /// Goes on where another was, with the history and the forecasts that are here. What was learned of a metric that is
    /// measured otherwise now is left out.
    pub fn adopt(&mut self, saved: Saved) {
        self.history = saved.history;
        let setup = &self.setup;
        self.history.metrics.retain(|name, _| {
            let identity = setup.identity(name);
            identity.is_some() && saved.identities.get(name).map(String::as_str) == identity
        });
        for (metric, signal) in self.setup.policy.metrics.iter().zip(&mut self.signals) {
            let same = saved.identities.get(&metric.name) == Some(&signal.spec.identity);
            if let Some(forecast) = saved.forecasts.get(&metric.name).filter(|_| same) {
                signal.keep(forecast.clone());
            }
            if let Some(open) = saved.open.get(&metric.name).filter(|_| same) {
                signal.go_on(*open);
            }
        }
        self.startups = saved.startups;
        self.selection = saved.selection;
        self.savings = saved.savings;
        self.expected = saved.expected;
        self.foreign = None;
        self.simulation = self
            .selection
            .evidence
            .map_or(SimulationState::Never, |evidence| SimulationState::Until(evidence.until));
    }

    /// Takes in a changed setup. A metric whose identity or forecast changed begins anew; the others go on.
    pub fn change(&mut self, setup: Setup) {
        let mut before: Vec<(String, Signal, QueueFlow)> = self
            .setup
            .policy
            .metrics
            .iter()
            .map(|m| m.name.clone())
            .zip(std::mem::take(&mut self.signals))
            .zip(std::mem::take(&mut self.flows))
            .map(|((name, signal), flow)| (name, signal, flow))
            .collect();
        self.grid = Grid::new(setup.place);
        for (metric, spec) in setup.policy.metrics.iter().zip(&setup.signals) {
            let same = before.iter().position(|(name, signal, _)| {
                *name == metric.name && signal.is_of(spec) && setup.place == self.setup.place
            });
            let (signal, flow) = if let Some(at) = same {
                let (_, signal, flow) = before.swap_remove(at);
                (signal, flow)
            } else {
                self.history.metrics.remove(&metric.name);
                (Signal::new(spec.clone(), self.grid), QueueFlow::default())
            };
            self.signals.push(signal);
            self.flows.push(flow);
        }
        self.history.metrics.retain(|name, _| setup.policy.metric(name).is_some());
        self.setup = setup;
    }

    /// What it was made of.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The metrics whose history is to be read now, each with the span to ask for: its index, from, to.
    pub fn wanted_history(&self, now: Timestamp) -> Vec<(usize, Timestamp, Timestamp)> {
        let forecasts = self.setup.policy.forecast == ForecastUse::Auto;
        self.signals
            .iter()
            .enumerate()
            .filter(|(i, _)| forecasts && self.setup.is_forecast(*i))
            .filter_map(|(i, signal)| signal.wanted_history(now).map(|(from, to)| (i, from, to)))
            .collect()
    }

    /// Takes in the history of a metric, on any step; where that is longer than a minute, the last days by the minute
    /// help to select.
    pub fn warm_up(&mut self, metric: usize, history: &Series, by_minute: Option<&Series>, now: Timestamp) {
        if let Some(signal) = self.signals.get_mut(metric) {
            signal.warm_up(history, by_minute, now);
            let policy = &self.setup.policy;
            let Some(metric) = policy.metrics.get(metric).filter(|m| m.kind == MetricKind::AverageValue)
            else {
                return;
            };
            for (at, value) in history.iter().filter_map(|(at, value)| Some((at, value?))) {
                let needed = decide::need(value, metric.target);
                self.savings.needed(at, needed.clamp(policy.min_replicas, policy.max_replicas));
            }
        }
    }

    /// The history of a metric couldn't be read; it's asked for again later.
    pub fn history_failed(&mut self, metric: usize, absence: Absence, now: Timestamp) {
        if let Some(signal) = self.signals.get_mut(metric) {
            signal.history_failed(absence, now);
        }
    }

    /// Takes the most urgent job out, to be run anywhere and brought back with [`Self::take_over`].
    pub fn take_job(&mut self, now: Timestamp) -> Option<Job> {
        let due = |signal: &Signal| signal.fit_is_due().map(|first| !first);
        let most = self.signals.iter().enumerate().filter_map(|(i, s)| due(s).map(|d| (d, i))).min();
        if let Some((_, metric)) = most {
            let job = self.signals[metric].take_job()?;
            return Some(Job::Fit(metric, Box::new(job)));
        }
        if !self.simulation_is_due(now) {
            return None;
        }
        self.simulation = SimulationState::Running;
        Some(Job::Simulation(Box::new(self.simulation_job(now))))
    }

    /// Takes over what a job came to.
    pub fn take_over(&mut self, done: Done) {
        match done {
            Done::Fit(metric, fit) => {
                if let Some(signal) = self.signals.get_mut(metric) {
                    signal.take_over(fit);
                }
            }
            Done::Simulation(simulation) => {
                self.simulation = SimulationState::Until(simulation.until);
                self.selection.prove(&self.setup.policy, &simulation.scores, simulation.until);
            }
        }
    }

    /// A job was lost: it's due again.
    pub fn job_failed(&mut self, now: Timestamp) {
        self.signals.iter_mut().for_each(|signal| signal.give_up_job(now));
        if self.simulation == SimulationState::Running {
            self.simulation = SimulationState::Never;
        }
    }

    /// Simulations lie on the grid of the fits that are made anew, and follow them.
    fn simulation_is_due(&self, now: Timestamp) -> bool {
        let policy = &self.setup.policy;
        let until = self.grid.last_anew(now);
        let selectable = policy.forecast == ForecastUse::Auto
            && policy.metrics.iter().any(|m| !matches!(m.kind, MetricKind::Value));
        let ready = self.signals.iter().enumerate().all(|(i, signal)| {
            let known = signal.history().end() >= until && !signal.history().is_empty();
            known && (signal.has_forecaster() || !self.setup.is_forecast(i))
        });
        selectable
            && ready
            && policy.metrics.iter().all(|metric| self.knows_capacity(metric))
            && match self.simulation {
                SimulationState::Never => true,
                SimulationState::Running => false,
                SimulationState::Until(known) => known < until,
            }
    }

    /// Whether a workload can be simulated under a metric: what a consumer finishes has no value to begin with.
    fn knows_capacity(&self, metric: &MetricPolicy) -> bool {
        match (metric.capacity, &metric.kind) {
            (Capacity::Learned, MetricKind::Backlog(_)) => {
                let history = self.history.metric(&metric.name);
                history.is_some_and(|h| h.throughput.per_consumer().is_some())
            }
            _ => true,
        }
    }

    fn simulation_job(&self, now: Timestamp) -> SimulationJob {
        let signals =
            self.signals.iter().zip(&self.setup.policy.metrics).enumerate().map(|(i, (signal, metric))| {
                SimulatedSignal {
                    settings: signal.spec.settings.clone(),
                    history: signal.history().clone(),
                    by_minute: signal.by_minute().clone(),
                    forecast: self.setup.is_forecast(i),
                    per_replica: self.per_replica(&metric.name),
                    prepared: signal.spec.prepared.clone(),
                }
            });
        SimulationJob {
            policy: self.setup.policy.clone(),
            startup: self.startups.observed(),
            lag: LAG,
            until: self.grid.last_anew(now),
            signals: signals.collect(),
            strategies: strategy_grid(&self.setup.policy),
        }
    }

    /// What one replica carries of a metric, or one consumer finishes: the user's word, what was learned, or the target.
    pub fn per_replica(&self, metric: &str) -> f64 {
        let Some(policy) = self.setup.policy.metric(metric) else { return 1.0 };
        match self.history.metric(metric) {
            Some(history) => history.per_replica(policy),
            None => decide::MetricHistory::default().per_replica(policy),
        }
    }

    /// Whether `replicas` aren't those that were left behind: somebody else wrote them.
    pub fn is_foreign(&self, replicas: u32) -> bool {
        self.expected.is_some_and(|expected| expected != replicas)
    }

    /// Decides how many replicas the workload needs at `now`. Calls follow each other in time.
    pub fn step(&mut self, inputs: &Inputs, now: Timestamp) -> Decided {
        self.startups.note(&inputs.startups, now);
        let policy = self.policy_of(inputs);
        let startup = self.startups.observed();
        let lead = lead(&policy, &startup, LAG);
        let mut metrics = Vec::with_capacity(policy.metrics.len());
        let mut forecasts = Vec::with_capacity(policy.metrics.len());
        let mut accuracy = Vec::new();
        for (i, metric) in policy.metrics.iter().enumerate() {
            let input = inputs.metrics.get(i);
            let flow = input.and_then(|m| m.queue).map(|queue| (queue, self.flows[i].observe(&queue)));
            let state = self.look_ahead(i, input, flow, inputs.replicas.ready, now);
            if let (Ok(_), Some(found)) = (&state.forecast, accuracy_at(&state, lead)) {
                accuracy.push(found);
            }
            metrics.extend(input.map(|input| observed(&metric.name, input, flow, &state, inputs)));
            forecasts.push(state);
        }
        let foreign_writer = self.foreign(inputs, now);
        let observation = Observation {
            replicas: inputs.replicas,
            rollout: inputs.rollout,
            health: inputs.health.clone(),
            metrics,
            startup,
            lag: LAG,
            foreign_writer,
            pod_budget: inputs.pod_budget,
            selected: self.selection.now(&policy, accuracy.into_iter(), now),
        };
        let (record, history) = Record::make(&policy, &observation, &self.history, now);
        self.history = history;
        // Cut to what a decision looks at: small enough to be kept.
        let cut = record.observation.metrics.iter();
        self.forecasts =
            cut.filter_map(|m| Some((m.name.clone(), m.forecast.as_ref().ok()?.clone()))).collect();
        if record.recommendation.data_fresh {
            let r = &record.recommendation;
            self.savings.needed(now, r.uncapped.clamp(r.effective_min, r.effective_max));
        }
        let plan = plan(policy.mode, self.setup.pause.as_ref(), &record.recommendation, now);
        Decided { record, plan, forecasts }
    }

    /// The policy with what the moment adds to it.
    fn policy_of(&self, inputs: &Inputs) -> Policy {
        let mut policy = self.setup.policy.clone();
        policy.calendar.clone_from(&inputs.calendar);
        if let Some((min, max)) = inputs.bounds {
            (policy.min_replicas, policy.max_replicas) = (min, max);
        }
        policy
    }

    /// Gives a metric's forecaster what was measured, and asks what is to come.
    fn look_ahead(
        &mut self,
        metric: usize,
        input: Option<&MetricInput>,
        flow: Option<(crate::queue_flow::QueueInput, Flow)>,
        ready: u32,
        now: Timestamp,
    ) -> ForecastState {
        let off = !self.setup.is_forecast(metric) || self.setup.policy.forecast == ForecastUse::Off;
        let signal = &mut self.signals[metric];
        if off {
            let refusal = NoForecast::new(NoForecastReason::Off, "this metric isn't forecast");
            return ForecastState { forecast: Err(refusal), standing: None };
        }
        let measured = input.and_then(|input| match flow {
            // Arrivals that no query tells are those that the broker counts.
            Some((queue, flow)) => input.arrivals.or_else(|| series::Sample::new(queue.time, flow.arrivals?)),
            None => match input.reading {
                Reading::Fresh(sample) => Some(sample),
                Reading::Stale { .. } | Reading::Absent(_) => None,
            },
        });
        signal.observe_replicas(ready);
        if let Some(sample) = measured {
            signal.observe(sample);
        }
        signal.forecast(now)
    }

    /// Whether somebody else changed the replicas since the last step, and who.
    fn foreign(&mut self, inputs: &Inputs, now: Timestamp) -> Option<ForeignWrite> {
        let spec = inputs.replicas.spec;
        if self.is_foreign(spec) {
            let who = inputs.writer.clone().unwrap_or_else(|| "somebody".to_owned());
            self.foreign = Some(ForeignWrite { at: now, who, replicas: spec });
        }
        self.foreign.clone().filter(|f| time::since(now, f.at) < FOREIGN_FOR)
    }

    /// What came of the last step's plan.
    pub fn applied(&mut self, now: Timestamp, applied: Applied) {
        self.expected = match applied {
            Applied::No { replicas } => Some(replicas),
            Applied::Yes { to, .. } => Some(to),
            Applied::Unknown => None,
        };
        if let Applied::Yes { from, to } = applied {
            self.history.scaled(now, from, to);
        }
        if let Some(replicas) = self.expected {
            self.savings.account(now, replicas);
        }
    }

    /// What must survive a restart. The rest is learned from history again.
    pub fn saved(&self) -> Saved {
        Saved {
            version: Saved::VERSION,
            identities: self.setup.identities(),
            startups: self.startups.clone(),
            history: self.history.clone(),
            selection: self.selection.clone(),
            savings: self.savings.clone(),
            expected: self.expected,
            forecasts: self.forecasts.clone(),
            open: self
                .setup
                .policy
                .metrics
                .iter()
                .map(|m| m.name.clone())
                .zip(self.signals.iter().map(Signal::open))
                .collect(),
        }
    }

    /// The history of a metric whose source keeps none, in slots of a quarter of an hour: what is kept elsewhere of it.
    pub fn profile(&self, metric: usize) -> Option<Packed> {
        self.signals.get(metric).filter(|s| !s.spec.keeps_history).map(Signal::profile)
    }

    /// What is selected, and on which evidence.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// What is remembered of earlier decisions.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How long replicas took to become ready, as measured here.
    pub fn startups(&self) -> &StartUps {
        &self.startups
    }

    /// Replica-hours that were saved.
    pub fn savings(&self) -> &Savings {
        &self.savings
    }
}

impl Setup {
    /// Whether the metric with this index is forecast.
    fn is_forecast(&self, metric: usize) -> bool {
        self.policy.metrics.get(metric).is_some_and(|m| m.forecast && m.kind != MetricKind::Value)
    }

    fn identity(&self, name: &str) -> Option<&str> {
        let at = self.policy.metrics.iter().position(|m| m.name == name)?;
        self.signals.get(at).map(|s| s.identity.as_str())
    }

    fn identities(&self) -> BTreeMap<String, String> {
        let names = self.policy.metrics.iter().map(|m| m.name.clone());
        names.zip(self.signals.iter().map(|s| s.identity.clone())).collect()
    }
}

/// How a usable forecast has been doing at the horizon that reaches the lead time.
fn accuracy_at(state: &ForecastState, lead: Duration) -> Option<ForecastAccuracy> {
    let score = score_at(state.standing.as_deref()?, lead)?;
    Some(ForecastAccuracy {
        versus_last: score.versus_last_value,
        versus_yesterday: score.versus_yesterday,
        coverage: score.coverage_95,
        level: COUNTED_LEVEL,
    })
}

/// A metric in the words of the decision.
fn observed(
    name: &str,
    input: &MetricInput,
    flow: Option<(crate::queue_flow::QueueInput, Flow)>,
    state: &ForecastState,
    inputs: &Inputs,
) -> MetricObservation {
    MetricObservation {
        coverage: input.coverage,
        forecast: state.forecast.as_ref().map(|f| f.as_ref().clone()).map_err(Clone::clone),
        utilization: carried(input, inputs),
        queue: flow.map(|(queue, flow)| QueueObservation {
            arrivals: flow.arrivals,
            served: flow.served,
            partitions: queue.partitions,
            oldest: flow.oldest_age,
        }),
        ..MetricObservation::fresh(name, input.reading.clone())
    }
}

/// How busy replicas were that carried how much. While replicas come and go, load and use are of different ones.
fn carried(input: &MetricInput, inputs: &Inputs) -> Option<Utilization> {
    let replicas = &inputs.replicas;
    let settled = replicas.ready > 0 && replicas.ready == replicas.spec && replicas.pending == 0;
    let load = input.reading.fresh().filter(|_| settled)?;
    Some(Utilization { load: load / f64::from(replicas.ready), used: input.used? })
}
