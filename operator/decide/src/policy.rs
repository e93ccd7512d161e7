//! What the user wants, after validation: plain numbers, no custom resource, nothing left to default.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::behavior::Behavior;
use crate::seconds;

/// One workload's validated intent. [`Policy::check`] names what is impossible; everything else the type rules out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Act, or only say what would be done.
    pub mode: Mode,
    /// Replicas that always run. 0 is allowed where a backlog metric can wake the workload up again.
    pub min_replicas: u32,
    /// Replicas that are never exceeded.
    pub max_replicas: u32,
    /// The signals, each evaluated on its own; the largest answer wins.
    pub metrics: Vec<MetricPolicy>,
    /// The HPA's `behavior`; `None` means what an HPA without one does, which isn't the same as its defaults.
    pub behavior: Option<Behavior>,
    /// Relative change of load over target that isn't worth a change of replicas, where `behavior` sets none.
    pub tolerance: f64,
    /// How far ahead capacity must be ordered.
    pub lead_time: LeadTime,
    /// What is promised of the time with too few replicas.
    pub protection: Protection,
    /// Whether forecasts may raise replicas at all.
    pub forecast: ForecastUse,
    /// Floors and ceilings in force around now, from calendars.
    pub calendar: Vec<CalendarWindow>,
    /// Whether an unhealthy system blocks the way down.
    pub health_gate: bool,
    /// How fast replicas may fall, beyond what `behavior` says.
    pub steps: StepLimits,
    /// How long caution lasts.
    pub timing: Timing,
}

/// Whether a decision is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Carry decisions out.
    Auto,
    /// Decide and report, change nothing.
    Recommend,
}

/// What is promised of the time with too few replicas, and at which cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Protection {
    /// As little of it as can be had for no more replicas than the usual HPA takes ([`Policy::usual_headroom`]).
    SameCost,
    /// The ready replicas carry the load for this share of the time, 0.5 to 0.9999, at whatever cost.
    Share(f64),
}

impl Protection {
    /// The quantile of forecasts that is shown where no strategy looks at another.
    pub fn quantile(self) -> f64 {
        match self {
            Self::SameCost => 0.95,
            Self::Share(share) => share,
        }
    }
}

impl std::fmt::Display for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SameCost => f.write_str("SameCost"),
            Self::Share(share) => {
                let text = format!("{:.3}", share * 100.0);
                write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
            }
        }
    }
}

/// Whether forecasts take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForecastUse {
    /// Where they have earned trust on this workload.
    Auto,
    /// Never: the reactive answer only.
    Off,
}

/// One signal of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricPolicy {
    /// Unique within the policy; [`crate::MetricObservation::name`] refers to it.
    pub name: String,
    /// How the value relates to replicas.
    pub kind: MetricKind,
    /// The load one replica should carry, in the unit of the metric, above zero. An HPA would call it
    /// `averageValue` (or `value`, for [`MetricKind::Value`]). For a backlog: messages per second and consumer where
    /// the user states it, and ignored where the capacity is learned.
    pub target: f64,
    /// What one replica can carry while its promises still hold.
    pub capacity: Capacity,
    /// Share of what the replicas carry that the usual HPA keeps free, from 0 to 0.9: with 0.3 it is one at 70 % of the target.
    /// Counts for [`MetricKind::AverageValue`] only, until a simulation has shown what this workload needs.
    #[serde(default)]
    pub spare: f64,
    /// Whether this metric is forecast.
    pub forecast: bool,
    /// What to do when the metric has been gone for a while.
    pub fallback: Option<Fallback>,
}

/// How a metric's value relates to replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MetricKind {
    /// The value is a total that replicas share: `AverageValue` of an HPA. Requests per second of the service.
    AverageValue,
    /// The value is compared with the target as it is, and isn't divided by replicas: `Value` of an HPA.
    Value,
    /// The value is a number of waiting messages, to be drained in time.
    Backlog(BacklogPolicy),
}

/// What is promised about a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BacklogPolicy {
    /// No message should be older than this when it's served.
    #[serde(with = "seconds")]
    pub drain_within: Duration,
    /// How long consumption pauses at every change of the number of consumers.
    #[serde(with = "seconds")]
    pub rebalance_pause: Duration,
    /// Least time between two changes of the number of consumers, unless the promise is about to break.
    #[serde(with = "seconds")]
    pub dwell: Duration,
    /// Share of the consumers' throughput that steady arrivals may take, 0 to 1. Default 0.98: what exceeds it for a
    /// while waits, as long as the promise allows.
    pub utilization: f64,
    /// With no consumer running, the first one starts when more than this many messages wait.
    pub activation: f64,
}

impl BacklogPolicy {
    /// The defaults for a promise of `drain_within`.
    pub fn within(drain_within: Duration) -> Self {
        Self {
            drain_within,
            rebalance_pause: Duration::from_secs(5),
            dwell: Duration::from_secs(300),
            utilization: 0.98,
            activation: 0.0,
        }
    }
}

impl BacklogPolicy {
    /// Least time between the last change of the number of consumers and one up, or down.
    pub(crate) fn cooldown(&self, up: bool) -> Duration {
        let between = self.dwell.max(self.rebalance_pause * 10);
        if up { between } else { between * 2 }
    }
}

/// What one replica can carry, in the unit of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Capacity {
    /// Exactly the target: the target is what a replica can carry, and nothing is known beyond it.
    Target,
    /// The user's word, above zero.
    Declared(f64),
    /// Learned from load and utilization per replica; the target until that is known well enough.
    Learned,
}

/// What to do when a metric has been absent for a while. It only ever raises.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// How long the metric must have been gone.
    #[serde(with = "seconds")]
    pub after: Duration,
    /// Replicas that run at least, while it's gone.
    pub min_replicas: u32,
}

/// How far ahead capacity must be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LeadTime {
    /// Measured from pods' own start-ups; the given time until enough of them were seen.
    Measured {
        /// Used until start-ups have been measured.
        #[serde(with = "seconds")]
        until_known: Duration,
    },
    /// Always this.
    Fixed(#[serde(with = "seconds")] Duration),
}

/// A calendar entry that is, or may soon be, in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalendarWindow {
    /// What the user called it.
    pub name: String,
    /// When it begins. A floor is ordered one lead time earlier.
    pub from: Timestamp,
    /// When it's over.
    pub to: Timestamp,
    /// Replicas that run at least; overrides the policy's minimum upwards.
    pub min_replicas: Option<u32>,
    /// Replicas that aren't exceeded; replaces the policy's maximum while the window is open.
    pub max_replicas: Option<u32>,
}

/// How fast replicas may fall, beyond what `behavior` allows. All shares are of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepLimits {
    /// A fall smaller than this share isn't made (from 20 replicas on; below, one replica counts).
    pub dead_band: f64,
    /// Largest share removed in a minute; one replica is always allowed.
    pub per_minute: f64,
    /// Replicas stay above this share of the most that ran within the last half hour.
    pub of_recent_peak: f64,
}

impl Default for StepLimits {
    fn default() -> Self {
        Self { dead_band: 0.05, per_minute: 0.20, of_recent_peak: 0.5 }
    }
}

/// How long caution lasts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    /// Time between two decisions.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// After bad data, how long good data must last before replicas may fall.
    #[serde(with = "seconds")]
    pub after_outage: Duration,
    /// How long the system must have been healthy before replicas may fall.
    #[serde(with = "seconds")]
    pub healthy_for: Duration,
    /// How long replicas are held when load drops in a way nobody foresaw.
    #[serde(with = "seconds")]
    pub after_drop: Duration,
    /// How long replicas are held when load falls within half a minute as it never does.
    #[serde(with = "seconds", default = "after_fall")]
    pub after_fall: Duration,
    /// How long a panic forbids to scale down.
    #[serde(with = "seconds")]
    pub panic: Duration,
    /// How long a forecast is used after its origin.
    #[serde(with = "seconds")]
    pub forecast_valid: Duration,
    /// How far ahead the forecast keeps replicas that it will want again, on top of the mean start-up.
    #[serde(with = "seconds")]
    pub keep: Duration,
}

/// Longer than a part of the targets is usually away.
fn after_fall() -> Duration {
    Duration::from_secs(900)
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            after_outage: Duration::from_secs(600),
            healthy_for: Duration::from_secs(300),
            after_drop: Duration::from_secs(3_600),
            after_fall: after_fall(),
            panic: Duration::from_secs(600),
            forecast_valid: Duration::from_secs(7_200),
            keep: Duration::from_secs(600),
        }
    }
}

/// What makes a policy impossible to decide on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// The bounds cross, or there is no room at all.
    #[error("minReplicas {min} is above maxReplicas {max}, or maxReplicas is 0")]
    Bounds {
        /// The minimum given.
        min: u32,
        /// The maximum given.
        max: u32,
    },
    /// No metric.
    #[error("a policy needs at least one metric")]
    NoMetric,
    /// Two metrics share a name.
    #[error("two metrics are called {0}")]
    SameName(String),
    /// A number outside of its range.
    #[error("{field} is {value}; it must be {range}")]
    Range {
        /// Which field.
        field: String,
        /// What it was.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
}

impl Policy {
    /// A policy with every default: one metric called `load` with a target per replica.
    pub fn simple(min_replicas: u32, max_replicas: u32, target: f64) -> Self {
        Self {
            mode: Mode::Auto,
            min_replicas,
            max_replicas,
            metrics: vec![MetricPolicy::average("load", target)],
            behavior: None,
            tolerance: 0.1,
            lead_time: LeadTime::Measured { until_known: Duration::from_secs(120) },
            protection: Protection::Share(0.99),
            forecast: ForecastUse::Auto,
            calendar: Vec::new(),
            health_gate: true,
            steps: StepLimits::default(),
            timing: Timing::default(),
        }
    }

    /// What is impossible about this policy, if anything.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.min_replicas > self.max_replicas || self.max_replicas == 0 {
            return Err(PolicyError::Bounds { min: self.min_replicas, max: self.max_replicas });
        }
        if self.metrics.is_empty() {
            return Err(PolicyError::NoMetric);
        }
        if let Protection::Share(share) = self.protection {
            range("protection", share, 0.5..=0.9999, "from 50% to 99.99%")?;
        }
        range("tolerance", self.tolerance, 0.0..=10.0, "from 0 to 10")?;
        for (i, metric) in self.metrics.iter().enumerate() {
            if self.metrics[..i].iter().any(|other| other.name == metric.name) {
                return Err(PolicyError::SameName(metric.name.clone()));
            }
            metric.check()?;
        }
        Ok(())
    }

    /// The share by which load over target may differ up and down without a change: that of `behavior` first.
    pub fn load_tolerance(&self) -> (f64, f64) {
        let own = |rules: Option<f64>| rules.unwrap_or(self.tolerance);
        self.behavior.as_ref().map_or((self.tolerance, self.tolerance), |behavior| {
            (own(behavior.scale_up.tolerance), own(behavior.scale_down.tolerance))
        })
    }

    /// The factor on the load that the usual HPA sizes for: the one that keeps what each metric keeps
    /// [spare](MetricPolicy::spare), and where these differ, the most of it.
    pub fn usual_headroom(&self) -> f64 {
        self.metrics.iter().map(|m| 1.0 / m.usual_share()).fold(1.0, f64::max)
    }

    /// The metric called `name`.
    pub fn metric(&self, name: &str) -> Option<&MetricPolicy> {
        self.metrics.iter().find(|m| m.name == name)
    }
}

impl MetricPolicy {
    /// A total that replicas share, forecast, without fallback.
    pub fn average(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            kind: MetricKind::AverageValue,
            target,
            capacity: Capacity::Target,
            spare: 0.0,
            forecast: true,
            fallback: None,
        }
    }

    /// A queue to be drained within `drain_within`, with throughput learned.
    pub fn backlog(name: impl Into<String>, drain_within: Duration) -> Self {
        Self {
            name: name.into(),
            kind: MetricKind::Backlog(BacklogPolicy::within(drain_within)),
            target: 1.0,
            capacity: Capacity::Learned,
            spare: 0.0,
            forecast: true,
            fallback: None,
        }
    }

    /// The share of what a replica carries that the usual HPA has it carry.
    pub(crate) fn usual_share(&self) -> f64 {
        match self.kind {
            MetricKind::AverageValue => 1.0 - self.spare,
            MetricKind::Value | MetricKind::Backlog(_) => 1.0,
        }
    }

    fn check(&self) -> Result<(), PolicyError> {
        let field = |what: &str| format!("metrics[{}].{what}", self.name);
        if !(self.target.is_finite() && self.target > 0.0) {
            return Err(PolicyError::Range { field: field("target"), value: self.target, range: "above 0" });
        }
        if let Capacity::Declared(value) = self.capacity
            && !(value.is_finite() && value > 0.0)
        {
            return Err(PolicyError::Range { field: field("capacity"), value, range: "above 0" });
        }
        range(&field("spare"), self.spare, 0.0..=0.9, "from 0% to 90%")?;
        if let MetricKind::Backlog(backlog) = &self.kind {
            range(&field("utilization"), backlog.utilization, 0.1..=1.0, "from 0.1 to 1")?;
            range(
                &field("drainWithin"),
                backlog.drain_within.as_secs_f64(),
                1.0..=604_800.0,
                "from 1s to 7d",
            )?;
        }
        Ok(())
    }
}

fn range(
    field: &str,
    value: f64,
    allowed: std::ops::RangeInclusive<f64>,
    words: &'static str,
) -> Result<(), PolicyError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(PolicyError::Range { field: field.to_owned(), value, range: words })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_protection_reads_as_it_is_written() {
        let words = [Protection::Share(0.99), Protection::Share(0.999), Protection::SameCost];
        assert_eq!(words.map(|p| p.to_string()), ["99%", "99.9%", "SameCost"]);
    }

    #[test]
    fn a_simple_policy_is_possible() {
        assert_eq!(Policy::simple(1, 10, 200.0).check(), Ok(()));
    }

    #[rstest]
    #[case::crossed(Policy::simple(5, 4, 1.0), "minReplicas 5 is above maxReplicas 4")]
    #[case::zero_max(Policy::simple(0, 0, 1.0), "maxReplicas is 0")]
    #[case::zero_target(Policy::simple(1, 4, 0.0), "metrics[load].target is 0")]
    #[case::nan_target(Policy::simple(1, 4, f64::NAN), "metrics[load].target is NaN")]
    #[case::protection(Policy { protection: Protection::Share(1.0), ..Policy::simple(1, 4, 1.0) }, "protection is 1")]
    #[case::spare(Policy { metrics: vec![MetricPolicy { spare: 1.0, ..MetricPolicy::average("load", 1.0) }], ..Policy::simple(1, 4, 1.0) }, "metrics[load].spare is 1")]
    #[case::no_metric(Policy { metrics: vec![], ..Policy::simple(1, 4, 1.0) }, "at least one metric")]
    fn an_impossible_policy_names_field_and_value(#[case] policy: Policy, #[case] words: &str) {
        let error = policy.check().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
