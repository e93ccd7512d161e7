//! What becomes of pods and nodes, as configuration of KWOK: each stage says whom it is for, how long it waits, and what
//! the status becomes.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

/// The behavior of a pod that crashes again and again.
pub const CRASH_LOOP: &str = "crash-loop";
/// The behavior of a pod that is Ready and not Ready in turn.
pub const FLAPPING: &str = "flapping";
/// The behavior of a pod that its node puts out when it has become Ready.
pub const EVICTED: &str = "evicted";

/// An annotation by which a pod says how it behaves: `behavior`, `startup`, `startup-max`, `image-pull`, `period`.
pub fn annotation(name: &str) -> String {
    format!("testbed.foresail.dev/{name}")
}

/// How long a pod stays Ready, or not, when it says nothing about its `period`.
const PERIOD: Duration = Duration::from_secs(3);
/// How long a crashed container stays down, and how long the kubelet tries for an image.
const BACK_OFF: Duration = Duration::from_secs(2);

/// Whom a stage is for: a path into the object, and the values that it may or may not have.
type Selector = (String, &'static str, &'static [&'static str]);

fn annotated(name: &str, operator: &'static str, values: &'static [&'static str]) -> Selector {
    (format!(".metadata.annotations[\"{}\"]", annotation(name)), operator, values)
}

fn is_ready(operator: &'static str) -> Selector {
    (".status.conditions.[] | select( .type == \"Ready\" ) | .status".to_owned(), operator, &["True"])
}

fn waiting_for_image() -> Selector {
    (".status.containerStatuses.[].state.waiting.reason".to_owned(), "In", &["ContainerCreating"])
}

fn started(operator: &'static str) -> Selector {
    (".status.containerStatuses.[].started".to_owned(), operator, &["true"])
}

fn running() -> Selector {
    (".status.phase".to_owned(), "In", &["Running"])
}

/// `delay` is the default, and the annotations that may say otherwise: the time, and the upper end it is drawn up to.
fn stage(
    kind: &str,
    name: &str,
    selectors: Vec<Selector>,
    delay: (Duration, &[&str]),
    next: &Value,
) -> Value {
    let all = selectors.into_iter().map(|(key, operator, values)| {
        let mut one = json!({"key": key, "operator": operator});
        if !values.is_empty() {
            one["values"] = json!(values);
        }
        one
    });
    let mut wait = json!({"durationMilliseconds": delay.0.as_millis()});
    for (field, name) in ["durationFrom", "jitterDurationFrom"].iter().zip(delay.1) {
        let path = format!(".metadata.annotations[\"{}\"]", annotation(name));
        wait[field] = json!({"expressionFrom": path});
    }
    json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": all.collect::<Vec<_>>()},
            "delay": wait, "next": next,
        },
    })
}

fn pod(name: &str, mut selectors: Vec<Selector>, delay: (Duration, &[&str]), status: &str) -> Value {
    selectors.push((".metadata.deletionTimestamp".to_owned(), "DoesNotExist", &[]));
    stage("Pod", name, selectors, delay, &json!({"statusTemplate": status}))
}

fn conditions(ready: bool) -> String {
    let (status, reason) = if ready { ("True", "") } else { ("False", "ContainersNotReady") };
    let mut text = "conditions:\n".to_owned();
    for kind in ["Ready", "ContainersReady"] {
        let since = "lastTransitionTime: {{ Now | Quote }}";
        let _ = writeln!(text, "- {{type: {kind}, status: \"{status}\", reason: \"{reason}\", {since}}}");
    }
    text
}

/// The status of every container; of the one before, the restarts and the start are at hand as `$old`.
fn containers(ready: bool, started: bool, restarts: &str, state: &str) -> String {
    format!(
        "{{{{ $pod := . }}}}\n\
         containerStatuses:\n\
         {{{{ range $index, $container := .spec.containers }}}}\n\
         {{{{ $old := dict }}}}\n\
         {{{{ with $pod.status.containerStatuses }}}}{{{{ $old = index . $index }}}}{{{{ end }}}}\n\
         - name: {{{{ $container.name | Quote }}}}\n  \
           image: {{{{ $container.image | Quote }}}}\n  \
           imageID: testbed\n  \
           ready: {ready}\n  \
           started: {started}\n  \
           restartCount: {restarts}\n  \
           {state}\n\
         {{{{ end }}}}\n"
    )
}

const SAME_RESTARTS: &str = "{{ $old.restartCount }}";
const SAME_START: &str = "state: {running: {startedAt: {{ $old.state.running.startedAt | Quote }}}}";

/// Every stage; pods that say nothing become Ready `startup` after their container started.
pub(super) fn all(startup: Duration) -> Vec<Value> {
    let at_once: (Duration, &[&str]) = (Duration::ZERO, &[]);
    let period: (Duration, &[&str]) = (PERIOD, &["period"]);
    let flapping = || annotated("behavior", "In", &[FLAPPING]);
    let ready = format!("{}{}", conditions(true), containers(true, true, SAME_RESTARTS, SAME_START));
    let mut stages = vec![node()];
    stages.extend([
        pod(
            "pod-created",
            vec![(".status.containerStatuses".to_owned(), "DoesNotExist", &[])],
            at_once,
            &created(),
        ),
        pod(
            "pod-without-image",
            vec![annotated("image-pull", "In", &["never"]), waiting_for_image()],
            (BACK_OFF, &[]),
            &containers(
                false,
                false,
                "0",
                "state: {waiting: {reason: ImagePullBackOff, message: Back-off pulling image}}",
            ),
        ),
        pod(
            "pod-started",
            vec![annotated("image-pull", "NotIn", &["never"]), waiting_for_image()],
            (Duration::ZERO, &["image-pull"]),
            &format!(
                "phase: Running\n{}",
                containers(false, false, "0", "state: {running: {startedAt: {{ Now | Quote }}}}")
            ),
        ),
        pod(
            "pod-ready",
            vec![annotated("behavior", "NotIn", &[CRASH_LOOP]), running(), started("NotIn")],
            (startup, &["startup", "startup-max"]),
            &ready,
        ),
        pod(
            "pod-crashed",
            vec![annotated("behavior", "In", &[CRASH_LOOP]), running()],
            (BACK_OFF, &[]),
            &containers(
                false,
                false,
                "{{ add1 $old.restartCount }}",
                "state: {waiting: {reason: CrashLoopBackOff, message: back-off restarting failed container}}\n  \
                 lastState: {terminated: {exitCode: 1, reason: Error, startedAt: {{ Now | Quote }}, \
                 finishedAt: {{ Now | Quote }}}}",
            ),
        ),
        pod(
            "pod-turns-unready",
            vec![flapping(), is_ready("In")],
            period,
            &format!("{}{}", conditions(false), containers(false, true, SAME_RESTARTS, SAME_START)),
        ),
        pod("pod-turns-ready", vec![flapping(), started("In"), is_ready("NotIn")], period, &ready),
        pod(
            "pod-evicted",
            vec![annotated("behavior", "In", &[EVICTED]), is_ready("In")],
            period,
            &format!(
                "phase: Failed\nreason: Evicted\nmessage: \"The node was low on resource: memory.\"\n{}",
                conditions(false)
            ),
        ),
    ]);
    let gone = vec![(".metadata.deletionTimestamp".to_owned(), "Exists", &[] as &[_])];
    stages.push(stage("Pod", "pod-deleted", gone, at_once, &json!({"delete": true})));
    stages
}

fn created() -> String {
    let address = "( or .spec.hostNetwork false ) ( or .metadata.uid \"\" ) ( or .metadata.name \"\" ) \
                   ( or .metadata.namespace \"\" )";
    format!(
        "phase: Pending\n\
         startTime: {{{{ Now | Quote }}}}\n\
         hostIP: {{{{ NodeIPWith .spec.nodeName | Quote }}}}\n\
         podIP: {{{{ PodIPWith .spec.nodeName {address} | Quote }}}}\n\
         {}\
         - {{type: Initialized, status: \"True\", lastTransitionTime: {{{{ Now | Quote }}}}}}\n\
         {}",
        conditions(false),
        containers(false, false, "0", "state: {waiting: {reason: ContainerCreating}}"),
    )
}

/// A node is Ready as soon as it is there, and says where its kubelet's port is.
fn node() -> Value {
    let status = "conditions:\n\
        {{ range NodeConditions }}\n\
        - type: {{ .type | Quote }}\n  \
          status: {{ .status | Quote }}\n  \
          reason: {{ .reason | Quote }}\n  \
          message: {{ .message | Quote }}\n  \
          lastHeartbeatTime: {{ Now | Quote }}\n  \
          lastTransitionTime: {{ Now | Quote }}\n\
        {{ end }}\n\
        addresses:\n\
        - {type: InternalIP, address: {{ NodeIP | Quote }}}\n\
        - {type: Hostname, address: {{ NodeName | Quote }}}\n\
        daemonEndpoints: {kubeletEndpoint: {Port: {{ NodePort }}}}\n";
    let next = json!({"statusTemplate": status});
    stage("Node", "node-ready", vec![is_ready("NotIn")], (Duration::ZERO, &[]), &next)
}

/// What nodes tell metrics-server: CPU and memory of their pods, as [`super::usage`] sets them.
pub(super) fn metrics() -> Value {
    let labels = json!([
        {"name": "container", "value": "container.name"},
        {"name": "namespace", "value": "pod.metadata.namespace"},
        {"name": "pod", "value": "pod.metadata.name"},
    ]);
    let metric = |name: &str, kind: &str, dimension: &str, value: &str| {
        let mut metric = json!({
            "name": name, "kind": kind, "dimension": dimension, "help": "played", "value": value,
        });
        match dimension {
            "container" => metric["labels"] = labels.clone(),
            "pod" => metric["labels"] = json!([labels[1], labels[2]]),
            _ => {}
        }
        metric
    };
    json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Metric", "metadata": {"name": "resource"},
        "spec": {"path": "/metrics/nodes/{nodeName}/metrics/resource", "metrics": [
            metric("container_start_time_seconds", "gauge", "container", "pod.SinceSecond()"),
            metric("container_cpu_usage_seconds_total", "counter", "container",
                "pod.CumulativeUsage(\"cpu\", container.name)"),
            metric("container_memory_working_set_bytes", "gauge", "container",
                "pod.Usage(\"memory\", container.name)"),
            metric("pod_cpu_usage_seconds_total", "counter", "pod", "pod.CumulativeUsage(\"cpu\")"),
            metric("pod_memory_working_set_bytes", "gauge", "pod", "pod.Usage(\"memory\")"),
            metric("node_cpu_usage_seconds_total", "counter", "node", "node.CumulativeUsage(\"cpu\")"),
            metric("node_memory_working_set_bytes", "gauge", "node", "node.Usage(\"memory\")"),
        ]},
    })
}
