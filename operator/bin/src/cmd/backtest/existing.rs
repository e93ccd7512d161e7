//! The autoscaler that somebody has, out of its own file, so that a replay can be held against it.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use backtest::baseline::{Fallback, FallbackKind, KedaSpec};
use backtest::hpa::{Behavior, HpaSpec, Metric, Policy, PolicyKind, Rules, Select, Tolerance};
use backtest::{Existing, ExistingSpec, PROMISE};
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};
use serde_json::Value;

/// An autoscaler, and the same as a policy.
pub(super) struct Found {
    /// What it does.
    pub(super) existing: Existing,
    /// The policy that `foresail convert` makes of it, as YAML.
    pub(super) policy: String,
    /// What can't be replayed of it.
    pub(super) notes: Vec<String>,
}

/// Reads a HorizontalPodAutoscaler or a ScaledObject, whichever is `wanted`.
pub(super) fn read(path: &Path, wanted: &str) -> anyhow::Result<Found> {
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    parse(&text, wanted).with_context(|| format!("can't replay {}", path.display()))
}

fn parse(text: &str, wanted: &str) -> anyhow::Result<Found> {
    let object: Value = serde_saphyr::from_str(text).context("this isn't one YAML or JSON object")?;
    let kind = object["kind"].as_str().unwrap_or_default();
    ensure!(kind == wanted, "kind is {kind:?}; it must be {wanted}");
    let mut notes = Vec::new();
    let spec = &object["spec"];
    let (short, spec) = if wanted == "ScaledObject" {
        ("ScaledObject", ExistingSpec::Keda(scaled_object(spec, &mut notes)?))
    } else {
        ("HPA", ExistingSpec::Hpa(hpa(spec, &mut notes)?))
    };
    let name = object["metadata"]["name"].as_str().unwrap_or("without a name");
    let name = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{short} {namespace}/{name}"),
        None => format!("{short} {name}"),
    };
    let policy = serde_saphyr::to_string(&crate::cmd::convert::convert(text, false)?.policy)?;
    Ok(Found { existing: Existing { name, spec }, policy, notes })
}

fn hpa(spec: &Value, notes: &mut Vec<String>) -> anyhow::Result<HpaSpec> {
    let mut metrics = Vec::new();
    if let Some(percent) = whole(spec, "targetCPUUtilizationPercentage")? {
        metrics.push(Metric::Utilization(percent));
    }
    for metric in spec["metrics"].as_array().into_iter().flatten() {
        metrics.extend(hpa_metric(metric, notes)?);
    }
    if spec["metrics"].as_array().is_none_or(Vec::is_empty) && metrics.is_empty() {
        // An HPA without metrics means 80 % CPU.
        metrics.push(Metric::Utilization(80));
    }
    let (behavior, tolerance) = behavior(&spec["behavior"])?;
    Ok(HpaSpec {
        metrics: one_load(metrics, notes)?,
        behavior,
        tolerance,
        min: whole(spec, "minReplicas")?.unwrap_or(1),
        max: whole(spec, "maxReplicas")?.context("spec.maxReplicas is missing")?,
    })
}

fn hpa_metric(metric: &Value, notes: &mut Vec<String>) -> anyhow::Result<Option<Metric>> {
    let kind = metric["type"].as_str().unwrap_or_default();
    let (source, name) = match kind {
        "Resource" => (&metric["resource"], &metric["resource"]["name"]),
        "ContainerResource" => (&metric["containerResource"], &metric["containerResource"]["name"]),
        "Pods" => (&metric["pods"], &metric["pods"]["metric"]["name"]),
        "External" => (&metric["external"], &metric["external"]["metric"]["name"]),
        "Object" => (&metric["object"], &metric["object"]["metric"]["name"]),
        other => bail!("spec.metrics has type {other:?}, which no HPA knows"),
    };
    let (name, target) = (name.as_str().unwrap_or_default(), &source["target"]);
    let resource = matches!(kind, "Resource" | "ContainerResource");
    if resource && name == "cpu" && !target["averageUtilization"].is_null() {
        return Ok(whole(target, "averageUtilization")?.map(Metric::Utilization));
    }
    if !resource && !target["averageValue"].is_null() {
        return Ok(Some(Metric::Average(amount(target, "averageValue")?)));
    }
    notes.push(format!(
        "left out metric {name} of the HPA: a replay knows CPU utilization and loads with an averageValue"
    ));
    Ok(None)
}

fn scaled_object(spec: &Value, notes: &mut Vec<String>) -> anyhow::Result<KedaSpec> {
    let (mut metrics, mut activation, mut ignore_null) = (Vec::new(), 0.0, true);
    for trigger in spec["triggers"].as_array().into_iter().flatten() {
        let (kind, told) = (trigger["type"].as_str().unwrap_or_default(), &trigger["metadata"]);
        let by_value = trigger["metricType"] == "Value";
        match kind {
            "prometheus" if !by_value => {
                if metrics.iter().all(|m| matches!(m, Metric::Utilization(_))) {
                    ignore_null = told["ignoreNullValues"].as_str() != Some("false");
                    if !told["activationThreshold"].is_null() {
                        activation = amount(told, "activationThreshold")?;
                    }
                }
                metrics.push(Metric::Average(amount(told, "threshold")?));
            }
            "cpu" if trigger["metricType"] != "AverageValue" => {
                metrics.push(Metric::Utilization(amount(told, "value")? as u32));
            }
            _ => notes.push(format!(
                "left out trigger {kind} of the ScaledObject: a replay knows prometheus with a threshold a replica, and cpu"
            )),
        }
    }
    let min = whole(spec, "minReplicaCount")?.unwrap_or(0);
    let (behavior, tolerance) = behavior(&spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])?;
    Ok(KedaSpec {
        hpa: HpaSpec {
            metrics: one_load(metrics, notes)?,
            behavior,
            tolerance,
            min: min.max(1),
            max: whole(spec, "maxReplicaCount")?.unwrap_or(100),
        },
        min,
        idle: whole(spec, "idleReplicaCount")?,
        activation,
        polling: whole(spec, "pollingInterval")?.unwrap_or(30) as usize,
        cooldown: whole(spec, "cooldownPeriod")?.unwrap_or(300) as usize,
        ignore_null,
        fallback: fallback(&spec["fallback"])?,
    })
}

fn fallback(told: &Value) -> anyhow::Result<Option<Fallback>> {
    let (Some(failures), Some(replicas)) = (whole(told, "failureThreshold")?, whole(told, "replicas")?)
    else {
        return Ok(None);
    };
    let kind = match told["behavior"].as_str().unwrap_or("static") {
        "static" => FallbackKind::Static,
        "currentReplicas" => FallbackKind::Current,
        "currentReplicasIfHigher" => FallbackKind::CurrentIfHigher,
        "currentReplicasIfLower" => FallbackKind::CurrentIfLower,
        other => bail!("fallback.behavior is {other:?}, which KEDA doesn't know"),
    };
    Ok(Some(Fallback { failures, replicas, kind }))
}

/// A replay has one load: the first metric on a load is on that.
fn one_load(metrics: Vec<Metric>, notes: &mut Vec<String>) -> anyhow::Result<Vec<Metric>> {
    let mut loads = 0;
    let mut kept = Vec::new();
    for metric in metrics {
        let load = matches!(metric, Metric::Average(_));
        loads += usize::from(load);
        if load && loads > 1 {
            notes.push("left out all metrics on a load but the first: a replay has one load".to_owned());
        } else {
            kept.push(metric);
        }
    }
    ensure!(!kept.is_empty(), "it has no metric that can be replayed");
    Ok(kept)
}

/// `behavior` with the defaults that the API server fills in; nothing where nothing is set.
fn behavior(told: &Value) -> anyhow::Result<(Option<Behavior>, Tolerance)> {
    let mut tolerance = Tolerance::default();
    if !told.is_object() {
        return Ok((None, tolerance));
    }
    let told: HorizontalPodAutoscalerBehavior =
        serde_json::from_value(told.clone()).context("behavior isn't what an HPA's is")?;
    let mut behavior = Behavior::default();
    if let Some(up) = &told.scale_up {
        tolerance.up = rules(up, &mut behavior.up)?.unwrap_or(tolerance.up);
    }
    if let Some(down) = &told.scale_down {
        tolerance.down = rules(down, &mut behavior.down)?.unwrap_or(tolerance.down);
    }
    Ok((Some(behavior), tolerance))
}

/// Overlays what is set; gives the tolerance.
fn rules(told: &HPAScalingRules, rules: &mut Rules) -> anyhow::Result<Option<f64>> {
    if let Some(window) = told.stabilization_window_seconds {
        rules.window = window.max(0) as usize;
    }
    rules.select = match told.select_policy.as_deref() {
        None | Some("Max") => Select::Max,
        Some("Min") => Select::Min,
        Some("Disabled") => Select::Disabled,
        Some(other) => bail!("behavior has selectPolicy {other:?}; it must be Max, Min or Disabled"),
    };
    if let Some(policies) = &told.policies {
        let of = |p: &k8s_openapi::api::autoscaling::v2::HPAScalingPolicy| {
            let kind = match p.type_.as_str() {
                "Pods" => PolicyKind::Pods,
                "Percent" => PolicyKind::Percent,
                other => bail!("behavior has a policy of type {other:?}; it must be Pods or Percent"),
            };
            Ok(Policy { kind, value: p.value.max(0) as u32, period: p.period_seconds.max(1) as usize })
        };
        rules.policies = policies.iter().map(of).collect::<anyhow::Result<_>>()?;
    }
    let tolerance = told.tolerance.as_ref().map(|t| api::units::quantity(&t.0));
    tolerance.transpose().map_err(|e| anyhow::anyhow!("behavior has a tolerance that is no quantity: {e}"))
}

/// A whole number; `None` where nothing is written.
fn whole(of: &Value, field: &str) -> anyhow::Result<Option<u32>> {
    let told = &of[field];
    if told.is_null() {
        return Ok(None);
    }
    let number = told.as_u64().and_then(|n| u32::try_from(n).ok());
    number.map(Some).with_context(|| format!("{field} is {told}; it must be a whole number of 0 or more"))
}

/// A quantity above or at 0, written as a number or as text.
fn amount(of: &Value, field: &str) -> anyhow::Result<f64> {
    let told = &of[field];
    let text = told.as_str().map_or_else(|| told.to_string(), str::to_owned);
    match api::units::quantity(&text) {
        Ok(value) if value >= 0.0 => Ok(value),
        _ => bail!("{field} is {told}; it must be a quantity of 0 or more, such as 100 or 500m"),
    }
}

/// The share of what a replica carries that an autoscaler's target is taken to be: the usual spare is 30 %.
const OF_CARRIED: f64 = 0.7;

/// What one replica carries of each metric of the policy that was made of an existing autoscaler, in the metric's unit: an
/// autoscaler's target says where it is to stand, not what breaks. A request is taken to be what saturates a pod. And the
/// autoscaler in the unit of the first metric, which a replay has.
pub(super) fn carried(policy: &decide::Policy, existing: Existing) -> (Vec<f64>, Existing) {
    let of_request = |metric: &decide::MetricPolicy| matches!(metric.name.as_str(), "cpu" | "memory");
    let of = |metric: &decide::MetricPolicy| {
        if of_request(metric) { PROMISE.max(metric.target) } else { metric.target / OF_CARRIED }
    };
    let carried: Vec<f64> = policy.metrics.iter().map(of).collect();
    let load = policy.metrics.iter().find(|metric| !of_request(metric)).map(of);
    let factor = carried.first().zip(load).map_or(1.0, |(first, load)| first / load);
    (carried, existing.in_unit(factor))
}

/// Whether it only looks at CPU: then nothing says how much of another load one replica carries.
pub(super) fn on_cpu_alone(existing: &Existing) -> bool {
    existing.spec.hpa().metrics.iter().all(|m| matches!(m, Metric::Utilization(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hpa_is_read_with_its_own_behavior_and_bounds() {
        let found = parse(
            "
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  scaleTargetRef: {kind: Deployment, name: web}
  minReplicas: 3
  maxReplicas: 40
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 65}}}
  - {type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 80}}}
  - {type: External, external: {metric: {name: rps}, target: {type: AverageValue, averageValue: 1500m}}}
  behavior:
    scaleUp: {selectPolicy: Min, tolerance: 50m}
    scaleDown: {stabilizationWindowSeconds: 600, policies: [{type: Pods, value: 2, periodSeconds: 60}]}
",
            "HorizontalPodAutoscaler",
        )
        .unwrap();
        assert_eq!(found.existing.name, "HPA shop/web");
        let ExistingSpec::Hpa(spec) = &found.existing.spec else { panic!("{:?}", found.existing) };
        assert_eq!(spec.metrics, [Metric::Utilization(65), Metric::Average(1.5)]);
        assert_eq!((spec.min, spec.max), (3, 40));
        assert_eq!(spec.tolerance, Tolerance { up: 0.05, down: 0.1 });
        let behavior = spec.behavior.as_ref().unwrap();
        assert_eq!(
            (behavior.up.select, &behavior.up.policies),
            (Select::Min, &Behavior::default().up.policies)
        );
        let two = Policy { kind: PolicyKind::Pods, value: 2, period: 60 };
        assert_eq!((behavior.down.window, behavior.down.policies.as_slice()), (600, &[two][..]));
        assert!(found.notes.len() == 1 && found.notes[0].contains("memory"), "{:?}", found.notes);
    }

    #[test]
    fn a_scaled_object_is_read_with_polling_cooldown_and_fallback() {
        let found = parse(
            "
kind: ScaledObject
metadata: {name: web}
spec:
  scaleTargetRef: {name: web}
  minReplicaCount: 0
  maxReplicaCount: 9
  pollingInterval: 10
  cooldownPeriod: 60
  fallback: {failureThreshold: 3, replicas: 6, behavior: currentReplicasIfHigher}
  triggers:
  - {type: prometheus, metadata: {query: x, threshold: '100', activationThreshold: '5', ignoreNullValues: 'false'}}
  - {type: kafka, metadata: {topic: t}}
",
            "ScaledObject",
        )
        .unwrap();
        let ExistingSpec::Keda(spec) = &found.existing.spec else { panic!("{:?}", found.existing) };
        let kind = FallbackKind::CurrentIfHigher;
        let wanted = KedaSpec {
            hpa: HpaSpec { max: 9, ..HpaSpec::on(Metric::Average(100.0), 1, 9) },
            min: 0,
            idle: None,
            activation: 5.0,
            polling: 10,
            cooldown: 60,
            ignore_null: false,
            fallback: Some(Fallback { failures: 3, replicas: 6, kind }),
        };
        assert_eq!(*spec, wanted);
        assert!(found.notes[0].contains("kafka"), "{:?}", found.notes);
    }

    #[test]
    fn what_cant_be_is_refused_by_name() {
        let hpa =
            |spec: &str| format!("{{kind: HorizontalPodAutoscaler, metadata: {{name: w}}, spec: {spec}}}");
        let refused = |text: &str| format!("{:#}", parse(text, "HorizontalPodAutoscaler").err().unwrap());
        assert!(refused("{kind: Pod}").contains("kind is \"Pod\""));
        assert!(refused(&hpa("{minReplicas: 2}")).contains("spec.maxReplicas is missing"));
        assert!(refused(&hpa("{maxReplicas: -2}")).contains("maxReplicas is -2"));
        let metric =
            "metrics: [{type: Resource, resource: {name: memory, target: {averageUtilization: 50}}}]";
        assert!(refused(&hpa(&format!("{{maxReplicas: 2, {metric}}}"))).contains("no metric"));
    }
}
