//! About the process that answers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// About the process that answers, and the time its data is true for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Foresail's version.
    pub version: String,
    /// The name of this replica of Foresail (a pod's name).
    pub instance: String,
    /// Whether this replica is the one that acts.
    pub leader: bool,
    /// Who acts, where that is known; for "ask that one" on a standby.
    pub leader_name: Option<String>,
    /// Where the data comes from, for people: a cluster's name, or `demo`.
    pub source: String,
    /// When the newest part of this snapshot was true. In the demo this is simulated time.
    pub data_time: Timestamp,
    /// How many times faster than the clock the data moves: 1 in production, more in the demo.
    pub speed: f64,
    /// When the process started.
    pub started: Timestamp,
    /// A planned restart, announced as soon as it is known.
    pub maintenance: Option<Maintenance>,
}

impl Meta {
    /// A standby that has seen nothing yet.
    pub fn new(version: impl Into<String>, instance: impl Into<String>, now: Timestamp) -> Self {
        Self {
            version: version.into(),
            instance: instance.into(),
            leader: false,
            leader_name: None,
            source: String::new(),
            data_time: now,
            speed: 1.0,
            started: now,
            maintenance: None,
        }
    }
}

/// A planned end of service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Maintenance {
    /// Whether it was planned ahead (a window) rather than begun by a signal.
    pub scheduled: bool,
    /// When service ends.
    pub shutdown_time: Timestamp,
    /// How long work in flight may take after that, in seconds.
    pub grace_period_seconds: u32,
    /// When service is expected back, where that is known.
    pub end_time: Option<Timestamp>,
    /// Why, for people.
    pub reason: String,
}
