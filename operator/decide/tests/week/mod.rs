//! What a simulation hands to the selection: shared by the test of its memory and the bench of its time.

use decide::{Policy, Simulated, Tally, strategy_grid};

/// All strategies over a week, each as good as its place in the grid.
pub(crate) fn week(policy: &Policy) -> Vec<Simulated> {
    let of = |(i, strategy)| {
        let day = |d: usize| Tally {
            ticks: 5_760,
            short: (20 + (i * 7 + d * 13) % 90) as u32,
            replicas: 5_760 * (10 + (i * 3) as u64 % 9),
            changes: 60 + (i % 50) as u32,
            reversals: (i % 7) as u32,
        };
        Simulated { strategy, days: (0..7).map(day).collect() }
    };
    strategy_grid(policy).into_iter().enumerate().map(of).collect()
}
