//! Is the system well, what is the cause if not, and who is to be told. Probe outcomes, calendars and facts about
//! policies come in with their time; statuses, root causes, announcements, alerts and the snapshot for pages go out.
//! This crate refuses to know the clock, the network, Kubernetes, and how a chat formats a message.
//!
//! [`System`] holds the state of every check; [`System::overview`] rolls it up. [`alert::Alerts`] is the one state
//! machine of all alerts, [`calendar::Calendar`] says what is planned, [`document`] writes health JSON, and
//! [`maintenance`] the phases of a graceful end.

pub mod agreement;
pub mod alert;
pub mod calendar;
pub mod check;
pub mod document;
pub mod event;
pub mod graph;
pub mod maintenance;
pub mod rollup;
pub mod snapshot;
mod status;
mod system;
pub mod uptime;

pub use rollup::Criticality;
pub use status::{ComponentId, Reason, Status, Verdict};
pub use system::{Component, ComponentView, Gate, GateFailure, Overview, System};
