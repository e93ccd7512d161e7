//! Schedules: what a careful person writes into cron from last week's graphs, and last week itself.

use std::time::Duration;

use jiff::Timestamp;
use series::{Series, time};

use crate::load::Load;
use crate::scaler::{Answer, Scaler, View};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// Head room over last week's maximum, and how early a step is made.
const MARGIN: f64 = 1.1;
const EARLY: Duration = Duration::from_secs(300);

/// What was measured so far: the history before the replay, and the replay's own minutes as they pass.
#[derive(Clone, Debug)]
struct Memory {
    series: Series,
    per_replica: f64,
    sum: f64,
    seen: u32,
}

impl Memory {
    fn new(load: &Load, per_replica: f64) -> Self {
        Self { series: load.history().clone(), per_replica, sum: 0.0, seen: 0 }
    }

    /// Takes a measurement in; completes a slot of history where one has passed.
    fn observe(&mut self, view: &View<'_>) {
        let slot = time::after(self.series.end(), self.series.step());
        if view.now >= slot {
            let mean = (self.seen > 0).then(|| self.sum / f64::from(self.seen));
            self.series.push(mean);
            (self.sum, self.seen) = (0.0, 0);
        }
        if let Some(value) = view.signal.reading.fresh() {
            self.sum += value;
            self.seen += 1;
        }
    }

    /// The largest value in `[from, to)`.
    fn most(&self, from: Timestamp, to: Timestamp) -> Option<f64> {
        self.series.between(from, to).raw().iter().copied().filter(|v| !v.is_nan()).reduce(f64::max)
    }

    fn replicas(&self, load: f64) -> u32 {
        (load / self.per_replica).ceil() as u32
    }
}

/// One number of replicas per hour of the week: last week's maximum in that hour and a tenth, five minutes early.
/// Where there is no last week yet, the hour of yesterday stands in.
#[derive(Clone, Debug)]
pub struct Cron {
    memory: Memory,
    /// For a schedule that's never written again: the end of the week it was made from.
    written: Option<Timestamp>,
    current: Option<(Timestamp, u32)>,
}

impl Cron {
    /// A schedule that somebody keeps up to date.
    pub fn refreshed(load: &Load, per_replica: f64) -> Self {
        Self { memory: Memory::new(load, per_replica), written: None, current: None }
    }

    /// A schedule written once, before the replay.
    pub fn written_once(load: &Load, per_replica: f64) -> Self {
        Self { written: Some(load.start()), ..Self::refreshed(load, per_replica) }
    }

    fn of_hour(&self, hour: Timestamp) -> Option<u32> {
        let known = self.written.unwrap_or(self.memory.series.end());
        // The newest same hour, a whole number of weeks (or else days) back, that was over when the schedule was made.
        let look = |period: u64| {
            let mut from = time::before(hour, Duration::from_secs(period));
            while time::after(from, Duration::from_secs(HOUR)) > known {
                from = time::before(from, Duration::from_secs(period));
            }
            (from >= self.memory.series.start())
                .then(|| self.memory.most(from, time::after(from, Duration::from_secs(HOUR))))
                .flatten()
        };
        look(WEEK).or_else(|| look(DAY)).map(|load| self.memory.replicas(load * MARGIN))
    }
}

impl Scaler for Cron {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        self.memory.observe(view);
        let hour = time::align(time::after(view.now, EARLY), Duration::from_secs(HOUR));
        if self.current.is_none_or(|(at, _)| at != hour) {
            let n = self.of_hour(hour).unwrap_or(view.spec);
            self.current = Some((hour, n));
        }
        let mut n = self.current.map_or(view.spec, |(_, n)| n);
        // Until the hour has begun, the hour before it still counts.
        if hour > view.now {
            let before = time::before(hour, Duration::from_secs(HOUR));
            n = n.max(self.of_hour(before).unwrap_or(0));
        }
        Answer::with(n, explain, &[("schedule", n)])
    }
}

/// What was needed a week ago at this time (or a day, where there is no such week), looked at one lead ahead.
#[derive(Clone, Debug)]
pub struct LastWeek {
    memory: Memory,
    lead: Duration,
}

impl LastWeek {
    /// With a lead for the start-up of pods.
    pub fn new(load: &Load, per_replica: f64, lead: Duration) -> Self {
        Self { memory: Memory::new(load, per_replica), lead }
    }
}

impl Scaler for LastWeek {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        self.memory.observe(view);
        let look = |period: u64| {
            let from = time::before(view.now, Duration::from_secs(period));
            let to = time::after(time::after(from, self.lead), self.memory.series.step());
            let from = time::before(from, self.memory.series.step());
            (from >= self.memory.series.start()).then(|| self.memory.most(from, to)).flatten()
        };
        let n = look(WEEK).or_else(|| look(DAY)).map_or(view.spec, |load| self.memory.replicas(load));
        Answer::with(n, explain, &[("last week", n)])
    }
}
