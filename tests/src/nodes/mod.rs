//! Nodes and pods, played by KWOK, and the real scheduler: a pod needs room on a node, starts, becomes Ready, crashes or
//! is put out as its annotations say (see [`behavior`]), and uses the CPU and memory that it is told to.

mod metrics_server;
mod stages;
mod usage;

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, EvictParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use metrics_server::{MetricsServer, millicores, pods as cpu_of_pods};
pub use stages::{CRASH_LOOP, EVICTED, FLAPPING, annotation};
pub use usage::{Play, Usage};

use crate::ControlPlane;
use crate::process::{Process, command};
use crate::{assets, net, wait};

const PATIENCE: Duration = Duration::from_secs(90);

/// How many nodes there are at first.
const NODES: usize = 2;

/// What a node has. Most tests are not about room, so there is plenty.
const ROOM: [(&str, &str); 3] = [("cpu", "500"), ("memory", "2Ti"), ("pods", "5000")];

/// The nodes, at work until dropped.
pub struct Nodes {
    kwok: Process,
    scheduler: Process,
    client: Client,
    #[allow(dead_code, reason = "its files live as long as the servers")]
    dir: TempDir,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Nodes").field("kwok", &self.kwok).finish_non_exhaustive()
    }
}

impl Nodes {
    /// Starts the scheduler and two nodes with plenty of room; pods become Ready `startup` after their container
    /// started, unless they say otherwise.
    ///
    /// # Errors
    /// Fails when a program is missing or does not come up, with the end of its log.
    pub async fn start(plane: &ControlPlane, startup: Duration) -> Result<Self> {
        Self::start_with(plane, startup, &[ROOM.as_slice(); NODES]).await
    }

    /// Starts the scheduler and nodes of these sizes (resource and quantity), named `node-1` and so on.
    ///
    /// # Errors
    /// Fails when a program is missing or does not come up, with the end of its log.
    pub async fn start_with(
        plane: &ControlPlane,
        startup: Duration,
        sizes: &[&[(&str, &str)]],
    ) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("foresail-nodes-").tempdir()?;
        usage::install(plane).await?;
        let scheduler = Process::start("kube-scheduler", scheduler(plane, &dir)?)?;
        let port = net::free_port()?;
        let mut kwok = Process::start("kwok", kwok(plane, &dir, startup, port)?)?;
        kwok.answers_tcp(port, PATIENCE).await?;
        let mut nodes = Self { kwok, scheduler, client: plane.client(), dir };
        for (index, size) in sizes.iter().enumerate() {
            nodes.add(&format!("node-{}", index + 1), size).await?;
        }
        nodes.ready(sizes.len()).await?;
        Ok(nodes)
    }

    /// Adds a node of this size.
    ///
    /// # Errors
    /// Fails when the API server refuses it.
    pub async fn add(&self, name: &str, size: &[(&str, &str)]) -> Result<()> {
        let room: Value = size.iter().map(|(key, quantity)| (*key, Value::from(*quantity))).collect();
        let path = format!("/metrics/nodes/{name}/metrics/resource");
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"},
                "annotations": {"metrics.k8s.io/resource-metrics-path": path},
            },
            "status": {"allocatable": room, "capacity": room},
        });
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
        Ok(())
    }

    /// Removes a node, as a machine that is taken away: its pods go after it.
    ///
    /// # Errors
    /// Fails when there is none of this name.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.delete(name, &DeleteParams::default()).await.with_context(|| format!("removing {name}"))?;
        Ok(())
    }

    /// Evicts a pod, as `kubectl drain` does: disruption budgets are heeded.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn evict(&self, namespace: &str, pod: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        pods.evict(pod, &EvictParams::default()).await.with_context(|| format!("evicting {pod}"))?;
        Ok(())
    }

    /// Says what the pods of each application (label `app`) use, each of them, from now on.
    ///
    /// # Errors
    /// Fails when the API server refuses it.
    pub async fn set_usage(&self, usages: &[(&str, Usage)]) -> Result<()> {
        usage::set(&self.client, usages).await
    }

    async fn ready(&mut self, wanted: usize) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        wait::until("nodes that take pods", PATIENCE, || async {
            let all = nodes.list(&kube::api::ListParams::default()).await?;
            // The API server marks every new node as not ready; the controller takes the mark away.
            let open = all.items.iter().filter(|node| {
                node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).is_none_or(Vec::is_empty)
            });
            let open = open.count();
            anyhow::ensure!(open == wanted, "{open} of {wanted}");
            Ok(())
        })
        .await?;
        self.check()
    }

    /// Fails when the scheduler or KWOK has ended.
    ///
    /// # Errors
    /// Fails with the end of the log of the one that ended.
    pub fn check(&mut self) -> Result<()> {
        self.scheduler.check()?;
        self.kwok.check()
    }
}

/// Gives a workload's pods annotations by which they behave: `&[("behavior", CRASH_LOOP), ("startup", "30s")]`.
///
/// `startup` is the time from started to Ready; with `startup-max` it is drawn between the two. `image-pull` is the time
/// until the image is there, or `never`. `behavior` is [`CRASH_LOOP`], [`FLAPPING`] or [`EVICTED`], and `period` how long
/// a pod stays Ready, or not, in the last two.
#[must_use]
pub fn behavior(mut workload: Value, says: &[(&str, &str)]) -> Value {
    for (name, value) in says {
        workload["spec"]["template"]["metadata"]["annotations"][annotation(name)] = Value::from(*value);
    }
    workload
}

fn scheduler(plane: &ControlPlane, dir: &TempDir) -> Result<std::process::Command> {
    let mut command = command(assets::program("kube-scheduler")?);
    let kubeconfig = plane.scheduler()?.kubeconfig().to_path_buf();
    command
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--secure-port={}", net::free_port()?))
        .arg(format!("--cert-dir={}", dir.path().join("scheduler").display()))
        .args(["--leader-elect=false", "--bind-address=127.0.0.1"])
        .args(["--kube-api-qps=200", "--kube-api-burst=400"]);
    Ok(command)
}

fn kwok(plane: &ControlPlane, dir: &TempDir, startup: Duration, port: u16) -> Result<std::process::Command> {
    let identity = plane.authority().issue("kubelet", None, &["127.0.0.1", "localhost"])?;
    let config = dir.path().join("kwok.yaml");
    let mut documents = stages::all(startup);
    documents.push(stages::metrics());
    // JSON is YAML.
    let text: Vec<String> = documents.iter().map(ToString::to_string).collect();
    std::fs::write(&config, text.join("\n---\n"))?;
    let mut command = command(assets::program("kwok")?);
    command
        .arg(format!("--kubeconfig={}", plane.kubelets()?.kubeconfig().display()))
        .arg(format!("--config={}", config.display()))
        .arg(format!("--tls-cert-file={}", identity.certificate.display()))
        .arg(format!("--tls-private-key-file={}", identity.key.display()))
        .arg(format!("--server-address=127.0.0.1:{port}"))
        .arg(format!("--node-port={port}"))
        .arg(format!("--enable-crds={}", usage::KIND))
        .args(["--node-ip=127.0.0.1", "--manage-all-nodes", "--node-lease-duration-seconds=12"]);
    Ok(command)
}
