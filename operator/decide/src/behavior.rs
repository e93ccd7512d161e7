//! The HPA's `behavior`, with its field names and meanings
//! (`k8s.io/api/autoscaling/v2`, `HorizontalPodAutoscalerBehavior`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::seconds;

/// How fast replicas may rise and fall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Rules for more replicas.
    pub scale_up: ScalingRules,
    /// Rules for fewer replicas.
    pub scale_down: ScalingRules,
}

/// The rules of one direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Up: the smallest recommendation in this window counts. Down: the largest one.
    #[serde(with = "seconds", rename = "stabilizationWindowSeconds")]
    pub stabilization_window: Duration,
    /// Which of the policies counts where there are several.
    pub select_policy: SelectPolicy,
    /// How much may change in which time. None at all forbids the direction, as in the HPA.
    pub policies: Vec<RatePolicy>,
    /// Relative distance from the target that is left alone; `None` for the policy's own.
    pub tolerance: Option<f64>,
}

/// Which rate policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectPolicy {
    /// The one that allows the most change.
    Max,
    /// The one that allows the least.
    Min,
    /// None: this direction is switched off.
    Disabled,
}

/// So much change in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RatePolicy {
    /// Whether `value` counts pods or percent of the replicas at the start of the period.
    #[serde(rename = "type")]
    pub kind: RateKind,
    /// Pods, or per cent of those that run, within the period.
    pub value: u32,
    /// In which time; the HPA allows up to 1800 seconds.
    #[serde(with = "seconds", rename = "periodSeconds")]
    pub period: Duration,
}

/// What a rate policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateKind {
    /// Pods.
    Pods,
    /// Percent of the replicas at the start of the period.
    Percent,
}

impl Default for Behavior {
    /// What an HPA fills in where `behavior` is set and its fields are not
    /// (`pkg/apis/autoscaling/v2/defaults.go` of Kubernetes).
    fn default() -> Self {
        Self { scale_up: ScalingRules::up(), scale_down: ScalingRules::down() }
    }
}

impl ScalingRules {
    /// The HPA's defaults for the way up: at once, the larger of 4 pods and 100 % in 15 seconds.
    pub fn up() -> Self {
        Self {
            stabilization_window: Duration::ZERO,
            select_policy: SelectPolicy::Max,
            policies: vec![
                RatePolicy { kind: RateKind::Pods, value: 4, period: Duration::from_secs(15) },
                RatePolicy { kind: RateKind::Percent, value: 100, period: Duration::from_secs(15) },
            ],
            tolerance: None,
        }
    }

    /// The HPA's defaults for the way down: the largest recommendation of 5 minutes, then everything at once.
    pub fn down() -> Self {
        Self {
            stabilization_window: Duration::from_secs(300),
            select_policy: SelectPolicy::Max,
            policies: vec![RatePolicy {
                kind: RateKind::Percent,
                value: 100,
                period: Duration::from_secs(15),
            }],
            tolerance: None,
        }
    }
}
