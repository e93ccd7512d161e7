//! Replay of the decision path over history: the plant, the baselines, the oracle, the score, the report.
//!
//! What comes in: recorded load and a policy. What goes out: what would have happened, beside what others would have
//! done. What this crate refuses to know: the clock, the network, Kubernetes and where a recording came from. No policy
//! in a replay sees the future, and the deciding code is the very code that runs in production.

mod advice;
mod attribution;
pub mod baseline;
mod baselines;
mod certainty;
mod compare;
mod curves;
mod faults;
mod forecast_log;
mod foresail;
mod frontier;
pub mod hpa;
mod load;
mod oracle;
mod plant;
mod queue;
mod random;
mod reference;
mod replay;
pub mod report;
mod row;
mod scaler;
mod score;
mod suite;
mod telemetry;
mod trace;
mod trace_line;
mod world;

pub use advice::Advice;
pub use attribution::Attribution;
pub use baselines::{Contender, Kind, SWEEP};
pub use certainty::Certainty;
pub use compare::{
    Comparison, PROMISE, Progress, Setup, compare, names, oracle, policy_for, record, with_faults,
};
pub use curves::{Curves, Moment};
pub use faults::{Fault, FaultKind, menu};
pub use foresail::Foresail;
pub use frontier::{Point, cost_at, dominating, pareto, violation_at};
pub use load::{Load, LoadError, RUN_IN, Shape};
pub use oracle::{Best, Oracle};
pub use plant::{Plant, Second};
pub use queue::{
    ForesailQueue, HpaLag, KedaLag, Proof, ProofRow, ProofScene, QueueScaler, QueueScore, QueueView,
    QueueWorld, prove, queue_policy, replay_queue, scenes,
};
pub use reference::{Existing, ExistingSpec, Reference};
pub use replay::{Outcome, Recorder, Tick, WINDOW, needs, replay, replay_recorded};
pub use row::{FORESAIL, Row, USUAL_HPA};
pub use scaler::{Answer, PodMetrics, Scaler, View, Why};
pub use score::{Elasticity, Score, score};
pub use suite::{Cell, Class, Suite, replay_series};
pub use telemetry::{Observer, Past, Signal};
pub use trace::{TraceError, parse_csv, to_series};
pub use trace_line::line;
pub use world::{Startup, Telemetry, World};
