//! Health, alerts and the graceful end of the real executable, on a real API server, under the chart's own roles.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "all of this file is test code")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use serde_json::{Value, json};
use testbed::{ControlPlane, Foresail, chart, servers, wait};

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

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "foresail.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}

async fn get(url: &str) -> Result<(u16, Value)> {
    let answer = wait::client()?.get(url).timeout(Duration::from_secs(5)).send().await?;
    Ok((answer.status().as_u16(), answer.json().await.unwrap_or_default()))
}

type Told = Arc<Mutex<Vec<Value>>>;

async fn chat() -> (String, Told) {
    let told = Told::default();
    let kept = told.clone();
    let take = move |axum::Json(body): axum::Json<Value>| async move {
        kept.lock().unwrap().push(body);
        axum::Json(json!({"errcode": 0, "errmsg": "ok"}))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/robot/send?access_token=very-secret-token", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/robot/send", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, told)
}

#[tokio::test]
async fn a_dead_redis_is_on_the_endpoint_in_the_status_and_in_the_chat() -> Result<()> {
    let (plane, access) = plane().await?;
    let mut cache = servers::Redis::start().await?;
    let (url, told) = chat().await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "chat", "namespace": "default"},
        "stringData": {"url": url, "secret": "SECvery-secret-too"},
    });
    plane.apply_object(secret).await?;
    let robot = json!({
        "dingtalk": {
            "urlSecretRef": {"name": "chat", "key": "url"}, "signingSecretRef": {"name": "chat", "key": "secret"},
        },
        "language": "zh", "allowInsecure": true, "group": {"wait": "1s", "interval": "1s", "by": ["alertname"]},
    });
    plane.apply_object(object("AlertReceiver", "oncall", &robot)).await?;
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
        ensure!(!told.lock().unwrap().is_empty(), "nothing yet; {}", foresail.log());
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    let first = told.lock().unwrap()[0].to_string();
    ensure!(
        first.contains("default/cache") && first.contains("不可用") && first.contains("default/app"),
        "{first}"
    );
    cache.restart().await?;
    wait::until("the chat was told that it is over", Duration::from_secs(60), || async {
        let told = told.lock().unwrap();
        ensure!(told.iter().any(|t| t.to_string().contains("已恢复")), "{} messages", told.len());
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    ensure!(told.lock().unwrap().len() == 2, "one message for the fault, one for its end");
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
    ensure!(told.lock().unwrap().last().unwrap().to_string().contains("p99 above 1 s"));
    Ok(())
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
    tokio::time::sleep(Duration::from_secs(1)).await;
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
    tokio::time::sleep(Duration::from_secs(1)).await;
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

fn resident_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_hundred_streams_for_a_minute_in_bounded_memory() -> Result<()> {
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
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(listener);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let after = resident_mib(foresail.id());
    println!("400 streams: {before} MiB before, {after} MiB after, {} chunks", events.load(Ordering::SeqCst));
    ensure!(readers.iter().all(|r| !r.is_finished()), "a stream ended");
    ensure!(events.load(Ordering::SeqCst) > 4_000);
    ensure!(after < before + 60, "{before} MiB grew to {after} MiB");
    Ok(())
}
