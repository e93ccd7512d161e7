//! Busy consumers stay: before replicas are removed, pods with work get a deletion cost, and a ReplicaSet removes those
//! with the least of it first. Written only then, and only where it changed: Kubernetes asks not to follow a metric with
//! this annotation.

use std::collections::BTreeMap;
use std::time::Duration;

use api::condition::reason;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, PartialObjectMeta, Patch, PatchParams};
use kube::{Api, Client};

use crate::actuate::FIELD_MANAGER;
use crate::actuate::target::Scale;
use crate::error::{Refusal, is_forbidden, is_not_found, say};
use crate::observe::signals::{Asked, Busy, Sources};

/// What a ReplicaSet goes by: pods with a lower cost are removed first, and 0 is the cost of those without.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// More than this is all the same.
const MOST: f64 = 1_000_000.0;
const AT_ONCE: usize = 8;
/// The ReplicaSet's controller hears of pods and of replicas on two watches: the marks go ahead by this much.
const HEARD_AFTER: Duration = Duration::from_secs(1);

/// Marks the busy pods of a target that is about to lose some, where its policy says which are busy. A refusal when that
/// can't be told or written: then none may go.
pub(crate) async fn protect(
    client: &Client,
    namespace: &str,
    sources: Option<&Sources>,
    scale: &Scale,
    plan: &decide::Plan,
    now: Timestamp,
) -> Result<(), Refusal> {
    let decide::Plan::Scale { from, to } = plan else { return Ok(()) };
    // Whoever goes to sleep has nobody to choose.
    if to >= from || *to == 0 || scale.selector.is_empty() {
        return Ok(());
    }
    let asked: Vec<Busy> = sources
        .iter()
        .flat_map(|sources| &sources.all)
        .filter_map(|asked| match asked {
            Ok(Asked::Queue { busy, .. }) => busy.clone(),
            _ => None,
        })
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let mut work: BTreeMap<String, f64> = BTreeMap::new();
    for busy in asked {
        let answer = busy.source.by_label(&busy.pod_label, now).await.map_err(|absence| {
            let message = format!("no replica is removed: which consumers are busy can't be told: {absence}");
            Refusal::transient(reason::FAILED_PROTECT_PODS, message)
        })?;
        for (pod, amount) in answer {
            *work.entry(pod).or_default() += amount;
        }
    }
    mark(client, namespace, &scale.selector, &work).await.map_err(|error| {
        let advice = if is_forbidden(&error) {
            "; let Foresail patch pods (chart value rbac.protectBusyPods: true)"
        } else {
            ""
        };
        let message = format!("no replica is removed: busy pods can't be marked: {}{advice}", say(&error));
        Refusal::transient(reason::FAILED_PROTECT_PODS, message)
    })
}

async fn mark(
    client: &Client,
    namespace: &str,
    selector: &str,
    work: &BTreeMap<String, f64>,
) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = api.list_metadata(&ListParams::default().labels(selector)).await?;
    let changes: Vec<_> = pods.items.iter().filter_map(|pod| change(pod, work)).collect();
    if changes.is_empty() {
        return Ok(());
    }
    let patches = stream::iter(changes).map(move |(name, cost)| write(api.clone(), name, cost));
    patches.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    tokio::time::sleep(HEARD_AFTER).await;
    Ok(())
}

async fn write(api: Api<Pod>, name: String, cost: Option<String>) -> Result<(), kube::Error> {
    let patch = serde_json::json!({"metadata": {"annotations": {COST: cost}}});
    match api.patch_metadata(&name, &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(patch)).await {
        // It is gone already: nothing to keep.
        Err(error) if !is_not_found(&error) => Err(error),
        _ => Ok(()),
    }
}

/// The cost that a pod should have and doesn't, `None` for an idle one that shouldn't have any.
fn change(pod: &PartialObjectMeta<Pod>, work: &BTreeMap<String, f64>) -> Option<(String, Option<String>)> {
    let ObjectMeta { name, annotations, deletion_timestamp, .. } = &pod.metadata;
    let name = name.clone().filter(|_| deletion_timestamp.is_none())?;
    let has = annotations.as_ref().and_then(|a| a.get(COST));
    let busy = work.get(&name).filter(|amount| **amount > 0.0);
    let wants = busy.map(|amount| format!("{:.0}", amount.ceil().min(MOST)));
    (has != wants.as_ref()).then_some((name, wants))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, cost: Option<&str>) -> PartialObjectMeta<Pod> {
        let annotations = cost.map_or(json!({}), |cost| json!({COST: cost}));
        serde_json::from_value(json!({"metadata": {"name": name, "annotations": annotations}})).unwrap()
    }

    #[test]
    fn busy_pods_get_a_cost_and_idle_ones_lose_it() {
        let work = BTreeMap::from([("a".to_owned(), 2.2), ("b".to_owned(), 0.0), ("c".to_owned(), 1e12)]);
        let change = |pod: PartialObjectMeta<Pod>| change(&pod, &work);
        assert_eq!(change(pod("a", None)), Some(("a".into(), Some("3".into()))));
        assert_eq!(change(pod("a", Some("3"))), None, "what is right isn't written");
        assert_eq!(change(pod("b", Some("3"))), Some(("b".into(), None)));
        assert_eq!(change(pod("unknown", Some("1"))), Some(("unknown".into(), None)));
        assert_eq!(change(pod("unknown", None)), None);
        assert_eq!(change(pod("c", None)), Some(("c".into(), Some("1000000".into()))));
    }
}
