//! The documentation keeps its word: every resource in it is accepted by a real API server and understood by a running
//! Foresail, and every command in it is run.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

mod pages;
mod scene;
mod typist;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use pages::Block;
use scene::Scene;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testbed::{Shape, wait};
use typist::Typist;

const OURS: &str = "foresail.dev/v1alpha1";

/// Fields of `written` that `read` doesn't have: the type doesn't know them.
fn lost(written: &Value, read: &Value, path: &str, into: &mut Vec<String>) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (key, value) in written {
                let path = format!("{path}.{key}");
                match read.get(key) {
                    Some(read) => lost(value, read, &path, into),
                    None if *value == Value::Bool(false) => {}
                    None => into.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(read)) => {
            for (index, (written, read)) in written.iter().zip(read).enumerate() {
                lost(written, read, &format!("{path}[{index}]"), into);
            }
        }
        _ => {}
    }
}

fn check<T: DeserializeOwned + Serialize>(document: &Value) -> Result<()> {
    let typed: T = serde_json::from_value(document.clone())?;
    let mut unknown = Vec::new();
    lost(&document["spec"], &serde_json::to_value(&typed)?["spec"], "spec", &mut unknown);
    ensure!(unknown.is_empty(), "unknown: {}", unknown.join(", "));
    Ok(())
}

fn check_kind(document: &Value) -> Result<()> {
    match document["kind"].as_str().unwrap_or_default() {
        "AutoscalePolicy" => check::<api::v1alpha1::AutoscalePolicy>(document),
        "ScalingCalendar" => check::<api::v1alpha1::ScalingCalendar>(document),
        "HealthCheck" => check::<api::v1alpha1::HealthCheck>(document),
        "AlertReceiver" => check::<api::v1alpha1::AlertReceiver>(document),
        other => bail!("no such kind: {other}"),
    }
}

/// The Kubernetes objects of the documentation, with where each stands. Other YAML (a part of somebody else's
/// configuration) only has to be YAML.
fn objects() -> Result<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for block in pages::blocks()?.into_iter().filter(|block| block.language == "yaml") {
        for document in block.documents()? {
            let ours = document["spec"].is_object() || document["kind"].is_string();
            if ours {
                ensure!(
                    document["apiVersion"].is_string() && document["metadata"]["name"].is_string(),
                    "{}: a part of an object can't be applied",
                    block.place()
                );
                all.push((block.place(), document));
            }
        }
    }
    Ok(all)
}

#[test]
fn every_resource_in_the_documentation_is_understood() -> Result<()> {
    let ours: Vec<_> = objects()?.into_iter().filter(|(_, object)| object["apiVersion"] == OURS).collect();
    for (place, object) in &ours {
        check_kind(object).with_context(|| format!("{place}: {object:#}"))?;
    }
    println!("{} resources", ours.len());
    ensure!(ours.len() >= 20, "only {} resources found", ours.len());
    Ok(())
}

#[tokio::test]
async fn every_resource_in_the_documentation_is_accepted_and_every_command_in_it_works() -> Result<()> {
    let evening = Timestamp::now() + SignedDuration::from_hours(3);
    let shape = Shape::daily(evening, &[(0, 300.0), (3_600, 1_100.0), (7_200, 300.0)]);
    let mut scene = Scene::set(shape, &json!({})).await?;
    // The page on installing takes the chart away and brings it again, service account included.
    scene.access = scene.plane.admin()?;
    scene.start_foresail("guide", &[]).await?;
    for namespace in ["shop", "payments"] {
        scene.plane.namespace(namespace).await?;
    }
    resources(&scene).await?;
    set_the_scene(&scene).await?;
    commands(&scene).await
}

/// Applies every object for real. A running Foresail must not call one of its own invalid.
async fn resources(scene: &Scene) -> Result<()> {
    let mut count = 0;
    for (place, object) in objects()? {
        scene.plane.apply_object(object.clone()).await.with_context(|| place.clone())?;
        if object["apiVersion"] == OURS {
            looked_at(scene, &object).await.with_context(|| place.clone())?;
            count += 1;
        }
        scene.plane.delete(object).await.context(place)?;
    }
    println!("{count} resources applied");
    Ok(())
}

/// Waits until Foresail has said something about the object, and demands that it isn't "invalid".
async fn looked_at(scene: &Scene, object: &Value) -> Result<()> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let kind = text(&object["kind"]).context("a kind")?;
    let name = text(&object["metadata"]["name"]).context("a name")?;
    let namespace = text(&object["metadata"]["namespace"]).unwrap_or_else(|| "default".to_owned());
    let conditions =
        wait::until(&format!("{kind} {name} to be looked at"), Duration::from_secs(30), || async {
            let found = scene.plane.get(OURS, &kind, &namespace, &name).await?;
            let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
            ensure!(!conditions.is_empty(), "no conditions: {}", found["status"]);
            Ok(conditions)
        })
        .await?;
    for condition in conditions {
        let reason = condition["reason"].as_str().unwrap_or_default();
        ensure!(!reason.starts_with("Invalid"), "{kind} {name}: {condition}");
    }
    Ok(())
}

/// What the commands of the documentation find: the workloads they name, an HPA and a ScaledObject to come from.
async fn set_the_scene(scene: &Scene) -> Result<()> {
    let plane = &scene.plane;
    let mut names = Vec::new();
    for definition in testbed::chart::foreign_kinds() {
        names.push(definition["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        plane.apply_object(definition).await?;
    }
    plane.wait_for_crds(&names).await?;
    for name in ["web", "web-hpa"] {
        plane.apply_object(scene::deployment(name, 2)).await?;
    }
    let mut checkout = scene::deployment("checkout", 2);
    checkout["metadata"]["namespace"] = json!("shop");
    plane.apply_object(checkout).await?;
    let mut policy = scene::policy("checkout", &json!({}));
    policy["metadata"]["namespace"] = json!("shop");
    plane.apply_object(policy).await?;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-hpa"});
    plane
        .apply_object(json!({
            "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 9, "targetCPUUtilizationPercentage": 70},
        }))
        .await?;
    plane
        .apply_object(json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"scaleTargetRef": {"name": "web"}, "triggers": [{"type": "prometheus", "metadata": {
                "serverAddress": "http://prometheus:9090", "query": "sum(rate(http_requests_total[2m]))",
                "threshold": "100"}}]},
        }))
        .await?;
    Ok(())
}

/// Types every command of the documentation, page by page. What can't be run says why in a comment above it.
async fn commands(scene: &Scene) -> Result<()> {
    let blocks: Vec<Block> = pages::blocks()?;
    let mut typist = Typist::new(scene)?;
    let mut page = None;
    let (mut run, mut left) = (0, Vec::new());
    for block in blocks.iter().filter(|block| block.is_commands()) {
        if page != Some(&block.page) {
            page = Some(&block.page);
            // "The policy above" is the page's first one, or else the README's.
            typist.put("web.yaml", policy_of(&blocks, block)?)?;
        }
        if let Some(why) = &block.not_run {
            left.push(format!("{}: {why}", block.place()));
            continue;
        }
        let commands = block.commands();
        ensure!(!commands.is_empty(), "{}: no command in it", block.place());
        for command in commands {
            typist.type_in(&command).await.with_context(|| format!("{}: {command}", block.place()))?;
            run += 1;
        }
    }
    println!("{run} commands run; not run:\n  {}", left.join("\n  "));
    ensure!(run >= 25, "only {run} commands run");
    Ok(())
}

/// The policy that a page means by `web.yaml`.
fn policy_of<'a>(blocks: &'a [Block], of: &Block) -> Result<&'a str> {
    let policies = |block: &&Block| block.language == "yaml" && block.text.contains("kind: AutoscalePolicy");
    let own = blocks
        .iter()
        .filter(policies)
        .find(|block| block.page == of.page && block.text.contains("name: web\n"));
    let found = own.or_else(|| blocks.iter().find(policies)).context("no policy in the README")?;
    Ok(&found.text)
}
