//! The time line of decisions.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One line of the time line of decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionEntry {
    /// When the decision was made.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
    /// Replicas before.
    pub from: u32,
    /// Replicas after, or as suggested.
    pub to: u32,
    /// What it followed, as `requests (forecast)`.
    pub driver: String,
    /// Why, in one sentence.
    pub message: String,
    /// Limits that changed the answer, in order.
    pub limits: Vec<LimitEntry>,
    /// Its trace, 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Replicas were changed.
    Scaled,
    /// Replicas would have been changed, were the mode `Auto`.
    Suggested,
    /// A change was wanted and held back.
    Held,
    /// The API server refused the change.
    Refused,
}

/// A limit that bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitEntry {
    /// One word, as `ScaleDownStabilized`.
    pub reason: String,
    /// One sentence.
    pub message: String,
}
