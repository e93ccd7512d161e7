//! One workload over time: measurements come in, decisions go out, and between the two lie forecasts, the simulation of
//! the workload's own past, and everything that is kept of it. The operator, the replay and the demo all decide through
//! one [`Autoscaler`] a workload, so that what is proved is what runs.
//!
//! What comes in: a [`Setup`], [`Inputs`] each few seconds, history where there is some, and what came of each plan. What
//! goes out: a [`Decided`] for each step, [`Job`]s to be run somewhere, and what is to be [`Saved`]. What this crate
//! refuses to know: the clock, threads, the network, custom resources.

mod autoscaler;
mod fit;
mod forecast_state;
mod inputs;
mod job;
mod open_slots;
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

pub use autoscaler::{Applied, Autoscaler, Decided, LAG};
pub use fit::{Fit, FitJob};
pub use forecast_state::ForecastState;
pub use inputs::{Inputs, MetricInput, StartUp};
pub use job::{Done, Job, JobId, Work};
pub use prepared::{Hindcast, Prepared};
pub use progress::Progress;
pub use queue_flow::QueueInput;
pub use recording::{Call, Recorded, Replay, Replayed, Sink};
pub use saved::Saved;
pub use savings::Savings;
pub use setup::{Setup, forecast_settings};
pub use signal::{PROFILE_STEP, SignalSpec, score_at};
pub use simulation::{Simulation, SimulationJob};
pub use start_ups::StartUps;

/// A short name for a text, the same on every machine and in every version.
pub fn identity(text: &str) -> String {
    format!("{:016x}", hash(text))
}

/// A number in 0 to 1 for a name, the same on every machine and in every version: where in a cycle its turn is, so that
/// many spread over it.
pub fn place(name: &str) -> f64 {
    // The high bits of FNV hardly depend on a name's end: mixed as SplitMix64 does it, all of them do.
    let hash = hash(name);
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // As many bits as a float holds.
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// FNV-1a, 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn places_spread_and_stay() {
        let uid = |i: u32| format!("2f1c7d3a-9b0e-4c55-8f6e-{i:012x}");
        let mut quarters = [0; 4];
        for i in 0..4_000 {
            quarters[(super::place(&uid(i)) * 4.0) as usize] += 1;
        }
        assert!(quarters.iter().all(|n| (850..1_150).contains(n)), "{quarters:?}");
        assert_eq!(super::identity("foresail"), "b81f67e6bdb1787a");
    }
}
