//! What a policy keeps on the heap: there may be ten thousand in one process.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use autoscaler::Autoscaler;
use world::{DAY, TICK, at, history, setup, tick, work_off};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn a_policy_keeps_less_than_140_kib_at_a_minute_and_85_at_five() {
    let profiler = dhat::Profiler::builder().testing().build();
    // The first one also pays for what all share.
    for (step, most) in [(300, usize::MAX), (60, 140), (300, 85)] {
        let before = dhat::HeapStats::get().curr_bytes;
        let mut autoscaler = Autoscaler::new(setup(step));
        autoscaler.warm_up(0, &history(-15 * DAY, 0, step), Some(&history(-8 * DAY, 0, 60)), at(0));
        work_off(&mut autoscaler, 0);
        let mut workload = world::Workload::new(10);
        for second in (0..2 * 3_600).step_by(TICK as usize) {
            tick(&mut autoscaler, &mut workload, second);
        }
        assert!(autoscaler.selection().evidence.is_some(), "everything was learned");
        let kept = (dhat::HeapStats::get().curr_bytes - before) / 1_024;
        assert!(kept < most, "{kept} KiB at a step of {step} s");
    }
    drop(profiler);
}
