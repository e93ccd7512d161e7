//! A workload of the cluster: are enough replicas available, does a container crash again and again, is a rollout stuck.
//! Answers come from the API server's cache (`resourceVersion=0`), so that many checks cost it little.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use health::Reason;
use health::check::{Observed, Outcome};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{GetParams, ListParams};
use kube::{Api, Client};

use crate::net::Failure;
use crate::probe::Probe;

/// What kind of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}

/// A probe of a workload.
#[derive(Clone)]
pub struct Workload {
    /// The cluster.
    pub client: Client,
    /// Its namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Fewer available than this share of the wanted is down, from 0 to 1.
    pub min_available: f64,
}

/// What is known of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadState {
    /// Replicas wanted.
    pub wanted: i32,
    /// Available now.
    pub available: i32,
    /// Already of the newest revision.
    pub updated: i32,
    /// Why the rollout doesn't get on, where the cluster says so.
    pub stuck: Option<String>,
    /// Containers that crash again and again, as `pod/container`.
    pub crashing: Vec<String>,
}

#[async_trait]
impl Probe for Workload {
    fn kind(&self) -> &'static str {
        "workload"
    }

    /// All ask the same API server.
    fn host(&self) -> &'static str {
        "kubernetes"
    }

    async fn probe(&self) -> Outcome {
        let started = Instant::now();
        match self.look().await {
            Ok(state) => judge(&state, self.min_available, started.elapsed()),
            Err(failure) => failure.outcome(started.elapsed()),
        }
    }
}

impl Workload {
    async fn look(&self) -> Result<WorkloadState, Failure> {
        let (mut state, selector) = match self.kind {
            WorkloadKind::Deployment => of_deployment(self.get::<Deployment>().await?),
            WorkloadKind::StatefulSet => of_stateful_set(self.get::<StatefulSet>().await?),
            WorkloadKind::DaemonSet => of_daemon_set(self.get::<DaemonSet>().await?),
        };
        // Pods are looked at only where something is missing: a healthy workload costs one request.
        if state.available < state.wanted || state.stuck.is_some() {
            let readable = selector
                .try_into()
                .map_err(|_| Failure::new(Reason::InvalidAnswer, "the workload's selector can't be read"))?;
            let list = ListParams::default().labels_from(&readable).match_any();
            let pods = Api::<Pod>::namespaced(self.client.clone(), &self.namespace).list(&list).await;
            state.crashing = crashing(&pods.map_err(|e| failure(&e))?.items);
        }
        Ok(state)
    }

    async fn get<K>(&self) -> Result<K, Failure>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get_with(&self.name, &GetParams::any()).await.map_err(|e| failure(&e))
    }
}

fn failure(error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            Failure::new(Reason::NotFound, status.message.clone())
        }
        kube::Error::Api(status) if status.code == 403 || status.code == 401 => {
            Failure::new(Reason::Unauthorized, status.message.clone())
        }
        other => Failure::new(Reason::ConnectionLost, format!("the API server can't be asked: {other}")),
    }
}

fn of_deployment(deployment: Deployment) -> (WorkloadState, LabelSelector) {
    let (spec, status) = (deployment.spec.unwrap_or_default(), deployment.status.unwrap_or_default());
    let stuck = status
        .conditions
        .unwrap_or_default()
        .into_iter()
        .find(|c| c.type_ == "Progressing" && c.status == "False")
        .map(|c| c.message.or(c.reason).unwrap_or_default());
    let state = WorkloadState {
        wanted: spec.replicas.unwrap_or(1),
        available: status.available_replicas.unwrap_or(0),
        updated: status.updated_replicas.unwrap_or(0),
        stuck,
        crashing: Vec::new(),
    };
    (state, spec.selector)
}

fn of_stateful_set(set: StatefulSet) -> (WorkloadState, LabelSelector) {
    let (spec, status) = (set.spec.unwrap_or_default(), set.status.unwrap_or_default());
    let state = WorkloadState {
        wanted: spec.replicas.unwrap_or(1),
        available: status.available_replicas.or(status.ready_replicas).unwrap_or(0),
        updated: status.updated_replicas.unwrap_or(0),
        ..WorkloadState::default()
    };
    (state, spec.selector)
}

fn of_daemon_set(set: DaemonSet) -> (WorkloadState, LabelSelector) {
    let (spec, status) = (set.spec.unwrap_or_default(), set.status.unwrap_or_default());
    let state = WorkloadState {
        wanted: status.desired_number_scheduled,
        available: status.number_available.unwrap_or(0),
        updated: status.updated_number_scheduled.unwrap_or(0),
        ..WorkloadState::default()
    };
    (state, spec.selector)
}

fn crashing(pods: &[Pod]) -> Vec<String> {
    let mut found = Vec::new();
    for pod in pods {
        let statuses = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
        for status in statuses {
            let waiting =
                status.state.as_ref().and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.as_deref());
            if matches!(waiting, Some("CrashLoopBackOff" | "ImagePullBackOff" | "CreateContainerConfigError"))
            {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                found.push(format!("{name}/{} ({})", status.name, waiting.unwrap_or_default()));
            }
        }
    }
    found.sort();
    found
}

/// Down below the minimum; degraded where anything is missing, stuck or crashing.
pub fn judge(state: &WorkloadState, min_available: f64, latency: Duration) -> Outcome {
    let WorkloadState { wanted, available, .. } = state;
    let count = format!("{available} of {wanted} replicas are available");
    let least = (f64::from(*wanted) * min_available).ceil() as i32;
    let crash = state.crashing.first().map(|first| match state.crashing.len() {
        1 => format!("{count}; {first} crashes again and again"),
        n => format!("{count}; {first} and {} more crash again and again", n - 1),
    });
    let mut outcome = if *wanted > 0 && (*available < least.max(1)) {
        let reason = if crash.is_some() { Reason::CrashLoop } else { Reason::Unavailable };
        Outcome::fail(reason, crash.unwrap_or(count), latency)
    } else if let Some(text) = crash {
        Outcome::warn(Reason::CrashLoop, text, latency)
    } else if let Some(text) = &state.stuck {
        Outcome::warn(Reason::RolloutStuck, format!("{count}; the rollout is stuck: {text}"), latency)
    } else if available < wanted && state.updated >= *wanted {
        Outcome::warn(Reason::Unavailable, count, latency)
    } else {
        Outcome::pass(latency)
    };
    outcome.observed = Some(Observed { value: f64::from(*available), unit: "replicas".into() });
    outcome
}

#[cfg(test)]
mod tests {
    use health::Verdict;

    use super::*;

    fn state(wanted: i32, available: i32) -> WorkloadState {
        WorkloadState { wanted, available, updated: wanted, ..WorkloadState::default() }
    }

    #[test]
    fn too_few_is_down_some_missing_is_degraded_and_none_wanted_is_well() {
        let verdict = |s: &WorkloadState| judge(s, 0.5, Duration::ZERO).verdict;
        assert_eq!(verdict(&state(4, 4)), Verdict::Pass);
        assert_eq!(verdict(&state(4, 3)), Verdict::Warn);
        assert_eq!(verdict(&state(4, 1)), Verdict::Fail);
        assert_eq!(verdict(&state(1, 0)), Verdict::Fail);
        assert_eq!(verdict(&state(0, 0)), Verdict::Pass);
    }

    #[test]
    fn a_rollout_that_gets_on_is_well_and_a_stuck_one_is_not() {
        let rolling = WorkloadState { updated: 1, ..state(4, 3) };
        assert_eq!(judge(&rolling, 0.5, Duration::ZERO).verdict, Verdict::Pass);
        let stuck = WorkloadState { stuck: Some("deadline exceeded".into()), ..rolling };
        let outcome = judge(&stuck, 0.5, Duration::ZERO);
        assert_eq!((outcome.verdict, outcome.reason), (Verdict::Warn, Reason::RolloutStuck));
    }

    #[test]
    fn the_container_that_crashes_is_named() {
        let s = WorkloadState { crashing: vec!["web-1/app (CrashLoopBackOff)".into()], ..state(2, 0) };
        let outcome = judge(&s, 0.5, Duration::ZERO);
        assert_eq!(outcome.reason, Reason::CrashLoop);
        assert!(outcome.output.contains("web-1/app"));
    }
}
