//! Knative's pod autoscaler (`knative/serving`, `pkg/autoscaler/scaling/autoscaler.go`): it counts inside the data
//! path, averages over a stable window of 60 s and a panic window of 6 s, panics at twice its capacity, and never
//! scales down in panic. Defaults of `config-autoscaler`.

use crate::scaler::{Answer, Scaler, View};

const STABLE: usize = 60;
const PANIC: usize = 6;
const PANIC_THRESHOLD: f64 = 2.0;
const MAX_UP: f64 = 1_000.0;
const MAX_DOWN: f64 = 2.0;

/// A revision's autoscaler on requests per second.
#[derive(Clone, Copy, Debug)]
pub struct Kpa {
    target: f64,
    panic_since: Option<usize>,
    most_in_panic: u32,
}

impl Kpa {
    /// With a target of requests per second and pod, after `target-utilization-percentage` (70 by default).
    pub fn new(target: f64) -> Self {
        Self { target, panic_since: None, most_in_panic: 0 }
    }
}

impl Scaler for Kpa {
    fn interval(&self) -> usize {
        2
    }

    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        let ready = f64::from(view.ready.max(1));
        let (up, down) = ((MAX_UP * ready).ceil(), (ready / MAX_DOWN).floor());
        let wanted = |rate: f64| ((rate / self.target).ceil().clamp(down, up)) as u32;
        let stable = wanted(view.past.mean(STABLE));
        let rate_in_panic = view.past.mean(PANIC);
        let in_panic = wanted(rate_in_panic);
        let over = (rate_in_panic / self.target).ceil() / ready >= PANIC_THRESHOLD;
        match (self.panic_since, over) {
            (None, true) => {
                self.panic_since = Some(view.second);
                self.most_in_panic = 0;
            }
            (Some(_), true) => self.panic_since = Some(view.second),
            (Some(since), false) if view.second >= since + STABLE => self.panic_since = None,
            _ => {}
        }
        let mut replicas = stable;
        if self.panic_since.is_some() {
            self.most_in_panic = self.most_in_panic.max(stable.max(in_panic)).max(view.ready);
            replicas = self.most_in_panic;
        }
        Answer::with(replicas, explain, &[("stable", stable), ("panic", in_panic)])
    }
}
