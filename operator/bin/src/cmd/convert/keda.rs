//! KEDA ScaledObject.

use serde_json::{Value, json};

use super::{Converted, metric_name, pods_of, resource_metric, skeleton};

pub(super) fn convert(object: &Value) -> Converted {
    let name = object["metadata"]["name"].as_str().unwrap_or("policy");
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    let spec = &object["spec"];
    let mut notes = Vec::new();
    let mut policy = skeleton(object, name);
    let out = &mut policy["spec"];
    let mut target = json!({"name": spec["scaleTargetRef"]["name"]});
    for key in ["apiVersion", "kind"] {
        if spec["scaleTargetRef"][key].is_string() {
            target[key] = spec["scaleTargetRef"][key].clone();
        }
    }
    let pods =
        pods_of(target["kind"].as_str().unwrap_or("Deployment"), target["name"].as_str().unwrap_or_default());
    out["scaleTargetRef"] = target;
    // KEDA's own defaults.
    out["minReplicas"] = spec["minReplicaCount"].as_i64().unwrap_or(0).into();
    out["maxReplicas"] = spec["maxReplicaCount"].as_i64().unwrap_or(100).into();
    let mut metrics: Vec<Value> = Vec::new();
    for trigger in spec["triggers"].as_array().into_iter().flatten() {
        let made = one(trigger, namespace, &pods, &mut notes);
        if let Some(address) = trigger["metadata"]["serverAddress"].as_str() {
            server(out, address, &mut notes);
        }
        metrics.extend(made.map(|m| unique(m, &metrics)));
    }
    fallback(spec, &mut metrics);
    out["metrics"] = metrics.into();
    let behavior = &spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"];
    if behavior.is_object() {
        out["behavior"] = behavior.clone();
    }
    remarks(object, &mut notes);
    Converted { policy, notes }
}

fn server(out: &mut Value, address: &str, notes: &mut Vec<String>) {
    match out["prometheus"]["address"].as_str() {
        None => out["prometheus"] = json!({"address": address}),
        Some(first) if first != address => {
            notes.push(format!("a policy has one Prometheus; {address} isn't carried over, {first} is"));
        }
        Some(_) => {}
    }
}

fn unique(mut metric: Value, others: &[Value]) -> Value {
    let name = metric["name"].as_str().unwrap_or("load").to_owned();
    if others.iter().any(|o| o["name"] == metric["name"]) {
        metric["name"] = format!("{name}-{}", others.len() + 1).into();
    }
    metric
}

fn one(trigger: &Value, namespace: &str, pods: &str, notes: &mut Vec<String>) -> Option<Value> {
    let kind = trigger["type"].as_str().unwrap_or_default();
    let told = &trigger["metadata"];
    let text = |key: &str| {
        told[key].as_str().map(str::to_owned).or_else(|| told[key].as_i64().map(|n| n.to_string()))
    };
    let name = trigger["name"].as_str().unwrap_or(kind);
    if trigger["authenticationRef"]["name"].is_string() {
        let auth = trigger["authenticationRef"]["name"].as_str().unwrap_or_default();
        notes.push(format!(
            "trigger {name}: sign-in from TriggerAuthentication {auth} isn't carried over; name its Secrets"
        ));
    }
    match kind {
        "prometheus" => Some(prometheus(name, told, notes)),
        "cpu" | "memory" => {
            let percent = text("value")?.parse().ok()?;
            resource_metric(kind, percent, namespace, pods, notes)
        }
        "cron" => {
            notes.push(format!(
                "trigger cron ({} to {}, {}) isn't a metric; make it a window of a ScalingCalendar with a floor of {}, or let \
                 the forecast find it",
                text("start").unwrap_or_default(),
                text("end").unwrap_or_default(),
                text("timezone").unwrap_or_default(),
                text("desiredReplicas").unwrap_or_default()
            ));
            None
        }
        _ => queue(kind, name, &text, notes),
    }
}

fn prometheus(name: &str, told: &Value, notes: &mut Vec<String>) -> Value {
    let threshold = told["threshold"].as_str().unwrap_or_default();
    // An integer stays one.
    let target = threshold.parse::<i64>().map_or_else(|_| json!(threshold), |n| json!(n));
    if told["ignoreNullValues"].as_str() != Some("false") {
        notes.push(format!(
            "trigger {name}: KEDA takes an empty answer for 0; here it means that nothing is known, and replicas are held. \
             Where 0 is meant, write `or vector(0)` behind the query"
        ));
    }
    json!({
        "name": metric_name(if name == "prometheus" { "load" } else { name }),
        "prometheus": {"query": told["query"]},
        "target": target,
        "spare": "0%",
    })
}

/// A queue of a broker that Foresail reads itself.
fn queue(
    kind: &str,
    name: &str,
    text: &dyn Fn(&str) -> Option<String>,
    notes: &mut Vec<String>,
) -> Option<Value> {
    let or_empty = |key: &str| text(key).unwrap_or_default();
    let broker = match kind {
        "kafka" | "apache-kafka" => json!({"kafka": {
            "bootstrapServers": or_empty("bootstrapServers").split(',').map(str::trim).collect::<Vec<_>>(),
            "consumerGroup": or_empty("consumerGroup"),
            "topics": text("topic").into_iter().collect::<Vec<_>>(),
        }}),
        "redis" => json!({"redis": {"address": or_empty("address"), "list": or_empty("listName")}}),
        "redis-streams" => json!({"redis": {
            "address": or_empty("address"),
            "stream": {"key": or_empty("stream"), "group": or_empty("consumerGroup")},
        }}),
        "nats-jetstream" => json!({"nats": {
            "address": format!("nats://{}", or_empty("natsServerMonitoringEndpoint").replace(":8222", ":4222")),
            "stream": or_empty("stream"),
            "consumer": or_empty("consumer"),
        }}),
        "aws-sqs-queue" => {
            json!({"sqs": {"queueUrl": or_empty("queueURL"), "region": or_empty("awsRegion")}})
        }
        "rabbitmq" => {
            notes.push(format!(
                "trigger {name}: write queue.rabbitmq with address and sign-in; KEDA keeps both in one string"
            ));
            json!({"rabbitmq": {"queue": or_empty("queueName")}})
        }
        other => {
            notes.push(format!(
                "trigger {other} isn't carried over; let Prometheus scrape it and write a query"
            ));
            return None;
        }
    };
    notes.push(format!(
        "trigger {name}: a threshold of messages per replica has no counterpart; drainWithin is a promise instead, 2m here as \
         a guess"
    ));
    Some(json!({"name": metric_name(name), "queue": broker, "drainWithin": "2m"}))
}

fn fallback(spec: &Value, metrics: &mut [Value]) {
    let (Some(threshold), Some(replicas)) =
        (spec["fallback"]["failureThreshold"].as_i64(), spec["fallback"]["replicas"].as_i64())
    else {
        return;
    };
    let after = threshold * spec["pollingInterval"].as_i64().unwrap_or(30);
    let after = api::units::write_duration(std::time::Duration::from_secs(after.max(15) as u64));
    for metric in metrics {
        metric["fallback"] = json!({"after": after, "minReplicas": replicas});
    }
}

fn remarks(object: &Value, notes: &mut Vec<String>) {
    let spec = &object["spec"];
    let mut remark = |there: bool, text: &str| {
        if there {
            notes.push(text.to_owned());
        }
    };
    remark(
        spec["cooldownPeriod"].is_i64(),
        "cooldownPeriod isn't carried over: replicas fall as behavior, forecast and health allow, to 0 as well",
    );
    remark(
        spec["idleReplicaCount"].is_i64(),
        "idleReplicaCount isn't carried over; minReplicas: 0 rests without pods",
    );
    remark(
        spec["pollingInterval"].is_i64(),
        "pollingInterval isn't carried over: every policy is looked at each 15 s",
    );
    remark(
        spec["advanced"]["scalingModifiers"].is_object(),
        "scalingModifiers aren't carried over; put the formula into the query",
    );
    let paused = object["metadata"]["annotations"]
        .as_object()
        .is_some_and(|a| a.keys().any(|k| k.starts_with("autoscaling.keda.sh/paused")));
    remark(paused, "the paused annotation isn't carried over; use `foresail pause NAME --for 2h --why ...`");
}
