//! What the HPA does between a wish and a change: stabilization, rate and bounds, with its words for each limit.
//!
//! Follows `normalizeDesiredReplicas` and `normalizeDesiredReplicasWithBehaviors` of Kubernetes'
//! `pkg/controller/podautoscaler/horizontal.go`. An HPA without `behavior` isn't one with the default `behavior`: from
//! one replica the first may go to 4 at once and the second to 5.

use std::time::Duration;

use jiff::Timestamp;
use series::time;

use crate::behavior::{Behavior, RateKind, RatePolicy, ScalingRules, SelectPolicy};
use crate::history::{History, ScaleEvent};
use crate::limit_chain::LimitChain;
use crate::recommendation::LimitReason;
use crate::runs::{Run, extremes};

/// The downscale stabilization window of a controller manager without flags.
const DEFAULT_WINDOW: Duration = Duration::from_secs(300);

/// The bounds in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

/// Stabilization. `history` already holds the wish of this decision.
pub(crate) fn stabilize(
    chain: &mut LimitChain,
    behavior: Option<&Behavior>,
    current: u32,
    history: &[Run],
    now: Timestamp,
) {
    let wish = chain.replicas();
    let over = |window: Duration| extremes(history, time::before(now, window)).unwrap_or((wish, wish));
    let Some(behavior) = behavior else {
        let highest = over(DEFAULT_WINDOW).1.max(wish);
        chain.apply(highest, LimitReason::ScaleDownStabilized, || {
            format!("{highest} replicas were wanted within the last {}s", DEFAULT_WINDOW.as_secs())
        });
        return;
    };
    let (up, down) = (behavior.scale_up.stabilization_window, behavior.scale_down.stabilization_window);
    let lowest = over(up).0.min(wish);
    let highest = over(down).1.max(wish);
    let stable = current.max(lowest).min(highest);
    let (reason, window) = if wish < stable {
        (LimitReason::ScaleDownStabilized, down)
    } else {
        (LimitReason::ScaleUpStabilized, up)
    };
    chain.apply(stable, reason, || {
        format!("between {lowest} and {highest} replicas were wanted within the last {}s", window.as_secs())
    });
}

/// Stabilization windows of the way up and down.
pub(crate) struct Windows {
    pub(crate) up: Duration,
    pub(crate) down: Duration,
}

/// The windows in force.
pub(crate) fn windows(behavior: Option<&Behavior>) -> Windows {
    behavior.map_or(Windows { up: Duration::ZERO, down: DEFAULT_WINDOW }, |behavior| Windows {
        up: behavior.scale_up.stabilization_window,
        down: behavior.scale_down.stabilization_window,
    })
}

/// From `current` towards `wish` as far as the rules for rising and falling allow now.
pub(crate) fn rated(
    behavior: Option<&Behavior>,
    current: u32,
    wish: u32,
    events: &[ScaleEvent],
    now: Timestamp,
) -> u32 {
    match behavior {
        None => wish.min(unruled_up_limit(current)),
        Some(behavior) if wish > current => {
            wish.min(up_limit(current, events, &behavior.scale_up, now).max(current))
        }
        Some(behavior) => wish.max(down_limit(current, events, &behavior.scale_down, now).min(current)),
    }
}

/// What an HPA without `behavior` may go to at once: the larger of 4 and twice as many.
fn unruled_up_limit(current: u32) -> u32 {
    current.saturating_mul(2).max(4)
}

/// How fast replicas may rise or fall.
pub(crate) fn rate(
    chain: &mut LimitChain,
    behavior: Option<&Behavior>,
    current: u32,
    history: &History,
    now: Timestamp,
) {
    let wish = chain.replicas();
    let Some(behavior) = behavior else {
        let limit = unruled_up_limit(current);
        chain.at_most(limit, LimitReason::ScaleUpLimit, || {
            format!(
                "from {current} replicas no more than {limit} at once (the larger of 4 and twice as many)"
            )
        });
        return;
    };
    if wish > current {
        let limit = up_limit(current, &history.scale_events, &behavior.scale_up, now).max(current);
        chain.at_most(limit, LimitReason::ScaleUpLimit, || {
            format!("behavior.scaleUp allows {limit} replicas now")
        });
    } else if wish < current {
        let limit = down_limit(current, &history.scale_events, &behavior.scale_down, now).min(current);
        chain.at_least(limit, LimitReason::ScaleDownLimit, || {
            format!("behavior.scaleDown allows {limit} replicas now")
        });
    }
}

/// The bounds of policy and calendar have the last word.
pub(crate) fn bound(chain: &mut LimitChain, bounds: Bounds) {
    chain.at_least(bounds.min, LimitReason::TooFewReplicas, || {
        format!("the minimum is {} replicas", bounds.min)
    });
    chain.at_most(bounds.max, LimitReason::TooManyReplicas, || {
        format!("the maximum is {} replicas", bounds.max)
    });
}

/// The most replicas that the rules for the way up allow now.
fn up_limit(current: u32, events: &[ScaleEvent], rules: &ScalingRules, now: Timestamp) -> u32 {
    let allowed = |policy: &RatePolicy| {
        let start = period_start(current, events, policy.period, now);
        match policy.kind {
            RateKind::Pods => start + i64::from(policy.value),
            RateKind::Percent => (start as f64 * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i64,
        }
    };
    let limits = rules.policies.iter().map(allowed);
    let limit = match rules.select_policy {
        SelectPolicy::Disabled => None,
        SelectPolicy::Max => limits.max(),
        SelectPolicy::Min => limits.min(),
    };
    limit.map_or(current, clamp)
}

/// The fewest replicas that the rules for the way down allow now.
fn down_limit(current: u32, events: &[ScaleEvent], rules: &ScalingRules, now: Timestamp) -> u32 {
    let allowed = |policy: &RatePolicy| {
        let start = period_start(current, events, policy.period, now);
        match policy.kind {
            RateKind::Pods => start - i64::from(policy.value),
            // Truncated, as the HPA does: 1 % of 10 replicas is still a whole one.
            RateKind::Percent => (start as f64 * (1.0 - f64::from(policy.value) / 100.0)) as i64,
        }
    };
    let limits = rules.policies.iter().map(allowed);
    let limit = match rules.select_policy {
        SelectPolicy::Disabled => None,
        // The policy that allows the most change leaves the fewest replicas.
        SelectPolicy::Max => limits.min(),
        SelectPolicy::Min => limits.max(),
    };
    limit.map_or(current, clamp)
}

/// Replicas at the start of the period: what was added in it taken away, and what was removed put back. Events count
/// strictly after the cut-off.
fn period_start(current: u32, events: &[ScaleEvent], period: Duration, now: Timestamp) -> i64 {
    let cutoff = time::before(now, period);
    let change: i64 = events.iter().filter(|event| event.at > cutoff).map(|event| event.change).sum();
    i64::from(current) - change
}

fn clamp(replicas: i64) -> u32 {
    u32::try_from(replicas.max(0)).unwrap_or(u32::MAX)
}
