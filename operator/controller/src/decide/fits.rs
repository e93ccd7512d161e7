//! The heavy work of all policies: reading history and fitting, a few at a time, away from the tasks that decide. What it
//! comes to waits in the policy's inbox until the next look takes it over: a look never waits for it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use autoscaler::Recorded;
use jiff::Timestamp;
use series::{Absence, AbsenceReason, Aggregate, Sample, Series, resample, time};
use sources::Source;
use telemetry::metrics::{Metrics, Outcome};
use tokio::sync::Semaphore;

use crate::decide::inbox::{Arrival, Inbox, MetricId, put};
use crate::decide::profiles::Profiles;
use crate::decide::workers::Workers;
use crate::memory::PolicyMemory;

/// Slots of a minute, for what is simulated of a longer step.
const MINUTE: Duration = Duration::from_mins(1);
/// As many days of them are simulated, and one.
const DAYS_BY_MINUTE: u64 = 7;

/// What all policies share.
#[derive(Clone)]
pub(crate) struct FitPool {
    profiles: Profiles,
    workers: Workers,
    reads: Arc<Semaphore>,
    metrics: Metrics,
}

impl FitPool {
    /// At most `fits` jobs at the same time, and a few more that fetch their history.
    pub(crate) fn new(fits: usize, profiles: Profiles, metrics: Metrics) -> Self {
        Self { profiles, workers: Workers::start(fits), reads: Arc::new(Semaphore::new(4)), metrics }
    }

    /// Takes what has arrived over; the histories among it, by metric.
    pub(crate) fn take_over(
        autoscaler: &mut Recorded,
        inbox: &Inbox,
        reading: &mut Vec<MetricId>,
        now: Timestamp,
    ) -> Vec<(usize, Series)> {
        let mut histories = Vec::new();
        let arrived = std::mem::take(&mut *inbox.lock().unwrap_or_else(PoisonError::into_inner));
        for arrival in arrived {
            match arrival {
                Arrival::History(id, history) => {
                    reading.retain(|known| *known != id);
                    let Some(metric) = autoscaler.setup().metric(&id.0, &id.1) else { continue };
                    match history {
                        Ok((history, by_minute)) => {
                            autoscaler.warm_up(metric, &history, by_minute.as_ref(), now);
                            histories.push((metric, history));
                        }
                        Err(absence) => autoscaler.history_failed(metric, absence, now),
                    }
                }
                Arrival::Done(done) => autoscaler.take_over(*done),
                Arrival::Lost(job) => autoscaler.job_failed(job, now),
            }
        }
        histories
    }

    /// Starts what is due. Returns at once.
    pub(crate) fn tend(&self, memory: &mut PolicyMemory, now: Timestamp) {
        let PolicyMemory { uid, autoscaler: Some(autoscaler), sources, inbox, reading, .. } = memory else {
            return;
        };
        let setup = autoscaler.setup();
        for (metric, from, to) in autoscaler.wanted_history(now) {
            let of = setup.policy.metrics.get(metric).zip(setup.signals.get(metric));
            let asked = sources.as_ref().and_then(|s| s.all.get(metric)?.as_ref().ok());
            let (Some((policy, spec)), Some(asked)) = (of, asked) else { continue };
            let past = match asked.forecastable() {
                Some(source) => Kept::BySource(Arc::clone(source), from, to, spec.settings.step),
                None => Kept::ByUs(uid.clone(), spec.identity.clone()),
            };
            let id = (policy.name.clone(), spec.identity.clone());
            if !reading.contains(&id) {
                reading.push(id.clone());
                tokio::spawn(self.clone().read(id, past, Arc::clone(inbox)));
            }
        }
        if let Some(job) = autoscaler.take_job(now) {
            let (metrics, inbox, id) = (self.metrics.clone(), Arc::clone(inbox), job.id());
            let told = self.workers.run(move || job.run());
            tokio::spawn(async move {
                let done = if let Ok((done, took)) = told.await {
                    let outcome = if done.is_some() { Outcome::Success } else { Outcome::Failure };
                    metrics.refitted(outcome, took.as_secs_f64());
                    done
                } else {
                    None
                };
                put(&inbox, done.map_or(Arrival::Lost(id), |done| Arrival::Done(Box::new(done))));
            });
        }
    }

    async fn read(self, id: MetricId, past: Kept, inbox: Inbox) {
        let history = match self.reads.acquire().await {
            Ok(_permit) => self.history(past).await,
            Err(_) => Err(Absence::new(AbsenceReason::NotYetRead, "Foresail ends")),
        };
        put(&inbox, Arrival::History(id, history));
    }

    async fn history(&self, past: Kept) -> Result<(Series, Option<Series>), Absence> {
        match past {
            Kept::ByUs(uid, identity) => Ok((self.profiles.read(&uid, &identity).await?, None)),
            Kept::BySource(source, from, to, step) => {
                let history = read_series(source.as_ref(), from, to, step).await?;
                if step <= MINUTE {
                    return Ok((history, None));
                }
                let since = time::before(to, Duration::from_hours(24 * DAYS_BY_MINUTE));
                // Without it the slots do: the history itself is there.
                let by_minute = read_series(source.as_ref(), since, to, MINUTE).await.ok();
                Ok((history, by_minute))
            }
        }
    }
}

/// Where a metric's past is to be read.
enum Kept {
    /// From its source: from, to, and the step.
    BySource(Arc<dyn Source>, Timestamp, Timestamp, Duration),
    /// From what we kept for the policy with this UID, of the metric with this identity.
    ByUs(String, String),
}

/// History on a grid. It is read at the ends of steps; a value at a boundary belongs to the step that ended there.
async fn read_series(
    source: &dyn Source,
    from: Timestamp,
    to: Timestamp,
    step: Duration,
) -> Result<Series, Absence> {
    let samples = source.history(from, to, step).await?;
    let shifted: Vec<Sample> = samples
        .iter()
        .filter_map(|s| Sample::new(time::before(s.time(), Duration::from_millis(1)), s.value()))
        .collect();
    resample(&shifted, from, to, step, Aggregate::Mean)
        .map_err(|error| Absence::new(AbsenceReason::InvalidAnswer, error.to_string()))
}
