//! Every query of every panel and of every rule, asked of a Prometheus that scraped a running Foresail: policies with
//! and without a forecast, a queue, a target that isn't there, components that are well and down, receivers that take
//! messages and that refuse them.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

mod scene;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use scene::{Scene, policy};
use serde_json::{Value, json};
use testbed::{Prometheus, Shape};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Alerts of rules take minutes to fire; that they do is what `promtool test rules` shows.
const NOT_HERE: &[&str] = &["ALERTS{"];

/// An HTTP server that answers every request with `status`.
async fn answering(status: &'static str) -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 64 * 1024];
                let _ = stream.read(&mut request).await;
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    Ok(address)
}

/// Every query of every panel and annotation, with variables filled in as Grafana would, and of every rule.
fn queries() -> Result<Vec<(String, String)>> {
    let root = std::path::Path::new("../dashboards");
    let fill = |expr: &str| {
        expr.replace("$__rate_interval", "30s")
            .replace("$job", ".+")
            .replace("$namespace", ".+")
            .replace("$policy", ".+")
    };
    let mut all = Vec::new();
    for entry in std::fs::read_dir(root.join("grafana"))? {
        let path = entry?.path();
        let board: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        let name = board["uid"].as_str().context("a uid")?.to_owned();
        let panels = board["panels"].as_array().context("panels")?;
        let targets = panels.iter().flat_map(|p| {
            p["targets"].as_array().into_iter().flatten().map(move |t| (p["title"].to_string(), &t["expr"]))
        });
        let annotations = board["annotations"]["list"].as_array().context("annotations")?;
        let annotations = annotations.iter().map(|a| (a["name"].to_string(), &a["expr"]));
        for (place, expr) in targets.chain(annotations) {
            all.push((format!("{name} {place}"), fill(expr.as_str().context("an expression")?)));
        }
    }
    Ok(all)
}

async fn stage(scene: &Scene) -> Result<()> {
    let apply = async |object: Value| scene.plane.apply_object(object).await.map(drop);
    apply(policy("web", &json!({"forecast": {"leadTime": "30s"}, "maxReplicas": 8}))).await?;
    apply(policy("reactive", &json!({"forecast": {"mode": "Off"}}))).await?;
    apply(policy("missing", &json!({}))).await?;
    let nobody =
        json!([{"name": "requests", "target": 100, "prometheus": {"query": "sum(rate(nobody_total[1m]))"}}]);
    apply(policy("absent", &json!({"metrics": nobody}))).await?;
    let queue = json!([{
        "name": "backlog", "drainWithin": "2m",
        "queue": {
            "prometheus": {"backlog": "sum(rate(http_requests_total{app=\"web\"}[30s]))"},
            "arrivals": "sum(rate(http_requests_total{app=\"web\"}[30s])) / 10",
        },
    }]);
    apply(policy("worker", &json!({"metrics": queue}))).await?;

    let (well, refuses) = (answering("200 OK").await?, answering("400 Bad Request").await?);
    let object = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "foresail.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": "default"}, "spec": spec,
        })
    };
    let check = |name: &str, url: String| {
        let spec = json!({"http": {"url": url}, "interval": "2s", "timeout": "1s", "startUpGrace": "1s"});
        object("HealthCheck", name, spec)
    };
    apply(check("well", format!("http://{well}/"))).await?;
    apply(check("down", format!("http://{refuses}/"))).await?;
    for (name, server) in [("takes", &well), ("refuses", &refuses)] {
        let spec = json!({
            "alertmanager": {"urls": [format!("http://{server}")]}, "allowInsecure": true,
            "group": {"wait": "1s", "interval": "2s"},
        });
        apply(object("AlertReceiver", name, spec)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn every_query_gives_data_on_a_prometheus_that_scrapes_a_running_foresail() -> Result<()> {
    let ramp = Timestamp::now() + SignedDuration::from_secs(40);
    // Up within seconds, down a minute later: replicas change both ways while the scene lasts.
    let shape = Shape::daily(ramp, &[(0, 200.0), (10, 1000.0), (70, 1000.0), (80, 200.0)]);
    let mut scene = Scene::set(shape, &json!({})).await?;
    for name in ["web", "reactive", "worker", "absent"] {
        scene.deploy(name, 2).await?;
    }
    scene.start_foresail("one", &[]).await?;
    let rules = std::path::Path::new("../dashboards/rules/foresail.yaml");
    let watching = Prometheus::setup()
        .scrape("foresail", &[scene.foresail[0].address()])
        .rules(&[rules.canonicalize()?])
        .start()
        .await?;
    stage(&scene).await?;

    let wanted = |expr: &str| !NOT_HERE.iter().any(|n| expr.contains(n));
    let all: Vec<_> = queries()?.into_iter().filter(|(_, e)| wanted(e)).collect();
    ensure!(all.len() > 70, "{} queries", all.len());
    let mut open = all.clone();
    let begun = Instant::now();
    while !open.is_empty() && begun.elapsed() < Duration::from_secs(240) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut still = Vec::new();
        for (place, expr) in open {
            let answer = watching.query(&expr).await.with_context(|| format!("{place}: {expr}"))?;
            if answer.is_empty() {
                still.push((place, expr));
            }
        }
        open = still;
    }
    if !open.is_empty() {
        for policy in ["web", "worker"] {
            scene.tell(policy).await;
        }
    }
    ensure!(open.is_empty(), "no data for {} of {} queries: {open:#?}", open.len(), all.len());
    println!("{} queries gave data within {:.0} s", all.len(), begun.elapsed().as_secs_f64());
    every_family_is_written(&watching).await
}

/// Families that wait for trouble which this scene doesn't make.
const QUIET: &[(&str, &str)] = &[
    ("foresail_source_retries_total", "no server fails while being asked"),
    ("foresail_source_open_circuits", "no server fails again and again"),
    ("foresail_policy_errors_total", "the API server refuses nothing"),
];

/// A family that nothing writes would be a promise in the reference that nobody keeps.
/// Every family was written at some time of the scene, as Prometheus remembers it: a forecast comes and goes.
async fn every_family_is_written(watching: &Prometheus) -> Result<()> {
    let seen = "count by (__name__, bound) (last_over_time({job=\"foresail\"}[20m]))";
    let seen: Vec<Value> = watching.query(seen).await?.into_iter().map(|(labels, _)| labels).collect();
    let metrics = telemetry::metrics::Metrics::new();
    let has = |series: &str| seen.iter().any(|labels| labels["__name__"] == series);
    let silent: Vec<&str> = metrics
        .entries()
        .iter()
        .filter(|entry| !entry.series().iter().all(|series| has(series)))
        .map(|entry| entry.name.as_str())
        .filter(|name| !QUIET.iter().any(|(quiet, _)| quiet == name))
        .collect();
    ensure!(silent.is_empty(), "nothing writes {silent:?}");
    for bound in ["mid", "upper"] {
        for family in ["foresail_forecast_value", "foresail_forecast_hindcast_value"] {
            let written = seen.iter().any(|labels| labels["__name__"] == family && labels["bound"] == bound);
            ensure!(written, "nothing writes {family} with bound {bound}");
        }
    }
    Ok(())
}
