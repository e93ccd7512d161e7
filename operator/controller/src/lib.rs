//! Observe, validate, forecast, decide, actuate, report.
//!
//! What comes in: AutoscalePolicies and what an API server and Prometheus say. What goes out: replicas, through the
//! scale subresource and nothing else, and everything that explains them: status, events, metrics, a snapshot for the
//! page. What this crate refuses to know: how a forecast or a decision is made, and who reads the snapshot.
//!
//! One look at a policy runs through the modules in this order:
//! [`validate`] (raw spec to intent, once per generation), `observe` (target, pods, metrics), the crate
//! `autoscaler` (forecasts and the decision), [`actuate`] (the only writer), `report` (status, events, series, snapshot).

pub mod actuate;
mod calendars;
mod capacity;
mod charts;
mod claims;
pub mod conditions;
mod context;
pub mod error;
mod fits;
pub mod lease;
mod memory;
mod observe;
pub mod outcome;
pub mod owners;
mod page;
pub mod pods;
pub mod policy_metrics;
mod profiles;
mod protect;
mod queues;
mod reconcile;
mod recordings;
mod report;
pub mod runtime;
pub mod secrets;
mod signals;
mod status;
pub mod target;
pub mod validate;

pub use context::Settings;
pub use profiles::Store;
pub use recordings::Recordings;
pub use runtime::{Progress, Wiring, run};
