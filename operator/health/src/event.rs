//! What changed of a component, told as it is concluded. Who listens is unknown here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rollup::Cause;
use crate::{ComponentId, Status};

/// One event of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A component's status changed.
    Transition {
        /// The component whose status changed.
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
        /// The component that began or ceased to flap.
        id: ComponentId,
        /// When it did.
        at: Timestamp,
        /// Whether it flaps now.
        flapping: bool,
    },
}
