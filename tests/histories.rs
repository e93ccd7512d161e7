//! What a broker doesn't remember, Foresail does: the arrivals of a queue outlive the process that saw them, and go with
//! their policy.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

mod scene;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use redis::{Client, cmd};
use scene::{Scene, policy};
use serde_json::json;
use series::Packed;
use testbed::{Shape, chart, servers, wait};

/// Orders that arrive in a second, over the day.
fn arrivals(at: Timestamp) -> f64 {
    30.0 - 20.0 * (std::f64::consts::TAU * at.as_second() as f64 / 86_400.0).cos()
}

/// Two weeks up to now, as they are kept.
fn two_weeks() -> Packed {
    let step = Duration::from_mins(15);
    let mut packed = Packed::new(step);
    let newest = Timestamp::now().as_second().div_euclid(900);
    for slot in newest - 14 * 96..newest {
        let begin = Timestamp::from_second(slot * 900).expect("a time");
        packed.push(begin, Some(arrivals(begin)), usize::MAX >> 1);
    }
    packed
}

/// Orders keep coming, ten in a second, until this is dropped.
struct Orders(tokio::task::JoinHandle<Result<()>>);

impl Orders {
    async fn start(server: &servers::Redis) -> Result<Self> {
        let mut redis = Client::open(server.url())?.get_multiplexed_async_connection().await?;
        cmd("XGROUP").arg(&["CREATE", "orders", "shop", "$", "MKSTREAM"]).exec_async(&mut redis).await?;
        Ok(Self(tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            loop {
                tick.tick().await;
                cmd("XADD").arg(&["orders", "*", "order", "1"]).exec_async(&mut redis).await?;
            }
        })))
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test]
async fn the_arrivals_of_a_queue_outlive_the_process_and_go_with_their_policy() -> Result<()> {
    let mut scene = Scene::set(Shape::constant(1.0), &json!({})).await?;
    let server = servers::Redis::start().await?;
    let _orders = Orders::start(&server).await?;
    scene.deploy("consumer", 2).await?;
    scene.start_foresail("one", &["--lease-duration", "4s"]).await?;
    let metric = json!([{
        "name": "orders", "drainWithin": "1m",
        "queue": {
            "redis": {"address": format!("127.0.0.1:{}", server.port()), "stream": {"key": "orders", "group": "shop"}},
            "throughputPerReplica": 10,
        },
    }]);
    scene.plane.apply_object(policy("consumer", &json!({"metrics": metric}))).await?;
    let uid = scene.policy("consumer").await?["metadata"]["uid"].as_str().context("a UID")?.to_owned();
    let maps: Api<ConfigMap> = Api::namespaced(scene.plane.client(), chart::NAMESPACE);
    let name = format!("foresail-history-{uid}");

    // A whole minute of arrivals was seen.
    let minute = || async {
        let status = scene.policy("consumer").await?["status"].clone();
        let record = &status["decision"]["record"];
        let arrivals = record["observation"]["metrics"][0]["queue"]["arrivals"].as_f64();
        ensure!(arrivals.is_some(), "{record}");
        let now: Timestamp = record["now"].as_str().context("a time")?.parse()?;
        Ok(now.as_second().div_euclid(60))
    };
    let first = wait::until("arrivals", Duration::from_mins(1), minute).await?;
    wait::until("a whole minute of them", Duration::from_mins(4), || async {
        let now = minute().await?;
        ensure!(now > first + 1, "minute {now} after {first}");
        Ok(())
    })
    .await?;
    scene.foresail[0].terminate(Duration::from_secs(20)).await?;
    let kept = maps.get(&name).await?.data.context("no data")?;
    let (key, text) = kept.first_key_value().context("no history")?;
    let seen: Packed = serde_json::from_str(text)?;
    let rate = seen.iter().filter_map(|(_, value)| value).last().context("nothing but gaps")?;
    ensure!((5.0..=15.0).contains(&rate), "{rate}/s instead of 10");

    // As if it had been at it for two weeks.
    let weeks = json!({"data": {key: serde_json::to_string(&two_weeks())?}});
    ensure!(weeks.to_string().len() < 4_200, "{} bytes", weeks.to_string().len());
    maps.patch(&name, &PatchParams::default(), &Patch::Merge(&weeks)).await?;
    scene.foresail[0].restart().await?;
    let proved = wait::until("evidence from what was kept", Duration::from_mins(2), || async {
        let status = scene.policy("consumer").await?["status"].clone();
        let days = status["learned"]["selection"]["evidence"]["score"]["days"].as_f64();
        // Half of it is learned from, up to a time of its own each day.
        ensure!(days >= Some(6.0), "{}", status["learned"]["selection"]);
        ensure!(status["selection"]["state"] == "Selected", "{}", status["selection"]);
        Ok(status)
    })
    .await;
    if proved.is_err() {
        scene.tell("consumer").await;
    }
    println!("{}", proved?["selection"]);

    let policies: Api<api::v1alpha1::AutoscalePolicy> = Api::default_namespaced(scene.plane.client());
    policies.delete("consumer", &kube::api::DeleteParams::default()).await?;
    wait::until("the history gone", Duration::from_secs(30), || async {
        ensure!(maps.get_opt(&name).await?.is_none(), "it's still there");
        Ok(())
    })
    .await
}
