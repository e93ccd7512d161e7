//! What Foresail says about itself: the metrics registry, logs, traces, and how they leave the process.
//!
//! What comes in: events and figures from the other crates. What goes out: `/metrics` text, log lines, and OTLP. What
//! this crate refuses to know: what the figures mean; it never influences a decision, and never blocks one.

pub mod metrics;
pub mod otlp;
pub mod tracing;
