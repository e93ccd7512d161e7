//! Work that takes time: taken out of an autoscaler, run wherever there is room for it, and brought back.

use decide::Strategy;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fit::{Fit, FitJob};
use crate::simulation::{Simulation, SimulationJob};

/// Tells one job of an autoscaler from all its others. What comes back under a number that nobody waits for any more,
/// because the metric or the policy has changed meanwhile, is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(u64);

impl JobId {
    /// This number, and the next one in its place.
    pub(crate) fn take(&mut self) -> Self {
        let taken = *self;
        self.0 += 1;
        taken
    }
}

/// A job to be run.
#[derive(Clone, Debug)]
pub struct Job {
    pub(crate) id: JobId,
    pub(crate) work: Work,
}

/// What a job does.
#[derive(Clone, Debug)]
pub enum Work {
    /// A fit of one metric's forecaster.
    Fit(Box<FitJob>),
    /// A simulation of the known past.
    Simulation(Box<SimulationJob>),
}

/// What a [`Job`] came to.
#[derive(Clone, Debug)]
pub struct Done {
    pub(crate) id: JobId,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Fit(Fit),
    Simulation(Simulation),
}

impl Job {
    /// Its number, by which it is given up where it is lost.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The fit or the simulation that it is.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Leaves strategies out of a simulation: what they are worth is what is missed then. Nothing for other jobs.
    pub fn leave_out(&mut self, unwanted: fn(&Strategy) -> bool) {
        if let Work::Simulation(job) = &mut self.work {
            job.strategies.retain(|strategy| !unwanted(strategy));
        }
    }

    /// Fits or simulates: milliseconds to seconds of one core, so never on a thread that serves others.
    pub fn run(self) -> Done {
        let outcome = match self.work {
            Work::Fit(job) => Outcome::Fit(job.run()),
            Work::Simulation(job) => Outcome::Simulation(job.run()),
        };
        Done { id: self.id, outcome }
    }

    /// What a simulation comes to that is not run: the selection stays as it is. Nothing for other jobs.
    pub fn not_simulated(&self) -> Option<Done> {
        let Work::Simulation(job) = &self.work else { return None };
        let (strategies, until) = (Vec::new(), job.until());
        Some(Done { id: self.id, outcome: Outcome::Simulation(Simulation { strategies, until }) })
    }
}

impl Done {
    /// The number of the job.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// What a simulation found; `None` for a fit.
    pub fn simulation(&self) -> Option<&Simulation> {
        match &self.outcome {
            Outcome::Simulation(simulation) => Some(simulation),
            Outcome::Fit(_) => None,
        }
    }
}

/// How far the simulation of the known past got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SimulationState {
    /// Not run since the start, or since the policy changed.
    #[default]
    Never,
    /// Under way.
    Running(JobId),
    /// Run until then.
    Until(Timestamp),
}
