//! Health, alerts and the graceful end of the real executable, on a real API server, under the chart's own roles.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "all of this file is test code")]

mod scene;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use scene::chat::Chat;
use scene::object;
use serde_json::{Value, json};
use testbed::exporter::Counter;
use testbed::{ControlPlane, Foresail, LoadExporter, Prometheus, Shape, chart, servers, wait};

async fn plane() -> Result<(ControlPlane, testbed::control_plane::Access)> {
    testbed::prepare();
    let plane = ControlPlane::start().await?;
    let access = chart::install(&plane, &json!({})).await?;
    Ok((plane, access))
}

async fn start(access: &testbed::control_plane::Access, arguments: &[&str]) -> Result<Foresail> {
    let mut foresail = Foresail::setup(access)
        .arguments(&["--leader-election-namespace", chart::NAMESPACE])
        .arguments(arguments)
        .start()
        .await?;
    foresail.ready().await?;
    Ok(foresail)
}

async fn get(url: &str) -> Result<(u16, Value)> {
    let answer = wait::client()?.get(url).timeout(Duration::from_secs(5)).send().await?;
    Ok((answer.status().as_u16(), answer.json().await.unwrap_or_default()))
}

#[tokio::test]
async fn a_dead_redis_is_on_the_endpoint_in_the_status_and_in_the_chat() -> Result<()> {
    let (plane, access) = plane().await?;
    let mut cache = servers::Redis::start().await?;
    let chat = Chat::of(&plane).await?;
    let check = json!({
        "redis": {"address": format!("127.0.0.1:{}", cache.port())}, "interval": "1s", "timeout": "1s",
    });
    plane.apply_object(object("HealthCheck", "cache", &check)).await?;
    let app = json!({
        "tcp": {"address": format!("127.0.0.1:{}", cache.port())}, "interval": "1s", "timeout": "1s",
        "dependsOn": [{"name": "cache"}],
    });
    plane.apply_object(object("HealthCheck", "app", &app)).await?;
    let foresail = start(&access, &[]).await?;
    let health = format!("{}/health?verbose", foresail.url());
    wait::until("all is well", Duration::from_secs(30), || async {
        let (code, body) = get(&health).await?;
        ensure!(code == 200 && body["summary"]["pass"] == 2, "{code} {body}");
        Ok::<_, anyhow::Error>(())
    })
    .await?;

    cache.stop();
    let begun = Instant::now();
    wait::until("/health says so", Duration::from_secs(10), || async {
        let (code, body) = get(&health).await?;
        ensure!(code == 503 && body["cause"][0]["componentId"] == "default/cache", "{code} {body}");
        ensure!(body["cause"][0]["consequences"][0] == "default/app", "{body}");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    println!("503 with the root cause after {:?}", begun.elapsed());
    wait::until("the chat was told", Duration::from_secs(40), || async {
        ensure!(!chat.messages().is_empty(), "nothing yet; {}", foresail.log());
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    let first = chat.messages().remove(0);
    ensure!(
        first.contains("default/cache") && first.contains("不可用") && first.contains("default/app"),
        "{first}"
    );
    cache.restart().await?;
    wait::until("the chat was told that it is over", Duration::from_secs(60), || async {
        ensure!(chat.heard(&["已恢复"]), "{} messages", chat.messages().len());
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    ensure!(chat.messages().len() == 2, "one message for the fault, one for its end");
    wait::until("statuses", Duration::from_secs(20), || async {
        let check = plane.get("foresail.dev/v1alpha1", "HealthCheck", "default", "cache").await?;
        ensure!(check["status"]["status"] == "pass", "{}", check["status"]);
        let receiver = plane.get("foresail.dev/v1alpha1", "AlertReceiver", "default", "oncall").await?;
        ensure!(receiver["status"]["delivered"] == 2, "{}", receiver["status"]);
        ensure!(!receiver["status"].to_string().contains("secret-t"), "a secret in the status");
        Ok::<_, anyhow::Error>(())
    })
    .await
    .inspect_err(|_| println!("{}", foresail.log()))?;
    ensure!(!foresail.log().contains("very-secret"), "a secret in the log");

    // Alertmanager's webhook goes to the same chat.
    let payload = json!({"version": "4", "groupKey": "g", "status": "firing", "alerts": [{
        "status": "firing", "labels": {"alertname": "HighLatency", "severity": "critical"},
        "annotations": {"summary": "p99 above 1 s"}, "startsAt": "2026-11-20T10:00:00Z", "fingerprint": "f",
    }]});
    let relay = format!("{}/webhooks/alertmanager/default/oncall", foresail.url());
    let answer = wait::client()?.post(&relay).json(&payload).send().await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    ensure!(chat.heard(&["p99 above 1 s"]));
    Ok(())
}

/// The way of one instance to a server: a relay on loopback that can be cut and mended.
struct Road {
    listens: u16,
    leads_to: String,
    work: Option<tokio::task::JoinHandle<()>>,
}

impl Road {
    async fn to(address: String) -> Result<Self> {
        let mut road = Self { listens: testbed::net::free_port()?, leads_to: address, work: None };
        road.mend().await?;
        Ok(road)
    }

    async fn mend(&mut self) -> Result<()> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", self.listens)).await?;
        let leads_to = self.leads_to.clone();
        self.work = Some(tokio::spawn(async move {
            // Those under way end with this task.
            let mut under_way = tokio::task::JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                let leads_to = leads_to.clone();
                under_way.spawn(async move {
                    let mut to = tokio::net::TcpStream::connect(leads_to).await?;
                    tokio::io::copy_bidirectional(&mut from, &mut to).await
                });
            }
        }));
        Ok(())
    }

    async fn cut(&mut self) {
        if let Some(work) = self.work.take() {
            work.abort();
            work.await.ok();
        }
    }
}

/// Status, votes and output of a HealthCheck.
async fn check(plane: &ControlPlane, name: &str) -> Result<(String, String, String)> {
    let check = plane.get("foresail.dev/v1alpha1", "HealthCheck", "default", name).await?;
    let text = |field: &str| check["status"][field].as_str().unwrap_or_default().to_owned();
    Ok((text("status"), text("votes"), text("output")))
}

async fn wait_for_check(plane: &ControlPlane, name: &str, status: &str, votes: &str) -> Result<()> {
    wait::until(&format!("{name}: {status}, votes {votes}"), Duration::from_secs(40), || async {
        let told = check(plane, name).await?;
        ensure!(told.0 == status && told.1.contains(votes), "{told:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await
}

/// Queries of a Prometheus, with bounds.
async fn watch_by_query(plane: &ControlPlane) -> Result<()> {
    let checks = [
        ("up-1", json!({"query": "sum(up)", "failBelow": "1"})),
        ("up-2", json!({"query": "max(up)", "warnBelow": "1"})),
        ("up-3", json!({"query": "min(up)", "failBelow": "0.5"})),
        ("too-many", json!({"query": "count(up)", "warnAbove": "0", "unit": " targets"})),
        ("nothing", json!({"query": "sum(no_such_series)", "failBelow": "1"})),
    ];
    for (name, query) in checks {
        let spec = json!({"promql": query, "interval": "1s", "timeout": "1s"});
        plane.apply_object(object("HealthCheck", name, &spec)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_component_is_down_by_quorum_and_one_instances_broken_way_is_shown_as_such() -> Result<()> {
    let (plane, access) = plane().await?;
    let load = Counter::new("requests_total", Shape::constant(1.0), jiff::Timestamp::now());
    let exporter = LoadExporter::start(vec![load]).await?;
    let mut prometheus = Prometheus::setup().scrape("load", &[exporter.target()]).start().await?;
    let mut road = Road::to(prometheus.address()).await?;
    let chat = Chat::of(&plane).await?;
    watch_by_query(&plane).await?;
    let direct = prometheus.url();
    let _one = start(&access, &["--instance", "one", "--prometheus-url", &direct]).await?;
    let mut two = start(&access, &["--instance", "two", "--prometheus-url", &direct]).await?;
    let detour = format!("http://127.0.0.1:{}", road.listens);
    let three = start(&access, &["--instance", "three", "--prometheus-url", &detour]).await?;

    for name in ["up-1", "up-2", "up-3"] {
        wait_for_check(&plane, name, "pass", "0/3").await?;
    }
    wait_for_check(&plane, "too-many", "warn", "0/3").await?;
    wait::until("the bound and the value are named", Duration::from_secs(10), || async {
        let (_, _, output) = check(&plane, "too-many").await?;
        ensure!(output.contains("1 targets is above 0 targets"), "{output}");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    wait_for_check(&plane, "nothing", "fail", "3/3").await?;

    // Whoever doesn't lead relays as well.
    let payload = json!({"version": "4", "groupKey": "g", "status": "firing", "alerts": [{
        "status": "firing", "labels": {"alertname": "HighLatency"}, "annotations": {"summary": "p99 above 1 s"},
        "startsAt": "2026-11-20T10:00:00Z", "fingerprint": "f",
    }]});
    let relay = format!("{}/webhooks/alertmanager/default/oncall", two.url());
    let answer = wait::client()?.post(&relay).json(&payload).send().await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    ensure!(chat.heard(&["p99 above 1 s"]), "{:?}", chat.messages());

    // One way is cut: its votes don't count, and its instance is named, by itself as well.
    road.cut().await;
    for name in ["up-1", "up-2", "up-3"] {
        wait_for_check(&plane, name, "pass", "0/2").await?;
    }
    wait::until("the instance whose way is cut is named", Duration::from_secs(20), || async {
        let (_, body) = get(&format!("{}/health?verbose", three.url())).await?;
        let notes = body["notes"].to_string();
        ensure!(notes.contains("three"), "{notes}");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    // With two left, nobody can say whose way it is: degraded, not down.
    two.kill();
    wait_for_check(&plane, "up-1", "warn", "1/2").await?;
    // Down for both is down.
    prometheus.stop();
    wait_for_check(&plane, "up-1", "fail", "2/2").await?;
    prometheus.start().await?;
    road.mend().await?;
    wait_for_check(&plane, "up-1", "pass", "0/2").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_under_load_drops_no_request_and_goes_through_its_phases() -> Result<()> {
    let (_plane, access) = plane().await?;
    let mut foresail = start(&access, &["--shutdown-delay", "3s"]).await?;
    let url = foresail.url();
    let mut stream = wait::client()?.get(format!("{url}/api/v1/events")).send().await?.bytes_stream();
    let streamed = tokio::spawn(async move {
        let mut text = String::new();
        while let Some(Ok(chunk)) = stream.next().await {
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text
    });
    let (asked, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let closed = Arc::new(AtomicBool::new(false));
    // Clients stop asking once readiness is gone for a while, as a proxy makes them.
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (asked, dropped, closed) = (asked.clone(), dropped.clone(), closed.clone());
            let url = format!("{url}/api/v1/policies");
            tokio::spawn(async move {
                let client = wait::client().unwrap();
                while !closed.load(Ordering::SeqCst) {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let good = match client.get(&url).send().await {
                        Ok(answer) => answer.status() == 200 && answer.bytes().await.is_ok(),
                        Err(_) => false,
                    };
                    dropped.fetch_add(usize::from(!good), Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
        })
        .collect();
    asked_again(&asked, 100).await?;
    foresail.ask_to_end();
    wait::until("readiness goes", Duration::from_secs(2), || async {
        let (code, _) = get(&format!("{url}/readyz")).await?;
        ensure!(code == 503, "{code}");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    let (code, body) = get(&format!("{url}/health")).await?;
    ensure!(code == 200 && body["maintenance"]["scheduled"] == false, "{code} {body}");
    ensure!(
        body["maintenance"]["shutdownTime"].is_string() && body["maintenance"]["gracePeriodSeconds"].is_u64()
    );
    asked_again(&asked, 100).await?;
    closed.store(true, Ordering::SeqCst);
    for client in clients {
        client.await?;
    }
    let status = foresail.terminate(Duration::from_secs(20)).await?;
    ensure!(status.success(), "{status}");
    let (asked, dropped) = (asked.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst));
    println!("{asked} requests, {dropped} dropped");
    ensure!(dropped == 0 && asked > 100, "{dropped} of {asked}");
    let text = tokio::time::timeout(Duration::from_secs(5), streamed).await??;
    ensure!(text.contains("bye") && text.contains("retry:"), "the stream wasn't told: {text}");
    let log = foresail.log();
    let place = |what: &str| log.find(what).unwrap_or_else(|| panic!("{what} isn't in the log: {log}"));
    ensure!(place("not ready any more") < place("controller ended"));
    ensure!(place("controller ended") < place("notifications flushed") || place("notifications flushed") > 0);
    ensure!(place("\"announced\"") < place("\"draining\""), "{log}");
    Ok(())
}

/// Waits until so many more requests were made.
async fn asked_again(asked: &AtomicUsize, more: usize) -> Result<()> {
    let before = asked.load(Ordering::SeqCst);
    wait::until("more requests", Duration::from_secs(30), || async {
        let made = asked.load(Ordering::SeqCst) - before;
        ensure!(made >= more, "{made} of {more}");
        Ok::<_, anyhow::Error>(())
    })
    .await
}

fn resident_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_hundred_streams_cost_bounded_memory_while_something_happens() -> Result<()> {
    let (plane, access) = plane().await?;
    let foresail = start(&access, &[]).await?;
    let events = Arc::new(AtomicUsize::new(0));
    let before = resident_mib(foresail.id());
    let mut readers = Vec::new();
    for n in 0..400 {
        let stream = wait::client()?.get(format!("{}/api/v1/events", foresail.url())).send().await?;
        ensure!(stream.status() == 200, "stream {n}: {}", stream.status());
        let events = events.clone();
        readers.push(tokio::spawn(async move {
            let mut stream = stream.bytes_stream();
            while let Some(Ok(_)) = stream.next().await {
                events.fetch_add(1, Ordering::SeqCst);
                if n % 10 == 0 {
                    // One in ten is slow.
                    tokio::time::sleep(Duration::from_secs(3)).await;
                }
            }
        }));
    }
    // Something happens all the time: a server that comes and goes.
    let port = testbed::net::free_port()?;
    let check = json!({"tcp": {"address": format!("127.0.0.1:{port}")}, "interval": "1s", "timeout": "1s"});
    plane.apply_object(object("HealthCheck", "blinking", &check)).await?;
    // Nine in ten read at once; an event comes to them in a chunk or more.
    let told = |what: &'static str| {
        let (events, heard) = (events.clone(), events.load(Ordering::SeqCst));
        async move {
            wait::until(what, Duration::from_secs(30), || async {
                let more = events.load(Ordering::SeqCst) - heard;
                ensure!(more >= 360, "{more} chunks");
                Ok::<_, anyhow::Error>(())
            })
            .await
        }
    };
    for _ in 0..8 {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        told("the streams to tell that the server is there").await?;
        drop(listener);
        told("the streams to tell that it is gone").await?;
    }
    let after = resident_mib(foresail.id());
    println!("400 streams: {before} MiB before, {after} MiB after, {} chunks", events.load(Ordering::SeqCst));
    ensure!(readers.iter().all(|r| !r.is_finished()), "a stream ended");
    ensure!(after < before + 60, "{before} MiB grew to {after} MiB");
    Ok(())
}
