//! Bad input: each mistake is refused or reported within seconds on the resource, naming field, value and remedy, and
//! disturbs no other policy.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

mod scene;

use std::time::Duration;

use anyhow::{Result, ensure};
use scene::{Scene, policy};
use serde_json::{Value, json};
use testbed::Shape;

/// A mistake, and the words that the refusal or the report has to contain.
struct Mistake {
    name: &'static str,
    patch: Value,
    words: &'static [&'static str],
}

fn metric(patch: Value) -> Value {
    let mut metric = json!({"name": "requests", "target": 100, "prometheus": {"query": "vector(1)"}});
    for (key, value) in patch.as_object().expect("an object") {
        metric[key] = value.clone();
    }
    json!({"metrics": [metric]})
}

fn mistakes() -> Vec<Mistake> {
    let secret =
        json!({"address": "http://127.0.0.1:1", "bearerTokenSecretRef": {"name": "lost", "key": "token"}});
    vec![
        Mistake { name: "unknown-field", patch: json!({"maxReplica": 7}), words: &["maxReplica"] },
        Mistake {
            name: "max-below-min",
            patch: json!({"minReplicas": 9, "maxReplicas": 3}),
            words: &["minReplicas"],
        },
        Mistake {
            name: "query-that-does-not-parse",
            patch: metric(json!({"prometheus": {"query": "sum(rate(x[5m])"}})),
            words: &["requests", "parse error"],
        },
        Mistake {
            name: "five-minutes",
            patch: json!({"forecast": {"leadTime": "5 minutes"}}),
            words: &["leadTime", "5 minutes"],
        },
        Mistake { name: "target-of-zero", patch: metric(json!({"target": 0})), words: &["target"] },
        Mistake { name: "missing-secret", patch: json!({"prometheus": secret}), words: &["lost"] },
    ]
}

#[tokio::test]
async fn each_mistake_is_named_on_the_resource_and_the_others_scale_on() -> Result<()> {
    let mut scene = Scene::set(Shape::constant(600.0), &json!({})).await?;
    scene.start_foresail("one", &[]).await?;
    for mistake in mistakes() {
        scene.plane.apply_object(scene::deployment(mistake.name, 1)).await?;
        let mut wrong = policy(mistake.name, &mistake.patch);
        // What `kubectl apply` leaves: the only trace of a field that the API server dropped.
        wrong["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": wrong.to_string()});
        let says = |text: &str| mistake.words.iter().all(|word| text.contains(word));
        match scene.plane.create(wrong).await {
            Err(refusal) => {
                let refusal = format!("{refusal:#}");
                ensure!(
                    says(&refusal),
                    "{}: the API server refuses without naming it: {refusal}",
                    mistake.name
                );
            }
            Ok(_) => reported(&scene, &mistake, says).await?,
        }
    }
    // Beside all of these, a policy without a mistake does its work.
    scene.plane.apply_object(scene::deployment("web", 1)).await?;
    scene.plane.apply_object(policy("web", &json!({}))).await?;
    scene.wait_for_replicas("web", 6..=9, Duration::from_secs(20)).await?;
    scene.wait_for_condition("web", "Ready", "True", "", Duration::from_secs(20)).await?;
    Ok(())
}

async fn reported(scene: &Scene, mistake: &Mistake, says: impl Fn(&str) -> bool) -> Result<()> {
    let told = testbed::wait::until(mistake.name, Duration::from_secs(15), || async {
        let conditions = scene.policy(mistake.name).await?["status"]["conditions"].clone();
        let messages: Vec<&str> =
            conditions.as_array().into_iter().flatten().filter_map(|it| it["message"].as_str()).collect();
        let told = messages.join("\n");
        ensure!(says(&told), "{conditions:#}");
        Ok(told)
    })
    .await;
    if told.is_err() {
        scene.tell(mistake.name).await;
    }
    println!("{}: {}", mistake.name, told?);
    Ok(())
}
