//! The peers come up on the testbed and do what they are for. Run by `tests/peers`, on demand: building them takes a
//! quarter of an hour.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

use std::time::Duration;

use anyhow::{Result, ensure};
use backtest::PodMetrics;
use backtest::baseline::KedaSpec;
use backtest::hpa::Behavior;
use jiff::Timestamp;
use serde_json::{Value, json};
use testbed::exporter::Counter;
use testbed::peers::{Karpenter, Keda, Rollouts};
use testbed::{ControlPlane, LoadExporter, Nodes, Prometheus, Shape, wait};

const PATIENCE: Duration = Duration::from_mins(2);

fn template(app: &str, version: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app, "version": version}},
        "spec": {"containers": [{"name": "main", "image": "none", "resources": {"requests": {"cpu": cpu}}}]},
    })
}

fn deployment(name: &str, replicas: u32, cpu: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": template(name, "1", cpu)},
    })
}

async fn wait_for(
    plane: &ControlPlane,
    (api_version, kind): (&str, &str),
    name: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value> {
    wait::until(&format!("{kind} {name}: {what}"), PATIENCE, || async {
        let object = plane.get(api_version, kind, "default", name).await?;
        ensure!(holds(&object), "{} {}", object["spec"]["replicas"], object["status"]);
        Ok(object)
    })
    .await
}

#[tokio::test]
async fn a_scaled_object_on_prometheus_scales_a_deployment() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let _nodes = Nodes::start(&plane, Duration::from_secs(1)).await?;
    let counter = Counter::new("http_requests_total{app=\"web\"}", Shape::constant(450.0), Timestamp::now());
    let exporter = LoadExporter::start(vec![counter]).await?;
    let prometheus = Prometheus::setup().scrape("load", &[exporter.target()]).start().await?;
    prometheus.wait_for("rate(http_requests_total[10s])", PATIENCE).await?;
    let _keda = Keda::start(&plane).await?;
    plane.apply_object(deployment("web", 1, "100m")).await?;
    plane
        .apply_object(json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"},
            "spec": {
                "scaleTargetRef": {"name": "web"}, "pollingInterval": 5, "maxReplicaCount": 10,
                "triggers": [{"type": "prometheus", "metadata": {
                    "serverAddress": prometheus.url(), "threshold": "100",
                    "query": "sum(rate(http_requests_total{app=\"web\"}[10s]))",
                }}],
            },
        }))
        .await?;
    let five = |deployment: &Value| deployment["status"]["readyReplicas"] == 5;
    wait_for(&plane, ("apps/v1", "Deployment"), "web", "five for 450 at 100 each", five).await?;
    Ok(())
}

/// One look at the real KEDA and at the one that is replayed.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "load and time are for whoever reads a failure")]
struct Look {
    seconds: usize,
    load: Option<f64>,
    replicas: u32,
    replayed: u32,
}

/// Polling, activation and cooldown of the KEDA that `foresail backtest` replays, against the real one.
#[tokio::test]
async fn the_keda_that_is_replayed_rests_and_wakes_as_the_real_one_does() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let _nodes = Nodes::start(&plane, Duration::from_secs(1)).await?;
    let _keda = Keda::start(&plane).await?;
    // A trickle below the activation threshold, work, less work, nothing. The scrapes begin before.
    let knots = [(0, 20.0), (60, 20.0), (61, 450.0), (110, 450.0), (111, 150.0), (160, 150.0), (161, 0.0)];
    let shape = Shape::new(Timestamp::now(), jiff::SignedDuration::from_mins(10), &knots);
    let counter = Counter::new("http_requests_total{app=\"web\"}", shape, Timestamp::now());
    let exporter = LoadExporter::start(vec![counter]).await?;
    let prometheus = Prometheus::setup().scrape("load", &[exporter.target()]).start().await?;
    let query = "sum(rate(http_requests_total{app=\"web\"}[10s]))";
    prometheus.wait_for(query, PATIENCE).await?;
    plane.apply_object(deployment("web", 0, "100m")).await?;
    let (polling, cooldown, window) = (5, 20, 10);
    plane
        .apply_object(json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"},
            "spec": {
                "scaleTargetRef": {"name": "web"}, "minReplicaCount": 0, "maxReplicaCount": 10,
                "pollingInterval": polling, "cooldownPeriod": cooldown,
                "advanced": {"horizontalPodAutoscalerConfig": {
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": window}}}},
                "triggers": [{"type": "prometheus", "metadata": {
                    "serverAddress": prometheus.url(), "threshold": "100", "activationThreshold": "50", "query": query,
                }}],
            },
        }))
        .await?;
    let mut behavior = Behavior::default();
    behavior.down.window = window;
    let mut spec = KedaSpec { polling, cooldown, activation: 50.0, ..KedaSpec::on(100.0, 0, 10) };
    spec.hpa.behavior = Some(behavior);
    let looks = watch(&plane, &prometheus, query, backtest::baseline::Keda::new(spec)).await?;
    // KEDA polls and the HPA looks at a phase of their own, and a write takes a moment.
    let apart = polling.div_ceil(2) + 3;
    let differs = |(i, look): (usize, &Look)| {
        let around = &looks[i.saturating_sub(apart)..(i + apart + 1).min(looks.len())];
        (!around.iter().any(|other| other.replicas == look.replayed)).then_some(*look)
    };
    let differing: Vec<Look> = looks.iter().enumerate().filter_map(differs).collect();
    ensure!(differing.is_empty(), "{differing:#?}");
    let most = looks.iter().map(|look| look.replicas).max();
    let woke = looks.iter().find(|look| look.replicas > 0).map(|look| look.seconds);
    let slept = looks.last().map(|look| look.replicas);
    ensure!(most == Some(5) && woke.is_some() && slept == Some(0), "{looks:#?}");
    Ok(())
}

/// Looks every two seconds, for as long as the load takes and the cooldown after it; what is replayed has replicas of its own.
async fn watch(
    plane: &ControlPlane,
    prometheus: &Prometheus,
    query: &str,
    mut keda: backtest::baseline::Keda,
) -> Result<Vec<Look>> {
    let mut every = tokio::time::interval(Duration::from_secs(2));
    let (mut looks, mut replayed) = (Vec::new(), 0);
    for tick in 0..120 {
        every.tick().await;
        let load = prometheus.value(query).await.ok();
        let object = plane.get("apps/v1", "Deployment", "default", "web").await?;
        let replicas = object["spec"]["replicas"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let seconds = tick * 2;
        replayed = keda.step(seconds, replayed, &PodMetrics::default(), load);
        looks.push(Look { seconds, load, replicas, replayed });
    }
    Ok(looks)
}

#[tokio::test]
async fn a_rollout_goes_through_its_steps() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let _nodes = Nodes::start(&plane, Duration::from_secs(1)).await?;
    let _rollouts = Rollouts::start(&plane).await?;
    let rollout = |version: &str| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"},
            "spec": {
                "replicas": 4, "selector": {"matchLabels": {"app": "web"}},
                "template": template("web", version, "100m"),
                "strategy": {"canary": {"steps": [
                    {"setWeight": 25}, {"pause": {"duration": "3s"}}, {"setWeight": 50}, {"pause": {}},
                ]}},
            },
        })
    };
    let kind = ("argoproj.io/v1alpha1", "Rollout");
    plane.apply_object(rollout("1")).await?;
    let healthy =
        |rollout: &Value| rollout["status"]["phase"] == "Healthy" && rollout["status"]["readyReplicas"] == 4;
    wait_for(&plane, kind, "web", "four Ready", healthy).await?;
    plane.apply_object(rollout("2")).await?;
    // The last step waits for a person.
    let paused = wait_for(&plane, kind, "web", "half of them new, and paused", |rollout| {
        rollout["status"]["phase"] == "Paused" && rollout["status"]["currentStepIndex"] == 3
    })
    .await?;
    ensure!(paused["status"]["updatedReplicas"] == 2, "{}", paused["status"]);
    Ok(())
}

#[tokio::test]
async fn a_pod_without_room_gets_a_node() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let small = [("cpu", "1"), ("memory", "2Gi"), ("pods", "10")];
    let _nodes = Nodes::start_with(&plane, Duration::from_secs(1), &[&small]).await?;
    plane.apply_object(deployment("web", 3, "900m")).await?;
    let one = |deployment: &Value| deployment["status"]["readyReplicas"] == 1;
    wait_for(&plane, ("apps/v1", "Deployment"), "web", "room for one", one).await?;
    let _karpenter = Karpenter::start(&plane).await?;
    let three = |deployment: &Value| deployment["status"]["readyReplicas"] == 3;
    wait_for(&plane, ("apps/v1", "Deployment"), "web", "room for all", three).await?;
    Ok(())
}
