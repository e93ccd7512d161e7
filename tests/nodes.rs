//! Nodes and pods as KWOK and the real scheduler play them, and what metrics-server and a real HPA make of them.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use testbed::nodes::{CRASH_LOOP, EVICTED, FLAPPING, MetricsServer, Play, Usage, behavior, cpu_of_pods};
use testbed::{ControlPlane, Nodes, Shape, wait};

/// The pods of a node that is gone are collected after most of a minute.
const PATIENCE: Duration = Duration::from_mins(2);

fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "none"}]}}},
    })
}

fn with_cpu(mut deployment: Value, cpu: &str) -> Value {
    deployment["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
    deployment
}

async fn pods(plane: &ControlPlane, app: &str) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::default_namespaced(plane.client());
    Ok(pods.list(&ListParams::default().labels(&format!("app={app}"))).await?.items)
}

/// Waits until the pods of an application are as `wanted` says, and returns them.
async fn wait_for_pods(
    plane: &ControlPlane,
    app: &str,
    what: &str,
    wanted: impl Fn(&[Pod]) -> bool,
) -> Result<Vec<Pod>> {
    wait::until(&format!("pods of {app}: {what}"), PATIENCE, || async {
        let pods = pods(plane, app).await?;
        let told: Vec<_> = pods.iter().map(|pod| (pod.name_any(), pod.status.clone())).collect();
        ensure!(wanted(&pods), "{told:?}");
        Ok(pods)
    })
    .await
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a k8s_openapi::api::core::v1::PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|it| it.type_ == kind)
}

fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|it| it.status == "True")
}

/// Why a pod's container waits, and how often it was started again.
fn waits(pod: &Pod) -> Option<(String, i32)> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.clone()?, container.restart_count))
}

/// Seconds from creation until Ready. Kubernetes keeps whole seconds.
fn startup(pod: &Pod) -> Result<f64> {
    let created = pod.creation_timestamp().context("created")?.0;
    let ready = condition(pod, "Ready").and_then(|it| it.last_transition_time.clone()).context("Ready")?.0;
    Ok(ready.duration_since(created).as_secs_f64())
}

#[tokio::test]
async fn pods_start_crash_flap_wait_for_their_image_and_are_put_out_as_they_say() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let _nodes = Nodes::start(&plane, Duration::from_secs(3)).await?;
    let says = |name: &str, says: &[(&str, &str)]| behavior(deployment(name, 2), says);
    for workload in [
        deployment("web", 2),
        says("spread", &[("startup", "4s"), ("startup-max", "12s")]),
        says("slow-image", &[("image-pull", "5s"), ("startup", "1s")]),
        says("no-image", &[("image-pull", "never")]),
        says("crashing", &[("behavior", CRASH_LOOP)]),
        says("flapping", &[("behavior", FLAPPING), ("period", "2s"), ("startup", "0s")]),
        says("evicted", &[("behavior", EVICTED), ("startup", "0s")]),
    ] {
        plane.apply_object(workload).await?;
    }
    let all_ready = |pods: &[Pod]| pods.len() == 2 && pods.iter().all(is_ready);
    for pod in wait_for_pods(&plane, "web", "two Ready", all_ready).await? {
        let seconds = startup(&pod)?;
        ensure!((2.0..10.0).contains(&seconds), "start-up took {seconds} s");
    }
    let spread = wait_for_pods(&plane, "spread", "two Ready", all_ready).await?;
    for seconds in spread.iter().map(startup) {
        ensure!((3.0..20.0).contains(&seconds?), "{spread:?}");
    }
    for pod in wait_for_pods(&plane, "slow-image", "two Ready", all_ready).await? {
        ensure!(startup(&pod)? >= 5.0, "the image was there too early: {:?}", pod.status);
    }
    let waiting = |reason: &'static str, restarts: i32| {
        move |pods: &[Pod]| {
            let waits: Vec<_> = pods.iter().filter_map(waits).collect();
            waits.len() == 2 && waits.iter().all(|(why, count)| why == reason && *count >= restarts)
        }
    };
    wait_for_pods(&plane, "no-image", "no image", waiting("ImagePullBackOff", 0)).await?;
    wait_for_pods(&plane, "crashing", "crashed twice", waiting("CrashLoopBackOff", 2)).await?;
    for _ in 0..2 {
        wait_for_pods(&plane, "flapping", "Ready", |pods| pods.iter().all(is_ready)).await?;
        wait_for_pods(&plane, "flapping", "not Ready", |pods| !pods.iter().any(is_ready)).await?;
    }
    let put_out =
        |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.reason.as_deref() == Some("Evicted"));
    let replaced = |pods: &[Pod]| pods.iter().filter(|pod| put_out(pod)).count() >= 2 && pods.len() >= 4;
    wait_for_pods(&plane, "evicted", "put out and replaced", replaced).await?;

    plane.apply_object(deployment("web", 0)).await?;
    wait_for_pods(&plane, "web", "none left", <[Pod]>::is_empty).await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_needs_room_and_outlives_neither_its_eviction_nor_its_node() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let room = [("cpu", "2"), ("memory", "4Gi"), ("pods", "20")];
    let nodes = Nodes::start_with(&plane, Duration::ZERO, &[&room]).await?;
    plane.apply_object(with_cpu(deployment("web", 3), "900m")).await?;
    let homeless = |pod: &Pod| {
        condition(pod, "PodScheduled").is_some_and(|it| {
            it.status == "False" && it.message.as_ref().is_some_and(|told| told.contains("Insufficient cpu"))
        })
    };
    wait_for_pods(&plane, "web", "two Ready, one without room", |pods| {
        pods.iter().filter(|pod| is_ready(pod)).count() == 2
            && pods.iter().filter(|pod| homeless(pod)).count() == 1
    })
    .await?;
    nodes.add("node-2", &room).await?;
    let three = |pods: &[Pod]| pods.len() == 3 && pods.iter().all(is_ready);
    let before = wait_for_pods(&plane, "web", "three Ready on two nodes", three).await?;

    // Two nodes have room for four: whoever is put out finds a place.
    let evicted = before[0].name_any();
    nodes.evict("default", &evicted).await?;
    wait_for_pods(&plane, "web", "another instead of the evicted one", |pods| {
        three(pods) && pods.iter().all(|pod| pod.name_any() != evicted)
    })
    .await?;

    nodes.add("node-3", &room).await?;
    nodes.remove("node-2").await?;
    let place = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    let after = wait_for_pods(&plane, "web", "all on the nodes that are left", |pods| {
        three(pods) && pods.iter().all(|pod| place(pod) != "node-2")
    })
    .await?;
    let places: HashSet<String> = after.iter().map(place).collect();
    ensure!(places.contains("node-3"), "{places:?}");
    Ok(())
}

#[tokio::test]
async fn a_real_hpa_on_cpu_goes_up_and_down_with_the_load_that_is_played() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let nodes = Nodes::start(&plane, Duration::from_secs(1)).await?;
    let _metrics = MetricsServer::start(&plane).await?;
    plane.apply_object(with_cpu(deployment("web", 2), "500m")).await?;
    plane
        .apply_object(json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 2, "maxReplicas": 10,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 50}}}],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            },
        }))
        .await?;
    let replicas = |wanted: std::ops::RangeInclusive<i32>| {
        let client = plane.client();
        async move {
            let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
            let hpas: Api<HorizontalPodAutoscaler> = Api::default_namespaced(client);
            wait::until(&format!("{wanted:?} replicas"), Duration::from_mins(3), || async {
                let has = deployments.get("web").await?.spec.and_then(|spec| spec.replicas).unwrap_or(0);
                let told = hpas.get("web").await?.status;
                ensure!(wanted.contains(&has), "{has} replicas; the HPA says {told:?}");
                Ok(())
            })
            .await
        }
    };
    // 160 requests a second at 10 ms each are 1.6 cores: at half of 500m a pod, that is 6.4 pods.
    let play = Play::start(&nodes, "web", Shape::constant(160.0), 10.0, 2_000);
    replicas(6..=8).await?;
    let each = cpu_of_pods(&plane.client(), "web").await?;
    ensure!(each.iter().any(|cpu| *cpu > 100.0), "{each:?}");
    drop(play);
    nodes.set_usage(&[("web", Usage { millicores: 20, mebibytes: 64 })]).await?;
    replicas(2..=2).await
}

#[tokio::test]
async fn a_load_that_is_played_is_shared_by_the_pods_that_are_ready() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let nodes = Nodes::start(&plane, Duration::ZERO).await?;
    let _metrics = MetricsServer::start(&plane).await?;
    plane.apply_object(deployment("web", 4)).await?;
    let begin = Timestamp::now();
    let rising = Shape::new(begin, SignedDuration::from_hours(1), &[(0, 100.0), (3_599, 100.0)]);
    let _play = Play::start(&nodes, "web", rising, 8.0, 1_000);
    // 800 thousandths of a core, by four.
    wait::until("a fourth each", Duration::from_mins(2), || async {
        let each = cpu_of_pods(&plane.client(), "web").await?;
        ensure!(each.len() == 4 && each.iter().all(|cpu| (160.0..240.0).contains(cpu)), "{each:?}");
        Ok(())
    })
    .await
}
