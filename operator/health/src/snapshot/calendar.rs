//! Windows of the calendars.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A window of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarWindow {
    /// `namespace/name` of the calendar.
    pub calendar: String,
    /// The event's name.
    pub name: String,
    /// Whether it changes replicas or announces maintenance.
    pub kind: CalendarKind,
    /// Its beginning.
    pub start: Timestamp,
    /// Its end, exclusive.
    pub end: Timestamp,
    /// Effect in words, as `at least 20 replicas`.
    pub effect: String,
}

/// What a calendar window does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CalendarKind {
    /// Floors or ceilings on replicas.
    Scaling,
    /// Alerts are muted, scale-downs held.
    Maintenance,
    /// A day on which load differs.
    Holiday,
}
