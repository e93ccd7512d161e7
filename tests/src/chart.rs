//! The Helm chart, worked with by Helm itself.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::control_plane::{Access, ControlPlane, apply};
use crate::process::run;
use crate::{assets, wait};

/// The namespace that the chart is installed into.
pub const NAMESPACE: &str = "foresail";
/// The release's name.
pub const RELEASE: &str = "foresail";

/// A command line of Helm that keeps its files to itself.
///
/// # Errors
/// Fails, naming the script to run, when there is no Helm.
pub fn helm(access: Option<&Access>) -> Result<Command> {
    let own = std::env::temp_dir().join("foresail-helm");
    let mut command = Command::new(assets::program("helm")?);
    for (name, folder) in
        [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        command.env(name, own.join(folder));
    }
    match access {
        Some(access) => command.env("KUBECONFIG", access.kubeconfig()),
        None => command.env_remove("KUBECONFIG"),
    };
    Ok(command)
}

fn folder() -> std::path::PathBuf {
    assets::repository().join("charts/foresail")
}

/// Values as a file: JSON is YAML.
fn file(values: &Value) -> Result<NamedTempFile> {
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), values.to_string())?;
    Ok(file)
}

/// Every object of the chart for these values.
///
/// # Errors
/// Fails when the values are refused by the chart's schema, or a template fails.
pub fn render(values: &Value) -> Result<Vec<Value>> {
    let values = file(values)?;
    let mut helm = helm(None)?;
    helm.args(["template", RELEASE])
        .arg(folder())
        .args(["--namespace", NAMESPACE, "--values"])
        .arg(values.path());
    apply::documents(&run(&mut helm)?)
}

/// Lints the chart with the values of a file, as for one version of Kubernetes.
///
/// # Errors
/// Fails with what the linter found.
pub fn lint(values: &Path, kubernetes: &str) -> Result<()> {
    let mut helm = helm(None)?;
    helm.args(["lint", "--strict", "--namespace", NAMESPACE, "--kube-version", kubernetes, "--values"]);
    run(helm.arg(values).arg(folder())).map(drop)
}

/// Installs the chart, or upgrades it to these values, and returns the access of its service account: Foresail runs
/// outside of the cluster exactly as inside. The Deployment has no replicas of its own.
///
/// # Errors
/// Fails when Helm does.
pub async fn install(plane: &ControlPlane, values: &Value) -> Result<Access> {
    let admin = plane.admin()?;
    let values = file(values)?;
    let mut helm = helm(Some(&admin))?;
    helm.args(["upgrade", "--install", RELEASE]).arg(folder());
    helm.args(["--namespace", NAMESPACE, "--create-namespace", "--set", "replicas=0", "--values"]);
    helm.arg(values.path());
    // Other servers of the testbed may live on this thread.
    tokio::task::spawn_blocking(move || run(&mut helm)).await?.context("installing the chart")?;
    drop(values);
    let names = ["autoscalepolicies", "scalingcalendars", "healthchecks", "alertreceivers"];
    plane.wait_for_crds(&names.map(|name| format!("{name}.foresail.dev"))).await?;
    let access = plane.service_account(NAMESPACE, RELEASE).await?;
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

/// Uninstalls the chart.
///
/// # Errors
/// Fails when Helm does.
pub async fn uninstall(plane: &ControlPlane) -> Result<()> {
    let mut helm = helm(Some(&plane.admin()?))?;
    helm.args(["uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found"]);
    tokio::task::spawn_blocking(move || run(&mut helm)).await?.context("uninstalling the chart")?;
    Ok(())
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
