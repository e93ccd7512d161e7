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
mod calendar;
mod candidates;
pub mod capacity;
mod descend;
mod drop_detector;
mod explain;
mod history;
mod interval;
mod lead;
mod limit_chain;
mod normalize;
mod observation;
mod peaks;
mod plan;
mod policy;
mod predictive;
mod reactive;
mod readings;
mod recommend;
mod recommendation;
mod record;
mod runs;
mod seconds;
mod selection;
mod shadow;
mod strategy;
mod strategy_grid;
mod tally;
mod throughput;
mod validate;
mod words;

pub use behavior::{Behavior, RateKind, RatePolicy, ScalingRules, SelectPolicy};
pub use budget::PodBudget;
pub use descend::WayDown;
pub use drop_detector::{DropDetector, Fall};
pub use explain::line;
pub use history::{DropHold, History, Last, MetricHistory, NoBenefit, ScaleEvent, UpWatch};
pub use interval::{Range, cost_to_come, violations_apart};
pub use lead::{keep_span, lead};
pub use observation::{
    ForeignWrite, Health, MetricObservation, Observation, QueueObservation, Replicas, Startup, Utilization,
};
pub use peaks::Peaks;
pub use plan::{HoldReason, Pause, Plan, plan};
pub use policy::{
    BacklogPolicy, CalendarWindow, Capacity, Fallback, ForecastUse, LeadTime, MetricKind, MetricPolicy, Mode,
    Policy, PolicyError, Protection, StepLimits, Timing,
};
pub use reactive::need;
pub use readings::Readings;
pub use recommend::{Decision, reach, recommend};
pub use recommendation::{Candidate, CandidateReason, Driver, Limit, LimitReason, Recommendation, Source};
pub use record::Record;
pub use runs::Run;
pub use selection::{Evidence, Selection, SelectionRule, is_usual_hpa};
pub use shadow::{Known, Shadow};
pub use strategy::{Coming, ForecastParams, Selected, Sizing, Span, Strategy, StrategyReason};
pub use strategy_grid::strategy_grid;
pub use tally::{Score, Simulated, TICK, Tally};
pub use throughput::Throughput;
