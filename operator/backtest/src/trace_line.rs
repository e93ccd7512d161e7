//! How a decision is written down: one JSON object a line, so that anyone can score a replay with their own tools.

use crate::replay::Tick;

/// Three significant decimals are enough for load, and keep traces small.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// The line of one decision, without its newline.
pub fn line(tick: &Tick) -> Result<String, serde_json::Error> {
    serde_json::to_string(tick)
}
