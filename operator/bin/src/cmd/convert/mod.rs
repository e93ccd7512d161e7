//! `foresail convert`: an AutoscalePolicy from a HorizontalPodAutoscaler or a KEDA ScaledObject, and everything that
//! can't be carried over, said plainly.

mod hpa;
mod keda;

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

/// The policy goes to standard output, what needs a look to standard error and into comments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File with the HorizontalPodAutoscaler or ScaledObject as YAML or JSON; - for standard input
    file: PathBuf,
    /// Keep the HPA in charge and only raise its minReplicas ahead of need
    #[arg(long)]
    beside: bool,
}

/// A policy, and what a person has to look at.
pub(crate) struct Converted {
    pub(crate) policy: Value,
    pub(crate) notes: Vec<String>,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    let text = if args.file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("can't read standard input")?;
        text
    } else {
        std::fs::read_to_string(&args.file).with_context(|| format!("can't read {}", args.file.display()))?
    };
    let converted = convert(&text, args.beside)?;
    for note in &converted.notes {
        eprintln!("‼ {note}");
        println!("# {note}");
    }
    print!("{}", serde_saphyr::to_string(&converted.policy)?);
    Ok(ExitCode::SUCCESS)
}

/// Converts one object.
pub(crate) fn convert(text: &str, beside: bool) -> anyhow::Result<Converted> {
    let object: Value = serde_saphyr::from_str(text).context("this isn't one YAML or JSON object")?;
    let kind = object["kind"].as_str().unwrap_or_default();
    let mut converted = match kind {
        "HorizontalPodAutoscaler" => hpa::convert(&object),
        "ScaledObject" => keda::convert(&object),
        other => bail!("can't convert kind {other:?}; give a HorizontalPodAutoscaler or a ScaledObject"),
    };
    if beside {
        stay_beside(&object, &mut converted);
    } else {
        converted.notes.push(format!(
            "delete the {kind} when you apply this policy; until then the policy says ConflictingAutoscaler"
        ));
    }
    check(&mut converted);
    Ok(converted)
}

/// Leaves the HPA (KEDA's own, for a ScaledObject) in charge.
fn stay_beside(object: &Value, converted: &mut Converted) {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let hpa = if object["kind"] == "ScaledObject" { format!("keda-hpa-{name}") } else { name.to_owned() };
    let spec = &mut converted.policy["spec"];
    spec["scaleTargetRef"] = json!({"kind": "HorizontalPodAutoscaler", "name": hpa});
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("maxReplicas");
        spec.remove("minReplicas");
        spec.remove("behavior");
    }
}

/// What the operator itself would say about the policy.
fn check(converted: &mut Converted) {
    let spec = converted.policy["spec"].clone();
    match serde_json::from_value::<api::v1alpha1::AutoscalePolicySpec>(spec) {
        Ok(spec) => {
            if let Err(invalid) = controller::validate::validate(&spec, std::time::Duration::from_secs(15)) {
                converted.notes.extend(invalid.iter().map(|i| format!("still to do: {i}")));
            }
        }
        Err(error) => converted.notes.push(format!("still to do: {error}")),
    }
}

/// Name, namespace, and an empty spec.
fn skeleton(object: &Value, name: &str) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), name.into());
    if let Some(namespace) = object["metadata"]["namespace"].as_str() {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    json!({"apiVersion": "foresail.dev/v1alpha1", "kind": "AutoscalePolicy", "metadata": metadata, "spec": {}})
}

/// A name that a metric may have.
fn metric_name(written: &str) -> String {
    let name: String =
        written.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "load".to_owned() } else { name.chars().take(63).collect() }
}

/// The pods of a workload, as a matcher on the `pod` label.
fn pods_of(kind: &str, name: &str) -> String {
    match kind {
        "StatefulSet" => format!("{name}-[0-9]+"),
        _ => format!("{name}-[a-z0-9]+-[a-z0-9]+"),
    }
}

/// CPU or memory as a load that can be forecast: how many pods' worth of requests is in use.
fn resource_metric(
    resource: &str,
    percent: i64,
    namespace: &str,
    pods: &str,
    notes: &mut Vec<String>,
) -> Option<Value> {
    let (used, unit) = match resource {
        "cpu" => ("rate(container_cpu_usage_seconds_total", "cpu"),
        "memory" => ("(container_memory_working_set_bytes", "memory"),
        other => {
            notes.push(format!("resource {other} isn't carried over; write a query for it"));
            return None;
        }
    };
    let range = if resource == "cpu" { "[2m]" } else { "" };
    let matcher = format!("namespace=\"{namespace}\",pod=~\"{pods}\"");
    let query = format!(
        "sum({used}{{{matcher},container!=\"\"}}{range})) / avg(sum by (pod) \
         (kube_pod_container_resource_requests{{{matcher},resource=\"{unit}\"}}))"
    );
    notes.push(format!(
        "metric {resource}: the query needs cAdvisor and kube-state-metrics in Prometheus. {} follows from your replicas; \
         a query for what users ask (requests, messages) is forecast far better",
        if resource == "cpu" { "CPU" } else { "Memory" }
    ));
    Some(json!({
        "name": resource,
        "prometheus": {"query": query},
        "target": format!("{}m", percent * 10),
        "spare": "0%",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(converted: &Converted) -> &Value {
        &converted.policy["spec"]
    }

    #[test]
    fn an_hpa_on_cpu_becomes_a_policy_that_is_valid() {
        let converted = convert(
            "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 20
  metrics:
  - type: Resource
    resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}
  behavior:
    scaleDown: {stabilizationWindowSeconds: 600}
",
            false,
        )
        .unwrap();
        let spec = spec(&converted);
        assert_eq!((&spec["minReplicas"], &spec["maxReplicas"]), (&json!(2), &json!(20)));
        assert_eq!(spec["metrics"][0]["target"], "600m");
        assert_eq!(spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"], 600);
        assert!(converted.notes.iter().all(|n| !n.contains("still to do")), "{:?}", converted.notes);
        let query = spec["metrics"][0]["prometheus"]["query"].as_str().unwrap();
        assert!(query.contains("pod=~\"web-[a-z0-9]+-[a-z0-9]+\""), "{query}");
    }

    #[test]
    fn an_old_hpa_with_a_cpu_percentage_is_understood() {
        let converted = convert(
            "{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: web}, spec: {scaleTargetRef: \
             {kind: Deployment, name: web}, maxReplicas: 5, targetCPUUtilizationPercentage: 70}}",
            false,
        )
        .unwrap();
        assert_eq!(spec(&converted)["metrics"][0]["target"], "700m");
    }

    #[test]
    fn beside_an_hpa_only_its_floor_is_driven() {
        let text = "{kind: HorizontalPodAutoscaler, metadata: {name: web}, spec: {scaleTargetRef: {kind: Deployment, \
                    name: web}, maxReplicas: 5, metrics: [{type: External, external: {metric: {name: queue_length, \
                    selector: {matchLabels: {queue: orders}}}, target: {type: AverageValue, averageValue: 30}}}]}}";
        let converted = convert(text, true).unwrap();
        let spec = spec(&converted);
        assert_eq!(spec["scaleTargetRef"], json!({"kind": "HorizontalPodAutoscaler", "name": "web"}));
        assert_eq!(spec["metrics"][0]["prometheus"]["query"], "sum(queue_length{queue=\"orders\"})");
        assert!(spec.get("maxReplicas").is_none());
    }

    #[test]
    fn a_scaled_object_keeps_its_query_threshold_and_fallback() {
        let converted = convert(
            "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: web, namespace: shop, annotations: {autoscaling.keda.sh/paused: 'true'}}
spec:
  scaleTargetRef: {name: web}
  minReplicaCount: 2
  maxReplicaCount: 30
  cooldownPeriod: 300
  fallback: {failureThreshold: 4, replicas: 6}
  triggers:
  - type: prometheus
    metadata: {serverAddress: 'http://prom:9090', query: 'sum(rate(x[2m]))', threshold: '100'}
  - type: cron
    metadata: {timezone: Europe/Berlin, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: '10'}
",
            false,
        )
        .unwrap();
        let spec = spec(&converted);
        assert_eq!(spec["prometheus"]["address"], "http://prom:9090");
        assert_eq!(spec["metrics"][0]["prometheus"]["query"], "sum(rate(x[2m]))");
        assert_eq!(spec["metrics"][0]["target"], json!(100));
        assert_eq!(spec["metrics"][0]["fallback"], json!({"after": "2m", "minReplicas": 6}));
        let notes = converted.notes.join("\n");
        assert!(
            notes.contains("cron") && notes.contains("paused") && notes.contains("cooldownPeriod"),
            "{notes}"
        );
        assert!(!notes.contains("still to do"), "{notes}");
    }

    #[test]
    fn a_kafka_trigger_becomes_a_promise() {
        let converted = convert(
            "{kind: ScaledObject, metadata: {name: c}, spec: {scaleTargetRef: {name: c}, triggers: [{type: kafka, metadata: \
             {bootstrapServers: 'a:9092,b:9092', consumerGroup: g, topic: t, lagThreshold: '50'}}]}}",
            false,
        )
        .unwrap();
        let spec = spec(&converted);
        assert_eq!(spec["metrics"][0]["queue"]["kafka"]["bootstrapServers"], json!(["a:9092", "b:9092"]));
        assert_eq!(spec["metrics"][0]["drainWithin"], "2m");
        assert_eq!((&spec["minReplicas"], &spec["maxReplicas"]), (&json!(0), &json!(100)));
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        assert!(convert("{kind: Pod}", false).err().unwrap().to_string().contains("\"Pod\""));
    }
}
