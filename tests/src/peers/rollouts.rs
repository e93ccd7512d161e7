//! Argo Rollouts.

use anyhow::Result;

use super::{PATIENCE, install_definitions};
use crate::process::{Process, command};
use crate::{ControlPlane, assets, net};

/// A running Argo Rollouts controller.
#[derive(Debug)]
pub struct Rollouts {
    process: Process,
}

impl Rollouts {
    /// Installs its definitions, starts it and waits until it is healthy.
    ///
    /// # Errors
    /// Fails when it is not built or does not come up, with the end of the log.
    pub async fn start(plane: &ControlPlane) -> Result<Self> {
        install_definitions(plane, "argo-rollouts").await?;
        plane.namespace("argo-rollouts").await?;
        let (metrics, health) = (net::free_port()?, net::free_port()?);
        let mut command = command(assets::program("rollouts-controller")?);
        command
            .arg(format!("--kubeconfig={}", plane.admin()?.kubeconfig().display()))
            .args(["--namespace=argo-rollouts", "--leader-elect=false"])
            .arg(format!("--metricsPort={metrics}"))
            .arg(format!("--healthzPort={health}"));
        let mut process = Process::start("rollouts-controller", command)?;
        process.answers_http(&format!("http://127.0.0.1:{health}/healthz"), PATIENCE).await?;
        Ok(Self { process })
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// Fails with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        self.process.check()
    }
}
