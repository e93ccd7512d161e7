//! A consumer Deployment on a real API server, a real Redis, consumers that really consume: the backlog is worked off
//! within the promise, nothing scales down while the broker is gone, busy consumers outlive idle ones, and a workload
//! sleeps while its queue is empty.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

mod scene;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use redis::{Client, cmd, pipe};
use scene::{Scene, deployment, policy};
use serde_json::{Value, json};
use testbed::{Shape, chart, servers, wait};

/// What one consumer works off in a second.
const EACH: u64 = 20;
const PROMISE: Duration = Duration::from_mins(1);

/// As many consumers as the Deployment has ready pods, and what they saw.
struct Consumers {
    oldest_ms: Arc<AtomicU64>,
    served: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Consumers {
    fn start(url: String, deployments: Api<Deployment>) -> Self {
        let consumers = Self { oldest_ms: Arc::default(), served: Arc::default(), stop: Arc::default() };
        let (oldest, served, stop) =
            (Arc::clone(&consumers.oldest_ms), Arc::clone(&consumers.served), Arc::clone(&consumers.stop));
        tokio::spawn(async move {
            let mut redis = None;
            let mut tick = tokio::time::interval(Duration::from_millis(200));
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                let ready = deployments
                    .get("consumer")
                    .await
                    .ok()
                    .and_then(|d| d.status?.ready_replicas)
                    .unwrap_or(0);
                let count = u64::from(ready.unsigned_abs()) * EACH / 5;
                match consume(&mut redis, &url, count, &oldest).await {
                    Ok(done) => drop(served.fetch_add(done, Ordering::Relaxed)),
                    Err(_) => redis = None,
                }
            }
        });
        consumers
    }

    /// The greatest age a message had when it was worked off.
    fn oldest(&self) -> Duration {
        Duration::from_millis(self.oldest_ms.load(Ordering::Relaxed))
    }
}

impl Drop for Consumers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn consume(
    redis: &mut Option<MultiplexedConnection>,
    url: &str,
    count: u64,
    oldest: &AtomicU64,
) -> Result<u64> {
    if count == 0 {
        return Ok(0);
    }
    if redis.is_none() {
        *redis = Some(Client::open(url)?.get_multiplexed_async_connection().await?);
    }
    let Some(redis) = redis else { return Ok(0) };
    let batch: Option<StreamReadReply> = cmd("XREADGROUP")
        .arg(&["GROUP", "shop", "one", "COUNT", &count.to_string(), "STREAMS", "orders", ">"])
        .query_async(redis)
        .await?;
    let ids: Vec<String> =
        batch.into_iter().flat_map(|b| b.keys).flat_map(|k| k.ids).map(|entry| entry.id).collect();
    let now = Timestamp::now().as_millisecond();
    for id in &ids {
        let added: i64 = id.split('-').next().unwrap_or_default().parse()?;
        oldest.fetch_max((now - added).unsigned_abs(), Ordering::Relaxed);
    }
    if !ids.is_empty() {
        cmd("XACK").arg("orders").arg("shop").arg(&ids).exec_async(redis).await?;
    }
    Ok(ids.len() as u64)
}

async fn connection(server: &servers::Redis) -> Result<MultiplexedConnection> {
    Ok(Client::open(server.url())?.get_multiplexed_async_connection().await?)
}

async fn make_group(server: &servers::Redis) -> Result<()> {
    let mut redis = connection(server).await?;
    Ok(cmd("XGROUP").arg(&["CREATE", "orders", "shop", "$", "MKSTREAM"]).exec_async(&mut redis).await?)
}

async fn produce(server: &servers::Redis, count: usize) -> Result<()> {
    let mut redis = connection(server).await?;
    let mut batch = pipe();
    for _ in 0..count {
        batch.cmd("XADD").arg(&["orders", "*", "order", "1"]).ignore();
    }
    Ok(batch.exec_async(&mut redis).await?)
}

/// What waits or is in work, by Redis' own word.
async fn backlog(server: &servers::Redis) -> Result<usize> {
    let mut redis = connection(server).await?;
    let groups: redis::streams::StreamInfoGroupsReply =
        cmd("XINFO").arg(&["GROUPS", "orders"]).query_async(&mut redis).await?;
    Ok(groups.groups.first().map_or(0, |group| group.lag.unwrap_or(0) + group.pending))
}

#[tokio::test]
async fn a_burst_is_worked_off_within_the_promise_and_an_outage_of_the_broker_removes_nobody() -> Result<()> {
    let mut scene = Scene::set(Shape::constant(1.0), &json!({})).await?;
    let mut server = servers::Redis::start().await?;
    make_group(&server).await?;
    scene.plane.apply_object(deployment("consumer", 1)).await?;
    let consumers = Consumers::start(server.url(), scene.deployments());
    scene.start_foresail("one", &[]).await?;
    let metric = json!([{
        "name": "orders", "drainWithin": "1m",
        "queue": {
            "redis": {"address": format!("127.0.0.1:{}", server.port()), "stream": {"key": "orders", "group": "shop"}},
        },
    }]);
    scene.plane.apply_object(policy("consumer", &json!({"metrics": metric}))).await?;
    let told = scene.wait_for_condition("consumer", "DataFresh", "True", "", Duration::from_secs(30)).await;
    if told.is_err() {
        scene.tell("consumer").await;
    }
    told?;

    let begun = std::time::Instant::now();
    produce(&server, 3_000).await?;
    let drained = wait::until("the backlog", PROMISE * 2, || async {
        let backlog = backlog(&server).await?;
        ensure!(backlog == 0, "{backlog} wait");
        Ok(())
    })
    .await;
    if drained.is_err() {
        scene.tell("consumer").await;
    }
    drained?;
    println!("3,000 worked off in {:?}, the oldest after {:?}", begun.elapsed(), consumers.oldest());
    ensure!(consumers.oldest() <= PROMISE, "the oldest message waited for {:?}", consumers.oldest());
    let many = scene.replicas("consumer").await?;
    ensure!(many >= 3, "{many} consumers");
    // What one consumer does was nobody's word: it was seen.
    let learned = &scene.policy("consumer").await?["status"]["capacity"][0];
    let each: f64 = learned["perReplica"].as_str().unwrap_or_default().parse().unwrap_or_default();
    println!("learned: {learned}");
    ensure!(learned["source"] == "Learned" && (0.5..=1.1).contains(&(each / EACH as f64)), "{learned}");

    produce(&server, 3_000).await?;
    server.stop();
    let blind =
        scene.wait_for_condition("consumer", "DataFresh", "False", "", Duration::from_secs(30)).await?;
    ensure!(blind.contains("Unreachable") || blind.contains("CircuitOpen"), "{blind}");
    let (ready, reason, message) = scene.condition("consumer", "Ready").await?;
    ensure!(ready == "False", "Ready={ready} while blind: {reason}: {message}");
    let before = scene.replicas("consumer").await?;
    scene.demand_replicas("consumer", before.., Duration::from_secs(20)).await?;

    // It comes back empty, without the stream: that isn't a backlog of zero either.
    server.restart().await?;
    let missing =
        scene.wait_for_condition("consumer", "DataFresh", "False", "no stream", Duration::from_mins(2));
    println!("after the restart: {}", missing.await?);
    scene.demand_replicas("consumer", before.., Duration::from_secs(5)).await?;

    make_group(&server).await?;
    scene.wait_for_condition("consumer", "DataFresh", "True", "", Duration::from_mins(1)).await?;
    produce(&server, 9_000).await?;
    scene.wait_for_replicas("consumer", 8.., Duration::from_mins(1)).await?;
    wait::until("consumers at work again", Duration::from_mins(1), || async {
        let served = consumers.served.load(Ordering::Relaxed);
        ensure!(served > 3_500, "{served} worked off");
        Ok(())
    })
    .await
}

fn jobs(port: u16, busy: &[String]) -> Value {
    // One series for each busy pod, as its own exporter would have it.
    let series = busy.iter().map(|pod| format!("label_replace(vector(2), \"pod\", \"{pod}\", \"\", \"\")"));
    json!({
        "minReplicas": 0, "maxReplicas": 10,
        "metrics": [{
            "name": "jobs", "drainWithin": "1m",
            "queue": {
                "redis": {"address": format!("127.0.0.1:{port}"), "list": "jobs"},
                "throughputPerReplica": 10, "activationBacklog": 5,
                "busy": {"query": series.collect::<Vec<_>>().join(" or ")},
            },
        }],
    })
}

async fn pods(scene: &Scene) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::default_namespaced(scene.plane.client());
    let mut found = pods.list(&ListParams::default().labels("app=worker")).await?.items;
    found.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(found)
}

#[tokio::test]
async fn idle_consumers_go_first_and_an_empty_queue_sleeps_until_enough_waits() -> Result<()> {
    let mut scene = Scene::set(Shape::constant(1.0), &json!({})).await?;
    let server = servers::Redis::start().await?;
    let mut redis = connection(&server).await?;
    let push = |count: usize| {
        let mut batch = pipe();
        for job in 0..count {
            batch.cmd("RPUSH").arg("jobs").arg(job).ignore();
        }
        batch
    };
    // Without a word on who is busy a ReplicaSet removes the youngest; here everybody but the oldest is busy.
    scene.deploy("worker", 1).await?;
    let oldest = pods(&scene).await?[0].name_any();
    scene.deploy("worker", 5).await?;
    let busy: Vec<String> =
        pods(&scene).await?.iter().map(ResourceExt::name_any).filter(|pod| *pod != oldest).collect();
    // In a minute, less the pause of a change, four of them work off so much, and three don't.
    push(2_000).exec_async(&mut redis).await?;
    scene.start_foresail("one", &[]).await?;
    scene.plane.apply_object(policy("worker", &jobs(server.port(), &busy))).await?;

    // Nobody goes before the busy ones could be marked, and the chart's roles don't allow that unless asked to.
    let patience = Duration::from_mins(1);
    let refused = scene.wait_for_condition("worker", "AbleToScale", "False", "FailedProtectPods", patience);
    ensure!(refused.await?.contains("rbac.protectBusyPods"));
    ensure!(scene.replicas("worker").await? == 5);
    chart::install(&scene.plane, &json!({"rbac": {"protectBusyPods": true}})).await?;
    scene.wait_for_replicas("worker", 4..=4, patience).await?;
    let left = wait::until("one pod to go", patience, || async {
        let left = pods(&scene).await?;
        ensure!(left.len() == 4, "{} are left", left.len());
        Ok(left)
    })
    .await?;
    for pod in left {
        let cost = pod.annotations().get("controller.kubernetes.io/pod-deletion-cost").map(String::as_str);
        ensure!(pod.name_any() != oldest, "the idle one should have gone");
        ensure!(cost == Some("2"), "{}: {cost:?}", pod.name_any());
    }

    // Nothing waits: everybody goes. What is below the threshold wakes nobody; one more does.
    cmd("DEL").arg("jobs").exec_async(&mut redis).await?;
    scene.wait_for_replicas("worker", 0..=0, patience).await?;
    push(4).exec_async(&mut redis).await?;
    scene.demand_replicas("worker", 0..=0, Duration::from_secs(8)).await?;
    let (ready, reason, message) = scene.condition("worker", "Ready").await?;
    ensure!(ready == "True", "asleep is no fault: {reason}: {message}");
    push(1).exec_async(&mut redis).await?;
    scene.wait_for_replicas("worker", 1.., patience).await?;
    // What was begun is finished, though less than the threshold is left.
    cmd("LTRIM").arg("jobs").arg(0).arg(1).exec_async(&mut redis).await?;
    scene.demand_replicas("worker", 1.., Duration::from_secs(8)).await?;
    cmd("DEL").arg("jobs").exec_async(&mut redis).await?;
    scene.wait_for_replicas("worker", 0..=0, patience).await?;
    Ok(())
}
