//! Who else scales a target: HorizontalPodAutoscalers (also those that KEDA keeps for its ScaledObjects) and other
//! policies. Two owners of one target would undo each other's work, so the second one is refused by name.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use api::condition::reason;
use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use kube::runtime::watcher::Event;

use crate::error::Refusal;
use crate::validate::Target;

/// One HPA: its name, what it scales, and the ScaledObject behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HpaOwner {
    name: String,
    kind: String,
    target: String,
    scaled_object: Option<String>,
}

/// The HPAs of the namespaces that Foresail looks after.
#[derive(Clone, Debug, Default)]
pub struct Hpas {
    inner: Arc<RwLock<HashMap<String, Vec<HpaOwner>>>>,
}

impl Hpas {
    /// Takes in one watch event, as [`crate::observe::pods::Pods::apply`] does.
    pub(crate) fn apply(
        &self,
        scope: Option<&str>,
        fresh: &mut Vec<HorizontalPodAutoscaler>,
        event: Event<HorizontalPodAutoscaler>,
    ) {
        let mut all = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => fresh.clear(),
            Event::InitApply(hpa) => fresh.push(hpa),
            Event::InitDone => {
                match scope {
                    Some(namespace) => drop(all.remove(namespace)),
                    None => all.clear(),
                }
                fresh.drain(..).for_each(|hpa| put(&mut all, &hpa));
            }
            Event::Apply(hpa) => put(&mut all, &hpa),
            Event::Delete(hpa) => {
                let namespace = hpa.metadata.namespace.unwrap_or_default();
                if let (Some(hpas), Some(name)) = (all.get_mut(&namespace), &hpa.metadata.name) {
                    hpas.retain(|h| h.name != *name);
                }
            }
        }
    }

    /// The HPA or ScaledObject that scales `target` already, if there is one.
    pub fn owner(&self, namespace: &str, target: &Target) -> Option<Refusal> {
        let all = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let owner = all.get(namespace)?.iter().find(|h| h.kind == target.kind && h.target == target.name)?;
        let (who, advice) = match &owner.scaled_object {
            Some(name) => {
                (format!("ScaledObject {name} (through HorizontalPodAutoscaler {})", owner.name), &owner.name)
            }
            None => (format!("HorizontalPodAutoscaler {}", owner.name), &owner.name),
        };
        Some(Refusal::transient(
            reason::CONFLICTING_AUTOSCALER,
            format!(
                "{target} is scaled by {who}; delete that, or set scaleTargetRef to kind HorizontalPodAutoscaler, name \
                 {advice}, to raise its floor ahead of need"
            ),
        ))
    }
}

fn put(all: &mut HashMap<String, Vec<HpaOwner>>, hpa: &HorizontalPodAutoscaler) {
    let (Some(name), Some(spec)) = (&hpa.metadata.name, &hpa.spec) else { return };
    let by_reference = hpa
        .metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.kind == "ScaledObject")
        .map(|owner| owner.name.clone());
    let by_label = || hpa.metadata.labels.as_ref().and_then(|l| l.get("scaledobject.keda.sh/name")).cloned();
    let owner = HpaOwner {
        name: name.clone(),
        kind: spec.scale_target_ref.kind.clone(),
        target: spec.scale_target_ref.name.clone(),
        scaled_object: by_reference.or_else(by_label),
    };
    let hpas = all.entry(hpa.metadata.namespace.clone().unwrap_or_default()).or_default();
    hpas.retain(|h| h.name != owner.name);
    hpas.push(owner);
}

/// A policy as far as ownership goes: the older one keeps the target, and of two of the same second the first by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// When the policy was created, in seconds since 1970.
    pub created: i64,
    /// The policy's name.
    pub name: String,
}

/// The other policy that has the better claim to `target`, if there is one. `others` are the claims of all policies
/// of the namespace to the same target.
pub fn better_claim<'a>(
    own: &Claim,
    target: &Target,
    others: impl Iterator<Item = &'a Claim>,
) -> Option<Refusal> {
    let best = others.filter(|other| other.name != own.name).min()?;
    (best < own).then(|| {
        Refusal::transient(
            reason::CONFLICTING_AUTOSCALER,
            format!(
                "{target} is scaled by AutoscalePolicy {} already; put the metrics of both into one policy, and \
                 delete the other",
                best.name
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target() -> Target {
        Target { api_version: None, kind: "Deployment".into(), name: "web".into() }
    }

    fn hpa(name: &str, metadata: serde_json::Value) -> HorizontalPodAutoscaler {
        let mut object = json!({
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"maxReplicas": 9, "scaleTargetRef": {"kind": "Deployment", "name": "web"}},
        });
        for (key, value) in metadata.as_object().unwrap() {
            object["metadata"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_hpa_on_the_same_target_is_named() {
        let hpas = Hpas::default();
        hpas.apply(None, &mut Vec::new(), Event::Apply(hpa("web-hpa", json!({}))));
        assert!(hpas.owner("shop", &target()).unwrap().message.contains("HorizontalPodAutoscaler web-hpa"));
        assert_eq!(hpas.owner("elsewhere", &target()), None);
        hpas.apply(None, &mut Vec::new(), Event::Delete(hpa("web-hpa", json!({}))));
        assert_eq!(hpas.owner("shop", &target()), None);
    }

    #[test]
    fn a_scaled_object_is_named_through_its_hpa() {
        let hpas = Hpas::default();
        let owned = json!({"ownerReferences": [
            {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "web-so", "uid": "1"}]});
        hpas.apply(None, &mut Vec::new(), Event::Apply(hpa("keda-hpa-web", owned)));
        assert!(hpas.owner("shop", &target()).unwrap().message.contains("ScaledObject web-so"));
    }

    #[test]
    fn the_older_policy_keeps_the_target() {
        let claim = |created, name: &str| Claim { created, name: name.into() };
        let (old, new) = (claim(1, "z"), claim(2, "a"));
        let all = [old.clone(), new.clone()];
        assert_eq!(better_claim(&old, &target(), all.iter()), None);
        assert!(better_claim(&new, &target(), all.iter()).unwrap().message.contains("AutoscalePolicy z"));
        let same = [claim(1, "a"), claim(1, "b")];
        assert_eq!(better_claim(&same[0], &target(), same.iter()), None);
        assert!(better_claim(&same[1], &target(), same.iter()).is_some());
    }
}
