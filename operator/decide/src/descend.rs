//! What stands in the way of fewer replicas. Each rule can only hold replicas that are there; none adds any.

use std::time::Duration;

use jiff::Timestamp;
use series::time;

use crate::drop_detector::APART;
use crate::history::{History, ScaleEvent};
use crate::limit_chain::LimitChain;
use crate::observation::{Health, Observation};
use crate::policy::{MetricKind, Policy};
use crate::recommendation::LimitReason;
use crate::runs::{Run, extremes};
use crate::strategy::Selected;
use crate::validate::Validated;

const PEAK_WINDOW: Duration = Duration::from_secs(1_800);
/// Where a strategy was simulated on the past, or a forecast is trusted and not contradicted, the way down is known: it
/// may be this many times faster.
const KNOWN_PACE: f64 = 3.0;
/// Consumers change once in many minutes: what would be several steps is one.
const SELDOM_PACE: f64 = 2.5;

/// How replicas go down, once nothing holds them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WayDown {
    /// A smaller way down, as a share of the replicas, isn't made.
    pub tolerance: f64,
    /// How long a larger answer still counts, `behavior` apart.
    pub stabilization: Duration,
    /// Largest share of the replicas that goes in a minute; one replica always may.
    pub per_minute: f64,
    /// Replicas stay above this share of those that ran within the last half hour; 0 for no such floor.
    pub floor_of_recent_peak: f64,
}

impl WayDown {
    /// Resolves what was selected. `expected` says that the load is where it was expected to be: no surge, no drop that
    /// nobody foresaw.
    pub fn resolve(policy: &Policy, selected: &Selected, expected: bool) -> Self {
        let replayed = selected.by_replay();
        let known = expected && replayed;
        let seldom = policy.metrics.iter().all(|m| matches!(m.kind, MetricKind::Backlog(_)));
        let pace = match (known, seldom) {
            (true, _) => KNOWN_PACE,
            (false, true) => SELDOM_PACE,
            (false, false) => 1.0,
        };
        Self {
            tolerance: if replayed { selected.strategy.down_tolerance } else { policy.steps.dead_band },
            // `behavior` means what it means in an HPA: its window is the window.
            stabilization: match policy.behavior {
                Some(_) => Duration::ZERO,
                None => selected.strategy.down_stabilization,
            },
            per_minute: (policy.steps.per_minute * pace).min(1.0),
            floor_of_recent_peak: if known { 0.0 } else { policy.steps.of_recent_peak },
        }
    }

    /// Whether removing so many is too little to be worth a change.
    pub(crate) fn is_small(&self, removed: u32, current: u32) -> bool {
        removed > 0 && removed < (f64::from(current) * self.tolerance).ceil() as u32
    }

    /// The fewest replicas that may be left now, where `removed` went within the last minute; and how many may go in a
    /// minute.
    pub(crate) fn floor(&self, current: u32, removed: u32) -> (u32, u32) {
        let start = current.saturating_add(removed);
        let step = ((f64::from(start) * self.per_minute).ceil() as u32).max(1);
        (start.saturating_sub(step).min(current), step)
    }
}

/// What is in the way of this decision's way down.
pub(crate) struct Holds {
    /// Replicas that the forecast wants again soon.
    pub(crate) keep: u32,
    /// Nothing is there to do: every queue is empty, and nothing comes.
    pub(crate) idle: bool,
}

/// Reasons to hold everything that is there.
pub(crate) fn hold(
    chain: &mut LimitChain,
    policy: &Policy,
    observation: &Observation,
    metrics: &[&Validated<'_>],
    history: &History,
    now: Timestamp,
) {
    let current = observation.replicas.spec;
    if chain.replicas() >= current {
        return;
    }
    if let Some((reason, message)) = reason_to_hold(policy, observation, metrics, history, now) {
        chain.apply(current, reason, || message);
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
        if let Some(fall) = metric.memory.drops.fall {
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

/// The strategy's own stabilization of the way down.
pub(crate) fn wait(chain: &mut LimitChain, hold: Duration, current: u32, history: &[Run], now: Timestamp) {
    if chain.replicas() >= current || hold.is_zero() {
        return;
    }
    let highest = extremes(history, time::before(now, hold)).map_or(0, |(_, high)| high).min(current);
    chain.at_least(highest, LimitReason::ScaleDownStabilized, || {
        format!(
            "{highest} replicas were wanted within the last {}s, as long as this load needs",
            hold.as_secs()
        )
    });
}

/// How far down, and how fast.
pub(crate) fn slow(
    chain: &mut LimitChain,
    way: &WayDown,
    current: u32,
    history: &History,
    holds: &Holds,
    now: Timestamp,
) {
    if chain.replicas() >= current {
        return;
    }
    if let Some(hold) = history.drop_hold.filter(|hold| now < hold.until) {
        chain.at_least(hold.floor.min(current), LimitReason::UnexplainedDrop, || {
            format!(
                "load fell far below everything foreseen; {} replicas stay until {}",
                hold.floor, hold.until
            )
        });
    }
    chain.at_least(holds.keep.min(current), LimitReason::NeededSoon, || {
        format!("the forecast wants {} replicas again within minutes", holds.keep)
    });
    // Consumers of a queue that stays empty have nothing to do: step by step they would do it for hours.
    if holds.idle {
        return;
    }
    let removed = current.saturating_sub(chain.replicas());
    if way.is_small(removed, current) {
        chain.apply(current, LimitReason::DeadBand, || {
            format!("removing {removed} of {current} replicas isn't worth a change")
        });
    }
    steps(chain, way, current, history, now);
}

fn steps(chain: &mut LimitChain, way: &WayDown, current: u32, history: &History, now: Timestamp) {
    if chain.replicas() >= current {
        return;
    }
    let removed = removed_within_a_minute(&history.scale_events, now);
    let (floor, step) = way.floor(current, removed);
    chain.at_least(floor, LimitReason::ScaleDownStep, || {
        format!(
            "at most {step} of {} replicas are removed in a minute, {removed} already were",
            current.saturating_add(removed)
        )
    });
    if way.floor_of_recent_peak <= 0.0 {
        return;
    }
    let peak = extremes(&history.supplied, time::before(now, PEAK_WINDOW)).map_or(current, |(_, high)| high);
    let floor = ((f64::from(peak) * way.floor_of_recent_peak).ceil() as u32).min(current);
    chain.at_least(floor, LimitReason::RecentPeak, || {
        format!(
            "{peak} replicas ran within half an hour; at least {:.0} % of them stay",
            way.floor_of_recent_peak * 100.0
        )
    });
}

/// Replicas removed within the last minute.
pub(crate) fn removed_within_a_minute(events: &[ScaleEvent], now: Timestamp) -> u32 {
    let minute = time::before(now, Duration::from_secs(60));
    let removed: i64 = events.iter().filter(|e| e.at > minute && e.change < 0).map(|e| -e.change).sum();
    u32::try_from(removed).unwrap_or(u32::MAX)
}
