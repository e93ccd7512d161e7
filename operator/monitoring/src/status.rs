//! Writing a status, only where it says something else than before.

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde_json::{Value, json};

use crate::FIELD_MANAGER;

/// A condition as it is found now; the transition time moves only when the truth does.
pub(crate) fn condition(
    previous: &[Condition],
    kind: &str,
    truth: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let status = if truth { "True" } else { "False" };
    // An empty message is left out on the way, and then refused as missing.
    let message = if message.is_empty() { reason } else { message };
    let since = previous
        .iter()
        .find(|c| c.type_ == kind && c.status == status)
        .map_or(Time(now), |c| c.last_transition_time.clone());
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since,
        observed_generation: generation,
    }
}

/// Writes `next` where it differs from `previous`.
pub(crate) async fn write<K, S>(client: &Client, object: &K, previous: Option<&S>, next: &S)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
    S: Serialize + PartialEq,
{
    if previous == Some(next) {
        return;
    }
    let meta = object.meta();
    let (Some(namespace), Some(name)) = (&meta.namespace, &meta.name) else { return };
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let patch: Value = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name},
        "status": next,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(name, &params, &Patch::Apply(&patch)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => {
            let error = match error {
                kube::Error::Api(status) => status.message,
                other => other.to_string(),
            };
            tracing::warn!(kind = %K::kind(&()), name = %format!("{namespace}/{name}"), error, "can't write the status");
        }
    }
}
