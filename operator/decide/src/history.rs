//! What a decision remembers of earlier ones. Bounded, serializable, passed in and returned: nothing is kept here
//! between calls, so a decision can be replayed, and a restart forgets only what its owner didn't store.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

use crate::capacity::{Learned, Learner};
use crate::drop_detector::DropDetector;
use crate::peaks::Peaks;
use crate::policy::{Capacity, MetricKind, MetricPolicy};
use crate::readings::Readings;
use crate::runs::{self, Run};
use crate::throughput::Throughput;

/// The longest window that any rule of the HPA's `behavior` can ask for.
pub(crate) const LONGEST_WINDOW: Duration = Duration::from_secs(3_600);
/// At one decision each 15 s an hour holds 240; more runs than this would be a caller that decides every second.
const MOST_RUNS: usize = 512;

/// What a decision remembers of earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct History {
    /// Recommendations before stabilization, oldest first: what stabilization windows look at.
    #[serde(with = "runs")]
    pub recommendations: Vec<Run>,
    /// The replicas asked for (`spec`) in the last hour, oldest first.
    #[serde(with = "runs")]
    pub supplied: Vec<Run>,
    /// Changes that were carried out, oldest first: what rate policies count.
    pub scale_events: Vec<ScaleEvent>,
    /// What is remembered of each metric, by name.
    pub metrics: BTreeMap<String, MetricHistory>,
    /// No scaling down before then, after a panic.
    pub panic_until: Option<Timestamp>,
    /// Replicas are held after load dropped in a way nobody foresaw.
    pub drop_hold: Option<DropHold>,
    /// The last way up, watched for whether it helped.
    pub last_up: Option<UpWatch>,
    /// When the last decision was made, and the replicas it left behind.
    pub last: Option<Last>,
}

/// A change of replicas that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleEvent {
    /// When the replicas were changed.
    pub at: Timestamp,
    /// Replicas added, or removed where negative.
    pub change: i64,
}

/// What is remembered of one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricHistory {
    /// The last time its data couldn't be relied on.
    pub last_bad: Option<Timestamp>,
    /// Since when there has been no fresh value.
    pub absent_since: Option<Timestamp>,
    /// The replicas asked for when the last fresh value was gone; `None` while there is one.
    pub replicas_at_loss: Option<u32>,
    /// How far short peaks rise above the mean.
    pub peaks: Peaks,
    /// The readings of the last five minutes.
    pub readings: Readings,
    /// How suddenly it usually falls.
    pub drops: DropDetector,
    /// A reading so far above the one before that the next one has to confirm it.
    pub suspect: Option<f64>,
    /// What one replica can carry.
    pub capacity: Learner,
    /// What one consumer of the queue finishes per second.
    pub throughput: Throughput,
    /// More consumers didn't help: no more than so many until then.
    pub no_benefit: Option<NoBenefit>,
}

impl MetricHistory {
    /// What one replica carries, or one consumer finishes per second: the user's word, what was learned, or the target.
    pub fn per_replica(&self, policy: &MetricPolicy) -> f64 {
        match (policy.capacity, &policy.kind) {
            (Capacity::Target, _) => policy.target,
            (Capacity::Declared(per_replica), _) => per_replica,
            (Capacity::Learned, MetricKind::Backlog(_)) => {
                self.throughput.per_consumer().unwrap_or(policy.target)
            }
            (Capacity::Learned, _) => match self.capacity.learned() {
                Learned::Known { per_replica, .. } => per_replica,
                Learned::Learning { .. } => policy.target,
            },
        }
    }
}

/// Replicas held after an unexplained drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropHold {
    /// Until then.
    pub until: Timestamp,
    /// At this many, at least.
    pub floor: u32,
}

/// More consumers didn't raise throughput.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoBenefit {
    /// No more than so many,
    pub replicas: u32,
    /// until then.
    pub until: Timestamp,
}

/// A way up that is watched for whether it helped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpWatch {
    /// When it began.
    pub at: Timestamp,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
    /// Work finished per second before, if that is known.
    pub served: Option<f64>,
}

/// When the last decision was made, and on how many replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// When it was made.
    pub at: Timestamp,
    /// `spec.replicas` as far as we know: observed, or set by us since.
    pub spec: u32,
}

impl History {
    /// Notes that replicas were changed from `from` to `to` at `at`, by us. Whoever carries a plan out calls this
    /// when, and only when, it has been accepted.
    pub fn scaled(&mut self, at: Timestamp, from: u32, to: u32) {
        let change = i64::from(to) - i64::from(from);
        if change == 0 {
            return;
        }
        self.scale_events.push(ScaleEvent { at, change });
        self.last = Some(Last { at: self.last.map_or(at, |last| last.at), spec: to });
        self.last_up = match self.last_up {
            // Ups that follow one another are judged together.
            Some(up) if change > 0 => Some(UpWatch { to, ..up }),
            None if change > 0 => Some(UpWatch { at, from, to, served: None }),
            _ => None,
        };
    }

    /// Forgets what no rule can ask for any more.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        let cutoff = time::before(now, LONGEST_WINDOW);
        self.scale_events.retain(|event| event.at > cutoff);
        for runs in [&mut self.recommendations, &mut self.supplied] {
            runs.retain(|run| run.to > cutoff);
            let surplus = runs.len().saturating_sub(MOST_RUNS);
            runs.drain(..surplus);
        }
    }

    /// What is remembered of the metric `name`.
    pub fn metric(&self, name: &str) -> Option<&MetricHistory> {
        self.metrics.get(name)
    }
}
