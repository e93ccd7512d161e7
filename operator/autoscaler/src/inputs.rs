//! What one tick sees: the only way in which the world reaches an [`Autoscaler`](crate::Autoscaler) between two fits.

use std::time::Duration;

use decide::{CalendarWindow, Health, Replicas};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::{Reading, Sample};

use crate::queue_flow::QueueInput;

/// Everything that one decision is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// The workload's replicas.
    pub replicas: Replicas,
    /// A rollout is under way.
    pub rollout: bool,
    /// Start-ups that came to their end; those that were told before are left out.
    pub startups: Vec<StartUp>,
    /// One for each metric of the policy, in its order.
    pub metrics: Vec<MetricInput>,
    /// What the health checks that gate the policy say.
    pub health: Health,
    /// Who wrote the replicas, where they aren't those that were left behind; see
    /// [`Autoscaler::is_foreign`](crate::Autoscaler::is_foreign).
    pub writer: Option<String>,
    /// How many pods the whole fleet may still add; `None` without such a budget.
    pub pod_budget: Option<u32>,
    /// Floors and ceilings of calendars, around now.
    pub calendar: Vec<CalendarWindow>,
    /// Least and most replicas, where the target itself narrows the policy's.
    pub bounds: Option<(u32, u32)>,
}

/// A pod that became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartUp {
    /// When it became ready.
    pub ready: Timestamp,
    /// How long that took from its creation.
    pub took: Duration,
}

/// One metric, as its source told it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricInput {
    /// The value: total load, value to compare, or waiting messages.
    pub reading: Reading,
    /// The share of the query's window that was really measured, 0 to 1.
    pub coverage: f64,
    /// What is forecast, where that isn't the value itself: a queue's arrivals per second.
    pub arrivals: Option<Sample>,
    /// The queue as the broker told it.
    pub queue: Option<QueueInput>,
    /// The share of its scarcest resource that a ready replica uses, 0 to 1, where that is asked.
    pub used: Option<f64>,
}

impl Inputs {
    /// Calm: `spec` replicas, all ready, nothing measured.
    pub fn of(spec: u32) -> Self {
        Self {
            replicas: Replicas { spec, ready: spec, ..Replicas::default() },
            rollout: false,
            startups: Vec::new(),
            metrics: Vec::new(),
            health: Health::Unchecked,
            writer: None,
            pod_budget: None,
            calendar: Vec::new(),
            bounds: None,
        }
    }
}

impl MetricInput {
    /// A reading of a window that was measured all through, with nothing else known.
    pub fn of(reading: Reading) -> Self {
        Self { reading, coverage: 1.0, arrivals: None, queue: None, used: None }
    }
}
