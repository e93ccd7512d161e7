//! What selecting a strategy allocates: it is done for every workload, and what it takes is on top of everything.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use decide::{Policy, Protection, Selection, Simulated, Tally, strategy_grid};
use jiff::Timestamp;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// All strategies over a week, each as good as its place in the grid.
fn week(policy: &Policy) -> Vec<Simulated> {
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

#[test]
fn a_selection_takes_less_than_16_kib() {
    let profiler = dhat::Profiler::builder().testing().build();
    for protection in [Protection::SameCost, Protection::Share(0.99)] {
        let policy = Policy { protection, ..Policy::simple(1, 100, 100.0) };
        let simulated = week(&policy);
        let mut selection = Selection::default();
        let before = dhat::HeapStats::get();
        selection.prove(&policy, &simulated, Timestamp::UNIX_EPOCH);
        let after = dhat::HeapStats::get();
        assert!(selection.selected.is_some());
        // The highest that was ever reached, less what was there: nothing else grew as high before.
        let peak = after.max_bytes.saturating_sub(before.curr_bytes);
        assert!(peak < 16 * 1_024, "{protection}: {peak} bytes");
    }
    drop(profiler);
}
