//! What is true now, as far as anybody could measure it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::{Absence, AbsenceReason, Forecast, NoForecast, NoForecastReason, Reading, time};

use crate::seconds;
use crate::strategy::Selected;

/// Everything a decision is made of, besides the policy, its history and the time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// The workload's replicas.
    pub replicas: Replicas,
    /// A rollout is under way: readiness and surge pods say little about capacity.
    pub rollout: bool,
    /// What the health checks that gate this policy say.
    pub health: Health,
    /// One for each metric of the policy; a metric without one counts as absent.
    pub metrics: Vec<MetricObservation>,
    /// Measured start-ups of this workload's pods.
    pub startup: Startup,
    /// Scrape interval, ingest delay and write delay together: how late Foresail sees and acts.
    #[serde(with = "seconds")]
    pub lag: Duration,
    /// Somebody else changed the replicas.
    pub foreign_writer: Option<ForeignWrite>,
    /// How many pods the whole fleet may still add now; `None` without such a budget.
    pub pod_budget: Option<u32>,
    /// How the workload is sized, and why so.
    pub selected: Selected,
}

/// The workload's replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    /// `spec.replicas` of the scale subresource.
    pub spec: u32,
    /// Pods that are Ready, without surge pods of a rollout.
    pub ready: u32,
    /// Pods that don't run yet: unschedulable, or pulling and starting.
    pub pending: u32,
    /// Of those, pods that no node has room for.
    pub unschedulable: u32,
    /// Pods in CrashLoopBackOff.
    pub crash_looping: u32,
}

impl Replicas {
    /// Pods that have started, Ready or not: those that show what they use. One that is too busy to be Ready is among them.
    pub(crate) fn started(&self) -> u32 {
        self.ready.max(self.spec.saturating_sub(self.pending.saturating_add(self.crash_looping)))
    }
}

/// What the health checks say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// No health check gates this policy.
    #[default]
    Unchecked,
    /// All is well since then.
    Healthy {
        /// When it became so.
        since: Timestamp,
    },
    /// Something is broken, or can't be told.
    Unhealthy {
        /// What, for people.
        what: String,
    },
}

/// Measured start-up times: pod creation to Ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Startup {
    /// 95 % of start-ups were at most this long; `None` before any was seen.
    #[serde(with = "seconds::option")]
    pub p95: Option<Duration>,
    /// Their mean.
    #[serde(with = "seconds::option")]
    pub mean: Option<Duration>,
    /// How many were seen.
    pub samples: u32,
}

/// Fewer start-ups than this say little about their 95 % quantile.
const LEAST_STARTUPS: u32 = 3;

impl Startup {
    /// The 95 % quantile, once enough start-ups were seen.
    pub fn known_p95(&self) -> Option<Duration> {
        self.p95.filter(|_| self.samples >= LEAST_STARTUPS)
    }
}

/// A change of replicas by somebody else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForeignWrite {
    /// When it was noticed.
    pub at: Timestamp,
    /// Who, where the field manager tells.
    pub who: String,
    /// What they set.
    pub replicas: u32,
}

/// One metric, now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricObservation {
    /// Which metric of the policy.
    pub name: String,
    /// The value: total load, value to compare, or waiting messages.
    pub reading: Reading,
    /// The share of the query's window that was really measured, 0 to 1.
    pub coverage: f64,
    /// What is to come, or why nobody knows. For a backlog: of its arrivals, per second.
    pub forecast: Result<Forecast, NoForecast>,
    /// Utilization of the ready replicas, for learning what one can carry.
    pub utilization: Option<Utilization>,
    /// The queue behind a backlog metric.
    pub queue: Option<QueueObservation>,
}

/// One look at how busy the ready replicas are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Utilization {
    /// Load carried by one replica, in the metric's unit.
    pub load: f64,
    /// Share of its scarcest resource in use, 0 to 1.
    pub used: f64,
}

/// What is known of a queue besides its depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueObservation {
    /// Messages that arrive per second; `None` where the broker can't tell.
    pub arrivals: Option<f64>,
    /// Messages that all consumers together finish per second.
    pub served: Option<f64>,
    /// Partitions: more consumers than that only wait. `None` where the queue has none.
    pub partitions: Option<u32>,
    /// Age of the oldest waiting message.
    #[serde(with = "seconds::option")]
    pub oldest: Option<Duration>,
}

impl Observation {
    /// A calm one: `spec` replicas, all ready, nothing measured.
    pub fn of(spec: u32) -> Self {
        Self {
            replicas: Replicas { spec, ready: spec, ..Replicas::default() },
            rollout: false,
            health: Health::Unchecked,
            metrics: Vec::new(),
            startup: Startup::default(),
            lag: Duration::from_secs(20),
            foreign_writer: None,
            pod_budget: None,
            selected: Selected::default(),
        }
    }

    /// The metric called `name`.
    pub fn metric(&self, name: &str) -> Option<&MetricObservation> {
        self.metrics.iter().find(|m| m.name == name)
    }

    /// The same observation with forecasts cut to the steps a decision at `now` can look at, `ahead` from now. A
    /// recorded decision stays small that way, and replays to the same answer as long as `ahead` isn't less than
    /// [`crate::reach`].
    pub fn trimmed(&self, now: Timestamp, ahead: Duration) -> Self {
        let mut trimmed = self.clone();
        for metric in &mut trimmed.metrics {
            // A line between steps needs the step before and the one after, and begins at the last measurement.
            if let Ok(forecast) = &metric.forecast
                && let Some(cut) = cut(
                    forecast,
                    time::after(time::after(now, ahead), forecast.step()),
                    time::before(time::before(now, LAST_MEASURED), forecast.step() * 2),
                )
            {
                metric.forecast = Ok(cut);
            }
        }
        trimmed
    }
}

/// A fresh measurement isn't older than this.
const LAST_MEASURED: Duration = Duration::from_secs(180);

/// The steps of a forecast that touch `[from, to]`, but never none of them.
fn cut(forecast: &Forecast, to: Timestamp, from: Timestamp) -> Option<Forecast> {
    let kept: Vec<usize> = (0..forecast.steps())
        .filter(|i| forecast.time_of(*i) <= to && forecast.time_of(i + 1) > from)
        .collect();
    let first = *kept.first()?;
    let rows = kept
        .iter()
        .map(|i| forecast.levels().iter().filter_map(|level| forecast.quantile(*i, *level)).collect())
        .collect();
    let origin = forecast.time_of(first);
    Forecast::new(origin, forecast.step(), forecast.levels().to_vec(), rows, forecast.model()).ok()
}

impl MetricObservation {
    /// A fresh value, fully covered, with nothing else known.
    pub fn fresh(name: impl Into<String>, reading: Reading) -> Self {
        Self {
            name: name.into(),
            reading,
            coverage: 1.0,
            forecast: Err(NoForecast::new(NoForecastReason::NoData, "nothing was forecast")),
            utilization: None,
            queue: None,
        }
    }

    /// A metric nobody could read.
    pub fn absent(name: impl Into<String>, reason: AbsenceReason, message: impl Into<String>) -> Self {
        Self { coverage: 0.0, ..Self::fresh(name, Reading::Absent(Absence::new(reason, message))) }
    }
}
