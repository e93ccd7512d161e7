//! Every server of the testbed comes up, answers, and is gone after its drop.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use testbed::exporter::Counter;
use testbed::kubelets::Fate;
use testbed::servers::{Alertmanager, Chromium, Nats, PostgreSql, RabbitMq, Redis, Sqs};
use testbed::{ControlPlane, Kubelets, LoadExporter, Prometheus, Shape, prepare, wait};

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: sails.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: sails, singular: sail, kind: Sail}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {area: {type: integer}}
            x-kubernetes-validations: [{rule: 'self.area > 0', message: a sail has an area}]
";

fn deployment(name: &str, replicas: u32) -> String {
    serde_json::json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "none"}]}}},
    })
    .to_string()
}

#[tokio::test]
async fn a_deployment_gets_pods_that_become_ready_after_the_chosen_time() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let kubelets = Kubelets::start(plane.client(), Duration::from_secs(3));
    kubelets.set_fate("broken-", Fate::CrashLoop);
    kubelets.set_fate("homeless-", Fate::Unschedulable);
    plane.apply(&deployment("web", 2)).await?;
    plane.apply(&deployment("broken", 1)).await?;
    plane.apply(&deployment("homeless", 1)).await?;

    let deployments: Api<Deployment> = Api::default_namespaced(plane.client());
    let ready = |name: &'static str, wanted: i32| {
        let deployments = deployments.clone();
        move || {
            let deployments = deployments.clone();
            async move {
                let status = deployments.get(name).await?.status.unwrap_or_default();
                let ready = status.ready_replicas.unwrap_or(0);
                ensure!(ready == wanted && status.replicas.unwrap_or(0) == wanted, "{name}: {status:?}");
                Ok(())
            }
        }
    };
    wait::until("two ready pods", Duration::from_secs(30), ready("web", 2)).await?;
    let pods: Api<Pod> = Api::default_namespaced(plane.client());
    for pod in pods.list(&kube::api::ListParams::default().labels("app=web")).await? {
        let created = pod.creation_timestamp().map(|time| time.0).unwrap_or_default();
        let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.iter().find(|it| it.type_ == "Ready" && it.status == "True");
        let ready = ready.and_then(|it| it.last_transition_time.clone()).expect("a Ready condition").0;
        let startup = ready.duration_since(created).as_secs_f64();
        ensure!((3.0..10.0).contains(&startup), "start-up took {startup} s");
    }

    plane.apply(&deployment("web", 0)).await?;
    wait::until("no pod left", Duration::from_secs(30), ready("web", 0)).await?;
    let left = pods.list(&kube::api::ListParams::default()).await?;
    let phases: Vec<_> = left.iter().map(|pod| (pod.name_any(), pod.status.clone())).collect();
    ensure!(phases.len() == 2, "{phases:?}");
    Ok(())
}

#[tokio::test]
async fn a_custom_resource_can_be_installed_created_and_read_by_a_service_account() -> Result<()> {
    let plane = ControlPlane::start().await?;
    plane.apply(DEFINITION).await?;
    plane.wait_for_crds(&["sails.example.com".to_owned()]).await?;
    plane.apply("{apiVersion: example.com/v1, kind: Sail, metadata: {name: main}, spec: {area: 12}}").await?;
    let sail = plane.get("example.com/v1", "Sail", "default", "main").await?;
    ensure!(sail["spec"]["area"] == 12, "{sail}");

    plane.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader}}").await?;
    let reader = plane.service_account("default", "reader").await?;
    let pods: Api<Pod> = Api::default_namespaced(reader.client()?);
    let refusal = pods.list(&kube::api::ListParams::default()).await.expect_err("no rights were given");
    ensure!(refusal.to_string().contains("forbidden"), "{refusal}");
    ensure!(
        plane.audit_log().contains("system:serviceaccount:default:reader"),
        "the audit log misses the request"
    );
    Ok(())
}

#[tokio::test]
async fn back_filled_history_and_scraped_samples_are_one_series() -> Result<()> {
    prepare();
    let now = Timestamp::now();
    let since = now - SignedDuration::from_hours(14 * 24);
    let shape = Shape::daily(now, &[(0, 100.0), (3600, 500.0), (7200, 100.0)]);
    let counter = Counter::new("http_requests_total{app=\"web\"}", shape, since);
    let exporter = LoadExporter::start(vec![counter.clone()]).await?;
    let target = exporter.target();
    let start = std::time::Instant::now();
    let mut prometheus = Prometheus::setup()
        .scrape("load", std::slice::from_ref(&target))
        .back_fill(&counter, "load", &target, (since, now), SignedDuration::from_secs(15))
        .start()
        .await?;
    println!("back-filled and started in {:?}", start.elapsed());

    wait::until("scraped samples", Duration::from_secs(20), || async {
        let up = prometheus.value("count_over_time(up[1m])").await?;
        ensure!(up >= 4.0, "{up}");
        Ok(())
    })
    .await?;
    let rate = prometheus.value("sum(rate(http_requests_total[5m]))").await?;
    ensure!((90.0..110.0).contains(&rate), "rate {rate}");
    let yesterday = prometheus.value("sum(rate(http_requests_total[5m] offset 23h))").await?;
    ensure!((440.0..=500.0).contains(&yesterday), "yesterday's rate {yesterday}");

    prometheus.stop();
    ensure!(prometheus.value("up").await.is_err(), "it is stopped");
    prometheus.start().await?;
    ensure!(prometheus.value("sum(rate(http_requests_total[5m] offset 23h))").await? > 440.0);
    Ok(())
}

#[tokio::test]
async fn redis_nats_alertmanager_and_sqs_come_up() -> Result<()> {
    prepare();
    let (mut redis, nats) = (Redis::start().await?, Nats::start().await?);
    redis.restart().await?;
    let (alertmanager, sqs) = (Alertmanager::start(None).await?, Sqs::start().await?);
    ensure!(alertmanager.alerts().await?.is_empty());
    let port = redis.port();
    drop((redis, nats, sqs));
    ensure!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "Redis outlived its drop");
    Ok(())
}

#[tokio::test]
async fn rabbitmq_and_postgresql_come_up() -> Result<()> {
    prepare();
    let rabbitmq = RabbitMq::start().await?;
    let postgresql = PostgreSql::start().await?;
    ensure!(rabbitmq.port() != postgresql.port());
    Ok(())
}

#[tokio::test]
async fn chromium_renders_a_page() -> Result<()> {
    prepare();
    let chromium = Chromium::start().await?;
    ensure!(chromium.page_socket().await?.starts_with("ws://"));
    Ok(())
}
