//! `behavior` of HorizontalPodAutoscaler v2, word for word, so that what works there can be pasted here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Quantity;

/// How fast replicas may change, as in HorizontalPodAutoscaler v2 `spec.behavior`. Paste what you have there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Rules for adding replicas. Default: no stabilization; the larger of 4 pods or 100 % every 15 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// Rules for removing replicas. Default: 300 s of stabilization; 100 % every 15 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// The rules of one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// For how long past recommendations are looked at before replicas change: the safest of them wins. From 0 to
    /// 3600 seconds. Default: 0 for scaleUp, 300 for scaleDown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,
    /// Which of the policies counts. Max (default): the one that allows the most change; Min: the least; Disabled:
    /// no change in this direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// What may change in a period. An empty list means the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub policies: Option<Vec<ScalingPolicy>>,
    /// By how much the ratio of measured to target may differ from 1 before anything changes: 0.1 is 10 %, the
    /// default. A quantity, such as 0.05 or 50m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Quantity>,
}

/// Which of several policies counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectPolicy {
    /// The one that allows the most change.
    #[default]
    Max,
    /// The one that allows the least change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// What may change in a period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// Pods: value is a number of pods. Percent: value is a percentage of the replicas at the start of the period.
    #[serde(rename = "type")]
    pub type_: PolicyType,
    /// How many pods, or how many percent. Above 0.
    #[schemars(range(min = 1))]
    pub value: i32,
    /// The period, from 1 to 1800 seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// What the value of a policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyType {
    /// A number of pods.
    Pods,
    /// A percentage of the replicas at the start of the period.
    Percent,
}
