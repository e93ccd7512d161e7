//! How much of the answer to a workload's load is headroom, and how much is foresight: the choices that a replay of
//! the workload's own history is to pick from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::seconds;

/// A way to size a workload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stance {
    /// Replicas for `headroom` times the load measured now, 1 or more. An HPA whose target is 70 % of what a replica
    /// can carry has a headroom of 1.43.
    pub headroom: f64,
    /// How the forecast takes part; `None` where it doesn't.
    pub foresight: Option<Foresight>,
    /// How long a larger answer still counts on the way down, beyond what `behavior` says: the more a load trembles,
    /// the longer it pays to wait.
    #[serde(with = "seconds", default)]
    pub hold: Duration,
    /// How much of the lead time the load of now is carried on as it climbs, 0 or more; see [`crate::Momentum`].
    #[serde(default)]
    pub lean: f64,
    /// A way up that is no larger than this share of the replicas isn't made, 0 to 0.5: what an HPA's tolerance is.
    #[serde(default)]
    pub slack: f64,
    /// Nor is a way down that is smaller than this share, 0 to 0.5.
    #[serde(default)]
    pub band: f64,
}

/// How the forecast takes part in a stance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Foresight {
    /// The quantile to provision for, inside (0, 1).
    pub level: f64,
    /// Factor on that quantile, 1 or more.
    pub margin: f64,
    /// How far the forecast is moved to the load of now, 0 to 1: at 0 it's taken as it is, at 1 only its growth from
    /// now on counts. A forecast is some minutes old, and a measurement isn't.
    #[serde(default)]
    pub follow: f64,
}

/// What a stance would have cost and missed on the workload's own recent history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// Which stance.
    pub stance: Stance,
    /// Share of time with too few ready replicas, 0 to 1.
    pub violation: f64,
    /// Mean replicas paid for.
    pub replicas: f64,
    /// Hours replayed.
    pub hours: f64,
    /// Changes of replicas a day.
    #[serde(default)]
    pub changes: f64,
    /// Changes in the other direction within ten minutes, a day.
    #[serde(default)]
    pub reversals: f64,
}

/// How a forecast fares on its metric's own recent history, in the forecaster's words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Pinball loss over the lead time divided by that of "the last value again"; below 1 is better.
    pub versus_last: f64,
    /// The same against "as yesterday at this time".
    pub versus_yesterday: f64,
    /// Share of measurements below the quantile they should be below with probability `level`.
    pub coverage: f64,
    /// That level.
    pub level: f64,
}
