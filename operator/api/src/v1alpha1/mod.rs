//! Version v1alpha1 of the kinds. One file per kind, and one per part that several kinds share.

#![allow(unreachable_pub, reason = "the KubeSchema derive writes a copy of each type into a function body")]

mod autoscale_policy;
mod behavior;
mod metric;
mod prometheus;
mod status;

pub use autoscale_policy::{
    AutoscalePolicy, AutoscalePolicySpec, CalendarRef, ForecastSpec, HealthGate, Mode, Paused, Regressor,
    ScaleTargetRef, TimeWindow,
};
pub use behavior::{Behavior, PolicyType, ScalingPolicy, ScalingRules, SelectPolicy};
pub use metric::{Fallback, Metric, PrometheusQuery, Switch, TargetType};
pub use prometheus::{BasicAuth, Header, PrometheusServer, SecretKeyRef, Tls};
pub use status::{
    AutoscalePolicyStatus, Candidate, Decision, ForecastStatus, Limit, NextChange, Saved, Startup,
};
