//! What selecting a strategy allocates: it is done for every workload, and what it takes is on top of everything.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod week;

use decide::{Policy, Protection, Selection};
use jiff::Timestamp;
use week::week;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

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
