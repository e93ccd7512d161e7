//! What survives a restart, a failover and the loss of a Lease: the selected strategy with its evidence, what one replica
//! carries, start-ups, the windows of stabilization. It is part of a status, so it is small; the rest is learned from
//! history again.

use std::collections::BTreeMap;

use decide::{History, Selection};
use forecast::Feedback;
use serde::{Deserialize, Serialize};
use series::Forecast;

use crate::open_slots::OpenSlots;
use crate::savings::Savings;
use crate::start_ups::StartUps;

/// What an [`Autoscaler`](crate::Autoscaler) kept. Made by [`Autoscaler::saved`](crate::Autoscaler::saved).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Saved {
    pub(crate) version: u32,
    /// What each metric was measured by: what was learned of another source is void.
    pub(crate) identities: BTreeMap<String, String>,
    pub(crate) startups: StartUps,
    pub(crate) history: History,
    pub(crate) selection: Selection,
    pub(crate) savings: Savings,
    pub(crate) expected: Option<u32>,
    /// The next minutes of each metric's last forecast: they count until the history is read again.
    pub(crate) forecasts: BTreeMap<String, Forecast>,
    /// How far each metric was seen to follow our own replicas.
    pub(crate) feedback: BTreeMap<String, Feedback>,
    /// The slots of each metric that were under way.
    pub(crate) open: BTreeMap<String, OpenSlots>,
}

impl Saved {
    /// The version of this form. One that isn't known is dropped, not misread.
    pub(crate) const VERSION: u32 = 1;

    /// Reads what was kept; nothing where it is of another version or can't be read.
    pub fn read(value: serde_json::Value) -> Option<Self> {
        let version = value.get("version")?.as_u64()?;
        if version != u64::from(Self::VERSION) {
            return None;
        }
        serde_json::from_value(value).ok()
    }
}
