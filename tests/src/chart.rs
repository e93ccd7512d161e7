//! The Helm chart, rendered by the Helm SDK as `helm install` would.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::control_plane::{Access, ControlPlane, apply};
use crate::process::run;
use crate::{assets, wait};

/// The namespace that the chart is installed into.
pub const NAMESPACE: &str = "foresail";

fn tool(arguments: &[&str]) -> Result<String> {
    let python = assets::python("python");
    ensure!(python.exists(), "{} not found: run tests/setup/python.sh", python.display());
    let script = assets::repository().join("charts/tool.py");
    run(Command::new(python).env("PYTHONDONTWRITEBYTECODE", "1").arg(script).args(arguments))
}

/// Every object of the chart for these values.
///
/// # Errors
/// Fails when the values are refused by the chart's schema, or a template fails.
pub fn render(values: &Value) -> Result<Vec<Value>> {
    let file = tempfile::NamedTempFile::new()?;
    // JSON is YAML.
    std::fs::write(file.path(), values.to_string())?;
    let path = file.path().to_str().context("a temporary path that is no UTF-8")?;
    apply::documents(&tool(&["render", "--values", path, "--namespace", NAMESPACE])?)
}

/// Lints the chart with every file under its `ci/`.
///
/// # Errors
/// Fails with what the linter found.
pub fn lint() -> Result<()> {
    tool(&["lint"]).map(drop)
}

/// Installs what Foresail needs to run outside of the cluster exactly as inside: CRDs, service account, roles,
/// bindings. Returns that service account's access.
///
/// # Errors
/// Fails when the chart does not render or the API server refuses an object.
pub async fn install(plane: &ControlPlane, values: &Value) -> Result<Access> {
    plane.namespace(NAMESPACE).await?;
    let objects = render(values)?;
    let kind = |object: &Value| object["kind"].as_str().unwrap_or_default().to_owned();
    let definitions: Vec<String> = objects
        .iter()
        .filter(|object| kind(object) == "CustomResourceDefinition")
        .filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned))
        .collect();
    for object in objects {
        let wanted = [
            "CustomResourceDefinition",
            "ServiceAccount",
            "ClusterRole",
            "Role",
            "ClusterRoleBinding",
            "RoleBinding",
        ];
        if wanted.contains(&kind(&object).as_str()) {
            plane.apply_object(object).await?;
        }
    }
    plane.wait_for_crds(&definitions).await?;
    let access = plane.service_account(NAMESPACE, "foresail").await?;
    // The roles take effect a moment after they are written.
    let client = access.client()?;
    wait::until("the roles", std::time::Duration::from_secs(20), || async {
        let leases: kube::Api<k8s_openapi::api::coordination::v1::Lease> =
            kube::Api::namespaced(client.clone(), NAMESPACE);
        leases.get_opt("foresail").await
    })
    .await?;
    Ok(access)
}

/// Definitions of kinds that come from elsewhere, as far as tests need them: any field is taken.
pub fn foreign_kinds() -> Vec<Value> {
    let kind = |group: &str, version: &str, plural: &str, kind: &str| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind},
                "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
            },
        })
    };
    vec![
        kind("monitoring.coreos.com", "v1", "servicemonitors", "ServiceMonitor"),
        kind("monitoring.coreos.com", "v1", "podmonitors", "PodMonitor"),
        kind("monitoring.coreos.com", "v1", "prometheusrules", "PrometheusRule"),
        kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject"),
    ]
}
