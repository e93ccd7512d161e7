//! What `foresail run` costs while nothing happens: many policies whose load stays as it is, each with its own
//! deployment and pod, on a real control plane and a Prometheus with two weeks of history.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::exporter::Counter;
use crate::{ControlPlane, Foresail, LoadExporter, Nodes, Prometheus, Shape, chart, wait};

/// How long setting up may take: a thousand pods take a while to become Ready.
const PATIENCE: Duration = Duration::from_mins(15);

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Policies at work.
    pub policies: usize,
    /// From the start of the process until every policy was decided on.
    pub ready_after: Duration,
    /// Resident memory at the end, in MiB.
    pub resident: f64,
    /// Of that, what no file backs.
    pub anonymous: f64,
    /// The most that was ever resident, in MiB.
    pub peak: f64,
    /// Cores used on the average over the span.
    pub cores: f64,
    /// How long that was watched.
    pub span: Duration,
}

/// Sets everything up, lets it settle, and watches for `span`.
///
/// # Errors
/// Fails when a server doesn't start, or a policy isn't decided on in time.
pub async fn measure(policies: usize, span: Duration) -> Result<Measured> {
    let now = Timestamp::now();
    let since = now - SignedDuration::from_hours(14 * 24);
    let counter = Counter::new("http_requests_total{app=\"web\"}", Shape::constant(80.0), since);
    let exporter = LoadExporter::start(vec![counter.clone()]).await?;
    let target = exporter.target();
    let prometheus = Prometheus::setup()
        .scrape("load", std::slice::from_ref(&target))
        .every(Duration::from_secs(5))
        .back_fill(&counter, "load", &target, (since, now), SignedDuration::from_secs(30))
        .start();
    let (prometheus, plane) = tokio::try_join!(prometheus, ControlPlane::start())?;
    let access = chart::install(&plane, &json!({})).await?;
    let _nodes = Nodes::start(&plane, Duration::from_secs(5)).await?;
    eprintln!("{policies} deployments of one pod, and a policy for each ...");
    stream::iter(0..policies)
        .map(|number| apply(&plane, number))
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await?;
    wait_for_pods(&plane, policies).await?;

    let begun = Instant::now();
    let mut foresail = Foresail::setup(&access)
        .prometheus(&prometheus.url())
        .arguments(&["--leader-election-namespace", chart::NAMESPACE])
        .start()
        .await?;
    foresail.ready().await?;
    wait::until("a decision for every policy", PATIENCE, || async {
        let decided = foresail.series("foresail_policy_last_decision_timestamp_seconds").await?;
        ensure!(decided >= policies, "{decided} of {policies}");
        anyhow::Ok(())
    })
    .await?;
    let ready_after = begun.elapsed();
    eprintln!("every policy was decided on {ready_after:.1?} after the start; histories are read ...");
    wait::until("a forecast for every policy", PATIENCE, || async {
        let fits = foresail.metric("foresail_forecast_refits_total").await?;
        ensure!(fits >= policies as f64, "{fits} of {policies}");
        anyhow::Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_mins(2)).await;
    eprintln!("watching for {span:?} ...");
    let (watched, used) = (Instant::now(), cpu_seconds(foresail.id())?);
    tokio::time::sleep(span).await;
    let cores = (cpu_seconds(foresail.id())? - used) / watched.elapsed().as_secs_f64();
    let memory = |field| mebibytes(foresail.id(), field);
    Ok(Measured {
        policies,
        ready_after,
        resident: memory("VmRSS:")?,
        anonymous: memory("RssAnon:")?,
        peak: memory("VmHWM:")?,
        cores,
        span,
    })
}

async fn apply(plane: &ControlPlane, number: usize) -> Result<()> {
    let name = format!("app-{number}");
    let meta = json!({"name": name, "namespace": "default"});
    let template: Value = json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "none"}], "terminationGracePeriodSeconds": 1},
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    });
    let policy = json!({
        "apiVersion": "foresail.dev/v1alpha1", "kind": "AutoscalePolicy", "metadata": meta,
        "spec": {
            "scaleTargetRef": {"name": name}, "maxReplicas": 20,
            "metrics": [{"name": "requests", "target": 100,
                "prometheus": {"query": "sum(rate(http_requests_total{app=\"web\"}[1m]))"}}],
        },
    });
    plane.apply_object(deployment).await?;
    plane.apply_object(policy).await?;
    Ok(())
}

async fn wait_for_pods(plane: &ControlPlane, wanted: usize) -> Result<()> {
    use k8s_openapi::api::apps::v1::Deployment;
    let deployments: kube::Api<Deployment> = kube::Api::default_namespaced(plane.client());
    wait::until("ready pods", PATIENCE, || async {
        let all = deployments.list(&kube::api::ListParams::default()).await?;
        let ready =
            all.items.iter().filter(|d| d.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0) > 0);
        let ready = ready.count();
        ensure!(ready == wanted, "{ready} of {wanted}");
        anyhow::Ok(())
    })
    .await
}

/// Seconds of CPU that a process has used, in user and kernel mode.
fn cpu_seconds(process: u32) -> Result<f64> {
    /// What Linux counts in, on every architecture that it runs on today.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in brackets may hold spaces: what follows it is counted.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| -> Result<f64> { Ok(fields.get(index).context("a short stat")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn mebibytes(process: u32, field: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field)).with_context(|| format!("no {field}"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kibibytes / 1024.0)
}
