//! One workload over time: measurements come in, decisions go out, and between the two lie forecasts, the simulation of
//! the workload's own past, and everything that is kept of it. The operator, the replay and the demo all decide through
//! one [`Autoscaler`] a workload, so that what is proved is what runs.
//!
//! What comes in: a [`Setup`], [`Inputs`] each few seconds, history where there is some, and what came of each plan. What
//! goes out: a [`Decided`] for each step, [`Job`]s to be run somewhere, and what is to be [`Saved`]. What this crate
//! refuses to know: the clock, threads, the network, custom resources.

mod autoscaler;
mod fit;
mod inputs;
mod job;
mod prepared;
mod progress;
mod queue_flow;
mod recording;
mod saved;
mod savings;
mod setup;
mod signal;
mod simulation;
mod start_ups;

pub use autoscaler::{Applied, Autoscaler, Decided, ForecastState, LAG};
pub use fit::{Fit, FitJob};
pub use inputs::{Inputs, MetricInput, StartUp};
pub use job::{Done, Job, JobId, Work};
pub use prepared::{Hindcast, Prepared};
pub use progress::Progress;
pub use queue_flow::QueueInput;
pub use recording::{Call, Recorded, Replay, Replayed, Sink};
pub use saved::Saved;
pub use savings::Savings;
pub use setup::Setup;
pub use signal::{PROFILE_STEP, SignalSpec, score_at};
pub use simulation::{Simulation, SimulationJob};
pub use start_ups::StartUps;

/// A short name for a text, the same on every machine and in every version (FNV-1a, 64 bits).
pub fn identity(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}
