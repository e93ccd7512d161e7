//! What a policy keeps on the heap: there may be ten thousand in one process.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use autoscaler::{Autoscaler, MetricInput};
use series::{Reading, Sample};
use world::{DAY, TICK, at, history, load, setup, work_off};

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
        // A measurement is some seconds old: slots end in the middle of others.
        for second in (0..2 * 3_600 + 4 * TICK).step_by(TICK as usize) {
            let mut inputs = workload.inputs(second, true);
            let reading = Sample::new(at(second - 20), load(second)).map(Reading::Fresh).unwrap();
            inputs.metrics = vec![MetricInput::of(reading)];
            let decided = autoscaler.step(&inputs, at(second));
            let applied = workload.carry_out(&decided.plan, second);
            autoscaler.applied(at(second), applied);
            work_off(&mut autoscaler, second);
        }
        assert!(autoscaler.selection().evidence.is_some(), "everything was learned");
        let kept = (dhat::HeapStats::get().curr_bytes - before) / 1_024;
        assert!(kept < most, "{kept} KiB at a step of {step} s");
    }
    drop(profiler);
}
