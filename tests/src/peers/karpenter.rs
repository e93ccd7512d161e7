//! Karpenter, whose nodes are KWOK's.

use anyhow::Result;
use serde_json::json;

use super::{PATIENCE, install_definitions};
use crate::process::{Process, command};
use crate::{ControlPlane, assets, net};

const NAMESPACE: &str = "karpenter";

/// A running Karpenter with one pool of nodes: pods without room get a node.
#[derive(Debug)]
pub struct Karpenter {
    process: Process,
}

impl Karpenter {
    /// Installs its definitions, starts it, and makes a pool of nodes named `default`.
    ///
    /// # Errors
    /// Fails when it is not built or does not come up, with the end of the log.
    pub async fn start(plane: &ControlPlane) -> Result<Self> {
        install_definitions(plane, "karpenter").await?;
        plane.namespace(NAMESPACE).await?;
        let (metrics, health) = (net::free_port()?, net::free_port()?);
        let mut command = command(assets::program("karpenter")?);
        command
            .env("KUBECONFIG", plane.admin()?.kubeconfig())
            .env("SYSTEM_NAMESPACE", NAMESPACE)
            .env("KARPENTER_SERVICE", "karpenter")
            .env("DISABLE_LEADER_ELECTION", "true")
            .env("METRICS_PORT", metrics.to_string())
            .env("HEALTH_PROBE_PORT", health.to_string());
        let mut process = Process::start("karpenter", command)?;
        process.answers_http(&format!("http://127.0.0.1:{health}/healthz"), PATIENCE).await?;
        let class = json!({
            "apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": "default"},
        });
        plane.apply_object(class).await?;
        let pool = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "default"},
            "spec": {
                "template": {"spec": {
                    "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
                    "requirements": [
                        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
                    ],
                }},
                "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "30s"},
            },
        });
        plane.apply_object(pool).await?;
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
