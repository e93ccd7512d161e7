//! API groups that another server on loopback serves through the API server, as metrics-server and KEDA do.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::ControlPlane;
use crate::wait;

/// Registers a server on loopback for `group/version` and waits until the API server finds it.
///
/// # Errors
/// Fails when the API server refuses it, or the group is not available within a minute.
pub async fn register(plane: &ControlPlane, (group, version): (&str, &str), port: u16) -> Result<()> {
    let service = group.replace('.', "-");
    plane.namespace("kube-system").await?;
    // The API server looks up the Service's external name, so that loopback needs no endpoints.
    plane
        .apply_object(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": service, "namespace": "kube-system"},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        }))
        .await?;
    let name = format!("{version}.{group}");
    plane
        .apply_object(json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name},
            "spec": {
                "group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": true,
                "service": {"name": service, "namespace": "kube-system", "port": port},
            },
        }))
        .await?;
    wait::until(&format!("API group {group}"), Duration::from_mins(1), || async {
        let service = plane.get("apiregistration.k8s.io/v1", "APIService", "default", &name).await?;
        let conditions = service["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let available = conditions.iter().any(|it| it["type"] == "Available" && it["status"] == "True");
        ensure!(available, "{conditions:?}");
        Ok(())
    })
    .await
}
