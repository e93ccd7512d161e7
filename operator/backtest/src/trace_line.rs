//! How a decision is written down: one JSON object a line, so that anyone can score a replay with their own tools.

use crate::replay::Tick;

/// The line of one decision, without its newline.
pub fn line(tick: &Tick) -> Result<String, serde_json::Error> {
    serde_json::to_string(tick)
}
