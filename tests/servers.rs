//! Every server of the testbed comes up, answers, and is gone after its drop.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use testbed::exporter::Counter;
use testbed::servers::{Alertmanager, Chromium, Nats, PostgreSql, RabbitMq, Redis, Sqs};
use testbed::{ControlPlane, LoadExporter, Prometheus, Shape, assets, prepare, wait};

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
async fn a_server_that_ends_while_it_starts_is_told_at_once_with_its_last_words_and_its_log() -> Result<()> {
    prepare();
    let begun = std::time::Instant::now();
    let refusal = Redis::with(&["--no-such-option", "1"]).await.err().map(|error| format!("{error:#}"));
    let refusal = refusal.unwrap_or_default();
    ensure!(refusal.contains("redis ended with") && refusal.contains("no-such-option"), "{refusal}");
    let log = testbed::process::logs()?.join("redis.log");
    ensure!(refusal.contains(&log.display().to_string()) && log.is_file(), "{refusal}");
    ensure!(begun.elapsed() < Duration::from_secs(30), "waited for it all the same: {:?}", begun.elapsed());
    Ok(())
}

/// The version of a table's row says as much of the real one as it likes: `8.0` is 8.0.2.
fn is_version(told: &str, real: &str) -> bool {
    real == told || real.strip_prefix(told).is_some_and(|rest| rest.starts_with('.'))
}

#[test]
fn the_guide_names_the_servers_that_are_run() -> Result<()> {
    let page = std::fs::read_to_string(assets::repository().join("docs/guide/testing.md"))?;
    let rows: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| *line != "| server | version | from |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    ensure!(rows.len() > 10, "no table in the guide: {rows:?}");
    let servers = assets::servers()?;
    // Another Kubernetes or an older generation was chosen: the table is about what is run by default.
    let chosen = std::env::var_os("KUBERNETES_VERSION").is_some()
        || std::env::var_os("KUBEBUILDER_ASSETS").is_some()
        || !servers.iter().any(|server| server.origin == "Debian trixie");
    for row in rows {
        let [name, version, origin] = row[..] else { anyhow::bail!("not a row of three: {row:?}") };
        let server = servers.iter().find(|server| server.name == name);
        let Some(server) = server else { anyhow::bail!("{name} isn't set up: {servers:?}") };
        ensure!(
            chosen || (is_version(version, &server.version) && origin == server.origin),
            "docs/guide/testing.md says {name} {version} from {origin}, and it is {server:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn chromium_renders_a_page() -> Result<()> {
    prepare();
    let chromium = Chromium::start().await?;
    ensure!(chromium.page_socket().await?.starts_with("ws://"));
    Ok(())
}
