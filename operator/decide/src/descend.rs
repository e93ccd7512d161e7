//! What stands in the way of fewer replicas. Each rule can only hold replicas that are there; none adds any.

use std::time::Duration;

use jiff::Timestamp;
use series::time;

use crate::history::{History, Run, extremes};
use crate::observation::{Health, Observation};
use crate::policy::Policy;
use crate::recommendation::LimitReason;
use crate::sudden::APART;
use crate::trail::Trail;
use crate::validate::Validated;

const PEAK_WINDOW: Duration = Duration::from_secs(1_800);
/// A stance that was replayed, or a forecast that is trusted and not contradicted, knows the way down: it may be this
/// many times faster.
const TRUSTED_PACE: f64 = 3.0;

/// Consumers change once in many minutes: what would be several steps is one.
const SELDOM_PACE: f64 = 2.5;

/// What the forecast says about the way down.
pub(crate) struct Foreseen {
    /// Replicas that will be wanted again soon.
    pub(crate) keep: u32,
    /// A smaller share of the replicas isn't worth removing.
    pub(crate) band: f64,
    /// The forecast is trusted here and the load is where it said it would be.
    pub(crate) trusted: bool,
    /// Nothing is there to do: every queue is empty, and nothing comes.
    pub(crate) idle: bool,
    /// Only queues decide, whose consumers change seldom.
    pub(crate) seldom: bool,
}

/// Reasons to hold everything that is there.
pub(crate) fn hold(
    trail: &mut Trail,
    policy: &Policy,
    observation: &Observation,
    metrics: &[&Validated<'_>],
    history: &History,
    now: Timestamp,
) {
    let current = observation.replicas.spec;
    if trail.replicas() >= current {
        return;
    }
    if let Some((reason, message)) = reason_to_hold(policy, observation, metrics, history, now) {
        trail.bend(current, reason, || message);
    }
}

fn reason_to_hold(
    policy: &Policy,
    observation: &Observation,
    metrics: &[&Validated<'_>],
    history: &History,
    now: Timestamp,
) -> Option<(LimitReason, String)> {
    for metric in metrics {
        if let Some(problem) = &metric.problem {
            let message = format!("{}: {problem}", metric.policy.name);
            return Some((LimitReason::MetricMissing, message));
        }
    }
    let caution = policy.timing.after_outage;
    for metric in metrics {
        if let Some(bad) = metric.memory.last_bad
            && time::since(now, bad) < caution
        {
            let message = format!(
                "{}: data came back {}s ago and has to last {}s",
                metric.policy.name,
                time::since(now, bad).as_secs(),
                caution.as_secs()
            );
            return Some((LimitReason::DataJustReturned, message));
        }
    }
    if let Some(found) = unhealthy(policy, observation, now) {
        return Some(found);
    }
    if observation.rollout {
        return Some((LimitReason::RolloutInProgress, "a rollout is under way".to_owned()));
    }
    for metric in metrics {
        if let Some(fall) = metric.memory.sudden.fall {
            let message = format!(
                "{}: fell from {:.1} to {:.1} within {}s, which it never does; that may be a part of it that isn't \
                 counted, so nothing is removed until {}",
                metric.policy.name,
                fall.before,
                fall.after,
                APART.as_secs(),
                fall.until
            );
            return Some((LimitReason::UnexplainedDrop, message));
        }
    }
    let until = history.panic_until.filter(|until| now < *until)?;
    Some((LimitReason::PanicHold, format!("a surge was seen; nothing is removed until {until}")))
}

fn unhealthy(policy: &Policy, observation: &Observation, now: Timestamp) -> Option<(LimitReason, String)> {
    if !policy.health_gate {
        return None;
    }
    match &observation.health {
        Health::Unchecked => None,
        Health::Unhealthy { what } => Some((LimitReason::Unhealthy, what.clone())),
        Health::Healthy { since } => {
            let healthy = time::since(now, *since);
            (healthy < policy.timing.healthy_for).then(|| {
                let message = format!(
                    "healthy for {}s, and has to be for {}s",
                    healthy.as_secs(),
                    policy.timing.healthy_for.as_secs()
                );
                (LimitReason::HealthyTooShortly, message)
            })
        }
    }
}

/// The stance's own stabilization of the way down.
pub(crate) fn wait(trail: &mut Trail, hold: Duration, current: u32, history: &[Run], now: Timestamp) {
    if trail.replicas() >= current || hold.is_zero() {
        return;
    }
    let highest = extremes(history, time::before(now, hold)).map_or(0, |(_, high)| high).min(current);
    trail.at_least(highest, LimitReason::ScaleDownStabilized, || {
        format!(
            "{highest} replicas were wanted within the last {}s, as long as this load needs",
            hold.as_secs()
        )
    });
}

/// How far down, and how fast.
pub(crate) fn slow(
    trail: &mut Trail,
    policy: &Policy,
    current: u32,
    history: &History,
    foreseen: &Foreseen,
    now: Timestamp,
) {
    if trail.replicas() >= current {
        return;
    }
    if let Some(hold) = history.drop_hold.filter(|hold| now < hold.until) {
        trail.at_least(hold.floor.min(current), LimitReason::UnexplainedDrop, || {
            format!(
                "load fell far below everything foreseen; {} replicas stay until {}",
                hold.floor, hold.until
            )
        });
    }
    trail.at_least(foreseen.keep.min(current), LimitReason::NeededSoon, || {
        format!("the forecast wants {} replicas again within minutes", foreseen.keep)
    });
    // Consumers of a queue that stays empty have nothing to do: step by step they would do it for hours.
    if foreseen.idle {
        return;
    }
    dead_band(trail, foreseen.band, current);
    steps(trail, policy, current, history, foreseen, now);
}

fn dead_band(trail: &mut Trail, band: f64, current: u32) {
    let least = (f64::from(current) * band).ceil() as u32;
    let removed = current.saturating_sub(trail.replicas());
    if removed > 0 && removed < least {
        trail.bend(current, LimitReason::DeadBand, || {
            format!("removing {removed} of {current} replicas isn't worth a change")
        });
    }
}

fn steps(
    trail: &mut Trail,
    policy: &Policy,
    current: u32,
    history: &History,
    foreseen: &Foreseen,
    now: Timestamp,
) {
    if trail.replicas() >= current {
        return;
    }
    let pace = match (foreseen.trusted, foreseen.seldom) {
        (true, _) => TRUSTED_PACE,
        (false, true) => SELDOM_PACE,
        (false, false) => 1.0,
    };
    let minute = time::before(now, Duration::from_secs(60));
    let removed: i64 =
        history.scale_events.iter().filter(|e| e.at > minute && e.change < 0).map(|e| -e.change).sum();
    let removed = u32::try_from(removed).unwrap_or(u32::MAX);
    let start = current.saturating_add(removed);
    let step = ((f64::from(start) * (policy.steps.per_minute * pace).min(1.0)).ceil() as u32).max(1);
    let floor = start.saturating_sub(step).min(current);
    trail.at_least(floor, LimitReason::DownStep, || {
        format!("at most {step} of {start} replicas are removed in a minute, {removed} already were")
    });
    if foreseen.trusted {
        return;
    }
    let peak = extremes(&history.supplied, time::before(now, PEAK_WINDOW)).map_or(current, |(_, high)| high);
    let floor = ((f64::from(peak) * policy.steps.of_hourly_peak).ceil() as u32).min(current);
    trail.at_least(floor, LimitReason::HourlyPeak, || {
        format!("{peak} replicas ran within half an hour; no more than half of them go")
    });
}
