//! What Foresail is compared with: each baseline as its documentation describes it, none of them tuned to look bad.

mod ahead;
mod keda;
mod kpa;
mod phpa;
mod schedule;

pub use ahead::{Clairvoyant, LastValue, Static};
pub use keda::{Fallback, FallbackKind, Keda, KedaSpec};
pub use kpa::Kpa;
pub use phpa::Phpa;
pub use schedule::{Cron, LastWeek};
