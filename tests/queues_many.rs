//! Five hundred queue policies in one process: memory, and one connection to their broker.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

mod scene;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use scene::{Scene, deployment};
use serde_json::{Value, json};
use testbed::{Shape, net, servers, wait};

const POLICIES: usize = 500;
const MOST_MEBIBYTES: u64 = 100;

/// Resident memory of a process in MiB, file mappings not counted: a debug build maps a hundred MiB of symbols.
fn memory(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).context("no RssAnon")?;
    let kibibytes: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kibibytes / 1024)
}

fn policy(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "foresail.dev/v1alpha1", "kind": "AutoscalePolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"name": name}, "minReplicas": 0, "maxReplicas": 20,
            "metrics": [{
                "name": "jobs", "drainWithin": "2m",
                "queue": {
                    "redis": {"address": format!("127.0.0.1:{port}"), "list": name}, "throughputPerReplica": 5,
                },
            }],
        },
    })
}

#[tokio::test]
async fn five_hundred_queue_policies_fit_into_little_memory_and_one_connection() -> Result<()> {
    let mut scene = Scene::set(Shape::constant(1.0), &json!({})).await?;
    let server = servers::Redis::start().await?;
    let names: Vec<String> = (0..POLICIES).map(|i| format!("worker-{i}")).collect();
    stream::iter(&names)
        .map(|name| async {
            scene.plane.apply_object(deployment(name, 0)).await?;
            scene.plane.apply_object(policy(name, server.port())).await
        })
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await?;
    scene.start_foresail("one", &[]).await?;
    wait::until("every policy to be fresh", Duration::from_mins(4), || async {
        let mut fresh = 0;
        for name in names.iter().step_by(20) {
            let (status, ..) = scene.condition(name, "DataFresh").await?;
            fresh += usize::from(status == "True");
        }
        ensure!(fresh == POLICIES / 20, "{fresh} of {} fresh", POLICIES / 20);
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(45)).await;
    let process = scene.foresail[0].id();
    let (memory, connections) = (memory(process)?, net::connections_to(server.port())?);
    println!("{POLICIES} queue policies: {memory} MiB, {connections} connection");
    ensure!(connections == 1, "{connections} connections");
    ensure!(memory < MOST_MEBIBYTES, "{memory} MiB");
    Ok(())
}
