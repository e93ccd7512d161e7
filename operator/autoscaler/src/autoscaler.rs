//! One workload over time.

mod learning;

use std::collections::BTreeMap;
use std::time::Duration;

use decide::{
    ForeignWrite, History, MetricObservation, Observation, Plan, Policy, QueueObservation, Record, Selection,
    Utilization, plan,
};
use jiff::Timestamp;
use series::{Forecast, NoForecast, NoForecastReason, Packed, Reading, Sample, time};

use crate::fit::Grid;
use crate::forecast_state::ForecastState;
use crate::inputs::{Inputs, MetricInput};
use crate::job::{JobId, SimulationState};
use crate::queue_flow::{Flow, QueueInput};
use crate::saved::Saved;
use crate::savings::Savings;
use crate::setup::Setup;
use crate::signal::Signal;
use crate::start_ups::StartUps;

/// Scrape, ingest and write delay together: how late is seen and acted.
pub const LAG: Duration = Duration::from_secs(20);
/// How long after somebody else's write it is still mentioned.
const FOREIGN_FOR: Duration = Duration::from_mins(10);

/// One workload over time: everything it knows came in through these calls, and nothing it does depends on a clock, a
/// thread or a client. The same calls in the same order give the same [`Decided`], bit for bit.
#[derive(Debug)]
pub struct Autoscaler {
    setup: Setup,
    grid: Grid,
    /// In the policy's order, as everything of metrics is here.
    signals: Vec<Signal>,
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
    next_job: JobId,
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
            signals: setup
                .signals
                .iter()
                .enumerate()
                .map(|(i, spec)| Signal::new(spec.clone(), grid, setup.is_forecast(i)))
                .collect(),
            startups: StartUps::default(),
            history: History::default(),
            selection: Selection::default(),
            savings: Savings::default(),
            expected: None,
            foreign: None,
            forecasts: BTreeMap::new(),
            simulation: SimulationState::Never,
            next_job: JobId::default(),
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
        let same = |name: &str| saved.identities.get(name).is_some_and(|i| setup.metric(name, i).is_some());
        self.history.metrics.retain(|name, _| same(name));
        for (metric, signal) in setup.policy.metrics.iter().zip(&mut self.signals) {
            let name = metric.name.as_str();
            if !same(name) {
                continue;
            }
            if let Some(forecast) = saved.forecasts.get(name) {
                signal.keep(forecast.clone());
            }
            if let Some(feedback) = saved.feedback.get(name) {
                signal.keep_feedback(feedback.clone());
            }
            if let Some(open) = saved.open.get(name) {
                signal.go_on(*open);
            }
        }
        self.startups = saved.startups;
        self.selection = saved.selection;
        self.savings = saved.savings;
        self.expected = saved.expected;
        self.foreign = None;
        // One that is under way brings its own evidence.
        if !matches!(self.simulation, SimulationState::Running(_)) {
            let evidence = self.selection.evidence;
            self.simulation = evidence.map_or(SimulationState::Never, |e| SimulationState::Until(e.until));
        }
    }

    /// Takes in a changed setup. A metric that is measured otherwise begins anew; one that is forecast otherwise keeps
    /// what was learned of it but its forecaster; the others go on. The selected strategy stays until the past was played
    /// under the new policy.
    pub fn change(&mut self, setup: Setup) {
        self.grid = Grid::new(setup.place);
        let old = std::mem::take(&mut self.signals);
        let mut before: Vec<Option<Signal>> = old.into_iter().map(Some).collect();
        for (i, (metric, spec)) in setup.metrics().enumerate() {
            let at = self.setup.metric(&metric.name, &spec.identity);
            let known = at.and_then(|at| before.get_mut(at)?.take());
            if known.is_none() {
                self.history.metrics.remove(&metric.name);
            }
            self.signals.push(Signal::succeed(known, spec.clone(), self.grid, setup.is_forecast(i)));
        }
        self.history.metrics.retain(|name, _| setup.policy.metric(name).is_some());
        if !self.setup.is_simulated_as(&setup) {
            self.simulation = SimulationState::Never;
        }
        self.setup = setup;
    }

    /// What it was made of.
    pub fn setup(&self) -> &Setup {
        &self.setup
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
        let mut metrics = Vec::with_capacity(policy.metrics.len());
        let mut forecasts = Vec::with_capacity(policy.metrics.len());
        for (i, metric) in policy.metrics.iter().enumerate() {
            let input = inputs.metrics.get(i);
            let flow = input.and_then(|m| m.queue).map(|queue| (queue, self.signals[i].flow.observe(&queue)));
            let state = self.look_ahead(i, input, flow, inputs.replicas.ready, now);
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
            selected: self.selection.now(&policy, now),
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
        flow: Option<(QueueInput, Flow)>,
        ready: u32,
        now: Timestamp,
    ) -> ForecastState {
        let is_forecast = self.setup.is_forecast(metric);
        let signal = &mut self.signals[metric];
        let simulated = self.setup.is_simulated(metric);
        let measured = input.filter(|_| simulated).and_then(|input| match flow {
            // Arrivals that no query tells are those that the broker counts.
            Some((queue, flow)) => input.arrivals.or_else(|| Sample::new(queue.time, flow.arrivals?)),
            None => match input.reading {
                Reading::Fresh(sample) => Some(sample),
                Reading::Stale { .. } | Reading::Absent(_) => None,
            },
        });
        signal.observe_replicas(ready);
        if let Some(sample) = measured {
            signal.observe(sample);
        }
        if is_forecast {
            return signal.forecast(now);
        }
        let refusal = NoForecast::new(NoForecastReason::Off, "this metric isn't forecast");
        ForecastState { forecast: Err(refusal), accuracy: None }
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
        let names = self.setup.policy.metrics.iter().map(|m| m.name.clone());
        Saved {
            version: Saved::VERSION,
            identities: self.setup.identities(),
            startups: self.startups.clone(),
            history: self.history.clone(),
            selection: self.selection.clone(),
            savings: self.savings.clone(),
            expected: self.expected,
            forecasts: self.forecasts.clone(),
            feedback: names
                .clone()
                .zip(&self.signals)
                .filter_map(|(n, s)| Some((n, s.feedback()?)))
                .collect(),
            open: names.zip(self.signals.iter().map(Signal::open)).collect(),
        }
    }

    /// The histories that no source keeps, by the identity of the metric, in slots of [`PROFILE_STEP`](crate::PROFILE_STEP)
    /// over two weeks.
    pub fn profiles(&self) -> Vec<(String, Packed)> {
        let kept = |signal: &Signal| Some((signal.spec.identity.clone(), signal.profile()?));
        self.signals.iter().filter_map(kept).collect()
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

/// A metric in the words of the decision.
fn observed(
    name: &str,
    input: &MetricInput,
    flow: Option<(QueueInput, Flow)>,
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
