//! Bad input: each mistake is refused or reported within seconds on the resource, naming field, value and remedy, and
//! disturbs no other policy.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

mod scene;

use std::time::Duration;

use anyhow::{Result, ensure};
use scene::{Scene, policy};
use serde_json::{Value, json};
use testbed::{Prometheus, Shape};

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

/// What the server of [`Secure`] shows, and asks of its clients.
const CA: &str = include_str!("../operator/sources/tests/tls/ca.pem");
const CLIENT: (&str, &str) = (
    include_str!("../operator/sources/tests/tls/client.pem"),
    include_str!("../operator/sources/tests/tls/client.key"),
);

/// A Prometheus that speaks TLS only, under a name of its own, and only to clients with a certificate.
async fn secure(scene: &Scene) -> Result<Prometheus> {
    let folder = testbed::assets::repository().join("operator/sources/tests/tls");
    let file = |name: &str| folder.join(name).display().to_string();
    let web = json!({"tls_server_config": {
        "cert_file": file("server.pem"), "key_file": file("server.key"), "client_ca_file": file("ca.pem"),
        "client_auth_type": "RequireAndVerifyClientCert",
    }});
    let target = scene.exporter.target();
    // JSON is YAML.
    let server = Prometheus::setup().scrape("load", &[target]).web_config(&web.to_string()).start().await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": "default"},
        "stringData": {"ca": CA, "certificate": CLIENT.0, "key": CLIENT.1},
    });
    scene.plane.apply_object(secret).await?;
    Ok(server)
}

/// The fields under `spec.prometheus.tls`, from the Secret that [`secure`] makes: these of its keys.
fn over_tls(server: &Prometheus, keys: &[&str]) -> Value {
    let mut tls = json!({"serverName": "broker.test"});
    for (field, key) in [("caSecretRef", "ca"), ("certSecretRef", "certificate"), ("keySecretRef", "key")] {
        if keys.contains(&key) {
            tls[field] = json!({"name": "tls", "key": key});
        }
    }
    json!({"prometheus": {"address": format!("https://{}", server.address()), "tls": tls}})
}

fn mistakes(secure: &Prometheus) -> Vec<Mistake> {
    let secret =
        json!({"address": "http://127.0.0.1:1", "bearerTokenSecretRef": {"name": "lost", "key": "token"}});
    vec![
        Mistake {
            name: "unknown-field",
            patch: json!({"maxReplica": 7}),
            words: &["spec.maxReplica ", "explain"],
        },
        Mistake {
            name: "max-below-min",
            patch: json!({"minReplicas": 9, "maxReplicas": 3}),
            words: &["minReplicas", "axReplicas"],
        },
        Mistake {
            name: "query-that-does-not-parse",
            patch: metric(json!({"prometheus": {"query": "sum(rate(x[5m])"}})),
            words: &[
                "spec.metrics[0].prometheus.query",
                "'sum(rate(x[5m])'",
                "parse error",
                "correct the query",
            ],
        },
        Mistake {
            name: "five-minutes",
            patch: json!({"forecast": {"leadTime": "5 minutes"}}),
            words: &["spec.forecast.leadTime", "5 minutes"],
        },
        Mistake { name: "target-of-zero", patch: metric(json!({"target": 0})), words: &["target", "0"] },
        Mistake {
            name: "missing-secret",
            patch: json!({"prometheus": secret}),
            words: &["spec.prometheus.bearerTokenSecretRef", "Secret lost", "create it"],
        },
        Mistake {
            name: "unknown-authority",
            patch: over_tls(secure, &["certificate", "key"]),
            words: &["ertificate"],
        },
        Mistake { name: "no-certificate", patch: over_tls(secure, &["ca"]), words: &["ertificate"] },
    ]
}

#[tokio::test]
async fn each_mistake_is_named_on_the_resource_and_the_others_scale_on() -> Result<()> {
    let mut scene = Scene::set(Shape::constant(600.0), &json!({})).await?;
    scene.start_foresail("one", &[]).await?;
    let secure = secure(&scene).await?;
    for mistake in mistakes(&secure) {
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
    // And one whose Prometheus wants a certificate, and shows one that only its own authority vouches for.
    scene.plane.apply_object(scene::deployment("careful", 1)).await?;
    scene.plane.apply_object(policy("careful", &over_tls(&secure, &["ca", "certificate", "key"]))).await?;
    scene.wait_for_replicas("careful", 6..=9, Duration::from_secs(40)).await?;
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
