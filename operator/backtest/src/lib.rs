//! Replay of the decision path over history: the plant, the baselines, the oracle, the score, the report.
//!
//! What comes in: recorded load and a policy. What goes out: what would have happened, beside what others would have
//! done. What this crate refuses to know: the clock, the network, Kubernetes and where a recording came from. No policy
//! in a replay sees the future, and the deciding code is the very code that runs in production.

pub mod baseline;
mod faults;
mod frontier;
pub mod hpa;
mod lineup;
mod load;
mod oracle;
mod plant;
mod random;
mod replay;
mod scaler;
mod score;
mod telemetry;
mod trace;
mod trace_line;
mod world;

pub use faults::{Fault, FaultKind, menu};
pub use frontier::{Point, cost_at, dominating, pareto};
pub use lineup::{Contender, Kind, SWEEP};
pub use load::{Load, LoadError, RUN_IN, Shape};
pub use oracle::{Best, Oracle};
pub use plant::{Plant, Second};
pub use replay::{Outcome, Recorder, Tick, WINDOW, needs, replay, replay_recorded};
pub use scaler::{Answer, PodMetrics, Scaler, View, Why};
pub use score::{Elasticity, Score, score};
pub use telemetry::{Observer, Past, Signal};
pub use trace::{TraceError, parse_csv, to_series};
pub use trace_line::line;
pub use world::{Startup, Telemetry, World};
