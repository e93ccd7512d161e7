//! What stands in the way of more replicas: pods that don't start, and the fleet's budget of new pods.

use std::time::Duration;

use jiff::Timestamp;
use series::time;

use crate::history::History;
use crate::limit_chain::LimitChain;
use crate::observation::Observation;
use crate::recommendation::LimitReason;

/// When more than this share of the pods can't start, more of them won't either.
const STUCK: f64 = 0.2;

/// A way up that isn't worth a change: within the strategy's tolerance.
pub(crate) fn tolerate(chain: &mut LimitChain, tolerance: f64, current: u32) {
    let wish = chain.replicas();
    if wish > current && f64::from(wish) <= f64::from(current) * (1.0 + tolerance) {
        chain.apply(current, LimitReason::DeadBand, || {
            format!("adding {} to {current} replicas isn't worth a change", wish - current)
        });
    }
}

/// Stops a way up that can't work. Never goes below the replicas there are.
pub(crate) fn guard(
    chain: &mut LimitChain,
    observation: &Observation,
    history: &History,
    now: Timestamp,
    lead: Duration,
) {
    let current = observation.replicas.spec;
    if chain.replicas() <= current {
        return;
    }
    if let Some(why) = not_starting(observation, history, now, lead) {
        chain.apply(current, LimitReason::PodsNotStarting, || why);
    }
    if let Some(left) = observation.pod_budget {
        let ceiling = current.saturating_add(left);
        chain.at_most(ceiling, LimitReason::PodBudget, || {
            format!("the fleet may add {left} more pods at the moment")
        });
    }
}

fn not_starting(
    observation: &Observation,
    history: &History,
    now: Timestamp,
    lead: Duration,
) -> Option<String> {
    let r = observation.replicas;
    let most = f64::from(r.spec) * STUCK;
    let stuck = r.crash_looping + r.unschedulable;
    if stuck > 0 && f64::from(stuck) > most {
        return Some(format!(
            "{} pods crash-loop and {} find no node, of {}; more of them would do the same",
            r.crash_looping, r.unschedulable, r.spec
        ));
    }
    // Pods on their way are no reason to stop, unless they have been for twice as long as any should take.
    let last_up = history.scale_events.iter().rev().find(|event| event.change > 0);
    let overdue = last_up.is_some_and(|up| time::since(now, up.at) > lead * 2);
    (overdue && !observation.rollout && f64::from(r.pending) > most.max(1.0)).then(|| {
        format!("{} of {} pods still aren't ready, long after their start-up time", r.pending, r.spec)
    })
}
