//! The actuate step: the only writer of a target's replicas.
//!
//! # Guarantees
//! - Writes nothing but the scale subresource, or the floor of an HPA and the two notes that go with it.
//! - Writes only where the target still asks for the replicas that the decision saw: a write by somebody else in
//!   between is never overwritten.
//! - Writes only while `leads` says so at that moment.
//! - [`Applied`] can only come from an answer of the API server, or from a replay, which has none.
//!
//! # Errors
//! A refusal by the API server is an [`Actuation::Refused`] with its words; it isn't retried here but decided anew at
//! the next tick.

pub(crate) mod claims;
pub mod owners;
pub(crate) mod protect;
pub mod target;

use api::condition::reason;
use k8s_openapi::api::autoscaling::v1::{HorizontalPodAutoscaler, Scale as K8sScale, ScaleSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};

use crate::actuate::target::{ORIGINAL_FLOOR, Scale, WRITTEN_FLOOR};
use crate::error::{Refusal, is_conflict, is_forbidden, say};
use crate::validate::Target;

/// The name under which Foresail writes.
pub const FIELD_MANAGER: &str = "foresail";
/// A workload's status changes often while it scales, and every change makes a new resource version.
const ATTEMPTS: u32 = 4;

/// What came of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Actuation {
    /// The API server took it.
    Applied(Applied),
    /// Nothing was written.
    Skipped(Skip),
    /// The API server refused it.
    Refused(Refusal),
}

/// A change of replicas that the API server confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    from: u32,
    to: u32,
}

impl Applied {
    /// A change in a replay, where every write succeeds.
    pub fn in_replay(from: u32, to: u32) -> Self {
        Self { from, to }
    }

    /// Replicas before.
    pub fn from(&self) -> u32 {
        self.from
    }

    /// Replicas now.
    pub fn to(&self) -> u32 {
        self.to
    }
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The plan was to hold.
    Hold,
    /// The mode is `Recommend`: the number that would be right.
    Suggested(u32),
    /// Somebody else wrote other replicas in between.
    Overtaken {
        /// What the target asks for now.
        now: u32,
    },
    /// Another instance leads.
    NotLeading,
}

/// Carries a plan out.
pub async fn actuate(
    client: &Client,
    namespace: &str,
    target: &Target,
    scale: &Scale,
    plan: &decide::Plan,
    leads: &(dyn Fn() -> bool + Send + Sync),
) -> Actuation {
    let (from, to) = match plan {
        decide::Plan::Hold { .. } => return Actuation::Skipped(Skip::Hold),
        decide::Plan::Suggest { to, .. } => return Actuation::Skipped(Skip::Suggested(*to)),
        decide::Plan::Scale { from, to } => (*from, *to),
    };
    if !leads() {
        return Actuation::Skipped(Skip::NotLeading);
    }
    let written = if scale.hpa.is_some() {
        write_floor(client, namespace, target, scale, to).await
    } else {
        write_scale(client, namespace, target, scale, (from, to), leads).await
    };
    written.unwrap_or_else(|error| {
        let advice = if is_forbidden(&error) { "; let Foresail's ClusterRole update it" } else { "" };
        Actuation::Refused(Refusal::transient(
            reason::FAILED_UPDATE_SCALE,
            format!("can't scale {target} in {namespace} from {from} to {to}: {}{advice}", say(&error)),
        ))
    })
}

async fn write_scale(
    client: &Client,
    namespace: &str,
    target: &Target,
    scale: &Scale,
    (from, to): (u32, u32),
    leads: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Actuation, kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &scale.resource);
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let mut version = scale.resource_version.clone();
    for attempt in 1.. {
        let body = K8sScale {
            metadata: ObjectMeta {
                name: Some(target.name.clone()),
                namespace: Some(namespace.to_owned()),
                resource_version: version.clone(),
                ..ObjectMeta::default()
            },
            spec: Some(ScaleSpec { replicas: Some(to as i32) }),
            status: None,
        };
        match api.replace_scale(&target.name, &params, &body).await {
            Ok(answer) => {
                let now = answer.spec.and_then(|s| s.replicas).unwrap_or(0).max(0) as u32;
                return Ok(Actuation::Applied(Applied { from, to: now }));
            }
            Err(error) if is_conflict(&error) && attempt < ATTEMPTS => {
                let now = api.get_scale(&target.name).await?;
                let replicas = now.spec.and_then(|s| s.replicas).unwrap_or(0).max(0) as u32;
                if replicas != from {
                    return Ok(Actuation::Skipped(Skip::Overtaken { now: replicas }));
                }
                if !leads() {
                    return Ok(Actuation::Skipped(Skip::NotLeading));
                }
                version = now.metadata.resource_version;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Actuation::Skipped(Skip::Hold))
}

/// Raises or lowers an HPA's floor, and notes which floor was the owner's and which is ours.
async fn write_floor(
    client: &Client,
    namespace: &str,
    target: &Target,
    scale: &Scale,
    to: u32,
) -> Result<Actuation, kube::Error> {
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), namespace);
    let original = scale.hpa.map_or(scale.replicas, |h| h.original_floor);
    let patch = serde_json::json!({
        "metadata": {
            "resourceVersion": scale.resource_version,
            "annotations": {ORIGINAL_FLOOR: original.to_string(), WRITTEN_FLOOR: to.to_string()},
        },
        "spec": {"minReplicas": to},
    });
    match api.patch(&target.name, &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(patch)).await {
        Ok(answer) => {
            let now = answer.spec.and_then(|s| s.min_replicas).unwrap_or(1).max(0) as u32;
            Ok(Actuation::Applied(Applied { from: scale.replicas, to: now }))
        }
        // The HPA writes its own status every 15 s; the next tick decides on what it says then.
        Err(error) if is_conflict(&error) => {
            let now =
                api.get(&target.name).await?.spec.and_then(|s| s.min_replicas).unwrap_or(1).max(0) as u32;
            Ok(Actuation::Skipped(Skip::Overtaken { now }))
        }
        Err(error) => Err(error),
    }
}

/// Gives an HPA back the floor that its owner gave it: what deleting a policy does.
pub async fn give_back_floor(client: &Client, namespace: &str, name: &str) -> Result<bool, kube::Error> {
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), namespace);
    let Some(hpa) = api.get_opt(name).await? else { return Ok(false) };
    let note = |key: &str| hpa.metadata.annotations.as_ref()?.get(key)?.parse::<i32>().ok();
    let floor = hpa.spec.as_ref().and_then(|s| s.min_replicas).unwrap_or(1);
    let (Some(original), Some(written)) = (note(ORIGINAL_FLOOR), note(WRITTEN_FLOOR)) else {
        return Ok(false);
    };
    if written != floor {
        return Ok(false);
    }
    let patch = serde_json::json!({
        "metadata": {
            "resourceVersion": hpa.metadata.resource_version,
            "annotations": {ORIGINAL_FLOOR: null, WRITTEN_FLOOR: null},
        },
        "spec": {"minReplicas": original},
    });
    api.patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(patch)).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use kube::api::ApiResource;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// What the API server is to be asked, and what it answers: method, end of the path, status, body.
    type Call = (&'static str, &'static str, u16, Value);
    type Scene = Vec<Call>;

    /// A client of a server that plays a scene, and what is left of the scene.
    fn server(scene: Scene) -> (Client, Arc<Mutex<VecDeque<Call>>>) {
        let left = Arc::new(Mutex::new(VecDeque::from(scene)));
        let played = Arc::clone(&left);
        let service = tower::service_fn(move |request: Request<Body>| {
            let next = played.lock().unwrap().pop_front();
            async move {
                let (method, path, status, body) = next.expect("no more calls were expected");
                assert_eq!(request.method().as_str(), method);
                assert!(request.uri().path().ends_with(path), "{}", request.uri());
                if method == "PUT" {
                    assert!(request.uri().query().unwrap_or_default().contains("fieldManager=foresail"));
                }
                let body = Body::from(serde_json::to_vec(&body).unwrap());
                Ok::<_, std::convert::Infallible>(Response::builder().status(status).body(body).unwrap())
            }
        });
        (Client::new(service, "shop"), left)
    }

    fn target() -> Target {
        Target { api_version: None, kind: "Deployment".into(), name: "web".into() }
    }

    fn seen(replicas: u32) -> Scale {
        Scale {
            resource: ApiResource::erase::<k8s_openapi::api::apps::v1::Deployment>(&()),
            replicas,
            selector: String::new(),
            resource_version: Some("7".into()),
            hpa: None,
        }
    }

    fn scale(replicas: u32) -> Value {
        json!({"metadata": {"name": "web", "resourceVersion": "8"}, "spec": {"replicas": replicas}})
    }

    fn status(code: u16) -> Value {
        json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "X", "code": code})
    }

    async fn play(scene: Scene, plan: decide::Plan, leads: bool) -> (Actuation, usize) {
        let (client, left) = server(scene);
        let result = actuate(&client, "shop", &target(), &seen(3), &plan, &|| leads).await;
        let rest = left.lock().unwrap().len();
        (result, rest)
    }

    const UP: decide::Plan = decide::Plan::Scale { from: 3, to: 5 };

    #[tokio::test]
    async fn what_is_applied_is_what_the_server_says() {
        let scene = vec![("PUT", "/deployments/web/scale", 200, scale(5))];
        assert_eq!(play(scene, UP, true).await, (Actuation::Applied(Applied { from: 3, to: 5 }), 0));
    }

    #[tokio::test]
    async fn holding_suggesting_and_not_leading_say_nothing_to_the_server() {
        let hold = decide::Plan::Hold { reason: decide::HoldReason::AsRecommended, message: String::new() };
        assert_eq!(play(vec![], hold, true).await.0, Actuation::Skipped(Skip::Hold));
        let suggest = decide::Plan::Suggest { from: 3, to: 5 };
        assert_eq!(play(vec![], suggest, true).await.0, Actuation::Skipped(Skip::Suggested(5)));
        assert_eq!(play(vec![], UP, false).await.0, Actuation::Skipped(Skip::NotLeading));
    }

    #[tokio::test]
    async fn a_conflict_over_the_status_is_tried_again() {
        let scene = vec![
            ("PUT", "/scale", 409, status(409)),
            ("GET", "/scale", 200, scale(3)),
            ("PUT", "/scale", 200, scale(5)),
        ];
        assert_eq!(play(scene, UP, true).await, (Actuation::Applied(Applied { from: 3, to: 5 }), 0));
    }

    #[tokio::test]
    async fn a_write_by_somebody_else_is_never_overwritten() {
        let scene = vec![("PUT", "/scale", 409, status(409)), ("GET", "/scale", 200, scale(9))];
        assert_eq!(play(scene, UP, true).await, (Actuation::Skipped(Skip::Overtaken { now: 9 }), 0));
    }

    #[tokio::test]
    async fn a_refusal_says_what_was_refused_and_what_to_do() {
        let scene = vec![("PUT", "/scale", 403, status(403))];
        let (Actuation::Refused(refusal), 0) = play(scene, UP, true).await else { panic!("it was refused") };
        assert_eq!(refusal.reason, "FailedUpdateScale");
        assert!(refusal.message.contains("Deployment/web") && refusal.message.contains("ClusterRole"));
    }
}
