//! The real HPA controller beside the one that `foresail backtest` replays: both see the same pods and the same metrics, and
//! are to ask for the same replicas, tick by tick.

use std::time::Duration;

use anyhow::{Context, Result};
use backtest::hpa::{Behavior, Normalizer, PodGroups, Tolerance, resource_replicas};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::nodes::{MetricsServer, Play, millicores};
use crate::{ControlPlane, Nodes, Shape};

/// The controller's own period on this testbed.
const TICK: Duration = Duration::from_secs(2);
/// `--horizontal-pod-autoscaler-cpu-initialization-period` and `-initial-readiness-delay`.
const CPU_INITIALIZATION: SignedDuration = SignedDuration::from_mins(5);
const INITIAL_READINESS_DELAY: SignedDuration = SignedDuration::from_secs(30);
/// The controller has a phase of its own, its write takes a moment, and metrics may change in between: what one asks for at
/// one tick the other may ask for so many ticks earlier or later.
const APART: usize = 2;
const NAME: &str = "web";
/// Thousandths of a core that a pod requests, and can't exceed.
const REQUEST: u32 = 500;

/// What is played.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Requests a second, each of which takes ten thousandths of a core's second.
    pub load: Shape,
    /// For how long.
    pub span: Duration,
    /// `averageUtilization`.
    pub target: u32,
    /// `behavior.scaleDown.stabilizationWindowSeconds`; without it the object has no `behavior`.
    pub window: Option<u32>,
    /// From a container's start until its pod is Ready.
    pub startup: Duration,
}

/// One tick.
#[derive(Debug, Clone)]
pub struct Tick {
    /// When.
    pub at: Timestamp,
    /// The pods as the calculator sorts them.
    pub groups: PodGroups,
    /// Replicas that were asked for.
    pub replicas: u32,
    /// What the replayed HPA asked for then.
    pub replayed: u32,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Agreement {
    /// All ticks, in order.
    pub ticks: Vec<Tick>,
    /// Ticks at which the two differ, and by more than their phase.
    pub differing: Vec<Tick>,
}

impl Agreement {
    fn new(ticks: Vec<Tick>) -> Self {
        let around = |i: usize| &ticks[i.saturating_sub(APART)..(i + APART + 1).min(ticks.len())];
        // What is replayed has to come, and what came has to be replayed.
        let comes = |i: usize| around(i).iter().any(|t| t.replicas == ticks[i].replayed);
        let changed = |i: usize| i > 0 && ticks[i].replicas != ticks[i - 1].replicas;
        let was_replayed = |i: usize| around(i).iter().any(|t| t.replayed == ticks[i].replicas);
        let differs = |i: &usize| !comes(*i) || (changed(*i) && !was_replayed(*i));
        let differing = (0..ticks.len()).filter(differs).map(|i| ticks[i].clone()).collect();
        Self { ticks, differing }
    }

    /// How often the real one changed replicas.
    pub fn changes(&self) -> usize {
        self.ticks.windows(2).filter(|pair| pair[0].replicas != pair[1].replicas).count()
    }
}

/// Plays a scene with a Deployment of two pods and an HPA from 2 to 30, and asks the replayed HPA at each tick.
///
/// # Errors
/// Fails when a server doesn't start or doesn't answer.
pub async fn play(scene: &Scene) -> Result<Agreement> {
    let plane = ControlPlane::start().await?;
    let nodes = Nodes::start(&plane, scene.startup).await?;
    let _metrics = MetricsServer::start(&plane).await?;
    set_up(&plane, scene).await?;
    let _play = Play::start(&nodes, NAME, scene.load.clone(), 10.0, u64::from(REQUEST));
    // Until the first pods have metrics, there is nothing to compare.
    let patience = Duration::from_mins(3);
    let client = plane.client();
    crate::wait::until("metrics of two pods", patience, || async {
        let groups = groups(&client, Timestamp::now()).await?;
        anyhow::ensure!(groups.ready.len() >= 2, "{groups:?}");
        Ok(())
    })
    .await?;
    let behavior = scene.window.map(|window| {
        let mut behavior = Behavior::default();
        behavior.down.window = window as usize;
        behavior
    });
    let mut normalizer = Normalizer::new(behavior, 2, 30);
    let begin = Timestamp::now();
    let mut every = tokio::time::interval(TICK);
    let mut ticks = Vec::new();
    while ticks.len() < (scene.span.as_secs() / TICK.as_secs()) as usize {
        every.tick().await;
        let at = Timestamp::now();
        let (replicas, groups) = (replicas(&client).await?, groups(&client, at).await?);
        let proposal = resource_replicas(&groups, replicas, scene.target, Tolerance::default());
        let second = at.duration_since(begin).as_secs().unsigned_abs() as usize;
        let replayed = proposal.map_or(replicas, |n| normalizer.normalize(second, replicas, n));
        ticks.push(Tick { at, groups, replicas, replayed });
    }
    Ok(Agreement::new(ticks))
}

async fn set_up(plane: &ControlPlane, scene: &Scene) -> Result<()> {
    let container =
        json!({"name": "main", "image": "none", "resources": {"requests": {"cpu": format!("{REQUEST}m")}}});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": NAME}}, "template": {
            "metadata": {"labels": {"app": NAME}}, "spec": {"containers": [container]}}},
    });
    plane.apply_object(deployment).await?;
    let mut hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": NAME},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "minReplicas": 2, "maxReplicas": 30,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": scene.target}}}],
        },
    });
    if let Some(window) = scene.window {
        hpa["spec"]["behavior"] = json!({"scaleDown": {"stabilizationWindowSeconds": window}});
    }
    plane.apply_object(hpa).await?;
    Ok(())
}

async fn replicas(client: &Client) -> Result<u32> {
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::default_namespaced(client.clone());
    let spec = deployments.get(NAME).await?.spec.and_then(|spec| spec.replicas);
    u32::try_from(spec.unwrap_or(0)).context("replicas below 0")
}

/// A pod's metrics: when, over how long, and CPU in thousandths of a core.
struct Sample {
    at: Timestamp,
    window: SignedDuration,
    cpu: i64,
}

/// The pods in the calculator's groups (`groupPods` in `replica_calculator.go`).
async fn groups(client: &Client, now: Timestamp) -> Result<PodGroups> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pods = pods.list(&ListParams::default().labels(&format!("app={NAME}"))).await?.items;
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods?labelSelector=app%3D{NAME}");
    let metrics: Value = client.request(http::Request::get(path).body(Vec::new())?).await?;
    let mut groups = PodGroups { request: i64::from(REQUEST), ..PodGroups::default() };
    for pod in &pods {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if pod.metadata.deletion_timestamp.is_some() || phase == Some("Failed") {
            continue;
        }
        let sample = sample(&metrics, pod.metadata.name.as_deref().unwrap_or_default());
        match sample {
            _ if phase == Some("Pending") => groups.unready += 1,
            None => groups.missing += 1,
            Some(sample) if is_unready(pod, &sample, now) => groups.unready += 1,
            Some(sample) => groups.ready.push(sample.cpu),
        }
    }
    Ok(groups)
}

fn sample(metrics: &Value, name: &str) -> Option<Sample> {
    let item = metrics["items"].as_array()?.iter().find(|item| item["metadata"]["name"] == name)?;
    let window: SignedDuration = item["window"].as_str()?.parse().ok()?;
    // The API tells whole thousandths to the controller, rounded up (`resource.Quantity.MilliValue`).
    let cpu = millicores(item)?.ceil() as i64;
    Some(Sample { at: item["timestamp"].as_str()?.parse().ok()?, window, cpu })
}

fn is_unready(pod: &Pod, sample: &Sample, now: Timestamp) -> bool {
    let status = pod.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .and_then(|all| all.iter().find(|it| it.type_ == "Ready"));
    let (Some(ready), Some(start)) = (ready, status.and_then(|status| status.start_time.as_ref())) else {
        return true;
    };
    let is_false = ready.status == "False";
    let since = ready.last_transition_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
    if now.duration_since(start.0) < CPU_INITIALIZATION {
        is_false || sample.at.duration_since(since) < sample.window
    } else {
        is_false && since.duration_since(start.0) < INITIAL_READINESS_DELAY
    }
}
