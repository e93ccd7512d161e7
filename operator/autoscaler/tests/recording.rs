//! What was recorded is what is replayed, bit for bit: through a day with an outage, jobs that come late, a lost job, a
//! changed policy and a restart.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::sync::{Arc, Mutex};

use autoscaler::{Applied, Call, Job, Recorded, Replay, Saved, Sink};
use world::{DAY, TICK, Workload, at, history, setup};

const STEP: i64 = 300;

struct Lines(Arc<Mutex<Vec<String>>>);

impl Sink for Lines {
    fn write(&mut self, call: &Call) {
        self.0.lock().unwrap().push(serde_json::to_string(call).unwrap());
    }

    fn is_full(&self) -> bool {
        false
    }
}

fn sink(lines: &Arc<Mutex<Vec<String>>>) -> Box<dyn Sink> {
    Box::new(Lines(Arc::clone(lines)))
}

/// Runs from `from` to `to`; every job comes back four ticks late, and each third one is lost.
fn live(recorded: &mut Recorded, workload: &mut Workload, from: i64, to: i64) {
    let mut under_way: Vec<(i64, Job)> = Vec::new();
    let mut taken = 0;
    for second in (from..to).step_by(TICK as usize) {
        let (due, later): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|(at, _)| *at <= second);
        under_way = later;
        for (_, job) in due {
            taken += 1;
            if taken % 3 == 0 {
                recorded.job_failed(job.id(), at(second));
            } else {
                recorded.take_over(job.run());
            }
        }
        let outage = (DAY / 3..DAY / 3 + 1_200).contains(&(second % DAY));
        let inputs = workload.inputs(second, !outage);
        let decided = recorded.step(&inputs, at(second));
        let applied = workload.carry_out(&decided.plan, second);
        recorded.applied(at(second), applied);
        if let Some(job) = recorded.take_job(at(second)) {
            under_way.push((second + 4 * TICK, job));
        }
    }
}

#[test]
fn what_was_recorded_is_what_is_replayed() {
    let lines = Arc::default();
    let mut workload = Workload::new(10);
    let mut first = Recorded::restore(setup(STEP), Saved::default(), Some(sink(&lines)));
    first.warm_up(0, &history(-6 * DAY, 0, STEP), None, at(0));
    live(&mut first, &mut workload, 0, DAY / 2);
    let mut changed = setup(STEP);
    changed.policy.max_replicas = 40;
    first.change(changed.clone());
    live(&mut first, &mut workload, DAY / 2, DAY);
    let mut second = Recorded::restore(changed, first.saved(), Some(sink(&lines)));
    second.warm_up(0, &history(-6 * DAY, DAY, STEP), None, at(DAY));
    live(&mut second, &mut workload, DAY, DAY + DAY / 2);

    let mut replay = Replay::default();
    let (mut steps, mut forecasts) = (0, 0);
    for line in lines.lock().unwrap().iter() {
        let call: Call = serde_json::from_str(line).unwrap();
        if let Some(replayed) = replay.call(call).unwrap() {
            assert!(replayed.same, "step {steps}: {:?}", replayed.decided.record.recommendation);
            steps += 1;
            forecasts += usize::from(replayed.decided.record.observation.metrics[0].forecast.is_ok());
        }
    }
    assert_eq!(steps, 8_640);
    assert!(forecasts > 7_000, "{forecasts}");
}

#[test]
fn a_recording_that_was_changed_is_noticed() {
    let lines = Arc::default();
    let mut recorded = Recorded::restore(setup(STEP), Saved::default(), Some(sink(&lines)));
    live(&mut recorded, &mut Workload::new(10), 0, 600);
    let mut replay = Replay::default();
    let mut differ = 0;
    for line in lines.lock().unwrap().iter() {
        let call = serde_json::from_str(&line.replace("\"ready\":10", "\"ready\":9")).unwrap();
        differ += usize::from(replay.call(call).unwrap().is_some_and(|r| !r.same));
    }
    assert!(differ > 0);
    assert!(Replay::default().call(Call::Applied { now: at(0), applied: Applied::Unknown }).is_err());
}
