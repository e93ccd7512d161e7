//! Alerts and what came of telling them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertSnapshot {
    /// Stable over the life of the alert.
    pub id: String,
    /// The rule, as `PolicyAtMaxReplicas`.
    pub alert: String,
    /// How soon somebody should look.
    pub severity: Severity,
    /// Where in its life.
    pub state: AlertPhase,
    /// What it is about, as `policy shop/checkout`.
    pub subject: String,
    /// One sentence.
    pub summary: String,
    /// More, where there is more.
    pub description: String,
    /// What to do.
    pub runbook_url: String,
    /// When the condition began to hold.
    pub since: Timestamp,
    /// When it was resolved, if so.
    pub resolved: Option<Timestamp>,
    /// Components that are down only because this one is.
    pub consequences: Vec<String>,
    /// Receivers and what came of telling them.
    pub deliveries: Vec<Delivery>,
    /// The decision or check behind it.
    pub trace_id: Option<String>,
}

/// How bad an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look today.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// The word, as JSON and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Where in its life an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertPhase {
    /// Holds, not yet long enough.
    Pending,
    /// Receivers were told.
    Firing,
    /// Over.
    Resolved,
}

/// A receiver and what came of telling it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The receiver's name.
    pub receiver: String,
    /// Whether the service took it.
    pub delivered: bool,
    /// What the service said; never contains a secret.
    pub message: String,
}
