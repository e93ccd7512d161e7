//! Applying YAML and waiting for what it brings, as `kubectl apply` and `kubectl wait` do.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, discovery};
use serde_json::Value;

use super::ControlPlane;
use crate::{assets, wait};

/// The field manager of everything that the testbed applies.
const FIELD_MANAGER: &str = "testbed";

/// The documents of a YAML stream.
///
/// # Errors
/// Fails when it is not YAML.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    let all: Vec<Value> = serde_saphyr::from_multiple(yaml).context("parsing YAML")?;
    Ok(all.into_iter().filter(|document| !document.is_null()).collect())
}

impl ControlPlane {
    /// Applies every document of a YAML stream; objects without a namespace go to `default`.
    ///
    /// # Errors
    /// Fails with the API server's refusal of the first document that it refuses.
    pub async fn apply(&self, yaml: &str) -> Result<Vec<DynamicObject>> {
        let mut applied = Vec::new();
        for document in documents(yaml)? {
            applied.push(self.apply_object(document).await?);
        }
        Ok(applied)
    }

    /// Applies one object (server-side apply).
    ///
    /// # Errors
    /// Fails with the API server's refusal.
    pub async fn apply_object(&self, document: Value) -> Result<DynamicObject> {
        let object: DynamicObject =
            serde_json::from_value(document).context("this is no Kubernetes object")?;
        let api = dynamic(self.client(), &object).await?;
        let name = object.metadata.name.clone().context("an object without a name")?;
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api.patch(&name, &parameters, &Patch::Apply(&object)).await;
        applied.with_context(|| format!("applying {name}"))
    }

    /// Creates one object as `kubectl create` would, so that unknown fields are judged by the server's rules.
    ///
    /// # Errors
    /// Fails with the API server's refusal.
    pub async fn create(&self, document: Value) -> Result<DynamicObject> {
        let object: DynamicObject =
            serde_json::from_value(document).context("this is no Kubernetes object")?;
        let api = dynamic(self.client(), &object).await?;
        Ok(api.create(&PostParams::default(), &object).await?)
    }

    /// Deletes the object that a document names.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn delete(&self, document: Value) -> Result<()> {
        let object: DynamicObject =
            serde_json::from_value(document).context("this is no Kubernetes object")?;
        let api = dynamic(self.client(), &object).await?;
        let name = object.metadata.name.clone().context("an object without a name")?;
        api.delete(&name, &kube::api::DeleteParams::default()).await?;
        Ok(())
    }

    /// Installs the CRDs that are committed under `crds/` and waits until they are served.
    ///
    /// # Errors
    /// Fails when there are none, or the API server refuses one.
    pub async fn install_crds(&self) -> Result<()> {
        let mut names = Vec::new();
        let folder = assets::repository().join("crds");
        for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let yaml = std::fs::read_to_string(&path)?;
                let applied =
                    self.apply(&yaml).await.with_context(|| format!("applying {}", path.display()))?;
                names.extend(applied.into_iter().filter_map(|object| object.metadata.name));
            }
        }
        anyhow::ensure!(!names.is_empty(), "no CRDs in {}: run `foresail crds`", folder.display());
        self.wait_for_crds(&names).await
    }

    /// Waits until the API server serves the kinds of these CRDs.
    ///
    /// # Errors
    /// Fails when one is not established within 30 s.
    pub async fn wait_for_crds(&self, names: &[String]) -> Result<()> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client());
        for name in names {
            wait::until(&format!("CRD {name}"), Duration::from_secs(30), || async {
                let definition = definitions.get(name).await?;
                let conditions = definition.status.and_then(|status| status.conditions).unwrap_or_default();
                let established =
                    conditions.iter().any(|it| it.type_ == "Established" && it.status == "True");
                anyhow::ensure!(established, "not established");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Makes sure that a namespace exists.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let namespaces: Api<Namespace> = Api::all(self.client());
        namespaces.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object)).await?;
        Ok(())
    }

    /// A custom resource as JSON, for tests that look at it as `kubectl get -o json` would.
    ///
    /// # Errors
    /// Fails when it does not exist.
    pub async fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value> {
        let document = serde_json::json!({
            "apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace},
        });
        let object: DynamicObject = serde_json::from_value(document)?;
        let found = dynamic(self.client(), &object).await?.get(name).await?;
        Ok(serde_json::to_value(found)?)
    }
}

/// The API of an object's kind, in its namespace.
async fn dynamic(client: Client, object: &DynamicObject) -> Result<Api<DynamicObject>> {
    let types = object.types.clone().context("an object without apiVersion and kind")?;
    let kind = GroupVersionKind::try_from(&types)?;
    let (resource, capabilities) = discovery::pinned_kind(&client, &kind)
        .await
        .with_context(|| format!("the API server has no {} {}", types.api_version, types.kind))?;
    Ok(match capabilities.scope {
        discovery::Scope::Cluster => Api::all_with(client, &resource),
        discovery::Scope::Namespaced => {
            let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
            Api::namespaced_with(client, namespace, &resource)
        }
    })
}
