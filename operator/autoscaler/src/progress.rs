//! How far learning from the known past got.

use jiff::Timestamp;

/// How far learning from the known past got; each step waits for the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is to be learned, and why.
    Off(&'static str),
    /// The histories of these metrics are still to be read.
    ReadingHistory(Vec<String>),
    /// The first forecasters of these metrics are still being fitted.
    Fitting(Vec<String>),
    /// What one replica carries of this metric must be measured first.
    LearningCapacity(String),
    /// Less than a day was measured of this metric.
    TooLittleHistory(String),
    /// Every strategy is simulated on the past, or is about to be.
    Simulating,
    /// That was done on the past until then.
    Simulated(Timestamp),
}
