//! HorizontalPodAutoscaler, v1 and v2.

use serde_json::{Value, json};

use super::{Converted, metric_name, pods_of, resource_metric, skeleton};

pub(super) fn convert(object: &Value) -> Converted {
    let name = object["metadata"]["name"].as_str().unwrap_or("policy");
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    let spec = &object["spec"];
    let mut notes = Vec::new();
    let mut policy = skeleton(object, name);
    let out = &mut policy["spec"];
    out["scaleTargetRef"] = spec["scaleTargetRef"].clone();
    if let Some(min) = spec["minReplicas"].as_i64() {
        out["minReplicas"] = min.into();
    }
    if let Some(max) = spec["maxReplicas"].as_i64() {
        out["maxReplicas"] = max.into();
    }
    let target = &spec["scaleTargetRef"];
    let pods =
        pods_of(target["kind"].as_str().unwrap_or("Deployment"), target["name"].as_str().unwrap_or_default());
    let mut metrics = Vec::new();
    if let Some(percent) = spec["targetCPUUtilizationPercentage"].as_i64() {
        metrics.extend(resource_metric("cpu", percent, namespace, &pods, &mut notes));
    }
    for metric in spec["metrics"].as_array().into_iter().flatten() {
        metrics.extend(one(metric, namespace, &pods, &mut notes));
    }
    if metrics.is_empty() {
        // An HPA without metrics means 80 % CPU.
        metrics.extend(resource_metric("cpu", 80, namespace, &pods, &mut notes));
    }
    out["metrics"] = metrics.into();
    if spec["behavior"].is_object() {
        out["behavior"] = spec["behavior"].clone();
    }
    Converted { policy, notes }
}

fn one(metric: &Value, namespace: &str, pods: &str, notes: &mut Vec<String>) -> Option<Value> {
    match metric["type"].as_str().unwrap_or_default() {
        kind @ ("Resource" | "ContainerResource") => {
            let source = if kind == "Resource" { &metric["resource"] } else { &metric["containerResource"] };
            let resource = source["name"].as_str().unwrap_or_default();
            if let Some(percent) = source["target"]["averageUtilization"].as_i64() {
                return resource_metric(resource, percent, namespace, pods, notes);
            }
            notes.push(format!(
                "resource {resource} with an absolute target isn't carried over; write a query for it"
            ));
            None
        }
        "External" => Some(named(&metric["external"], "", notes)),
        "Pods" => Some(named(&metric["pods"], &format!("namespace=\"{namespace}\",pod=~\"{pods}\""), notes)),
        "Object" => {
            let source = &metric["object"];
            let about = source["describedObject"]["name"].as_str().unwrap_or_default();
            notes.push(format!("metric of object {about}: check that the query selects that object"));
            Some(named(source, "", notes))
        }
        other => {
            notes.push(format!("metric type {other:?} isn't carried over"));
            None
        }
    }
}

/// A metric by its name at a metrics API, most often prometheus-adapter.
fn named(source: &Value, more: &str, notes: &mut Vec<String>) -> Value {
    let name = source["metric"]["name"].as_str().unwrap_or_default();
    let labels = source["metric"]["selector"]["matchLabels"].as_object();
    let mut matchers: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}=\"{}\"", v.as_str().unwrap_or_default()))
        .collect();
    if !more.is_empty() {
        matchers.push(more.to_owned());
    }
    let braces = if matchers.is_empty() { String::new() } else { format!("{{{}}}", matchers.join(",")) };
    notes.push(format!(
        "metric {name}: check the query; the metrics API may have renamed or summed it in its own way"
    ));
    let target = &source["target"];
    let average = !target["averageValue"].is_null();
    let value = if average { &target["averageValue"] } else { &target["value"] };
    let mut metric = json!({
        "name": metric_name(name),
        "prometheus": {"query": format!("sum({name}{braces})")},
        "target": value,
    });
    if average {
        // The threshold holds its spare already.
        metric["spare"] = "0%".into();
    } else {
        metric["targetType"] = "Value".into();
    }
    metric
}
