//! What an autoscaler is made of.

use std::collections::BTreeMap;
use std::time::Duration;

use decide::{ForecastUse, LeadTime, MetricKind, MetricPolicy, Pause, Policy, Protection};
use forecast::Settings;
use serde::{Deserialize, Serialize};

use crate::signal::SignalSpec;

/// What a workload's autoscaler is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setup {
    /// What the user wants.
    pub policy: Policy,
    /// Scaling rests, with an end and a reason.
    pub pause: Option<Pause>,
    /// What each metric of the policy is measured by, in the same order.
    pub signals: Vec<SignalSpec>,
    /// Where in the day this workload's fits lie, 0 to 1: another number for each workload spreads them.
    pub place: f64,
}

impl Setup {
    /// The place, in the policy's order, of the metric with this name and this source; nothing where it's gone, or is
    /// measured otherwise now.
    pub fn metric(&self, name: &str, identity: &str) -> Option<usize> {
        self.metrics().position(|(metric, spec)| metric.name == name && spec.identity == identity)
    }

    /// Each metric with what it is measured by.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = (&MetricPolicy, &SignalSpec)> {
        self.policy.metrics.iter().zip(&self.signals)
    }

    /// Whether strategies are simulated under the metric at this place. What a `Value` would have been with other
    /// replicas nobody knows, so it takes no part.
    pub(crate) fn is_simulated(&self, metric: usize) -> bool {
        self.policy.forecast == ForecastUse::Auto
            && self.policy.metrics.get(metric).is_some_and(|m| m.kind != MetricKind::Value)
    }

    /// Whether the metric at this place is forecast.
    pub(crate) fn is_forecast(&self, metric: usize) -> bool {
        self.is_simulated(metric) && self.policy.metrics.get(metric).is_some_and(|m| m.forecast)
    }

    /// Whether a simulation of the past would be the same under the other.
    pub(crate) fn is_simulated_as(&self, other: &Self) -> bool {
        let alike = |(a, b): (&SignalSpec, &SignalSpec)| a.is_like(b);
        self.policy == other.policy && self.signals.iter().zip(&other.signals).all(alike)
    }

    /// What each metric is measured by.
    pub(crate) fn identities(&self) -> BTreeMap<String, String> {
        self.metrics().map(|(metric, spec)| (metric.name.clone(), spec.identity.clone())).collect()
    }
}

/// How far ahead people look at the page and at dashboards.
const SHOWN_AHEAD: Duration = Duration::from_hours(4);
/// Slots of a policy that names no step.
const STEP: Duration = Duration::from_mins(1);

/// How loads are forecast under a policy that says no more than its lead time and what it protects: by the minute, as far
/// ahead as is shown, decided on as far ahead as an hour or twice the lead time, with the usual quantiles and those of
/// `protections`.
pub fn forecast_settings(lead_time: LeadTime, protections: &[Protection]) -> Settings {
    let lead = match lead_time {
        LeadTime::Fixed(lead) => lead,
        LeadTime::Measured { until_known } => until_known,
    };
    let usual = Settings::default();
    let levels = usual.levels.iter().copied().chain(protections.iter().map(|p| p.quantile())).collect();
    let decision_horizon = usual.decision_horizon.max(lead * 2);
    Settings { step: STEP, horizon: SHOWN_AHEAD.max(decision_horizon), decision_horizon, levels, ..usual }
        .in_range()
}
