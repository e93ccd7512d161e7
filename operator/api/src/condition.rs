//! The types and reasons of conditions, as people search for them.

/// The workload is scaled as the policy says: the one condition to wait for.
pub const READY: &str = "Ready";
/// The target's scale can be read and written.
pub const ABLE_TO_SCALE: &str = "AbleToScale";
/// A number of replicas could be worked out of the metrics.
pub const SCALING_ACTIVE: &str = "ScalingActive";
/// A bound, a rate or a gate kept the number from being what the load asks for.
pub const SCALING_LIMITED: &str = "ScalingLimited";
/// The forecast takes part in the decision.
pub const FORECAST_ACTIVE: &str = "ForecastActive";
/// Every metric was measured recently.
pub const DATA_FRESH: &str = "DataFresh";

/// Every condition type of an AutoscalePolicy, in the order in which the status lists them.
pub const ALL: [&str; 6] =
    [READY, ABLE_TO_SCALE, SCALING_ACTIVE, SCALING_LIMITED, FORECAST_ACTIVE, DATA_FRESH];

/// Reasons of [`READY`] and [`ABLE_TO_SCALE`] that stop a policy before it decides anything.
pub mod reason {
    /// The policy scales its target.
    pub const SCALING: &str = "Scaling";
    /// The policy works everything out and writes nothing, as `mode: Recommend` asks.
    pub const RECOMMENDING: &str = "Recommending";
    /// The policy is paused, with an end and a reason.
    pub const PAUSED: &str = "Paused";
    /// A field of the spec can't be used; the message names it, its value and the remedy.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// There is no such target.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// The target has no scale subresource.
    pub const TARGET_NOT_SCALABLE: &str = "TargetNotScalable";
    /// Somebody set the target to 0 replicas; scaling rests until it is above 0 again.
    pub const SCALING_DISABLED: &str = "ScalingDisabled";
    /// Another policy, an HPA or a ScaledObject scales the same target.
    pub const CONFLICTING_AUTOSCALER: &str = "ConflictingAutoscaler";
    /// The API server refused to let the target be read.
    pub const FAILED_GET_SCALE: &str = "FailedGetScale";
    /// The API server refused the new number of replicas.
    pub const FAILED_UPDATE_SCALE: &str = "FailedUpdateScale";
    /// Which consumers are busy couldn't be told, or not be written on their pods, so none is removed.
    pub const FAILED_PROTECT_PODS: &str = "FailedProtectPods";
    /// No metric could be measured.
    pub const METRICS_MISSING: &str = "MetricsMissing";
    /// A metric is missing, so replicas may rise but not fall.
    pub const METRICS_INCOMPLETE: &str = "MetricsIncomplete";
}
