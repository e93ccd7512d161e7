//! A stand-in for nodes: it binds pods, makes them Ready a chosen time after their creation, and lets them go
//! when they are deleted. On demand, pods stay Pending or crash in a loop.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// What becomes of the pods of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Ready after this long.
    Ready(Duration),
    /// No node has room: they stay Pending, unscheduled.
    Unschedulable,
    /// Their container starts and fails, over and over.
    CrashLoop,
}

/// Fates by pod name prefix, the longest first that fits; and the one of all others.
#[derive(Debug)]
struct Fates {
    default: Fate,
    by_prefix: Vec<(String, Fate)>,
}

impl Fates {
    fn of(&self, pod: &str) -> Fate {
        let fitting = self.by_prefix.iter().filter(|(prefix, _)| pod.starts_with(prefix.as_str()));
        fitting.max_by_key(|(prefix, _)| prefix.len()).map_or(self.default, |(_, fate)| *fate)
    }
}

/// The stand-in, at work until dropped.
#[derive(Debug)]
pub struct Kubelets {
    fates: Arc<Mutex<Fates>>,
    work: JoinHandle<()>,
}

impl Kubelets {
    /// Starts it: pods become Ready `startup` after their creation.
    pub fn start(client: Client, startup: Duration) -> Self {
        let fates = Arc::new(Mutex::new(Fates { default: Fate::Ready(startup), by_prefix: Vec::new() }));
        let work = tokio::spawn(work(client, Arc::clone(&fates)));
        Self { fates, work }
    }

    /// Chooses the fate of pods that start from now on and whose name begins with `prefix`.
    pub fn set_fate(&self, prefix: &str, fate: Fate) {
        if let Ok(mut fates) = self.fates.lock() {
            fates.by_prefix.retain(|(known, _)| known != prefix);
            fates.by_prefix.push((prefix.to_owned(), fate));
        }
    }
}

impl Drop for Kubelets {
    fn drop(&mut self) {
        self.work.abort();
    }
}

async fn work(client: Client, fates: Arc<Mutex<Fates>>) {
    let pods: Api<Pod> = Api::all(client.clone());
    let mut seen = HashSet::new();
    loop {
        let events = watcher(pods.clone(), watcher::Config::default()).default_backoff().applied_objects();
        let mut events = std::pin::pin!(events);
        while let Ok(Some(pod)) = events.try_next().await {
            let (Some(uid), Some(namespace)) = (pod.uid(), pod.namespace()) else { continue };
            let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
            let name = pod.name_any();
            if pod.metadata.deletion_timestamp.is_some() {
                tokio::spawn(
                    async move { api.delete(&name, &DeleteParams::default().grace_period(0)).await },
                );
                continue;
            }
            // Each pod is taken in hand once; everything after that is its own task's.
            if !seen.insert(uid) {
                continue;
            }
            let Ok(fate) = fates.lock().map(|fates| fates.of(&name)) else { return };
            tokio::spawn(async move {
                if let Err(error) = live(&api, &pod, fate).await {
                    tracing::debug!(pod = name, %error, "a pod went away while it was started");
                }
            });
        }
    }
}

async fn live(api: &Api<Pod>, pod: &Pod, fate: Fate) -> Result<()> {
    let name = pod.name_any();
    match fate {
        Fate::Unschedulable => {
            let message = "0/3 nodes are available: 3 Insufficient cpu.";
            let now = Timestamp::now();
            let mut scheduled = condition("PodScheduled", false, now);
            scheduled["reason"] = "Unschedulable".into();
            scheduled["message"] = message.into();
            set_status(api, &name, json!({"phase": "Pending", "conditions": [scheduled]})).await
        }
        Fate::Ready(startup) => {
            bind(api, &name).await?;
            let created = pod.creation_timestamp().map_or_else(Timestamp::now, |time| time.0);
            let ready_at = created.checked_add(startup)?;
            let wait = ready_at.duration_since(Timestamp::now());
            tokio::time::sleep(wait.try_into().unwrap_or(Duration::ZERO)).await;
            // The creation time has whole seconds: never be Ready sooner than asked for by rounding down.
            set_status(api, &name, ready_status(pod, created, Timestamp::now())).await
        }
        Fate::CrashLoop => {
            bind(api, &name).await?;
            for restarts in 0.. {
                set_status(api, &name, crashed_status(pod, restarts)).await?;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            Ok(())
        }
    }
}

async fn bind(api: &Api<Pod>, name: &str) -> Result<()> {
    let target = ObjectReference {
        kind: Some("Node".into()),
        name: Some("testbed".into()),
        ..ObjectReference::default()
    };
    let binding = Binding {
        target,
        metadata: kube::core::ObjectMeta { name: Some(name.into()), ..Default::default() },
    };
    let _: Value = api.create_subresource("binding", name, &PostParams::default(), &binding).await?;
    Ok(())
}

async fn set_status(api: &Api<Pod>, name: &str, status: Value) -> Result<()> {
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await?;
    Ok(())
}

/// Kubernetes keeps times in whole seconds.
fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn condition(kind: &str, holds: bool, since: Timestamp) -> Value {
    let status = if holds { "True" } else { "False" };
    json!({"type": kind, "status": status, "lastTransitionTime": seconds(since)})
}

fn containers(pod: &Pod, state: &Value, ready: bool, restarts: u32) -> Vec<Value> {
    let spec = pod.spec.as_ref().map(|spec| spec.containers.clone()).unwrap_or_default();
    let status = |container: &k8s_openapi::api::core::v1::Container| {
        json!({
            "name": container.name, "image": container.image.clone().unwrap_or_default(), "imageID": "testbed",
            "ready": ready, "started": ready, "restartCount": restarts, "state": state,
        })
    };
    spec.iter().map(status).collect()
}

fn ready_status(pod: &Pod, created: Timestamp, now: Timestamp) -> Value {
    json!({
        "phase": "Running", "startTime": seconds(created), "podIP": "10.1.0.1", "hostIP": "127.0.0.1",
        "conditions": [
            condition("PodScheduled", true, created), condition("Initialized", true, created),
            condition("ContainersReady", true, now), condition("Ready", true, now),
        ],
        "containerStatuses": containers(pod, &json!({"running": {"startedAt": seconds(now)}}), true, 0),
    })
}

fn crashed_status(pod: &Pod, restarts: u32) -> Value {
    let now = Timestamp::now();
    let state =
        json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}});
    let mut unready = condition("Ready", false, now);
    unready["reason"] = "ContainersNotReady".into();
    json!({
        "phase": "Running", "startTime": seconds(now),
        "conditions": [
            condition("PodScheduled", true, now), condition("Initialized", true, now),
            condition("ContainersReady", false, now), unready,
        ],
        "containerStatuses": containers(pod, &state, false, restarts),
    })
}
