//! What is wrong is found, and what is right passes.

use serde_json::json;

use super::*;

fn spec(patch: serde_json::Value) -> AutoscalePolicySpec {
    let mut value = json!({
        "scaleTargetRef": {"name": "web"},
        "maxReplicas": 20,
        "metrics": [{"name": "rps", "prometheus": {"query": "sum(rate(x[1m]))"}, "target": 200}],
    });
    for (key, new) in patch.as_object().unwrap() {
        if new.is_null() {
            value.as_object_mut().unwrap().remove(key);
        } else {
            value[key] = new.clone();
        }
    }
    serde_json::from_value(value).unwrap()
}

fn check(patch: serde_json::Value) -> Result<Intent, Vec<Invalid>> {
    validate(&spec(patch), Duration::from_secs(15))
}

#[test]
fn the_shortest_policy_is_complete() {
    let intent = check(json!({})).unwrap();
    assert_eq!(intent.target.to_string(), "Deployment/web");
    assert_eq!((intent.policy.min_replicas, intent.policy.max_replicas), (1, 20));
    assert_eq!(intent.policy.metrics[0].target, 200.0);
    assert!(intent.policy.metrics[0].forecast);
    assert_eq!(intent.policy.behavior, None);
    assert_eq!(intent.forecast.history, Duration::from_hours(14 * 24));
    assert_eq!(intent.forecast.step, Duration::from_mins(1));
}

#[test]
fn a_step_from_one_minute_to_five_is_taken_as_written() {
    for (written, seconds) in
        [("1m", 60), ("60s", 60), ("90s", 90), ("2m30s", 150), ("5m", 300), ("300s", 300)]
    {
        let intent = check(json!({"forecast": {"step": written}})).unwrap();
        assert_eq!(intent.forecast.step, Duration::from_secs(seconds), "{written}");
    }
}

#[test]
fn an_hpa_needs_no_maximum() {
    let intent = check(
        json!({"scaleTargetRef": {"kind": "HorizontalPodAutoscaler", "name": "web"}, "maxReplicas": null}),
    );
    assert_eq!(intent.unwrap().policy.max_replicas, NO_MAXIMUM);
}

#[test]
fn each_mistake_is_named_with_field_value_and_remedy() {
    let metric = |patch: serde_json::Value| {
        let mut metric = json!({"name": "rps", "prometheus": {"query": "up"}, "target": 200});
        for (key, new) in patch.as_object().unwrap() {
            metric[key] = new.clone();
        }
        json!({"metrics": [metric]})
    };
    for (patch, words) in [
        (json!({"maxReplicas": null}), "spec.maxReplicas is missing"),
        (json!({"minReplicas": 30}), "spec.maxReplicas is 20: write at least minReplicas, which is 30"),
        (metric(json!({"target": 0})), "spec.metrics[0].target is 0: write more than 0"),
        (metric(json!({"target": "lots"})), "spec.metrics[0].target is \"lots\": not a quantity"),
        (metric(json!({"prometheus": {"query": " "}})), "spec.metrics[0].prometheus.query is empty"),
        (
            json!({"forecast": {"leadTime": "5 minutes"}}),
            "spec.forecast.leadTime is \"5 minutes\": not a duration",
        ),
        (json!({"forecast": {"leadTime": "7h"}}), "spec.forecast.leadTime is 7h"),
        (
            json!({"forecast": {"history": "1d"}}),
            "spec.forecast.history is 1d: write a duration from 2d to 35d",
        ),
        (
            json!({"forecast": {"history": "90d"}}),
            "spec.forecast.history is 90d: write a duration from 2d to 35d",
        ),
        (json!({"forecast": {"step": "30s"}}), "spec.forecast.step is 30s: write a duration from 1m to 5m"),
        (json!({"forecast": {"step": "59s"}}), "spec.forecast.step is 59s: write a duration from 1m to 5m"),
        (json!({"forecast": {"step": "5m1s"}}), "spec.forecast.step is 5m1s: write a duration from 1m to 5m"),
        (json!({"forecast": {"step": "10m"}}), "spec.forecast.step is 10m: write a duration from 1m to 5m"),
        (json!({"forecast": {"step": "often"}}), "spec.forecast.step is \"often\": not a duration"),
        (json!({"forecast": {"protection": "12%"}}), "spec.forecast.protection is 12%"),
        (json!({"forecast": {"protection": "samecost"}}), "write SameCost, or a percentage"),
        (json!({"forecast": {"timeZone": "Mars/Olympus"}}), "spec.forecast.timeZone is \"Mars/Olympus\""),
        (json!({"paused": {"until": "soon"}}), "spec.paused.until is \"soon\""),
        (json!({"prometheus": {"address": "prom:9090"}}), "spec.prometheus.address is \"prom:9090\""),
        (
            json!({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 4000}}}),
            "spec.behavior.scaleUp.stabilizationWindowSeconds is 4000",
        ),
        (metric(json!({"capacity": {"utilization": ""}})), "spec.metrics[0].capacity.utilization is empty"),
        (
            metric(json!({"capacity": {"utilization": "x"}, "targetType": "Value"})),
            "spec.metrics[0].capacity is set: leave it out",
        ),
        (
            json!({"minReplicas": 0, "metrics": [
                {"name": "p99", "prometheus": {"query": "x"}, "target": 1, "targetType": "Value"}]}),
            "spec.minReplicas is 0: write 1 or more, or add a queue or a load",
        ),
        (
            metric(json!({"fallback": {"minReplicas": 21}})),
            "spec.metrics[0].fallback.minReplicas is 21: write a number from 1 to maxReplicas, which is 20",
        ),
    ] {
        let found = check(patch.clone()).unwrap_err();
        assert!(found.iter().any(|i| i.to_string().contains(words)), "{patch}: {found:?}");
    }
}

#[test]
fn several_mistakes_are_all_named() {
    let found =
        check(json!({"minReplicas": 30, "forecast": {"leadTime": "soon", "history": "x"}})).unwrap_err();
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn behavior_has_the_defaults_of_the_hpa_where_it_says_nothing() {
    let intent = check(json!({"behavior": {"scaleDown": {"policies": []}}})).unwrap();
    assert_eq!(intent.policy.behavior, Some(decide::Behavior::default()));
}

#[test]
fn a_value_metric_is_never_forecast() {
    let intent = check(json!({"metrics": [
        {"name": "p99", "prometheus": {"query": "x"}, "target": "500m", "targetType": "Value"}]}))
    .unwrap();
    assert!(!intent.policy.metrics[0].forecast);
    assert_eq!(intent.policy.metrics[0].target, 0.5);
}

fn queue(patch: serde_json::Value) -> serde_json::Value {
    let mut queue = json!({"redis": {"address": "redis:6379", "stream": {"key": "orders", "group": "shop"}}});
    for (key, new) in patch.as_object().unwrap() {
        queue[key] = new.clone();
    }
    json!({"minReplicas": 0, "metrics": [{"name": "orders", "drainWithin": "2m", "queue": queue}]})
}

#[test]
fn a_queue_may_sleep_is_forecast_where_its_broker_counts_and_learns_what_consumers_do() {
    let stream = check(queue(json!({}))).unwrap().policy;
    assert_eq!((stream.min_replicas, stream.metrics[0].forecast), (0, true));
    assert_eq!(stream.metrics[0].capacity, decide::Capacity::Learned);
    let list = check(queue(json!({"redis": {"address": "redis:6379", "list": "jobs"}}))).unwrap().policy;
    assert!(!list.metrics[0].forecast, "a list counts nothing that comes in");
}

#[test]
fn idle_pods_go_first_only_where_a_replica_set_chooses() {
    let busy = queue(json!({"busy": {"query": "sum by (pod) (jobs)"}}));
    assert!(check(busy.clone()).is_ok());
    let mut set = busy;
    set["scaleTargetRef"] = json!({"kind": "StatefulSet", "name": "web"});
    let found = check(set).unwrap_err();
    assert!(
        found[0].to_string().contains("spec.metrics[0].queue.busy is set for a StatefulSet"),
        "{found:?}"
    );
    let empty = check(queue(json!({"busy": {"query": " "}}))).unwrap_err();
    assert!(empty[0].to_string().contains("queue.busy.query is empty"), "{empty:?}");
}

#[test]
fn misspelt_fields_are_found_in_what_was_applied() {
    let written = json!({"spec": {
        "scaleTargetRef": {"name": "web", "nmae": "x"},
        "maxReplica": 3,
        "metrics": [{"name": "a", "prometheus": {"query": "x"}, "target": 1, "targett": 2}],
    }});
    let found = unknown_fields(&written.to_string());
    assert_eq!(found, ["spec.scaleTargetRef.nmae", "spec.maxReplica", "spec.metrics[0].targett"]);
    assert!(unknown_fields("{}").is_empty());
}
