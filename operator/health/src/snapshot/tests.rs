//! Snapshots as readers get them.

use std::time::Duration;

use jiff::Timestamp;
use series::{Forecast, Series};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn policy() -> PolicySnapshot {
    let recent = Series::new(at(0), Duration::from_secs(60), (0..360).map(f64::from).collect()).unwrap();
    let rows = (0..360).map(|i| vec![360.0 + f64::from(i)]).collect();
    let forecast = Forecast::new(at(360 * 60), Duration::from_secs(60), vec![0.5], rows, "t").unwrap();
    PolicySnapshot {
        namespace: "shop".into(),
        name: "web".into(),
        target: Target { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() },
        mode: Mode::Auto,
        paused: None,
        replicas: Replicas { current: 3, ready: 3, desired: 4, min: 1, max: 9 },
        need: Some(3.2),
        driver: "requests (forecast)".into(),
        reason: "The daily ramp begins in 4 minutes.".into(),
        conditions: vec![ConditionSnapshot {
            kind: "ScalingLimited".into(),
            status: ConditionStatus::True,
            reason: "TooManyReplicas".into(),
            message: "wants 12, may have 9".into(),
            since: at(1),
        }],
        metrics: vec![MetricSnapshot {
            name: "requests".into(),
            query: "sum(rate(requests_total[2m]))".into(),
            unit: "requests/s".into(),
            target: 100.0,
            value: Some(320.0),
            age_seconds: Some(4.0),
            absence: None,
            candidates: vec![],
            recent: Some(recent),
            capacity: None,
            hindcast: None,
            forecast: Some(forecast),
            forecast_status: None,
        }],
        ready_replicas: None,
        desired_replicas: None,
        decisions: vec![],
        next_change: None,
        startup: None,
        lead_time_seconds: 120,
        saved: None,
        backtest: None,
        updated: at(360 * 60),
        trace_id: None,
    }
}

#[test]
fn a_snapshot_comes_back_from_json() {
    let mut snapshot = Snapshot::new(Meta::new("0.1.0", "a", at(0)));
    snapshot.put(policy());
    assert_eq!(snapshot.meta.data_time, at(360 * 60));
    let json = serde_json::to_string(&snapshot).unwrap();
    let back: Snapshot = serde_json::from_str(&json).unwrap();
    assert_eq!(back.policies.len(), 1);
    assert_eq!(json, serde_json::to_string(&back).unwrap());
}

#[test]
fn the_small_picture_goes_on_into_the_forecast_without_a_jump() {
    let spark = policy().summary().spark;
    assert_eq!((spark.past.len(), spark.ahead.len()), (36, 12));
    let last = spark.past.last().copied().flatten().unwrap();
    let next = spark.ahead[0].unwrap();
    assert!(next > last && next - last < 40, "{last} then {next}");
}

#[test]
fn the_condition_to_look_at_is_the_one_that_is_bad() {
    assert_eq!(policy().attention().map(|c| c.reason), Some("TooManyReplicas".into()));
}

#[test]
fn a_copy_shares_the_policies_so_that_a_reader_sees_what_changed() {
    let mut before = Snapshot::new(Meta::new("0.1.0", "a", at(0)));
    before.put(policy());
    let after = before.clone();
    let key = PolicyKey::new("shop", "web");
    assert!(Arc::ptr_eq(&before.policies[&key], &after.policies[&key]));
}
