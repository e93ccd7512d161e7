//! What pods use of CPU and memory: told to KWOK by one object of the cluster, so that nothing about the pods changes
//! when their load does.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::shape::Shape;
use crate::{ControlPlane, Nodes};

pub(super) const KIND: &str = "ClusterResourceUsage";
const NAME: &str = "testbed";
const GROUP: &str = "kwok.x-k8s.io";
/// What a pod uses of which nothing was said: next to nothing.
const IDLE: Usage = Usage { millicores: 1, mebibytes: 1 };
/// How often a play is brought up to date: often enough for whoever samples every 10 s.
const STEP: Duration = Duration::from_secs(2);

/// What one pod uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// CPU, in thousandths of a core.
    pub millicores: u64,
    /// Memory, in MiB.
    pub mebibytes: u64,
}

/// Installs the kind by which KWOK is told, and says that everybody is idle.
pub(super) async fn install(plane: &ControlPlane) -> Result<()> {
    let plural = KIND.to_lowercase() + "s";
    let name = format!("{plural}.{GROUP}");
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": GROUP, "scope": "Cluster",
            "names": {"plural": plural, "singular": KIND.to_lowercase(), "kind": KIND},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    plane.apply_object(definition).await?;
    plane.wait_for_crds(&[name]).await?;
    set(&plane.client(), &[]).await
}

pub(super) async fn set(client: &Client, usages: &[(&str, Usage)]) -> Result<()> {
    let expression = |quantity: &dyn Fn(Usage) -> String| {
        let otherwise = format!("Quantity(\"{}\")", quantity(IDLE));
        usages.iter().fold(otherwise, |otherwise, (app, usage)| {
            format!(
                "\"app\" in pod.metadata.labels && pod.metadata.labels[\"app\"] == \"{app}\" \
                 ? Quantity(\"{}\") : ({otherwise})",
                quantity(*usage)
            )
        })
    };
    let object = json!({
        "apiVersion": format!("{GROUP}/v1alpha1"), "kind": KIND, "metadata": {"name": NAME},
        "spec": {"usages": [{"usage": {
            "cpu": {"expression": expression(&|usage| format!("{}m", usage.millicores))},
            "memory": {"expression": expression(&|usage| format!("{}Mi", usage.mebibytes))},
        }}]},
    });
    let resource = ApiResource {
        group: GROUP.into(),
        version: "v1alpha1".into(),
        api_version: format!("{GROUP}/v1alpha1"),
        kind: KIND.into(),
        plural: KIND.to_lowercase() + "s",
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    api.patch(NAME, &PatchParams::apply("testbed").force(), &Patch::Apply(&object)).await?;
    Ok(())
}

/// A load that one Deployment's pods share, as a service behind a load balancer: each uses CPU for its part of the
/// requests. At work until dropped.
#[derive(Debug)]
pub struct Play {
    work: JoinHandle<()>,
}

impl Play {
    /// The Ready pods of Deployment `name` (label `app` alike) share `requests` per second, each of which takes
    /// `millicores` of a second; one pod cannot use more than `limit` thousandths of a core.
    pub fn start(nodes: &Nodes, name: &str, requests: Shape, millicores: f64, limit: u64) -> Self {
        let client = nodes.client.clone();
        let name: Arc<str> = name.into();
        let work = tokio::spawn(async move {
            let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
            let mut tick = tokio::time::interval(STEP);
            loop {
                tick.tick().await;
                // Between two of these the control plane may be gone: then the next one tells.
                let Ok(deployment) = deployments.get(&name).await else { continue };
                let ready = deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0).max(1);
                let each = requests.rate(Timestamp::now()) * millicores / f64::from(ready);
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
                let usage = Usage { millicores: (each as u64).clamp(1, limit), mebibytes: 64 };
                drop(set(&client, &[(&name, usage)]).await);
            }
        });
        Self { work }
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        self.work.abort();
    }
}
