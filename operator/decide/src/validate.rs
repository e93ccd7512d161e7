//! What of a metric may be relied on, in which direction. Only fresh, fully measured, plausible values may lower
//! replicas; a stale or understated one may still raise them; an absent one does neither.

use std::time::Duration;

use jiff::Timestamp;
use series::{Absence, AbsenceReason, Forecast, Reading, Sample, time};

use crate::drop_detector::APART;
use crate::history::MetricHistory;
use crate::observation::{MetricObservation, Observation};
use crate::policy::{MetricKind, MetricPolicy};
use crate::predictive;
use crate::reactive::SURGE_HEADROOM;

/// Less of the window than this was measured: the value understates the load.
const LEAST_COVERAGE: f64 = 0.9;
/// A jump by this factor between two decisions is a glitch until the next reading says the same.
const GLITCH: f64 = 4.0;
const LONGEST_GAP: Duration = Duration::from_secs(120);
/// Capacity is learned while the load of the last minute stayed within this share.
const STEADY: f64 = 0.05;

/// A metric after validation.
pub(crate) struct Validated<'a> {
    pub(crate) policy: &'a MetricPolicy,
    pub(crate) observed: Option<&'a MetricObservation>,
    /// May move replicas either way.
    pub(crate) fresh: Option<f64>,
    /// May raise replicas only.
    pub(crate) upward: Option<f64>,
    /// Why `fresh` is none.
    pub(crate) problem: Option<Absence>,
    /// What one replica can carry.
    pub(crate) per_replica: f64,
    /// What to remember.
    pub(crate) memory: MetricHistory,
}

impl Validated<'_> {
    /// The load after `ahead` if it goes on climbing as it does now; only a fresh one climbs.
    pub(crate) fn climbed(&self, ahead: Duration) -> Option<f64> {
        self.fresh?;
        self.memory.readings.carried(ahead)
    }

    /// The mean of five minutes that a surge is measured against.
    pub(crate) fn mean(&self) -> Option<f64> {
        self.memory.readings.mean().or(self.memory.peaks.mean)
    }

    /// The fresh measurement, with the time it is of.
    pub(crate) fn measured(&self) -> Option<(Timestamp, f64)> {
        self.fresh?;
        match &self.observed?.reading {
            Reading::Fresh(sample) => Some((sample.time(), sample.value())),
            Reading::Stale { .. } | Reading::Absent(_) => None,
        }
    }
}

/// The moment that a metric is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    /// How long a sudden fall is waited out.
    pub(crate) after_fall: Duration,
    /// The same pods have been ready for a while, so that load and utilization are of the same pods.
    pub(crate) settled: bool,
}

/// Sorts what was observed of `policy`, and takes it into the metric's memory.
pub(crate) fn validate<'a>(
    policy: &'a MetricPolicy,
    observation: &'a Observation,
    before: Option<&MetricHistory>,
    Moment { now, after_fall, settled }: Moment,
) -> Validated<'a> {
    let observed = observation.metric(&policy.name);
    let mut memory = before.cloned().unwrap_or_default();
    let carried = match policy.kind {
        MetricKind::AverageValue => memory.per_replica(policy) * f64::from(observation.replicas.ready),
        MetricKind::Value | MetricKind::Backlog(_) => 0.0,
    };
    let (fresh, upward, problem) = judge(observed, &memory, carried, now);
    // A jump that waits to be confirmed isn't missing: what follows says whether it was one.
    let waits = problem.as_ref().is_some_and(|p| p.reason == AbsenceReason::Implausible);
    if problem.is_some() && !waits {
        memory.last_bad = Some(now);
    }
    if fresh.is_some() {
        (memory.absent_since, memory.replicas_at_loss) = (None, None);
    } else {
        memory.absent_since = memory.absent_since.or(Some(now));
        memory.replicas_at_loss = memory.replicas_at_loss.or(Some(observation.replicas.spec));
    }
    memory.suspect = observed.filter(|_| waits).and_then(|o| o.reading.fresh());
    if let (Some(value), Some(observed)) = (fresh, observed) {
        match policy.kind {
            MetricKind::Backlog(_) => learn_throughput(&mut memory, observation, observed, value, now),
            MetricKind::AverageValue | MetricKind::Value => {
                if let Reading::Fresh(sample) = &observed.reading {
                    let forecast = observed.forecast.as_ref().ok();
                    learn_load(&mut memory, &policy.kind, *sample, forecast, now, after_fall);
                }
            }
        }
        // A rate over a minute and a utilization over seconds are of the same load only while that stands still.
        let steady = memory.readings.swing().is_none_or(|swing| swing <= STEADY);
        if let Some(look) = observed.utilization.filter(|_| settled && steady && !observation.rollout) {
            memory.capacity.observe(now, look);
        }
    }
    let per_replica = memory.per_replica(policy);
    Validated { policy, observed, fresh, upward, problem, per_replica, memory }
}

/// Takes a fresh load into the metric's memory: its peaks, its climb, and whether it fell as it never does.
pub(crate) fn learn_load(
    memory: &mut MetricHistory,
    kind: &MetricKind,
    sample: Sample,
    forecast: Option<&Forecast>,
    now: Timestamp,
    after_fall: Duration,
) {
    let (at, value) = (sample.time(), sample.value());
    if *kind == MetricKind::AverageValue
        && let Some(before) = memory.readings.before(at, APART)
    {
        // A forecast knows to a slot when something happens, not to the second.
        let expected = forecast.and_then(|forecast| {
            let step = forecast.step();
            [time::before(at, step), at, time::after(at, step)]
                .iter()
                .filter_map(|at| predictive::line(forecast, *at, 0.5))
                .reduce(f64::min)
        });
        memory.drops.observe(now, value, before, expected, after_fall);
    }
    memory.readings.observe(at, value);
    memory.peaks.observe(now, value, memory.readings.mean());
}

type Judged = (Option<f64>, Option<f64>, Option<Absence>);

/// What of a reading may be used. `carried` is what the ready replicas carry, where that can be said.
fn judge(
    observed: Option<&MetricObservation>,
    memory: &MetricHistory,
    carried: f64,
    now: Timestamp,
) -> Judged {
    let Some(observed) = observed else {
        return (
            None,
            None,
            Some(Absence::new(AbsenceReason::NotYetRead, "the metric hasn't been read yet")),
        );
    };
    let value = match &observed.reading {
        Reading::Fresh(sample) => sample.value(),
        Reading::Stale { sample, .. } => {
            return (None, sane(Some(sample.value())), observed.reading.absence());
        }
        Reading::Absent(absence) => return (None, None, Some(absence.clone())),
    };
    if value < 0.0 {
        let absence = Absence::new(AbsenceReason::Negative, format!("the value is {value}; load can't be"));
        return (None, None, Some(absence));
    }
    if sane(Some(value)).is_none() {
        let message = format!("the value is {value:e}; no load is that large");
        return (None, None, Some(Absence::new(AbsenceReason::Infinite, message)));
    }
    if observed.coverage.is_nan() || observed.coverage < LEAST_COVERAGE {
        let message = format!(
            "{:.0} % of the query's window was measured, so the value may be far too low",
            observed.coverage.max(0.0) * 100.0
        );
        return (None, Some(value), Some(Absence::new(AbsenceReason::HalfFilled, message)));
    }
    // What the ready replicas carry with a surge's headroom changes nothing: it needn't be waited for.
    if value * SURGE_HEADROOM > carried
        && let Some(absence) = glitch(value, memory, now)
    {
        return (None, None, Some(absence));
    }
    (Some(value), Some(value), None)
}

/// A jump up that no second reading confirms yet.
fn glitch(value: f64, memory: &MetricHistory, now: Timestamp) -> Option<Absence> {
    let (at, last) = memory.peaks.last?;
    let near = |other: f64| value <= GLITCH * other;
    let jumped = last > 0.0 && time::since(now, at) <= LONGEST_GAP && !near(last);
    let confirmed = memory.suspect.is_some_and(near);
    (jumped && !confirmed).then(|| {
        Absence::new(
            AbsenceReason::Implausible,
            format!(
                "{value:.1} is more than {GLITCH} times the {last:.1} before; waiting for a second reading"
            ),
        )
    })
}

fn learn_throughput(
    memory: &mut MetricHistory,
    observation: &Observation,
    observed: &MetricObservation,
    backlog: f64,
    now: Timestamp,
) {
    if let Some(served) = sane(observed.queue.and_then(|q| q.served))
        && !observation.rollout
    {
        // More consumers than partitions only wait.
        let most = observed.queue.and_then(|q| q.partitions).filter(|p| *p > 0).unwrap_or(u32::MAX);
        memory.throughput.observe(now, served, observation.replicas.ready.min(most), backlog);
    }
}

/// A number that can be counted with, if it is one. Squares of what is beyond it wouldn't be finite.
pub(crate) fn sane(value: Option<f64>) -> Option<f64> {
    value.filter(|v| (0.0..1e100).contains(v))
}
