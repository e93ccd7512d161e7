//! How a source counts a flow.

use serde::{Deserialize, Serialize};

/// How a broker counts messages that come or go.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Count {
    /// Messages per second, by the broker's own measure.
    PerSecond(f64),
    /// Messages since some beginning; rises, but for restarts of the broker or queue.
    Total(u64),
}
