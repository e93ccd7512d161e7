//! The promises, played on a real API server and a real Prometheus, under the chart's own roles.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

mod scene;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use scene::{STARTUP, Scene, deployment, policy, until};
use serde_json::json;
use testbed::{Shape, chart, wait};

/// Each weekday's share of the load of today: nothing would beat yesterday if all days were alike.
const WEEK: [f64; 7] = [1.0, 0.8, 1.2, 0.9, 1.15, 0.75, 1.25];

/// Every day at this time, the load rises from about 200 to about 1,000 requests per second within 10 s, and stays for
/// 2 h; exactly that today.
fn ramp_at(at: Timestamp) -> Shape {
    let day = |(day, share): (usize, &f64)| {
        let knots = [(0, 200.0), (10, 1000.0), (7200, 1000.0), (7210, 200.0)];
        knots.map(|(second, rate)| (day as i64 * 86_400 + second, rate * share))
    };
    let knots: Vec<(i64, f64)> = WEEK.iter().enumerate().flat_map(day).collect();
    Shape::new(at, SignedDuration::from_hours(7 * 24), &knots)
}

/// Every day until this time, the load is about 1,000 requests per second for 2 h; then it falls within 10 s.
fn fall_at(at: Timestamp) -> Shape {
    ramp_at(at - SignedDuration::from_hours(2))
}

#[tokio::test]
async fn replicas_are_ready_before_the_daily_load_arrives_and_hold_through_it() -> Result<()> {
    let ramp = Timestamp::now() + SignedDuration::from_secs(150);
    let mut scene = Scene::set(ramp_at(ramp), &json!({})).await?;
    scene.deploy("web", 2).await?;
    scene.deploy("reactive", 2).await?;
    scene.start_foresail("one", &[]).await?;
    // The same load twice: once with a forecast, once as an HPA would have it. The lead is longer than a start-up:
    // forecasts know the day in steps of a minute, and the ramp may come late in one. Without `behavior`, as most write it:
    // with a window of 0, replicas would go again where the forecast has the ramp a minute too early.
    let web = json!({"behavior": null, "forecast": {"leadTime": "3m"}});
    scene.plane.apply_object(policy("web", &web)).await?;
    scene.plane.apply_object(policy("reactive", &json!({"forecast": {"mode": "Off"}}))).await?;

    let startup = SignedDuration::try_from(STARTUP)?;
    let ahead = scene.wait_for_replicas("web", 10..=14, until(ramp - startup)).await;
    if ahead.is_err() {
        scene.tell("web").await;
    }
    println!("{} replicas {:?} before the ramp", ahead?, until(ramp));
    scene.wait_for_condition("web", "ForecastActive", "True", "", Duration::from_secs(10)).await?;
    let reactive = scene.replicas("reactive").await?;
    ensure!(reactive <= 4, "without a forecast there are {reactive} replicas before the load");

    wait::until("ready pods", until(ramp), || async {
        let ready = scene.ready_replicas("web").await?;
        ensure!(ready >= 10, "{ready} ready");
        Ok(())
    })
    .await?;
    tokio::time::sleep(until(ramp)).await;
    scene.demand_replicas("web", 10..=20, Duration::from_secs(60)).await?;
    scene.wait_for_replicas("reactive", 10..=20, Duration::from_secs(30)).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_scales_down_while_prometheus_is_gone_and_it_is_found_again_within_a_minute() -> Result<()> {
    let fall = Timestamp::now() + SignedDuration::from_secs(110);
    let mut scene = Scene::set(fall_at(fall), &json!({})).await?;
    scene.deploy("web", 10).await?;
    scene.start_foresail("one", &[]).await?;
    scene.plane.apply_object(policy("web", &json!({}))).await?;
    scene.wait_for_condition("web", "DataFresh", "True", "", Duration::from_secs(20)).await?;
    let before = scene.replicas("web").await?;
    ensure!(before >= 10, "{before} replicas under the load of ten");

    scene.prometheus.stop();
    scene.wait_for_condition("web", "DataFresh", "False", "", Duration::from_secs(30)).await?;
    let (ready, reason, message) = scene.condition("web", "Ready").await?;
    ensure!(ready == "False", "Ready={ready} while blind: {reason}: {message}");
    tokio::time::sleep(until(fall)).await;
    scene.demand_replicas("web", before..=20, Duration::from_secs(30)).await?;
    // Asked of no more, and said so.
    scene.wait_for_condition("web", "DataFresh", "False", "refused", Duration::from_secs(5)).await?;

    // Back: found within the longest pause of the circuit, by nobody's help.
    scene.prometheus.start().await?;
    let back = Instant::now();
    let fresh = scene.wait_for_condition("web", "DataFresh", "True", "", Duration::from_mins(1)).await;
    if fresh.is_err() {
        scene.tell("web").await;
    }
    fresh?;
    println!("data is fresh again {:?} after Prometheus came back", back.elapsed());
    // And believed only after a while: what was measured right after an outage is no reason to remove anything.
    let cautious = wait::until("caution in the decision", Duration::from_secs(20), || async {
        let decision = scene.policy("web").await?["status"]["decision"]["limits"].to_string();
        ensure!(decision.contains("DataJustReturned"), "{decision}");
        Ok(())
    });
    cautious.await?;
    scene.demand_replicas("web", before..=20, Duration::from_secs(5)).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_jumps_when_foresail_is_killed_and_started_again() -> Result<()> {
    let mut scene = Scene::set(Shape::constant(1000.0), &json!({})).await?;
    scene.deploy("web", 4).await?;
    scene.start_foresail("one", &["--lease-duration", "4s"]).await?;
    // Nothing in the policy but the necessary: the stabilization window must survive.
    scene.plane.apply_object(policy("web", &json!({"behavior": null}))).await?;
    let settled = scene.wait_for_replicas("web", 10..=14, Duration::from_secs(40)).await?;
    wait::until("everybody ordered is Ready", STARTUP + Duration::from_mins(1), || async {
        let (wanted, ready) = (scene.replicas("web").await?, scene.ready_replicas("web").await?);
        ensure!(ready == wanted, "{ready} of {wanted}");
        anyhow::Ok(())
    })
    .await?;
    let settled = scene.replicas("web").await?.max(settled);

    for _ in 0..2 {
        scene.foresail[0].kill();
        scene.demand_replicas("web", settled..=settled + 1, Duration::from_secs(2)).await?;
        scene.foresail[0].restart().await?;
        let held = scene.demand_replicas("web", settled..=settled + 1, Duration::from_secs(15)).await;
        if held.is_err() {
            scene.tell("web").await;
        }
        held?;
    }
    // It is at work again.
    scene.raise_minimum("web", 16).await?;
    scene.wait_for_replicas("web", 16..=16, Duration::from_secs(30)).await?;
    Ok(())
}

#[tokio::test]
async fn of_two_instances_one_acts_the_other_takes_over_at_sigterm_and_comes_down_after_the_load()
-> Result<()> {
    let fall = Timestamp::now() + SignedDuration::from_secs(150);
    let mut scene = Scene::set(fall_at(fall), &json!({})).await?;
    scene.deploy("web", 2).await?;
    scene.start_foresail("one", &[]).await?;
    scene.start_foresail("two", &[]).await?;
    scene.plane.apply_object(policy("web", &json!({}))).await?;
    scene.wait_for_replicas("web", 10..=14, Duration::from_secs(40)).await?;

    let leads = |index: usize| {
        let foresail = &scene.foresail[index];
        async move { foresail.metric("foresail_leader").await }
    };
    ensure!(leads(0).await? == 1.0 && leads(1).await? == 0.0, "the first one leads, alone");
    wait::throughout("one leader", Duration::from_secs(10), || async {
        let sum = leads(0).await? + leads(1).await?;
        ensure!(sum <= 1.0, "{sum} leaders");
        Ok(())
    })
    .await?;

    let begun = Instant::now();
    scene.foresail[0].ask_to_end();
    let second = &scene.foresail[1];
    wait::until("a take-over", Duration::from_secs(10), || async {
        let leads = second.metric("foresail_leader").await?;
        ensure!(leads == 1.0, "not yet");
        Ok(())
    })
    .await?;
    println!("taken over {:?} after SIGTERM", begun.elapsed());
    scene.raise_minimum("web", 16).await?;
    scene.wait_for_replicas("web", 16..=16, Duration::from_secs(20)).await?;
    let status = scene.foresail[0].terminate(Duration::from_secs(20)).await?;
    ensure!(status.success(), "the first one ended with {status}");

    // Held through the load to its end, and given up after it.
    scene.plane.apply_object(policy("web", &json!({"minReplicas": 1}))).await?;
    scene.demand_replicas("web", 10..=16, until(fall)).await?;
    let ended = Instant::now();
    let down = scene.wait_for_replicas("web", 2..=4, Duration::from_mins(3)).await;
    if down.is_err() {
        scene.tell("web").await;
    }
    println!("{} replicas {:?} after the load fell", down?, ended.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_lease_that_is_lost_for_a_moment_loses_nothing_of_what_was_learned() -> Result<()> {
    let mut scene = Scene::set(Shape::constant(1000.0), &json!({})).await?;
    scene.deploy("web", 4).await?;
    scene.start_foresail("one", &["--lease-duration", "4s"]).await?;
    scene.plane.apply_object(policy("web", &json!({"behavior": null}))).await?;
    let settled = scene.wait_for_replicas("web", 10..=14, Duration::from_secs(40)).await?;
    let learned = || async {
        let status = scene.policy("web").await?["status"].clone();
        let startups = status["startup"]["samples"].as_array().map_or(0, Vec::len);
        ensure!(status["selection"]["state"] == "Selected" && startups > 0, "{}", status["selection"]);
        let selection = &status["learned"]["selection"];
        ensure!(!selection["evidence"].is_null(), "{selection}");
        Ok((selection["selected"].clone(), selection["evidence"].clone(), status["startup"].clone()))
    };
    let before = wait::until("a strategy that was selected", Duration::from_mins(2), learned).await?;

    let leases: Api<Lease> = Api::namespaced(scene.plane.client(), chart::NAMESPACE);
    let taken = json!({"spec": {
        "holderIdentity": "somebody", "leaseDurationSeconds": 1,
        "renewTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
    }});
    leases.patch("foresail", &PatchParams::default(), &Patch::Merge(&taken)).await?;
    let leads = |wanted: f64| {
        let foresail = &scene.foresail[0];
        async move {
            let leads = foresail.metric("foresail_leader").await?;
            ensure!(leads == wanted, "{leads}");
            anyhow::Ok(())
        }
    };
    wait::until("the Lease lost", Duration::from_secs(20), || leads(0.0)).await?;
    wait::until("the Lease back", Duration::from_secs(20), || leads(1.0)).await?;

    // It decides again, holds what it held, and knows what it knew.
    let back = Timestamp::now();
    scene.demand_replicas("web", settled..=settled + 2, Duration::from_secs(10)).await?;
    // A status in which only numbers moved is written once a minute.
    wait::until("a decision", Duration::from_secs(75), || async {
        let status = scene.policy("web").await?["status"].clone();
        let made: Timestamp = status["decision"]["time"].as_str().unwrap_or_default().parse()?;
        ensure!(made > back, "the last one was made at {made}");
        anyhow::Ok(())
    })
    .await?;
    let after = learned().await?;
    ensure!((&after.0, &after.1) == (&before.0, &before.1), "{after:?} instead of {before:?}");
    let (now, then) = (after.2["samples"].to_string(), before.2["samples"].to_string());
    let kept = then.trim_end_matches(']').trim_start_matches('[');
    ensure!(now.contains(kept), "start-ups {now} instead of {then} and later ones");
    Ok(())
}

#[tokio::test]
async fn a_target_that_is_missing_or_scaled_to_zero_or_owned_by_another_is_reported_and_left_alone()
-> Result<()> {
    let mut scene = Scene::set(Shape::constant(600.0), &json!({})).await?;
    scene.deploy("web", 2).await?;
    scene.start_foresail("one", &[]).await?;
    let patience = Duration::from_secs(30);

    // Missing, and then there.
    scene.plane.apply_object(policy("late", &json!({}))).await?;
    scene.wait_for_condition("late", "Ready", "False", "late", patience).await?;
    scene.plane.apply_object(deployment("late", 1)).await?;
    scene.wait_for_replicas("late", 6..=9, patience).await?;

    // Scaled to 0 by hand: a person's way to switch scaling off.
    scene.scale_by_hand("late", 0).await?;
    scene.wait_for_condition("late", "ScalingActive", "False", "ScalingDisabled", patience).await?;
    scene.demand_replicas("late", 0..=0, Duration::from_secs(8)).await?;
    // Scaled by hand: respected for a while, and said.
    scene.scale_by_hand("late", 2).await?;
    scene.wait_for_condition("late", "ScalingActive", "True", "", patience).await?;
    wait::until("the foreign writer in the status", patience, || async {
        let status = scene.policy("late").await?["status"].to_string();
        ensure!(status.contains("ForeignWriter"), "{status}");
        Ok(())
    })
    .await?;
    scene.demand_replicas("late", 2..=2, Duration::from_secs(5)).await?;

    // An HPA on the same target: refused, by name.
    let hpa = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web-hpa", "namespace": "default"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                 "minReplicas": 2, "maxReplicas": 4},
    });
    scene.plane.apply_object(hpa.clone()).await?;
    scene.plane.apply_object(policy("web", &json!({}))).await?;
    scene.wait_for_condition("web", "Ready", "False", "web-hpa", patience).await?;
    scene.demand_replicas("web", 2..=4, Duration::from_secs(5)).await?;
    scene.plane.delete(hpa).await?;
    scene.wait_for_replicas("web", 6..=9, patience).await?;

    // A second policy for the same target: the older one stays in charge.
    let mut second = policy("second", &json!({}));
    second["spec"]["scaleTargetRef"]["name"] = "web".into();
    scene.plane.apply_object(second).await?;
    scene.wait_for_condition("second", "Ready", "False", "web", patience).await?;
    scene.wait_for_condition("web", "Ready", "True", "", patience).await?;
    Ok(())
}

#[tokio::test]
async fn the_floor_of_an_hpa_is_raised_and_given_back() -> Result<()> {
    let mut scene = Scene::set(Shape::constant(600.0), &json!({})).await?;
    scene.deploy("web", 2).await?;
    let hpa = scene::hpa("web-hpa", "web", 12);
    scene.plane.apply_object(hpa).await?;
    scene.start_foresail("one", &[]).await?;
    let target = json!({"kind": "HorizontalPodAutoscaler", "name": "web-hpa"});
    let floor = policy("web", &json!({"scaleTargetRef": target, "maxReplicas": null}));
    scene.plane.apply_object(floor.clone()).await?;

    // Foresail raises the floor; the real HPA controller is what scales.
    let raised = scene.wait_for_replicas("web", 6..=9, Duration::from_secs(60)).await;
    if raised.is_err() {
        scene.tell("web").await;
    }
    raised?;
    let floor_now = || async {
        let hpa = scene.plane.get("autoscaling/v1", "HorizontalPodAutoscaler", "default", "web-hpa").await?;
        anyhow::Ok(hpa["spec"]["minReplicas"].as_u64().unwrap_or(1))
    };
    ensure!(floor_now().await? >= 6, "the HPA's floor was not raised");
    scene.plane.delete(floor).await?;
    wait::until("the floor of before", Duration::from_secs(30), || async {
        let floor = floor_now().await?;
        ensure!(floor == 2, "{floor}");
        Ok(())
    })
    .await?;
    Ok(())
}
