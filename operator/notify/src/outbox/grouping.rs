//! Which alerts are told together, and at what pace.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which alerts are told together, and when. The names are Alertmanager's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grouping {
    /// Labels whose values make a group; `alertname` is the alert's name, `...` puts everything into one.
    pub by: Vec<String>,
    /// From a group's first alert to its first message.
    pub wait: Duration,
    /// From one message of a group to the next about changes.
    pub interval: Duration,
    /// From one message of a group to the next without any.
    pub repeat: Duration,
    /// Resolved alerts are told again at each repeat for so long; for receivers that forget (Alertmanager).
    pub keep_resolved: Duration,
}

impl Default for Grouping {
    fn default() -> Self {
        Self {
            by: vec!["alertname".into(), "namespace".into()],
            wait: Duration::from_secs(30),
            interval: Duration::from_secs(300),
            repeat: Duration::from_secs(4 * 3_600),
            keep_resolved: Duration::ZERO,
        }
    }
}
