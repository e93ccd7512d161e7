//! What the scenes share: a control plane with the chart's roles, a Prometheus with two weeks of daily load, a
//! workload, Foresail under exactly the chart's service account.

#![allow(dead_code, reason = "each scene uses a part of it")]
#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

pub(crate) mod chat;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::control_plane::Access;
use testbed::exporter::Counter;
use testbed::{ControlPlane, Foresail, LoadExporter, Nodes, Prometheus, Shape, chart, prepare, wait};

/// How long pods take from the start of their container until they are Ready.
pub(crate) const STARTUP: Duration = Duration::from_secs(12);

/// The load per replica in all scenes.
pub(crate) const TARGET: u32 = 100;

pub(crate) struct Scene {
    pub(crate) foresail: Vec<Foresail>,
    pub(crate) nodes: Nodes,
    pub(crate) prometheus: Prometheus,
    pub(crate) exporter: LoadExporter,
    pub(crate) plane: ControlPlane,
    pub(crate) access: Access,
}

impl Scene {
    /// Everything but Foresail: the load of application `web` follows `shape`, and did so for two weeks.
    pub(crate) async fn set(shape: Shape, values: &Value) -> Result<Self> {
        prepare();
        let now = Timestamp::now();
        let since = now - SignedDuration::from_hours(15 * 24);
        let counter = Counter::new("http_requests_total{app=\"web\"}", shape, since);
        let exporter = LoadExporter::start(vec![counter.clone()]).await?;
        let target = exporter.target();
        let prometheus = Prometheus::setup()
            .scrape("load", std::slice::from_ref(&target))
            .back_fill(&counter, "load", &target, (since, now), SignedDuration::from_secs(15))
            .start();
        let (prometheus, plane) = tokio::try_join!(prometheus, ControlPlane::start())?;
        let access = chart::install(&plane, values).await?;
        let nodes = Nodes::start(&plane, STARTUP).await?;
        let scene = Self { foresail: Vec::new(), nodes, prometheus, exporter, plane, access };
        scene.wait_for_full_windows().await?;
        Ok(scene)
    }

    /// Between the back-fill and the first scrape some seconds are missing: until the query's window is past them,
    /// the rate is read too low.
    async fn wait_for_full_windows(&self) -> Result<()> {
        wait::until("scrapes that fill a window", Duration::from_mins(2), || async {
            let scrapes = self.prometheus.value("sum(count_over_time(up[33s]))").await?;
            ensure!(scrapes >= 30.0, "{scrapes} scrapes");
            Ok(())
        })
        .await
    }

    /// Raises the lower bound of a policy, which has to be followed at once by whoever is in charge.
    pub(crate) async fn raise_minimum(&self, name: &str, replicas: u32) -> Result<()> {
        let mut policy = policy(name, &json!({}));
        policy["spec"]["minReplicas"] = replicas.into();
        self.plane.apply_object(policy).await?;
        Ok(())
    }

    /// Starts one more instance of Foresail.
    pub(crate) async fn start_foresail(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        let setup = Foresail::setup(&self.access)
            .prometheus(&self.prometheus.url())
            .arguments(&[
                "--leader-election-namespace",
                chart::NAMESPACE,
                "--interval",
                "2s",
                "--instance",
                name,
            ])
            .arguments(arguments);
        let mut foresail = setup.start().await?;
        foresail.ready().await?;
        self.foresail.push(foresail);
        Ok(())
    }

    pub(crate) fn deployments(&self) -> Api<Deployment> {
        Api::default_namespaced(self.plane.client())
    }

    /// Creates a deployment and waits until all of its pods are Ready.
    pub(crate) async fn deploy(&self, name: &str, replicas: u32) -> Result<()> {
        self.plane.apply_object(deployment(name, replicas)).await?;
        wait::until("the first pods", Duration::from_mins(1), || async {
            let ready = self.ready_replicas(name).await?;
            ensure!(ready == replicas, "{ready} of {replicas} ready");
            Ok(())
        })
        .await
    }

    /// What the deployment's spec asks for.
    pub(crate) async fn replicas(&self, name: &str) -> Result<u32> {
        let found = self.deployments().get(name).await?;
        Ok(found.spec.and_then(|spec| spec.replicas).unwrap_or(0).unsigned_abs())
    }

    pub(crate) async fn ready_replicas(&self, name: &str) -> Result<u32> {
        let found = self.deployments().get(name).await?;
        Ok(found.status.and_then(|status| status.ready_replicas).unwrap_or(0).unsigned_abs())
    }

    /// Sets a deployment's replicas as a person with `kubectl scale` does.
    pub(crate) async fn scale_by_hand(&self, name: &str, replicas: u32) -> Result<()> {
        by_hand(&self.deployments(), name, replicas).await
    }

    /// Sets a stateful set's replicas as a person with `kubectl scale` does.
    pub(crate) async fn scale_set_by_hand(&self, name: &str, replicas: u32) -> Result<()> {
        by_hand(&Api::<StatefulSet>::default_namespaced(self.plane.client()), name, replicas).await
    }

    /// Waits until the decision of a policy, as its status tells it, contains these words, and returns its sentence.
    pub(crate) async fn wait_for_decision(
        &self,
        policy: &str,
        words: &str,
        patience: Duration,
    ) -> Result<String> {
        wait::until(&format!("{policy} decided by {words:?}"), patience, || async {
            let decision = self.policy(policy).await?["status"]["decision"].clone();
            let told = ["message", "candidates", "limits"].map(|part| decision[part].to_string()).join(" ");
            ensure!(told.contains(words), "{told}");
            Ok(told)
        })
        .await
    }

    pub(crate) async fn policy(&self, name: &str) -> Result<Value> {
        self.plane.get("foresail.dev/v1alpha1", "AutoscalePolicy", "default", name).await
    }

    /// One condition of a policy: status, reason, message.
    pub(crate) async fn condition(&self, policy: &str, kind: &str) -> Result<(String, String, String)> {
        let policy = self.policy(policy).await?;
        let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|it| it["type"] == kind);
        let found = found.with_context(|| format!("no condition {kind} in {}", policy["status"]))?;
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Ok((text("status"), text("reason"), text("message")))
    }

    /// Waits until a condition of a policy has this status and its reason or message contains `words`.
    pub(crate) async fn wait_for_condition(
        &self,
        policy: &str,
        kind: &str,
        status: &str,
        words: &str,
        patience: Duration,
    ) -> Result<String> {
        wait::until(&format!("{policy}: {kind}={status} {words:?}"), patience, || async {
            let (is, reason, message) = self.condition(policy, kind).await?;
            let told = format!("{reason}: {message}");
            ensure!(is == status && told.contains(words), "{kind}={is} {told}");
            Ok(told)
        })
        .await
    }

    /// Waits until the deployment's spec asks for something in this range.
    pub(crate) async fn wait_for_replicas(
        &self,
        name: &str,
        range: impl std::ops::RangeBounds<u32>,
        patience: Duration,
    ) -> Result<u32> {
        wait::until(&format!("replicas of {name}"), patience, || async {
            let replicas = self.replicas(name).await?;
            ensure!(range.contains(&replicas), "{replicas} replicas");
            Ok(replicas)
        })
        .await
    }

    /// Demands that the deployment's spec stays in this range.
    pub(crate) async fn demand_replicas(
        &self,
        name: &str,
        range: impl std::ops::RangeBounds<u32>,
        span: Duration,
    ) -> Result<()> {
        wait::throughout(&format!("replicas of {name}"), span, || async {
            let replicas = self.replicas(name).await?;
            ensure!(range.contains(&replicas), "{replicas} replicas");
            Ok(())
        })
        .await
    }

    /// What the log of every instance ends with, and the status of a policy: for a failing scene.
    pub(crate) async fn tell(&self, policy: &str) {
        for foresail in &self.foresail {
            let log = foresail.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- log of {}\n{}",
                foresail.url(),
                lines[lines.len().saturating_sub(60)..].join("\n")
            );
        }
        if let Ok(policy) = self.policy(policy).await {
            eprintln!("--- status of the policy\n{:#}", policy["status"]);
        }
    }
}

async fn by_hand<K>(api: &Api<K>, name: &str, replicas: u32) -> Result<()>
where
    K: Clone + serde::de::DeserializeOwned,
{
    let patch = json!({"spec": {"replicas": replicas}});
    let parameters = PatchParams { field_manager: Some("kubectl".into()), ..PatchParams::default() };
    api.patch_scale(name, &parameters, &Patch::Merge(patch)).await?;
    Ok(())
}

/// A policy that follows the requests to application `web`, for the deployment `name`.
pub(crate) fn policy(name: &str, patch: &Value) -> Value {
    let mut policy = json!({
        "apiVersion": "foresail.dev/v1alpha1", "kind": "AutoscalePolicy",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"name": name}, "maxReplicas": 20,
            "metrics": [{
                "name": "requests", "target": TARGET, "spare": "10%",
                "prometheus": {"query": "sum(rate(http_requests_total{app=\"web\"}[30s]))"},
            }],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
    });
    for (key, value) in patch.as_object().into_iter().flatten() {
        if value.is_null() {
            policy["spec"].as_object_mut().expect("a spec").shift_remove(key);
        } else {
            policy["spec"][key] = value.clone();
        }
    }
    policy
}

pub(crate) fn deployment(name: &str, replicas: u32) -> Value {
    workload("Deployment", name, replicas)
}

pub(crate) fn workload(kind: &str, name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "none"}], "terminationGracePeriodSeconds": 1},
            },
        },
    })
}

/// An HPA of a Deployment.
pub(crate) fn hpa(name: &str, deployment: &str, max_replicas: u32) -> Value {
    json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment},
                 "minReplicas": 2, "maxReplicas": max_replicas, "targetCPUUtilizationPercentage": 50},
    })
}

/// Seconds from now, as a duration to wait or 0 when it is past.
pub(crate) fn until(at: Timestamp) -> Duration {
    at.duration_since(Timestamp::now()).try_into().unwrap_or(Duration::ZERO)
}

/// One of Foresail's own resources, in namespace default.
pub(crate) fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "foresail.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}
