//! What a policy gets to know of the load: counters scraped at their own phase, visible a little later, turned into a
//! rate over a window, and now and then broken by a [`Fault`](crate::Fault). Only the past goes in.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use series::{Absence, AbsenceReason, Reading, Sample, time};

use crate::faults::{Fault, FaultKind};
use crate::random;
use crate::world::World;

const PHASE: u64 = 0x9A5E;
/// A sample older than this is stale: three scrapes and the ingest lag.
const MAX_AGE: Duration = Duration::from_secs(60);
const MAX_SKEW: Duration = Duration::from_secs(30);

/// One look at the load.
#[derive(Clone, Debug, Serialize)]
pub struct Signal {
    /// The value, or why there is none.
    pub reading: Reading,
    /// The share of the window that was measured, 0 to 1.
    pub coverage: f64,
    /// How many series the number was summed from.
    pub series: u32,
}

/// The past of a counter: everything up to now, and nothing after.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    total: &'a [f64],
    now: usize,
}

impl<'a> Past<'a> {
    /// What was counted before second `now`. Later entries of `total` are cut off.
    pub fn new(total: &'a [f64], now: usize) -> Self {
        Self { total: &total[..=now.min(total.len().saturating_sub(1))], now }
    }

    /// The seconds that have passed.
    pub fn now(&self) -> usize {
        self.now
    }

    /// Mean arrivals a second over the last `window` seconds, without any delay.
    pub fn mean(&self, window: usize) -> f64 {
        let from = self.now.saturating_sub(window);
        self.between(from, self.now) / (self.now - from).max(1) as f64
    }

    fn between(&self, from: usize, to: usize) -> f64 {
        let last = self.total.len() - 1;
        self.total[to.min(last)] - self.total[from.min(last)]
    }
}

/// The measuring side of a world.
#[derive(Clone, Debug)]
pub struct Observer {
    telemetry: crate::world::Telemetry,
    phases: Vec<u64>,
    faults: Vec<Fault>,
}

impl Observer {
    /// The observer that belongs to a world.
    pub fn new(world: &World) -> Self {
        let t = world.telemetry;
        let phases = (0..t.targets).map(|i| random::bits(world.seed, PHASE, i) % t.scrape).collect();
        Self { telemetry: t, phases, faults: world.faults.clone() }
    }

    /// The fault in force at `second`, its aftermath included.
    pub fn tainted(&self, second: usize) -> Option<FaultKind> {
        let window = (self.telemetry.window + self.telemetry.ingest) as usize;
        self.faults.iter().find(|f| f.taints(second, window)).map(|f| f.kind)
    }

    /// What a query answers at the end of `past`, which is at `now`. `masked` says that the recording itself has a gap
    /// there.
    pub fn look(&self, past: Past<'_>, now: Timestamp, masked: bool) -> Signal {
        let second = past.now();
        let series = self.phases.len() as u32;
        if masked {
            return absent(AbsenceReason::Empty, "the recording has a gap here");
        }
        let Some((mut value, mut newest, mut coverage)) = self.rate(past) else {
            return absent(AbsenceReason::Empty, "fewer than two samples in the window");
        };
        let mut left = series;
        for fault in self.faults.iter().filter(|f| f.taints(second, self.window())) {
            match fault.kind {
                FaultKind::Outage => return absent(AbsenceReason::Unreachable, "connection refused"),
                FaultKind::Empty => return absent(AbsenceReason::Empty, "the query matches no series"),
                FaultKind::NotANumber => return absent(AbsenceReason::NotANumber, "the value is NaN"),
                FaultKind::Stale => {
                    let frozen = Past { total: past.total, now: fault.from };
                    let (before, at, _) = self.rate(frozen).unwrap_or((value, newest, coverage));
                    (value, newest) = (before, at);
                }
                FaultKind::Partial { missing } => {
                    value *= 1.0 - missing;
                    left = (f64::from(series) * (1.0 - missing)).round() as u32;
                }
                FaultKind::CounterReset => value *= self.after_reset(second - fault.from),
                FaultKind::Future => newest = second + 120,
                FaultKind::Glitch { factor } => value *= factor,
                FaultKind::HalfEmpty if fault.active(second) => {
                    return absent(AbsenceReason::Empty, "nothing was scraped");
                }
                FaultKind::HalfEmpty => {
                    // The increase over what is there, divided by the whole window: low, and looking healthy.
                    coverage = (second - fault.to) as f64 / self.window() as f64;
                    value *= coverage;
                }
            }
        }
        let at = if newest >= second {
            time::after(now, Duration::from_secs((newest - second) as u64))
        } else {
            time::before(now, Duration::from_secs((second - newest) as u64))
        };
        let reading = Sample::new(at, value).map_or_else(
            || Reading::Absent(Absence::new(AbsenceReason::NotANumber, "the value is NaN")),
            |sample| Reading::judge(sample, now, MAX_AGE, MAX_SKEW),
        );
        Signal { reading, coverage, series: left }
    }

    fn window(&self) -> usize {
        (self.telemetry.window + self.telemetry.ingest) as usize
    }

    /// Prometheus' `sum(rate(x[window]))`: per target, the slope between the first and the last sample in the window.
    /// Value, second of the newest sample, share of the window's samples that were there.
    fn rate(&self, past: Past<'_>) -> Option<(f64, usize, f64)> {
        let t = self.telemetry;
        let visible = past.now().checked_sub(t.ingest as usize)? as u64;
        let opens = (past.now() as u64).saturating_sub(t.window);
        let (mut sum, mut newest, mut samples) = (0.0, 0, 0);
        for phase in &self.phases {
            let last = align_down(visible, *phase, t.scrape)?;
            let first = align_up(opens + 1, *phase, t.scrape);
            if first >= last {
                return None;
            }
            samples += (last - first) / t.scrape + 1;
            newest = newest.max(last);
            sum += past.between(first as usize, last as usize) / (last - first) as f64;
        }
        let expected = self.phases.len() as u64 * (t.window - t.ingest) / t.scrape;
        let coverage = (samples as f64 / expected.max(1) as f64).min(1.0);
        Some((sum / self.phases.len() as f64, newest as usize, coverage))
    }

    /// After all counters restarted, what was counted between the last scrape and the restart is lost to the window.
    fn after_reset(&self, since: usize) -> f64 {
        let window = self.telemetry.window as f64;
        if (since as f64) < window { 1.0 - self.telemetry.scrape as f64 / 2.0 / window } else { 1.0 }
    }
}

fn absent(reason: AbsenceReason, message: &str) -> Signal {
    Signal { reading: Reading::Absent(Absence::new(reason, message)), coverage: 0.0, series: 0 }
}

fn align_down(second: u64, phase: u64, every: u64) -> Option<u64> {
    second.checked_sub(phase).map(|s| s / every * every + phase)
}

fn align_up(second: u64, phase: u64, every: u64) -> u64 {
    if second <= phase { phase } else { (second - phase).div_ceil(every) * every + phase }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observer(faults: Vec<Fault>) -> Observer {
        let mut world = World::new(100.0, 0.8, Duration::from_secs(60), 9);
        world.faults = faults;
        Observer::new(&world)
    }

    fn look(observer: &Observer, total: &[f64], second: usize) -> Signal {
        let now = Timestamp::from_second(1_000_000 + second as i64).unwrap();
        observer.look(Past::new(total, second), now, false)
    }

    fn steady() -> Vec<f64> {
        (0..4_000).map(|s| 50.0 * f64::from(s)).collect()
    }

    #[test]
    fn a_steady_load_is_measured_exactly_and_a_step_late() {
        let signal = look(&observer(vec![]), &steady(), 600);
        assert!((signal.reading.fresh().unwrap() - 50.0).abs() < 1e-9);
        let step: Vec<f64> = (0..4_000).map(|s| f64::from((s - 600).max(0))).collect();
        let seen = |s| look(&observer(vec![]), &step, s).reading.fresh().unwrap();
        assert!(seen(604) < 0.05, "nothing is visible before the ingest lag");
        assert!(seen(630) > 0.2 && seen(630) < 0.9);
        assert!((seen(690) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_comes_later_changes_nothing() {
        let total = steady();
        let mut other = total.clone();
        other[901..].iter_mut().for_each(|v| *v *= 9.0);
        for second in (100..900).step_by(15) {
            let (a, b) = (look(&observer(vec![]), &total, second), look(&observer(vec![]), &other, second));
            assert_eq!(a.reading, b.reading);
        }
    }

    #[test]
    fn every_fault_shows_as_what_it_is() {
        let fault = |kind| observer(vec![Fault { kind, from: 1_000, to: 1_600 }]);
        let total = steady();
        let reason = |kind, second| look(&fault(kind), &total, second).reading.absence().map(|a| a.reason);
        assert_eq!(reason(FaultKind::Outage, 1_200), Some(AbsenceReason::Unreachable));
        assert_eq!(reason(FaultKind::Empty, 1_200), Some(AbsenceReason::Empty));
        assert_eq!(reason(FaultKind::NotANumber, 1_200), Some(AbsenceReason::NotANumber));
        assert_eq!(reason(FaultKind::Stale, 1_200), Some(AbsenceReason::Stale));
        assert_eq!(reason(FaultKind::Future, 1_200), Some(AbsenceReason::Future));
        assert_eq!(reason(FaultKind::Outage, 1_600), None);
        let partial = look(&fault(FaultKind::Partial { missing: 0.5 }), &total, 1_200);
        assert_eq!((partial.reading.fresh(), partial.series), (Some(25.0), 2));
        let half = look(&fault(FaultKind::HalfEmpty), &total, 1_620);
        assert!(half.coverage < 0.4 && half.reading.fresh().unwrap() < 20.0);
        assert_eq!(
            look(&fault(FaultKind::Glitch { factor: 10.0 }), &total, 1_200).reading.fresh(),
            Some(500.0)
        );
    }
}
