//! From what the page shows of a policy to what alerts need to know of it. Pure: conditions and reasons in, facts out.

use std::time::Duration;

use jiff::Timestamp;
use series::time::since;

use super::{Drift, PolicyFacts};
use crate::snapshot::{ConditionSnapshot, ConditionStatus, PolicySnapshot};

/// How long somebody else's write is heeded by decisions.
const FOREIGN_FOR: Duration = Duration::from_mins(10);
/// How long a jump of the level is news: the alert waits for half an hour, and models follow within hours.
const SHIFTED_FOR: Duration = Duration::from_hours(6);

/// What alerts need to know of a policy. One that was paused or only recommends is told of as well, but for limits it
/// doesn't act on.
pub fn facts(policy: &PolicySnapshot, muted: bool, now: Timestamp) -> PolicyFacts {
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
        drift: drift(policy, now),
        decision: policy.reason.clone(),
        trace_id: policy.trace_id.clone(),
        muted,
    }
}

fn said(condition: &ConditionSnapshot) -> String {
    if condition.message.is_empty() { condition.reason.clone() } else { condition.message.clone() }
}

/// Off by choice, still learning, or never proven is no loss of trust: there was none yet.
fn lost_trust(condition: &ConditionSnapshot) -> bool {
    matches!(
        condition.reason.as_str(),
        "NotBetterThanNaive" | "TooInaccurate" | "Uncalibrated" | "LevelShift" | "FollowsReplicas" | "Stale"
    )
}

/// The load lies above what the forecast called certain, and ready replicas don't carry it.
fn missed(policy: &PolicySnapshot) -> Option<String> {
    let short = policy.need.is_some_and(|need| need > f64::from(policy.replicas.ready) * 1.1);
    if !short || !policy.metrics.iter().any(|m| m.forecast_status.as_ref().is_some_and(|s| s.active)) {
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
    if missing == 0 {
        return None;
    }
    let told =
        policy.decisions.iter().take(1).flat_map(|d| &d.limits).find(|l| l.reason == "PodsNotStarting");
    if let Some(limit) = told {
        return Some((missing, limit.message.clone()));
    }
    long.then(|| (missing, format!("{missing} of {} replicas aren't ready", policy.replicas.current)))
}

/// The newest entry of the time line stays there while nothing happens: what it says of others' writes is believed for
/// as long as decisions heed them.
fn drift(policy: &PolicySnapshot, now: Timestamp) -> Vec<Drift> {
    let newest = policy.decisions.iter().take(1).filter(|d| since(now, d.at) <= FOREIGN_FOR);
    let limits = newest.flat_map(|d| &d.limits);
    let foreign =
        limits.filter(|l| l.reason == "ForeignWriter").map(|l| Drift::Replicas(l.message.clone())).next();
    let shifted = policy
        .metrics
        .iter()
        .filter_map(|m| Some((&m.name, m.forecast_status.as_ref()?.level_shift?)))
        .filter(|(_, at)| since(now, *at) <= SHIFTED_FOR)
        .map(|(name, at)| Drift::Load(format!("the level of {name} jumped at {at}")))
        .next();
    foreign.into_iter().chain(shifted).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-11-21T12:00:00Z";

    /// A policy of which all is well, but for what `patch` says.
    fn snapshot(patch: &Value) -> PolicySnapshot {
        let mut policy = json!({
            "namespace": "shop", "name": "web", "mode": "Auto", "paused": null, "need": 2.5, "driver": "requests",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "replicas": {"current": 3, "ready": 3, "desired": 3, "min": 1, "max": 9},
            "reason": "3 replicas for requests", "conditions": [], "metrics": [], "readyReplicas": null,
            "desiredReplicas": null, "decisions": [], "nextChange": null, "startup": null, "leadTimeSeconds": 60,
            "saved": null, "backtest": null, "updated": NOW, "traceId": "5cd1",
        });
        for (key, value) in patch.as_object().unwrap() {
            policy[key] = value.clone();
        }
        serde_json::from_value(policy).unwrap()
    }

    fn told(patch: &Value) -> PolicyFacts {
        facts(&snapshot(patch), false, NOW.parse().unwrap())
    }

    fn condition(kind: &str, status: &str, reason: &str) -> Value {
        json!({"conditions": [{
            "type": kind, "status": status, "reason": reason, "message": format!("{reason} it is"), "since": NOW,
        }]})
    }

    /// An entry of the time line, so many minutes old.
    fn decided(minutes: i64, from: u32, to: u32, limit: Option<&str>) -> Value {
        let at = NOW.parse::<Timestamp>().unwrap() - jiff::SignedDuration::from_mins(minutes);
        let limits: Vec<Value> =
            limit.iter().map(|l| json!({"reason": l, "message": format!("{l} it was")})).collect();
        json!({
            "at": at, "outcome": "Held", "from": from, "to": to, "driver": "requests", "message": "",
            "limits": limits, "traceId": null,
        })
    }

    #[test]
    fn of_a_policy_that_is_well_there_is_nothing_to_tell() {
        let well = PolicyFacts {
            namespace: "shop".into(),
            policy: "web".into(),
            target: "Deployment/web".into(),
            decision: "3 replicas for requests".into(),
            trace_id: Some("5cd1".into()),
            ..PolicyFacts::default()
        };
        assert_eq!(told(&json!({})), well);
        assert!(crate::alert::policy(&well).is_empty());
    }

    #[test]
    fn the_maximum_is_told_with_what_would_be_needed() {
        let mut limited = condition("ScalingLimited", "True", "TooManyReplicas");
        limited["need"] = json!(11.2);
        assert_eq!(told(&limited).at_max, Some((12, 9)));
        limited["need"] = json!(null);
        assert_eq!(told(&limited).at_max, Some((10, 9)), "blind, at least one more");
        assert_eq!(told(&condition("ScalingLimited", "True", "ScaleUpLimit")).at_max, None);
    }

    #[test]
    fn only_a_forecast_that_could_have_been_trusted_loses_trust() {
        let lost = |reason| told(&condition("ForecastActive", "False", reason)).forecast_not_trusted;
        for reason in
            ["Off", "HistoryTooShort", "NoData", "TooManyGaps", "InsufficientHistory", "ForecastOff"]
        {
            assert_eq!(lost(reason), None, "{reason}");
        }
        for reason in ["NotBetterThanNaive", "LevelShift", "Uncalibrated", "FollowsReplicas"] {
            assert_eq!(lost(reason), Some(format!("{reason} it is")));
        }
    }

    #[test]
    fn data_that_is_absent_is_told_and_scaling_switched_off_by_hand_is_not() {
        let absent = |kind, reason| told(&condition(kind, "False", reason)).data_absent;
        assert_eq!(absent("DataFresh", "Unreachable").as_deref(), Some("Unreachable it is"));
        assert_eq!(absent("ScalingActive", "MetricsMissing").as_deref(), Some("MetricsMissing it is"));
        assert_eq!(absent("ScalingActive", "ScalingDisabled"), None);
        let refused = told(&condition("AbleToScale", "False", "FailedUpdateScale")).scaling_refused;
        assert_eq!(refused.as_deref(), Some("FailedUpdateScale it is"));
    }

    #[test]
    fn pods_that_do_not_start_are_told_while_they_are_missing() {
        let replicas = |ready| json!({"current": 5, "ready": ready, "desired": 5, "min": 1, "max": 9});
        let pending = |ready, decision: Value| {
            told(&json!({"replicas": replicas(ready), "decisions": [decision]})).pods_pending
        };
        let stuck = decided(1, 5, 5, Some("PodsNotStarting"));
        assert_eq!(pending(3, stuck.clone()), Some((2, "PodsNotStarting it was".into())));
        assert_eq!(pending(5, stuck), None, "they started since");
        assert_eq!(pending(3, decided(1, 2, 5, None)), None, "they were asked for a minute ago");
        let late = pending(3, decided(10, 2, 5, None));
        assert_eq!(late, Some((2, "2 of 5 replicas aren't ready".into())));
    }

    #[test]
    fn a_foreign_hand_is_told_for_as_long_as_it_is_heeded() {
        let drift =
            |minutes| told(&json!({"decisions": [decided(minutes, 3, 3, Some("ForeignWriter"))]})).drift;
        assert_eq!(drift(1), [Drift::Replicas("ForeignWriter it was".into())]);
        assert_eq!(drift(11), []);
    }

    /// A metric with this load, of which a forecast called `certain` the 99 % quantile.
    fn metric(value: f64, certain: f64, reason: &str) -> Value {
        let forecast = series::Forecast::new(
            NOW.parse().unwrap(),
            Duration::from_mins(1),
            vec![0.5, 0.99],
            vec![vec![certain / 2.0, certain]],
            "test",
        );
        json!([{
            "name": "requests", "query": "q", "unit": "", "target": 100.0, "value": value, "ageSeconds": 1.0,
            "absence": null, "candidates": [], "recent": null, "capacity": null, "hindcast": null,
            "forecast": forecast.unwrap(),
            "forecastStatus": {
                "active": true, "reason": reason, "message": "", "model": "", "errorRatio": null, "coverage": null,
                "coverageTarget": null, "seasonsSeconds": [], "historySeconds": 0,
            },
        }])
    }

    #[test]
    fn a_surprise_is_told_where_replicas_are_short_for_it() {
        let missed = |need, value| {
            told(&json!({"need": need, "metrics": metric(value, 300.0, "Active")})).forecast_missed
        };
        assert_eq!(missed(6.0, 600.0).as_deref(), Some("requests is 600, at most 300 was expected"));
        assert_eq!(missed(3.0, 600.0), None, "what is there carries it");
        assert_eq!(missed(6.0, 310.0), None, "that is what was expected, nearly");
    }

    #[test]
    fn a_load_on_a_new_level_is_drift() {
        let drift = |minutes: i64| {
            let mut metrics = metric(1.0, 300.0, "Active");
            let now: Timestamp = NOW.parse().unwrap();
            metrics[0]["forecastStatus"]["levelShift"] =
                json!(now - jiff::SignedDuration::from_mins(minutes));
            told(&json!({"metrics": metrics})).drift
        };
        assert!(
            matches!(&drift(1)[..], [Drift::Load(how)] if how.starts_with("the level of requests jumped at"))
        );
        assert_eq!(drift(7 * 60), []);
        assert_eq!(told(&json!({"metrics": metric(1.0, 300.0, "LevelShift")})).drift, []);
        // The alert can fire: what it is told of lasts longer than it waits.
        let (_, waits, _) = crate::alert::BuiltIn::LoadDrift.defaults();
        assert!(!drift(waits.as_secs() as i64 / 60 + 1).is_empty());
    }

    #[test]
    fn a_window_of_maintenance_mutes_all_of_it() {
        let absent = condition("DataFresh", "False", "Unreachable");
        let muted = facts(&snapshot(&absent), true, NOW.parse().unwrap());
        let told = crate::alert::policy(&muted);
        assert!(!told.is_empty() && told.iter().all(|c| c.muted));
    }
}
