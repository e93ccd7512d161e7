//! What changed, as the event stream tells it. Changes come in as they are concluded; names and JSON go out. Who
//! listens is unknown here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::maintenance::Announcement;
use crate::rollup::Cause;
use crate::{ComponentId, Status};

/// One event of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A component's status changed.
    Transition {
        /// Which component.
        id: ComponentId,
        /// When it was concluded.
        at: Timestamp,
        /// From which status.
        from: Status,
        /// To which.
        to: Status,
        /// How long the old status had held.
        lasted_seconds: u64,
        /// Where it comes from, if not from the component itself.
        causes: Vec<Cause>,
        /// What the last probe said.
        output: String,
    },
    /// A component began or ceased to flap.
    Flapping {
        /// Which component.
        id: ComponentId,
        /// When.
        at: Timestamp,
        /// Whether it flaps now.
        flapping: bool,
    },
    /// An end of service was announced, or a window began or ended.
    Maintenance {
        /// When it was told.
        at: Timestamp,
        /// What is planned; `None` once it is over.
        announcement: Option<Announcement>,
    },
    /// An alert began to fire, was resolved, or became another.
    Alert {
        /// When.
        at: Timestamp,
        /// The alert's stable id.
        id: String,
        /// Its rule.
        alert: String,
        /// `pending`, `firing` or `resolved`.
        state: String,
        /// One sentence.
        summary: String,
    },
}

impl Event {
    /// The name in the stream's `event:` line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Transition { .. } => "transition",
            Self::Flapping { .. } => "flapping",
            Self::Maintenance { .. } => "maintenance",
            Self::Alert { .. } => "alert",
        }
    }
}
