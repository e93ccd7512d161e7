//! Components that are probed, and the roll-up over them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Components, what they depend on, and the roll-up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HealthSnapshot {
    /// The whole system.
    pub status: HealthStatus,
    /// Every component, in stable order.
    pub nodes: Vec<HealthNode>,
    /// Roll-up of labeled groups.
    pub groups: Vec<HealthGroup>,
}

/// How well something is, worst last but for `unknown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Not checked yet, or no quorum.
    #[default]
    Unknown,
    /// Well.
    Pass,
    /// In an announced window.
    Maintenance,
    /// Degraded: serves, not as it should.
    Warn,
    /// Down.
    Fail,
}

impl HealthStatus {
    /// The word in JSON, labels and class names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Pass => "pass",
            Self::Maintenance => "maintenance",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One component of the dependency graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthNode {
    /// `namespace/name` of the check.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// Groups it belongs to.
    pub groups: Vec<String>,
    /// `http`, `tcp`, `grpc`, `promql`, `workload`, `redis`, `postgres`, ...
    pub kind: String,
    /// After thresholds, dependencies and quorum.
    pub status: HealthStatus,
    /// Failing, but not yet often enough to count.
    pub pending: bool,
    /// Changes so often that messages are held.
    pub flapping: bool,
    /// Since when `status` holds.
    pub since: Option<Timestamp>,
    /// The last result in one sentence.
    pub output: String,
    /// Whether what depends on it is down with it, rather than degraded.
    pub critical: bool,
    /// Ids it depends on.
    pub depends_on: Vec<String>,
    /// Ids of the root causes, where it fails as a consequence.
    pub causes: Vec<String>,
    /// How long the last probe took, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Lately measured latencies in milliseconds, oldest first; `null` is a failure.
    pub latencies_ms: Vec<Option<f64>>,
    /// Share of time well, by window: `("1h", 1.0)`.
    pub uptime: Vec<(String, f64)>,
    /// Probers that see it fail, and how many look.
    pub votes: Option<(u32, u32)>,
    /// Last changes, newest first.
    pub transitions: Vec<HealthTransition>,
}

/// A change of a component's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthTransition {
    /// When the status changed.
    pub at: Timestamp,
    /// To what.
    pub to: HealthStatus,
    /// The result that caused it.
    pub output: String,
}

/// Roll-up of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthGroup {
    /// The group's name.
    pub name: String,
    /// Its worst member that matters.
    pub status: HealthStatus,
}
