//! What Foresail knows right now, in the words and shapes the page, the read-only API and `foresail status` show.
//!
//! What comes in: finished conclusions, filled in by the controller (or by the demo). What goes out: plain values that
//! serialize to JSON. What this module refuses to know: how a conclusion was reached, who reads it, and the clock.
//!
//! Times are RFC 3339 strings in JSON, durations are seconds, ratios lie in 0 to 1. Parts are behind [`Arc`], so that
//! copying a [`Snapshot`] of thousands of policies costs a few microseconds, and a reader can tell what changed by
//! comparing pointers.

mod alert;
mod backtest;
mod calendar;
mod component;
mod convert;
mod decision;
mod meta;
mod metric;
mod policy;
mod spark;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::alert::{AlertPhase, AlertSnapshot, Delivery, Severity};
pub use self::backtest::{BacktestRow, BacktestSummary};
pub use self::calendar::{CalendarKind, CalendarWindow};
pub use self::component::{HealthGroup, HealthNode, HealthSnapshot, HealthStatus, HealthTransition};
pub use self::decision::{DecisionEntry, LimitEntry, Outcome};
pub use self::meta::{Maintenance, Meta};
pub use self::metric::{Candidate, ForecastStatus, MetricSnapshot};
pub use self::policy::{
    ConditionSnapshot, ConditionStatus, Mode, NextChange, Pause, PolicyKey, PolicySnapshot, PolicySummary,
    Replicas, Saved, Startup, Target,
};
pub use self::spark::Spark;

/// Everything a reader may want, at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// About Foresail itself.
    pub meta: Arc<Meta>,
    /// The policies, by namespace and name.
    #[serde(serialize_with = "values_only", deserialize_with = "by_key")]
    pub policies: BTreeMap<PolicyKey, Arc<PolicySnapshot>>,
    /// The components that are probed and what they depend on.
    pub health: Arc<HealthSnapshot>,
    /// Alerts that are pending, firing or lately resolved.
    pub alerts: Arc<Vec<AlertSnapshot>>,
    /// Windows of the calendars, past and coming, sorted by start.
    pub calendar: Arc<Vec<CalendarWindow>>,
}

impl Snapshot {
    /// Nothing seen yet.
    pub fn new(meta: Meta) -> Self {
        Self {
            meta: Arc::new(meta),
            policies: BTreeMap::new(),
            health: Arc::new(HealthSnapshot::default()),
            alerts: Arc::new(Vec::new()),
            calendar: Arc::new(Vec::new()),
        }
    }

    /// Puts a policy in or replaces it, and moves the data time ahead.
    pub fn put(&mut self, policy: PolicySnapshot) {
        if policy.updated > self.meta.data_time {
            Arc::make_mut(&mut self.meta).data_time = policy.updated;
        }
        self.policies.insert(policy.key(), Arc::new(policy));
    }

    /// Takes a policy out.
    pub fn remove(&mut self, key: &PolicyKey) -> bool {
        self.policies.remove(key).is_some()
    }
}

fn values_only<S: serde::Serializer>(
    policies: &BTreeMap<PolicyKey, Arc<PolicySnapshot>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(policies.values())
}

fn by_key<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<PolicyKey, Arc<PolicySnapshot>>, D::Error> {
    let list: Vec<Arc<PolicySnapshot>> = Vec::deserialize(deserializer)?;
    Ok(list.into_iter().map(|p| (p.key(), p)).collect())
}

#[cfg(test)]
mod tests;
