//! Validate, observe, decide, actuate, report.
//!
//! What comes in: AutoscalePolicies and what an API server and Prometheus say. What goes out: replicas, through the
//! scale subresource and nothing else, and everything that explains them: status, events, metrics, a snapshot for the
//! page. What this crate refuses to know: how a forecast or a decision is made, and who reads the snapshot.
//!
//! One look at a policy runs through the folders in this order: [`validate`] (raw spec to intent, once per generation),
//! `observe` (target, pods, metrics), `decide` (the crate `autoscaler`, and the work that it asks for), [`actuate`] (the only
//! writer), [`report`] (status, events, series, snapshot).

pub mod actuate;
mod context;
mod decide;
pub mod error;
pub mod lease;
mod memory;
pub mod observe;
mod reconcile;
pub mod report;
pub mod runtime;
pub mod validate;
mod wiring;

pub use context::Settings;
pub use decide::profiles::Store;
pub use decide::recordings::Recordings;
pub use runtime::run;
pub use wiring::{Progress, Wiring};
