//! What an autoscaler learns from the known past: which history it asks for, and which work it gives away and takes back.

use decide::{Capacity, ForecastUse, MetricKind, MetricPolicy, strategy_grid};
use jiff::Timestamp;
use series::{Absence, Series};

use super::{Autoscaler, LAG};
use crate::job::{Done, Job, JobId, Outcome, SimulationState, Work};
use crate::progress::Progress;
use crate::signal::Signal;
use crate::simulation::{SimulatedSignal, SimulationJob};

impl Autoscaler {
    /// The metrics whose history is to be read now, each with the span to ask for: its index, from, to.
    pub fn wanted_history(&self, now: Timestamp) -> Vec<(usize, Timestamp, Timestamp)> {
        let wanted = |(i, signal): (usize, &Signal)| {
            let (from, to) = signal.wanted_history(now).filter(|_| self.setup.is_simulated(i))?;
            Some((i, from, to))
        };
        self.signals.iter().enumerate().filter_map(wanted).collect()
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

    /// Takes the most urgent job out, to be run anywhere and brought back with [`Self::take_over`]: a first fit before
    /// others, a simulation last.
    pub fn take_job(&mut self, now: Timestamp) -> Option<Job> {
        let fits = self.signals.iter_mut().filter_map(|s| Some((!s.fit_is_due()?, s)));
        let most = fits.min_by_key(|(later, _)| *later).map(|(_, signal)| signal);
        if let Some(signal) = most {
            let id = self.next_job.take();
            let work = Work::Fit(Box::new(signal.take_job(id)?));
            return Some(Job { id, work });
        }
        if !self.simulation_is_due(now) {
            return None;
        }
        let id = self.next_job.take();
        self.simulation = SimulationState::Running(id);
        Some(Job { id, work: Work::Simulation(Box::new(self.simulation_job(now))) })
    }

    /// Takes over what a job came to.
    pub fn take_over(&mut self, done: Done) {
        match done.outcome {
            Outcome::Fit(fit) => {
                if let Some(signal) = self.signals.iter_mut().find(|s| s.waits_for(done.id)) {
                    signal.take_over(fit);
                }
            }
            Outcome::Simulation(simulation) => {
                if self.simulation == SimulationState::Running(done.id) {
                    self.simulation = SimulationState::Until(simulation.until);
                    self.selection.prove(&self.setup.policy, &simulation.strategies, simulation.until);
                }
            }
        }
    }

    /// A job was lost: it's due again.
    pub fn job_failed(&mut self, id: JobId, now: Timestamp) {
        if let Some(signal) = self.signals.iter_mut().find(|s| s.waits_for(id)) {
            signal.give_up_job(now);
        }
        if self.simulation == SimulationState::Running(id) {
            self.simulation = SimulationState::Never;
        }
    }

    /// How far learning from the known past got.
    pub fn progress(&self, now: Timestamp) -> Progress {
        let until = self.grid.last_anew(now);
        let simulated = || {
            let metrics = self.setup.policy.metrics.iter().zip(&self.signals).enumerate();
            metrics.filter(|(i, _)| self.setup.is_simulated(*i)).map(|(_, (metric, signal))| (metric, signal))
        };
        let names = |wanted: &dyn Fn(&Signal) -> bool| -> Vec<String> {
            simulated().filter(|(_, signal)| wanted(signal)).map(|(metric, _)| metric.name.clone()).collect()
        };
        if self.setup.policy.forecast == ForecastUse::Off {
            return Progress::Off("forecasts are switched off");
        }
        if simulated().next().is_none() {
            return Progress::Off("no metric says what one replica carries: every target is a Value");
        }
        if let SimulationState::Until(known) = self.simulation
            && known >= until
        {
            return Progress::Simulated(known);
        }
        let (unread, unfitted) = (names(&|s| !s.knows_history()), names(&|s| !s.is_learned()));
        if !unread.is_empty() {
            return Progress::ReadingHistory(unread);
        }
        if !unfitted.is_empty() {
            return Progress::Fitting(unfitted);
        }
        let short = |signal: &Signal| signal.history().is_empty() || signal.history().end() < until;
        if let Some((metric, _)) = simulated().find(|(_, signal)| short(signal)) {
            return Progress::TooLittleHistory(metric.name.clone());
        }
        match simulated().find(|(metric, _)| !self.knows_capacity(metric)) {
            Some((metric, _)) => Progress::LearningCapacity(metric.name.clone()),
            None => Progress::Simulating,
        }
    }

    /// Simulations lie on the grid of the fits that are made anew, and follow them.
    fn simulation_is_due(&self, now: Timestamp) -> bool {
        !matches!(self.simulation, SimulationState::Running(_)) && self.progress(now) == Progress::Simulating
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
        let mut policy = self.setup.policy.clone();
        policy.metrics.clear();
        let mut signals = Vec::new();
        let simulated = |(i, _): &(usize, _)| self.setup.is_simulated(*i);
        for (i, (metric, spec)) in self.setup.metrics().enumerate().filter(simulated) {
            let signal = &self.signals[i];
            signals.push(SimulatedSignal {
                settings: signal.spec.settings.clone(),
                history: signal.history().clone(),
                by_minute: signal.by_minute().clone(),
                forecast: self.setup.is_forecast(i),
                per_replica: self.per_replica(&metric.name),
                prepared: spec.prepared.clone(),
            });
            policy.metrics.push(metric.clone());
        }
        SimulationJob {
            strategies: strategy_grid(&policy),
            startup: self.startups.observed(),
            lag: LAG,
            until: self.grid.last_anew(now),
            signals,
            policy,
        }
    }
}
