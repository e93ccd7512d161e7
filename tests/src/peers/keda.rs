//! KEDA: its operator, and its adapter for external metrics.

use anyhow::Result;
use tempfile::TempDir;

use super::{PATIENCE, install_definitions};
use crate::control_plane::extension;
use crate::process::{Process, command};
use crate::{ControlPlane, assets, net};

const NAMESPACE: &str = "keda";

/// A running KEDA: ScaledObjects of every namespace scale.
#[derive(Debug)]
pub struct Keda {
    adapter: Process,
    operator: Process,
    #[allow(dead_code, reason = "its files live as long as the servers")]
    dir: TempDir,
}

impl Keda {
    /// Installs its definitions, starts both programs and waits until the API server serves external metrics.
    ///
    /// # Errors
    /// Fails when KEDA is not built or does not come up, with the end of the log.
    pub async fn start(plane: &ControlPlane) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("foresail-keda-").tempdir()?;
        install_definitions(plane, "keda").await?;
        plane.namespace(NAMESPACE).await?;
        let identity = plane.authority().issue("keda", None, &["localhost", "127.0.0.1"])?;
        // The names under which KEDA looks for them.
        std::fs::write(dir.path().join("ca.crt"), plane.authority().pem())?;
        std::fs::copy(&identity.certificate, dir.path().join("tls.crt"))?;
        std::fs::copy(&identity.key, dir.path().join("tls.key"))?;
        let kubeconfig = plane.admin()?.kubeconfig().display().to_string();
        let start = |program: &str, arguments: &[String]| -> Result<Process> {
            let mut command = command(assets::program(program)?);
            command
                .arg(format!("--kubeconfig={kubeconfig}"))
                .arg(format!("--cert-dir={}", dir.path().display()))
                .args(arguments)
                .env("KEDA_CLUSTER_OBJECT_NAMESPACE", NAMESPACE)
                .env("POD_NAMESPACE", NAMESPACE)
                .env("WATCH_NAMESPACE", "");
            Process::start(program, command)
        };
        let (service, metrics, health) = (net::free_port()?, net::free_port()?, net::free_port()?);
        let mut operator = start(
            "keda-operator",
            &[
                format!("--metrics-service-bind-address=127.0.0.1:{service}"),
                format!("--metrics-bind-address=127.0.0.1:{metrics}"),
                format!("--health-probe-bind-address=127.0.0.1:{health}"),
            ],
        )?;
        operator.answers_tcp(service, PATIENCE).await?;
        let (port, metrics) = (net::free_port()?, net::free_port()?);
        let file = |name: &str| dir.path().join(name).display().to_string();
        let mut adapter = start(
            "keda-adapter",
            &[
                format!("--authentication-kubeconfig={kubeconfig}"),
                format!("--authorization-kubeconfig={kubeconfig}"),
                format!("--lister-kubeconfig={kubeconfig}"),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--tls-cert-file={}", file("tls.crt")),
                format!("--tls-private-key-file={}", file("tls.key")),
                format!("--client-ca-file={}", file("ca.crt")),
                format!("--metrics-service-address=localhost:{service}"),
                format!("--port={metrics}"),
            ],
        )?;
        adapter.answers_tcp(port, PATIENCE).await?;
        extension::register(plane, ("external.metrics.k8s.io", "v1beta1"), port).await?;
        Ok(Self { adapter, operator, dir })
    }

    /// Fails when one of its programs has ended.
    ///
    /// # Errors
    /// Fails with the end of the log of the one that ended.
    pub fn check(&mut self) -> Result<()> {
        self.operator.check()?;
        self.adapter.check()
    }
}
