//! The target of a policy at the API server: which resource a kind is, what its scale says, who else scales it.
//!
//! What comes in: a [`Target`] as written. What goes out: a [`Scale`] as the API server has it, or a [`Refusal`]. Any
//! kind with a scale subresource will do; a HorizontalPodAutoscaler is read for the floor that it is given.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::condition::reason;
use k8s_openapi::api::autoscaling::v1::{HorizontalPodAutoscaler, Scale as K8sScale};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::discovery::{self, Discovery};
use kube::{Api, Client};

use crate::error::{Refusal, is_forbidden, is_not_found, say};
use crate::validate::{HPA, Target};

/// How long a kind that was looked up is trusted, and one that wasn't found is left alone.
const FOUND_FOR: Duration = Duration::from_mins(10);
const MISSING_FOR: Duration = Duration::from_secs(30);

/// The annotation on an HPA with the floor that it had before Foresail raised it.
pub const ORIGINAL_FLOOR: &str = "foresail.dev/original-min-replicas";
/// The annotation on an HPA with the floor that Foresail wrote last.
pub const WRITTEN_FLOOR: &str = "foresail.dev/written-min-replicas";

/// The target as the API server has it.
#[derive(Clone, Debug)]
pub struct Scale {
    /// The resource behind the kind.
    pub resource: ApiResource,
    /// Replicas asked for: of the scale, or the HPA's floor.
    pub replicas: u32,
    /// The label selector of its pods, in text form; empty where it isn't known.
    pub selector: String,
    /// The version that a write must still meet.
    pub resource_version: Option<String>,
    /// Set where the target is an HPA.
    pub hpa: Option<HpaFacts>,
}

/// What matters of an HPA that is given a floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HpaFacts {
    /// Its own maximum.
    pub max_replicas: u32,
    /// The replicas it runs now.
    pub current: u32,
    /// The floor its owner gave it, below which Foresail never goes.
    pub original_floor: u32,
}

/// API version, where it was written, and kind.
type Kind = (Option<String>, String);

/// Looks up kinds and reads targets.
pub struct Targets {
    client: Client,
    kinds: Mutex<HashMap<Kind, (Instant, Option<ApiResource>)>>,
}

impl Targets {
    /// Reads through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, kinds: Mutex::default() }
    }

    /// The target's scale now.
    pub async fn read(&self, namespace: &str, target: &Target) -> Result<Scale, Refusal> {
        if target.is_hpa() {
            return self.read_hpa(namespace, target).await;
        }
        let resource = self.resolve(target).await?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        match api.get_scale(&target.name).await {
            Ok(scale) => Ok(from_scale(resource, scale)),
            Err(error) if is_not_found(&error) => Err(self.explain_missing(&api, namespace, target).await),
            Err(error) => Err(unreadable(&error, namespace, target)),
        }
    }

    /// Whether the object is missing, or only its scale subresource.
    async fn explain_missing(&self, api: &Api<DynamicObject>, namespace: &str, target: &Target) -> Refusal {
        match api.get_metadata(&target.name).await {
            Ok(_) => Refusal::new(
                reason::TARGET_NOT_SCALABLE,
                format!("{target} in {namespace} has no scale subresource; choose a kind that has one"),
            ),
            Err(_) => Refusal::transient(
                reason::TARGET_NOT_FOUND,
                format!("there is no {target} in {namespace}; create it, or correct spec.scaleTargetRef"),
            ),
        }
    }

    async fn read_hpa(&self, namespace: &str, target: &Target) -> Result<Scale, Refusal> {
        let api: Api<HorizontalPodAutoscaler> = Api::namespaced(self.client.clone(), namespace);
        let hpa = match api.get(&target.name).await {
            Ok(hpa) => hpa,
            Err(error) if is_not_found(&error) => {
                return Err(Refusal::transient(
                    reason::TARGET_NOT_FOUND,
                    format!("there is no {target} in {namespace}; create it, or correct spec.scaleTargetRef"),
                ));
            }
            Err(error) => return Err(unreadable(&error, namespace, target)),
        };
        let below = hpa.spec.as_ref().map(|spec| Target {
            api_version: spec.scale_target_ref.api_version.clone(),
            kind: spec.scale_target_ref.kind.clone(),
            name: spec.scale_target_ref.name.clone(),
        });
        // The pods behind the HPA tell readiness and start-up times; without them the floor still works.
        let selector = match below {
            Some(below) if !below.is_hpa() => {
                Box::pin(self.read(namespace, &below)).await.map(|s| s.selector)
            }
            _ => Ok(String::new()),
        };
        Ok(from_hpa(&hpa, selector.unwrap_or_default()))
    }

    /// The resource behind a kind: known by heart for the usual ones, asked for otherwise.
    pub async fn resolve(&self, target: &Target) -> Result<ApiResource, Refusal> {
        if let Some(known) = by_heart(target) {
            return Ok(known);
        }
        let key = (target.api_version.clone(), target.kind.clone());
        if let Some((at, found)) = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            let lifetime = if found.is_some() { FOUND_FOR } else { MISSING_FOR };
            if at.elapsed() < lifetime {
                return found.clone().ok_or_else(|| unknown_kind(target));
            }
        }
        let found = match &target.api_version {
            Some(version) => self.pinned(version, &target.kind).await,
            None => self.anywhere(&target.kind).await,
        }
        .map_err(|error| {
            Refusal::transient(reason::FAILED_GET_SCALE, format!("can't look up kinds: {}", say(&error)))
        })?;
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.insert(key, (Instant::now(), found.clone()));
        found.ok_or_else(|| unknown_kind(target))
    }

    async fn pinned(&self, api_version: &str, kind: &str) -> Result<Option<ApiResource>, kube::Error> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        match discovery::pinned_kind(&self.client, &gvk).await {
            Ok((resource, _)) => Ok(Some(resource)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(kube::Error::Discovery(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first group that has the kind with a scale subresource.
    async fn anywhere(&self, kind: &str) -> Result<Option<ApiResource>, kube::Error> {
        // Aggregated: two requests, and a group whose server doesn't answer is left out instead of failing all.
        let all = Discovery::new(self.client.clone()).run_aggregated().await?;
        let found = all.groups().find_map(|group| {
            group
                .recommended_resources()
                .into_iter()
                .find(|(resource, caps)| {
                    resource.kind == kind
                        && caps.subresources.iter().any(|(sub, _)| sub.plural.ends_with("scale"))
                })
                .map(|(resource, _)| resource)
        });
        Ok(found)
    }
}

fn by_heart(target: &Target) -> Option<ApiResource> {
    let version = target.api_version.as_deref();
    let (group, api_version, plural) = match target.kind.as_str() {
        "Deployment" => ("apps", "v1", "deployments"),
        "StatefulSet" => ("apps", "v1", "statefulsets"),
        "ReplicaSet" => ("apps", "v1", "replicasets"),
        HPA => ("autoscaling", "v1", "horizontalpodautoscalers"),
        _ => return None,
    };
    let expected = format!("{group}/{api_version}");
    if version.is_some_and(|v| v != expected) && target.kind != HPA {
        return None;
    }
    let gvk = GroupVersionKind::gvk(group, api_version, &target.kind);
    Some(ApiResource::from_gvk_with_plural(&gvk, plural))
}

fn unknown_kind(target: &Target) -> Refusal {
    let version = target.api_version.as_deref().map_or(String::new(), |v| format!(" in {v}"));
    Refusal::transient(
        reason::TARGET_NOT_FOUND,
        format!(
            "the API server knows no kind {}{version} with a scale subresource; correct spec.scaleTargetRef",
            target.kind
        ),
    )
}

fn unreadable(error: &kube::Error, namespace: &str, target: &Target) -> Refusal {
    let advice = if is_forbidden(error) { "; let Foresail's ClusterRole get it" } else { "" };
    Refusal::transient(
        reason::FAILED_GET_SCALE,
        format!("can't read the scale of {target} in {namespace}: {}{advice}", say(error)),
    )
}

fn from_scale(resource: ApiResource, scale: K8sScale) -> Scale {
    Scale {
        resource,
        replicas: scale.spec.as_ref().and_then(|s| s.replicas).unwrap_or(0).max(0) as u32,
        selector: scale.status.and_then(|s| s.selector).unwrap_or_default(),
        resource_version: scale.metadata.resource_version,
        hpa: None,
    }
}

fn from_hpa(hpa: &HorizontalPodAutoscaler, selector: String) -> Scale {
    let spec = hpa.spec.as_ref();
    // An HPA without minReplicas has a floor of 1.
    let floor = spec.and_then(|s| s.min_replicas).unwrap_or(1).max(0) as u32;
    let note = |key: &str| hpa.metadata.annotations.as_ref()?.get(key)?.parse::<u32>().ok();
    // A floor that isn't the one Foresail wrote was set by somebody else, and is the new floor below all others.
    let original = match (note(ORIGINAL_FLOOR), note(WRITTEN_FLOOR)) {
        (Some(original), Some(written)) if written == floor => original,
        _ => floor,
    };
    Scale {
        resource: ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        replicas: floor,
        selector,
        resource_version: hpa.metadata.resource_version.clone(),
        hpa: Some(HpaFacts {
            max_replicas: spec.map_or(1, |s| s.max_replicas).max(1) as u32,
            current: hpa.status.as_ref().map_or(0, |s| s.current_replicas).max(0) as u32,
            original_floor: original,
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hpa(min: u32, annotations: serde_json::Value) -> HorizontalPodAutoscaler {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "annotations": annotations},
            "spec": {"minReplicas": min, "maxReplicas": 9, "scaleTargetRef": {"kind": "Deployment", "name": "web"}},
            "status": {"currentReplicas": 4, "desiredReplicas": 4},
        }))
        .unwrap()
    }

    #[test]
    fn the_floor_an_hpa_had_is_kept_in_mind() {
        let ours = json!({ORIGINAL_FLOOR: "2", WRITTEN_FLOOR: "6"});
        assert_eq!(from_hpa(&hpa(6, ours.clone()), String::new()).hpa.unwrap().original_floor, 2);
        // Somebody set the floor to 3 after us: that is theirs.
        assert_eq!(from_hpa(&hpa(3, ours), String::new()).hpa.unwrap().original_floor, 3);
        assert_eq!(from_hpa(&hpa(5, json!({})), String::new()).hpa.unwrap().original_floor, 5);
    }

    #[test]
    fn usual_kinds_are_known_without_asking() {
        let target = |version: Option<&str>, kind: &str| Target {
            api_version: version.map(str::to_owned),
            kind: kind.to_owned(),
            name: "web".to_owned(),
        };
        assert_eq!(by_heart(&target(None, "Deployment")).unwrap().plural, "deployments");
        assert_eq!(by_heart(&target(Some("apps/v1"), "StatefulSet")).unwrap().api_version, "apps/v1");
        assert!(by_heart(&target(Some("argoproj.io/v1alpha1"), "Deployment")).is_none());
        assert!(by_heart(&target(None, "Rollout")).is_none());
    }
}
