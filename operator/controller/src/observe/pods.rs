//! What is known of pods: a few numbers per pod, kept up to date by one watch per namespace scope.
//!
//! What comes in: watch events. What goes out: how many pods of a selector are ready, pending, crash-looping, and how
//! long they took to get ready. What this module refuses to know: policies and targets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use autoscaler::StartUp;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::core::{Selector, SelectorExt};
use kube::runtime::watcher::Event;
use series::time;

/// A start-up longer than this was no start-up: readiness came back after something else.
const LONGEST_STARTUP: Duration = Duration::from_mins(30);

/// What matters of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodFacts {
    labels: BTreeMap<String, String>,
    uid: String,
    ready: bool,
    terminating: bool,
    finished: bool,
    unschedulable: bool,
    crash_looping: bool,
    /// Its first way to Ready.
    startup: Option<StartUp>,
}

impl PodFacts {
    fn of(pod: &Pod) -> Self {
        let meta = &pod.metadata;
        let status = pod.status.as_ref();
        let ready = condition(status, "Ready");
        let restarts = status
            .and_then(|s| s.container_statuses.as_ref())
            .map_or(0, |containers| containers.iter().map(|c| c.restart_count).sum::<i32>());
        let created = meta.creation_timestamp.as_ref().map(|t| t.0);
        // A restarted container has been ready before; its second way there is shorter and says nothing.
        let startup = match (created, ready) {
            (Some(created), Some((true, Some(since)))) if restarts == 0 => {
                let took = time::since(since, created);
                (took <= LONGEST_STARTUP).then_some(StartUp { ready: since, took })
            }
            _ => None,
        };
        Self {
            labels: meta.labels.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            ready: ready.is_some_and(|(truth, _)| truth),
            terminating: meta.deletion_timestamp.is_some(),
            finished: matches!(phase(status), "Succeeded" | "Failed"),
            unschedulable: condition(status, "PodScheduled").is_some_and(|(truth, _)| !truth),
            crash_looping: is_crash_looping(status),
            startup,
        }
    }

    /// Which revision of the workload the pod belongs to.
    fn revision(&self) -> Option<&str> {
        ["pod-template-hash", "controller-revision-hash"]
            .iter()
            .find_map(|key| self.labels.get(*key))
            .map(String::as_str)
    }
}

fn phase(status: Option<&PodStatus>) -> &str {
    status.and_then(|s| s.phase.as_deref()).unwrap_or_default()
}

fn condition(status: Option<&PodStatus>, kind: &str) -> Option<(bool, Option<Timestamp>)> {
    let conditions = status?.conditions.as_ref()?;
    let found = conditions.iter().find(|c| c.type_ == kind)?;
    Some((found.status == "True", found.last_transition_time.as_ref().map(|t| t.0)))
}

fn is_crash_looping(status: Option<&PodStatus>) -> bool {
    let Some(status) = status else { return false };
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    containers
        .filter_map(|c| c.state.as_ref()?.waiting.as_ref()?.reason.as_deref())
        .any(|reason| matches!(reason, "CrashLoopBackOff" | "ImagePullBackOff" | "ErrImagePull"))
}

/// Pods of one selector, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodCount {
    /// Ready, and not about to end.
    pub ready: u32,
    /// Never ready so far, without those that no node has room for being counted twice.
    pub pending: u32,
    /// Of the pending, pods that no node has room for.
    pub unschedulable: u32,
    /// Pods that crash or can't pull their image.
    pub crash_looping: u32,
    /// Pods of more than one revision are there.
    pub rollout: bool,
    /// When ready pods became so, and how long that took from their creation.
    pub startups: Vec<StartUp>,
}

type ByName = HashMap<String, PodFacts>;

/// The pods of the namespaces that Foresail looks after.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    inner: Arc<RwLock<HashMap<String, ByName>>>,
}

impl Pods {
    /// Takes in one watch event. `scope` is the watched namespace, or `None` where all are watched by one watch;
    /// `fresh` gathers the new list between `Init` and `InitDone`, so that a relist never shows a half-empty world.
    pub(crate) fn apply(&self, scope: Option<&str>, fresh: &mut Vec<Pod>, event: Event<Pod>) {
        match event {
            Event::Init => fresh.clear(),
            Event::InitApply(pod) => fresh.push(slim(pod)),
            Event::InitDone => {
                let mut all = self.inner.write().unwrap_or_else(PoisonError::into_inner);
                match scope {
                    Some(namespace) => drop(all.remove(namespace)),
                    None => all.clear(),
                }
                for pod in fresh.drain(..) {
                    put(&mut all, &pod);
                }
            }
            Event::Apply(pod) => put(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner), &pod),
            Event::Delete(pod) => {
                let mut all = self.inner.write().unwrap_or_else(PoisonError::into_inner);
                let namespace = pod.metadata.namespace.unwrap_or_default();
                if let (Some(pods), Some(name)) = (all.get_mut(&namespace), &pod.metadata.name) {
                    pods.remove(name);
                }
            }
        }
    }

    /// Counts the pods of `selector` in `namespace`.
    pub fn count(&self, namespace: &str, selector: &Selector) -> PodCount {
        let all = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let mut count = PodCount::default();
        let mut revisions: Vec<&str> = Vec::new();
        let pods = all.get(namespace).into_iter().flat_map(HashMap::values);
        for pod in pods.filter(|p| !p.terminating && !p.finished && selector.matches(&p.labels)) {
            if pod.ready {
                count.ready += 1;
                count.startups.extend(pod.startup);
            } else if pod.crash_looping {
                count.crash_looping += 1;
            } else if pod.startup.is_none() {
                // One that was Ready before runs: it is too busy to answer, or broken, and is neither of both.
                count.pending += 1;
                count.unschedulable += u32::from(pod.unschedulable);
            }
            if let Some(revision) = pod.revision()
                && !revisions.contains(&revision)
            {
                revisions.push(revision);
            }
        }
        count.rollout = revisions.len() > 1;
        count
    }

    /// How many pods are known, over all namespaces.
    pub fn len(&self) -> usize {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).values().map(HashMap::len).sum()
    }

    /// Whether no pod is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn put(all: &mut HashMap<String, ByName>, pod: &Pod) {
    let Some(name) = pod.metadata.name.clone() else { return };
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let pods = all.entry(namespace).or_default();
    let mut facts = PodFacts::of(pod);
    // Readiness that went and came back is no start-up.
    if let Some(before) = pods.get(&name).filter(|before| before.uid == facts.uid && before.startup.is_some())
    {
        facts.startup = before.startup;
    }
    pods.insert(name, facts);
}

/// A pod without what is never looked at, for the time between list and swap.
fn slim(mut pod: Pod) -> Pod {
    pod.spec = None;
    pod.metadata.managed_fields = None;
    pod.metadata.annotations = None;
    pod
}

/// A selector from its text form, as `status.selector` of a scale has it: `app=web,tier in (a,b),!canary`.
pub(crate) fn selector(text: &str) -> Option<Selector> {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement as Requirement;
    let requirement = |key: &str, operator: &str, values: Vec<String>| Requirement {
        key: key.trim().to_owned(),
        operator: operator.to_owned(),
        values: (!values.is_empty()).then_some(values),
    };
    let mut requirements = Vec::new();
    for part in split_outside_parentheses(text) {
        let part = part.trim();
        if part.is_empty() {
            continue;
        }
        if let Some((key, values)) = part.split_once(" notin ") {
            requirements.push(requirement(key, "NotIn", in_parentheses(values)?));
        } else if let Some((key, values)) = part.split_once(" in ") {
            requirements.push(requirement(key, "In", in_parentheses(values)?));
        } else if let Some((key, value)) = part.split_once("!=") {
            requirements.push(requirement(key, "NotIn", vec![value.trim().to_owned()]));
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            requirements.push(requirement(key, "In", vec![value.trim().to_owned()]));
        } else if let Some(key) = part.strip_prefix('!') {
            requirements.push(requirement(key, "DoesNotExist", Vec::new()));
        } else {
            requirements.push(requirement(part, "Exists", Vec::new()));
        }
    }
    // An empty selector would match every pod of the namespace; a scale without one says that it doesn't know.
    if requirements.is_empty() {
        return None;
    }
    let selector = k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector {
        match_expressions: Some(requirements),
        match_labels: None,
    };
    selector.try_into().ok()
}

fn in_parentheses(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inner.split(',').map(|v| v.trim().to_owned()).collect())
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut begin) = (0u32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-01-05T08:00:00Z",
                "labels": {"app": "web", "pod-template-hash": "a"}},
            "status": status,
        }))
        .unwrap()
    }

    fn ready(name: &str, at: &str) -> Pod {
        pod(
            name,
            json!({"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": at}]}),
        )
    }

    fn pods(list: Vec<Pod>) -> Pods {
        let pods = Pods::default();
        for pod in list {
            pods.apply(None, &mut Vec::new(), Event::Apply(pod));
        }
        pods
    }

    #[test]
    fn pods_are_counted_by_what_they_can_do() {
        let waiting = |reason: &str| {
            json!({"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 4,
                "state": {"waiting": {"reason": reason}}}]})
        };
        let pods = pods(vec![
            ready("a", "2026-01-05T08:00:42Z"),
            pod("b", waiting("ContainerCreating")),
            pod("c", waiting("CrashLoopBackOff")),
            pod("d", json!({"conditions": [{"type": "PodScheduled", "status": "False"}]})),
            pod("e", json!({"phase": "Succeeded"})),
        ]);
        let count = pods.count("shop", &selector("app=web").unwrap());
        assert_eq!((count.ready, count.pending, count.unschedulable, count.crash_looping), (1, 2, 1, 1));
        let took: Vec<_> = count.startups.iter().map(|s| s.took).collect();
        assert_eq!(took, [Duration::from_secs(42)]);
        assert!(!count.rollout);
        assert_eq!(pods.count("shop", &selector("app=other").unwrap()), PodCount::default());
        assert_eq!(pods.count("elsewhere", &selector("app=web").unwrap()), PodCount::default());
    }

    #[test]
    fn a_pod_that_is_no_longer_ready_isnt_starting() {
        let busy = json!({"conditions": [{"type": "Ready", "status": "False"}]});
        let pods = pods(vec![ready("a", "2026-01-05T08:00:42Z"), pod("a", busy.clone()), pod("b", busy)]);
        let count = pods.count("shop", &selector("app=web").unwrap());
        assert_eq!((count.ready, count.pending), (0, 1));
    }

    #[test]
    fn readiness_that_came_back_after_days_is_no_start_up() {
        let pods = pods(vec![ready("a", "2026-01-09T08:00:00Z")]);
        assert!(pods.count("shop", &selector("app=web").unwrap()).startups.is_empty());
    }

    #[test]
    fn two_revisions_are_a_rollout() {
        let mut second = ready("b", "2026-01-05T08:00:42Z");
        second.metadata.labels.as_mut().unwrap().insert("pod-template-hash".into(), "b".into());
        let pods = pods(vec![ready("a", "2026-01-05T08:00:42Z"), second]);
        assert!(pods.count("shop", &selector("app=web").unwrap()).rollout);
    }

    #[test]
    fn a_relist_replaces_everything_at_once() {
        let pods = pods(vec![ready("a", "2026-01-05T08:00:42Z")]);
        let mut fresh = Vec::new();
        pods.apply(None, &mut fresh, Event::Init);
        pods.apply(None, &mut fresh, Event::InitApply(ready("b", "2026-01-05T08:00:42Z")));
        assert_eq!(pods.len(), 1);
        pods.apply(None, &mut fresh, Event::InitDone);
        assert_eq!(pods.len(), 1);
        pods.apply(None, &mut fresh, Event::Delete(ready("b", "2026-01-05T08:00:42Z")));
        assert!(pods.is_empty());
    }

    #[test]
    fn selectors_are_read_in_each_of_their_forms() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let text = "app=web,tier in (a,b),zone!=x,!canary,owner";
        let selector_ = selector(text).unwrap();
        assert!(selector_.matches(&labels(&[("app", "web"), ("tier", "b"), ("owner", "me"), ("zone", "y")])));
        assert!(!selector_.matches(&labels(&[("app", "web"), ("tier", "c"), ("owner", "me")])));
        assert!(!selector_.matches(&labels(&[
            ("app", "web"),
            ("tier", "a"),
            ("owner", "me"),
            ("canary", "")
        ])));
        assert!(selector("").is_none());
    }
}
