//! Every call to an [`Autoscaler`], in order: written down while it runs, and made again later. Since nothing else reaches
//! it, the same calls give the same decisions, bit for bit; a recording of a bad day is a test case.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::{Absence, Series};

use crate::autoscaler::{Applied, Autoscaler, Decided};
use crate::inputs::Inputs;
use crate::job::{Done, Job, JobId};
use crate::saved::Saved;
use crate::setup::Setup;

/// One call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Call {
    /// [`Autoscaler::restore`]: new, or as another was.
    Restored {
        /// What it is made of.
        setup: Box<Setup>,
        /// What was kept of the one before; a fresh one keeps nothing.
        saved: Box<Saved>,
    },
    /// [`Autoscaler::adopt`].
    Adopted {
        /// What the other instance left behind.
        saved: Box<Saved>,
    },
    /// [`Autoscaler::change`].
    Changed {
        /// What it is made of from now on.
        setup: Box<Setup>,
    },
    /// [`Autoscaler::warm_up`].
    WarmedUp {
        /// The metric's index in the policy.
        metric: usize,
        /// Its history.
        history: Series,
        /// The last days by the minute.
        by_minute: Option<Series>,
        /// The time of the call.
        now: Timestamp,
    },
    /// [`Autoscaler::history_failed`].
    HistoryFailed {
        /// The metric's index in the policy.
        metric: usize,
        /// Why the history could not be read.
        absence: Absence,
        /// The time of the call.
        now: Timestamp,
    },
    /// [`Autoscaler::take_job`], where there was one.
    JobTaken {
        /// Its number.
        job: JobId,
        /// The time of the call.
        now: Timestamp,
    },
    /// [`Autoscaler::take_over`].
    TookOver {
        /// The number of the job.
        job: JobId,
    },
    /// [`Autoscaler::job_failed`].
    JobFailed {
        /// The number of the job.
        job: JobId,
        /// The time of the call.
        now: Timestamp,
    },
    /// [`Autoscaler::step`].
    Stepped {
        /// What it was told.
        inputs: Box<Inputs>,
        /// The time of the call.
        now: Timestamp,
        /// Replicas that came of it, for people.
        target: u32,
        /// The fingerprint of everything that came of it.
        decided: String,
    },
    /// [`Autoscaler::applied`].
    Applied {
        /// The time of the call.
        now: Timestamp,
        /// What came of the plan.
        applied: Applied,
    },
}

/// Where calls are written down.
pub trait Sink: Send + Sync {
    /// Takes a call.
    fn write(&mut self, call: &Call);

    /// Whether a new recording is to begin.
    fn is_full(&self) -> bool;
}

/// An autoscaler whose calls are written down, where somebody wants them.
pub struct Recorded {
    autoscaler: Autoscaler,
    sink: Option<Box<dyn Sink>>,
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("autoscaler", &self.autoscaler).finish_non_exhaustive()
    }
}

/// What reads needs no recording.
impl std::ops::Deref for Recorded {
    type Target = Autoscaler;

    fn deref(&self) -> &Autoscaler {
        &self.autoscaler
    }
}

impl Recorded {
    /// [`Autoscaler::restore`].
    pub fn restore(setup: Setup, saved: Saved, mut sink: Option<Box<dyn Sink>>) -> Self {
        if let Some(sink) = &mut sink {
            sink.write(&Call::Restored { setup: Box::new(setup.clone()), saved: Box::new(saved.clone()) });
        }
        Self { autoscaler: Autoscaler::restore(setup, saved), sink }
    }

    /// Whether the recording is full: a new one begins with a new autoscaler, restored from this one.
    pub fn is_full(&self) -> bool {
        self.sink.as_ref().is_some_and(|sink| sink.is_full())
    }

    fn note(&mut self, call: impl FnOnce() -> Call) {
        if let Some(sink) = &mut self.sink {
            sink.write(&call());
        }
    }

    /// [`Autoscaler::adopt`].
    pub fn adopt(&mut self, saved: Saved) {
        self.note(|| Call::Adopted { saved: Box::new(saved.clone()) });
        self.autoscaler.adopt(saved);
    }

    /// [`Autoscaler::change`].
    pub fn change(&mut self, setup: Setup) {
        self.note(|| Call::Changed { setup: Box::new(setup.clone()) });
        self.autoscaler.change(setup);
    }

    /// [`Autoscaler::warm_up`].
    pub fn warm_up(&mut self, metric: usize, history: &Series, by_minute: Option<&Series>, now: Timestamp) {
        self.note(|| Call::WarmedUp { metric, history: history.clone(), by_minute: by_minute.cloned(), now });
        self.autoscaler.warm_up(metric, history, by_minute, now);
    }

    /// [`Autoscaler::history_failed`].
    pub fn history_failed(&mut self, metric: usize, absence: Absence, now: Timestamp) {
        self.note(|| Call::HistoryFailed { metric, absence: absence.clone(), now });
        self.autoscaler.history_failed(metric, absence, now);
    }

    /// [`Autoscaler::take_job`].
    pub fn take_job(&mut self, now: Timestamp) -> Option<Job> {
        let job = self.autoscaler.take_job(now)?;
        self.note(|| Call::JobTaken { job: job.id(), now });
        Some(job)
    }

    /// [`Autoscaler::take_over`].
    pub fn take_over(&mut self, done: Done) {
        self.note(|| Call::TookOver { job: done.id() });
        self.autoscaler.take_over(done);
    }

    /// [`Autoscaler::job_failed`].
    pub fn job_failed(&mut self, job: JobId, now: Timestamp) {
        self.note(|| Call::JobFailed { job, now });
        self.autoscaler.job_failed(job, now);
    }

    /// [`Autoscaler::step`].
    pub fn step(&mut self, inputs: &Inputs, now: Timestamp) -> Decided {
        let decided = self.autoscaler.step(inputs, now);
        self.note(|| Call::Stepped {
            inputs: Box::new(inputs.clone()),
            now,
            target: decided.record.recommendation.target,
            decided: fingerprint(&decided),
        });
        decided
    }

    /// [`Autoscaler::applied`].
    pub fn applied(&mut self, now: Timestamp, applied: Applied) {
        self.note(|| Call::Applied { now, applied });
        self.autoscaler.applied(now, applied);
    }
}

/// What a decision is, in sixteen digits: two are the same where every bit of the record and the plan is.
fn fingerprint(decided: &Decided) -> String {
    let text = serde_json::to_string(&(&decided.record, &decided.plan)).unwrap_or_default();
    crate::identity(&text)
}

/// A step that was made again.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// What came of it now.
    pub decided: Decided,
    /// The replicas that came of it then.
    pub target: u32,
    /// Whether it is what came of it then, bit for bit.
    pub same: bool,
}

/// Makes recorded calls again.
#[derive(Debug, Default)]
pub struct Replay {
    autoscaler: Option<Autoscaler>,
    jobs: std::collections::BTreeMap<JobId, Job>,
}

impl Replay {
    /// Makes one call again; what came of it, where it was a step.
    ///
    /// # Errors
    ///
    /// Calls that can't be made in this order: the first must make an autoscaler, and a job must be there to be taken.
    pub fn call(&mut self, call: Call) -> Result<Option<Replayed>, String> {
        if let Call::Restored { setup, saved } = call {
            self.jobs.clear();
            self.autoscaler = Some(Autoscaler::restore(*setup, *saved));
            return Ok(None);
        }
        let autoscaler = self.autoscaler.as_mut().ok_or("the recording doesn't begin with \"restored\"")?;
        match call {
            Call::Restored { .. } => {}
            Call::Adopted { saved } => autoscaler.adopt(*saved),
            Call::Changed { setup } => autoscaler.change(*setup),
            Call::WarmedUp { metric, history, by_minute, now } => {
                autoscaler.warm_up(metric, &history, by_minute.as_ref(), now);
            }
            Call::HistoryFailed { metric, absence, now } => autoscaler.history_failed(metric, absence, now),
            Call::JobTaken { job, now } => {
                let taken = autoscaler.take_job(now).filter(|taken| taken.id() == job);
                self.jobs.insert(job, taken.ok_or_else(|| format!("{job:?} isn't due at {now}"))?);
            }
            Call::TookOver { job } => {
                let taken = self.jobs.remove(&job).ok_or_else(|| format!("{job:?} wasn't taken"))?;
                autoscaler.take_over(taken.run());
            }
            Call::JobFailed { job, now } => {
                self.jobs.remove(&job);
                autoscaler.job_failed(job, now);
            }
            Call::Stepped { inputs, now, target, decided: then } => {
                let decided = autoscaler.step(&inputs, now);
                let same = fingerprint(&decided) == then;
                return Ok(Some(Replayed { decided, target, same }));
            }
            Call::Applied { now, applied } => autoscaler.applied(now, applied),
        }
        Ok(None)
    }
}
