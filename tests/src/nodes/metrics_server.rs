//! The real metrics-server, which reads the nodes and serves `metrics.k8s.io` through the API server.

use std::time::Duration;

use anyhow::Result;
use kube::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::control_plane::extension;
use crate::process::{Process, command};
use crate::{ControlPlane, assets, net};

const PATIENCE: Duration = Duration::from_secs(90);

/// A running metrics-server.
#[derive(Debug)]
pub struct MetricsServer {
    process: Process,
    #[allow(dead_code, reason = "its files live as long as the server")]
    dir: TempDir,
}

impl MetricsServer {
    /// Starts it and waits until the API server serves its group. What pods use is known some 20 s after they run.
    ///
    /// # Errors
    /// Fails when it is missing or does not come up, with the end of its log.
    pub async fn start(plane: &ControlPlane) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("foresail-metrics-server-").tempdir()?;
        let port = net::free_port()?;
        let identity = plane.authority().issue("metrics-server", None, &["127.0.0.1", "localhost"])?;
        let kubeconfig = plane.admin()?.kubeconfig().display().to_string();
        let mut command = command(assets::program("metrics-server")?);
        command
            .arg(format!("--kubeconfig={kubeconfig}"))
            .arg(format!("--authentication-kubeconfig={kubeconfig}"))
            .arg(format!("--authorization-kubeconfig={kubeconfig}"))
            .arg(format!("--secure-port={port}"))
            .arg(format!("--tls-cert-file={}", identity.certificate.display()))
            .arg(format!("--tls-private-key-file={}", identity.key.display()))
            .args([
                "--bind-address=127.0.0.1",
                "--kubelet-use-node-status-port",
                "--kubelet-preferred-address-types=InternalIP",
                "--kubelet-insecure-tls",
                "--metric-resolution=10s",
                // It has to be shorter than the resolution.
                "--kubelet-request-timeout=5s",
            ]);
        let mut process = Process::start("metrics-server", command)?;
        process.answers_tcp(port, PATIENCE).await?;
        extension::register(plane, ("metrics.k8s.io", "v1beta1"), port).await?;
        process.check()?;
        Ok(Self { process, dir })
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// Fails with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    /// Ends it, as an outage would.
    pub fn stop(&mut self) {
        self.process.kill();
    }
}

/// CPU of the pods of an application in namespace default, in thousandths of a core each, as metrics-server tells it.
///
/// # Errors
/// Fails when it does not answer.
pub async fn pods(client: &Client, app: &str) -> Result<Vec<f64>> {
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods?labelSelector=app%3D{app}");
    let answer: Value = client.request(http::Request::get(path).body(Vec::new())?).await?;
    Ok(answer["items"].as_array().into_iter().flatten().filter_map(millicores).collect())
}

/// What a pod's first container uses, in thousandths of a core, of its `PodMetrics`.
pub fn millicores(pod: &Value) -> Option<f64> {
    let text = pod["containers"][0]["usage"]["cpu"].as_str()?;
    let (digits, scale) = match text.strip_suffix('n') {
        Some(digits) => (digits, 1e-6),
        None => match text.strip_suffix('u') {
            Some(digits) => (digits, 1e-3),
            None => text.strip_suffix('m').map_or((text, 1e3), |digits| (digits, 1.0)),
        },
    };
    digits.parse::<f64>().ok().map(|number| number * scale)
}
