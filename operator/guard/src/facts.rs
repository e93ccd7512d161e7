//! From what the page shows of a policy to what alerts need to know of it. Pure: conditions and reasons in, facts out.

use std::time::Duration;

use health::alert::{Drift, PolicyFacts};
use health::snapshot::{ConditionSnapshot, ConditionStatus, PolicySnapshot};
use jiff::Timestamp;
use series::time::since;

/// A policy that was paused or only recommends is told of as well, but for limits it doesn't act on.
pub(crate) fn facts(policy: &PolicySnapshot, muted: bool, now: Timestamp) -> PolicyFacts {
    let find = |kind: &str| policy.conditions.iter().find(|c| c.kind == kind);
    let is = |kind: &str, truth: ConditionStatus| find(kind).filter(|c| c.status == truth);
    let limited = is("ScalingLimited", ConditionStatus::True);
    let at_max = limited.filter(|c| c.reason == "TooManyReplicas" || c.reason == "CalendarCeiling");
    let wanted = policy.need.map_or(policy.replicas.max.saturating_add(1), |n| n.ceil() as u32);
    PolicyFacts {
        namespace: policy.namespace.to_string(),
        policy: policy.name.to_string(),
        target: format!("{}/{}", policy.target.kind, policy.target.name),
        at_max: at_max.map(|_| (wanted.max(policy.replicas.max), policy.replicas.max)),
        forecast_not_trusted: is("ForecastActive", ConditionStatus::False)
            .filter(|c| lost_trust(c))
            .map(said),
        forecast_missed: missed(policy),
        data_absent: is("DataFresh", ConditionStatus::False)
            .or_else(|| is("ScalingActive", ConditionStatus::False).filter(|c| c.reason != "ScalingDisabled"))
            .map(said),
        scaling_refused: is("AbleToScale", ConditionStatus::False).map(said),
        pods_pending: unreachable(policy, now),
        drift: drift(policy),
        decision: policy.reason.clone(),
        trace_id: policy.trace_id.clone(),
        muted,
    }
}

fn said(condition: &ConditionSnapshot) -> String {
    if condition.message.is_empty() { condition.reason.clone() } else { condition.message.clone() }
}

/// Off by choice, or still learning, is no loss of trust.
fn lost_trust(condition: &ConditionSnapshot) -> bool {
    !matches!(
        condition.reason.as_str(),
        "Off"
            | "Learning"
            | "NotEnoughHistory"
            | "TooLittleHistory"
            | "NotYetKnown"
            | "NotYetRead"
            | "Unknown"
    )
}

/// The load lies above what the forecast called certain, and ready replicas don't carry it.
fn missed(policy: &PolicySnapshot) -> Option<String> {
    let short = policy.need.is_some_and(|need| need > f64::from(policy.replicas.ready) * 1.1);
    if !short || !policy.metrics.iter().any(|m| m.standing.as_ref().is_some_and(|s| s.active)) {
        return None;
    }
    policy.metrics.iter().find_map(|m| {
        let (value, forecast) = (m.value?, m.forecast.as_ref()?);
        let upper = forecast.quantile(0, 0.99)?;
        (value > upper * 1.1 && upper > 0.0)
            .then(|| format!("{} is {value:.0}, at most {upper:.0} was expected", m.name))
    })
}

/// Replicas that were asked for a while ago and aren't there.
fn unreachable(policy: &PolicySnapshot, now: Timestamp) -> Option<(u32, String)> {
    let missing = policy.replicas.current.saturating_sub(policy.replicas.ready);
    let startup = policy.startup.as_ref().map_or(60.0, |s| s.p95_seconds);
    let patience = Duration::from_secs_f64((3.0 * startup).clamp(60.0, 1_800.0));
    let last_rise = policy.decisions.iter().find(|d| d.to > d.from).map(|d| d.at);
    let long = last_rise.is_none_or(|at| since(now, at) > patience);
    let told = policy.conditions.iter().find(|c| c.reason == "PodsNotStarting");
    match told {
        Some(condition) => Some((missing.max(1), said(condition))),
        None if missing > 0 && long => {
            Some((missing, format!("{missing} of {} replicas aren't ready", policy.replicas.current)))
        }
        None => None,
    }
}

fn drift(policy: &PolicySnapshot) -> Vec<Drift> {
    let limits = policy.decisions.iter().take(1).flat_map(|d| &d.limits);
    let foreign =
        limits.filter(|l| l.reason.starts_with("Foreign")).map(|l| Drift::Replicas(l.message.clone())).next();
    let standings = policy.metrics.iter().filter_map(|m| m.standing.as_ref());
    let shifted = standings
        .filter(|s| s.reason.contains("Shift") || s.reason.contains("Drift") || s.reason.contains("Changed"))
        .map(|s| Drift::Load(if s.message.is_empty() { s.reason.clone() } else { s.message.clone() }))
        .next();
    foreign.into_iter().chain(shifted).collect()
}
