//! From observations and forecasts to a recommendation with its reasons, and a plan.
//!
//! What comes in: a validated [`Policy`], an [`Observation`], the [`History`] of earlier decisions, and the time. What
//! goes out: a [`Recommendation`] with every candidate and every limit, and the history for the next decision. What this
//! crate refuses to know: the clock, the network, custom resources, how forecasts are made and who writes replicas.
//!
//! ```
//! use decide::{History, MetricObservation, Observation, Policy, recommend};
//! use series::{Reading, Sample};
//!
//! let now: jiff::Timestamp = "2026-01-05T08:00:00Z".parse()?;
//! let policy = Policy::simple(2, 20, 100.0); // 2 to 20 replicas, 100 requests a second each
//! let mut observation = Observation::of(3); // 3 replicas run
//! let load = Sample::new(now, 520.0).ok_or("finite")?;
//! observation.metrics.push(MetricObservation::fresh("load", Reading::Fresh(load)));
//!
//! let decision = recommend(&policy, &observation, &History::default(), now);
//! assert_eq!(decision.recommendation.target, 6); // 520 / 100, within twice the present 3
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ascend;
mod backlog;
mod behavior;
mod budget;
mod burst;
mod calendar;
mod candidates;
pub mod capacity;
mod descend;
mod explain;
mod gate;
mod history;
mod momentum;
mod normalize;
mod observation;
mod pacing;
mod plan;
mod policy;
mod predictive;
mod reactive;
mod recommend;
mod recommendation;
mod record;
mod rehearsal;
mod seconds;
mod stance;
mod sudden;
mod throughput;
mod trail;
mod validate;

pub use behavior::{Behavior, RateKind, RatePolicy, ScalingRules, SelectPolicy};
pub use budget::PodBudget;
pub use burst::Burst;
pub use explain::line;
pub use gate::{GateState, shortlist};
pub use history::{DropHold, History, Last, MetricHistory, NoBenefit, Run, ScaleEvent, UpWatch};
pub use momentum::Momentum;
pub use observation::{
    ForeignWrite, Health, MetricObservation, Observation, Outlook, QueueObservation, Replicas, Startup,
    Utilization,
};
pub use pacing::Pacing;
pub use plan::{HoldReason, Pause, Plan, plan};
pub use policy::{
    BacklogPolicy, CalendarWindow, Capacity, Fallback, ForecastUse, LeadTime, MetricKind, MetricPolicy, Mode,
    Policy, PolicyError, StepLimits, Timing,
};
pub use recommend::{Decision, reach, recommend};
pub use recommendation::{
    Candidate, CandidateReason, Driver, Limit, LimitReason, Recommendation, Source, StanceReason,
};
pub use record::Record;
pub use rehearsal::{Rehearsal, Stage, portfolio};
pub use stance::{Foresight, Score, Stance, Standing};
pub use sudden::{Fall, Sudden};
pub use throughput::Throughput;
