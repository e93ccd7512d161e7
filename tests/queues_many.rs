//! Five hundred queue policies in one process: memory, and one connection to their broker. With the release build:
//! `FORESAIL_BIN=target/release/foresail cargo nextest run -p testbed --test queues_many --no-capture`.

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

/// Resident memory of a process in MiB: all of it (`VmRSS`), or without file mappings (`RssAnon`), of which a debug build
/// has a hundred MiB of symbols.
fn memory(process: u32, which: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with(which)).context("no such line")?;
    let kibibytes: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kibibytes / 1024)
}

/// Every other one is a stream, whose arrivals are forecast; the rest are lists.
fn is_stream(name: &str) -> bool {
    name.ends_with(['1', '3', '5', '7', '9'])
}

fn policy(name: &str, port: u16) -> Value {
    let address = format!("127.0.0.1:{port}");
    let redis = if is_stream(name) {
        json!({"address": address, "stream": {"key": name, "group": "shop"}})
    } else {
        json!({"address": address, "list": name})
    };
    json!({
        "apiVersion": "foresail.dev/v1alpha1", "kind": "AutoscalePolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"name": name}, "minReplicas": 0, "maxReplicas": 20,
            "metrics": [{
                "name": "jobs", "drainWithin": "2m",
                "queue": {"redis": redis, "throughputPerReplica": 5},
            }],
        },
    })
}

#[tokio::test]
async fn five_hundred_queue_policies_fit_into_little_memory_and_one_connection() -> Result<()> {
    let mut scene = Scene::set(Shape::constant(1.0), &json!({})).await?;
    let server = servers::Redis::start().await?;
    let mut redis = redis::Client::open(server.url())?.get_multiplexed_async_connection().await?;
    let names: Vec<String> = (0..POLICIES).map(|i| format!("worker-{i}")).collect();
    for name in names.iter().filter(|name| is_stream(name)) {
        redis::cmd("XGROUP").arg(&["CREATE", name, "shop", "$", "MKSTREAM"]).exec_async(&mut redis).await?;
    }
    drop(redis);
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
        let (mut fresh, sampled) = (0, names.iter().step_by(21));
        let wanted = sampled.len();
        for name in sampled {
            let (status, ..) = scene.condition(name, "DataFresh").await?;
            fresh += usize::from(status == "True");
        }
        ensure!(fresh == wanted, "{fresh} of {wanted} fresh");
        Ok(())
    })
    .await?;
    // Three rounds of decisions for every policy.
    let process = scene.foresail[0].id();
    wait::throughout("one connection and bounded memory", Duration::from_secs(45), || async {
        let (connections, anonymous) = (net::connections_to(server.port())?, memory(process, "RssAnon:")?);
        ensure!(connections == 1, "{connections} connections");
        ensure!(anonymous < MOST_MEBIBYTES, "{anonymous} MiB");
        anyhow::Ok(())
    })
    .await?;
    let (anonymous, all) = (memory(process, "RssAnon:")?, memory(process, "VmRSS:")?);
    println!("{POLICIES} queue policies: {anonymous} MiB, {all} MiB with the program itself, one connection");
    Ok(())
}
