//! Health conditions, roll-up over the dependency graph, the alert state machine, and the snapshot that pages read.

pub mod snapshot;
