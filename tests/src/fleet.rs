//! Many policies, each with its own deployment and pod, on a real control plane and a Prometheus with two weeks of history:
//! what measurements of the whole operator stand on.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::control_plane::Access;
use crate::exporter::Counter;
use crate::{ControlPlane, Foresail, LoadExporter, Nodes, Prometheus, Shape, chart, wait};

/// How long setting up may take: a thousand pods take a while to become Ready.
pub const PATIENCE: Duration = Duration::from_mins(15);

/// The servers, and what is installed on them. Foresail itself isn't started yet.
#[derive(Debug)]
pub struct Fleet {
    _exporter: LoadExporter,
    _nodes: Nodes,
    prometheus: Prometheus,
    _plane: ControlPlane,
}

impl Fleet {
    /// Starts the servers, and applies so many policies, whose load is `shape`.
    ///
    /// # Errors
    /// Fails when a server doesn't start, or a pod doesn't become ready.
    pub async fn start(policies: usize, shape: Shape) -> Result<(Self, Access)> {
        let now = Timestamp::now();
        let since = now - SignedDuration::from_hours(15 * 24);
        let counter = Counter::new("http_requests_total{app=\"web\"}", shape, since);
        let exporter = LoadExporter::start(vec![counter.clone()]).await?;
        let target = exporter.target();
        let prometheus = Prometheus::setup()
            .scrape("load", std::slice::from_ref(&target))
            .every(Duration::from_secs(5))
            .back_fill(&counter, "load", &target, (since, now), SignedDuration::from_secs(30))
            .start();
        let (prometheus, plane) = tokio::try_join!(prometheus, ControlPlane::start())?;
        let access = chart::install(&plane, &json!({})).await?;
        let nodes = Nodes::start(&plane, Duration::from_secs(5)).await?;
        eprintln!("{policies} deployments of one pod, and a policy for each ...");
        stream::iter(0..policies)
            .map(|number| apply(&plane, number))
            .buffer_unordered(16)
            .try_collect::<Vec<_>>()
            .await?;
        wait_for_pods(&plane, policies).await?;
        Ok((Self { _exporter: exporter, _nodes: nodes, prometheus, _plane: plane }, access))
    }

    /// Starts Foresail.
    ///
    /// # Errors
    /// Fails when it isn't ready in time.
    pub async fn foresail(&self, access: &Access) -> Result<Foresail> {
        let mut foresail = Foresail::setup(access)
            .prometheus(&self.prometheus.url())
            .arguments(&["--leader-election-namespace", chart::NAMESPACE])
            .start()
            .await?;
        foresail.ready().await?;
        Ok(foresail)
    }
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
