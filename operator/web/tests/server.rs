//! The server as its clients see it: probes, headers, files, lists, and what happens at the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use health::snapshot::*;
use jiff::Timestamp;
use telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tower::ServiceExt as _;
use web::Web;

fn policy(name: &str) -> PolicySnapshot {
    PolicySnapshot {
        namespace: "shop".into(),
        name: name.into(),
        target: Target { api_version: "apps/v1".into(), kind: "Deployment".into(), name: name.into() },
        mode: Mode::Auto,
        paused: None,
        replicas: Replicas { current: 3, ready: 3, desired: 4, min: 1, max: 9 },
        need: Some(3.5),
        driver: "requests (Predictive)".into(),
        reason: "4 replicas".into(),
        conditions: vec![],
        metrics: vec![],
        ready_replicas: None,
        desired_replicas: None,
        decisions: vec![],
        next_change: None,
        startup: None,
        lead_time_seconds: 60,
        saved: None,
        backtest: None,
        updated: Timestamp::UNIX_EPOCH,
        trace_id: None,
    }
}

fn server() -> (Web, watch::Sender<Snapshot>) {
    let mut snapshot = Snapshot::new(Meta::new("1.2.3", "a", Timestamp::UNIX_EPOCH));
    snapshot.put(policy("web"));
    snapshot.put(policy("api"));
    let (sender, receiver) = watch::channel(snapshot);
    (Web::new(receiver, Metrics::new()), sender)
}

async fn ask(router: &Router, path: &str) -> (StatusCode, HeaderMap, String) {
    ask_with(router, path, "accept", "*/*").await
}

async fn ask_with(router: &Router, path: &str, name: &str, value: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::get(path).header(name, value).body(Body::empty()).unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn readiness_waits_for_every_check_and_says_which_is_missing() {
    let (web, _sender) = server();
    let router = web.router();
    let cache = web.probes().check("cache");
    let (code, _, text) = ask(&router, "/readyz").await;
    assert_eq!(code, 503);
    assert!(text.contains("[-]cache failed: not yet") && text.contains("[+]shutdown ok"), "{text}");
    assert_eq!(ask(&router, "/readyz?exclude=cache").await.0, 200);
    assert_eq!(ask(&router, "/readyz/shutdown").await.0, 200);
    assert_eq!(ask(&router, "/readyz/nothing").await.0, 404);
    cache.pass();
    assert_eq!(ask(&router, "/readyz").await.2, "ok");
    assert!(ask(&router, "/readyz?verbose").await.2.ends_with("readyz check passed"));
    // At the end readiness goes and liveness stays: a restart would help nobody.
    web.announce(maintenance(), true);
    assert_eq!(ask(&router, "/readyz").await.0, 503);
    assert_eq!(ask(&router, "/livez").await.0, 200);
    let (_, _, meta) = ask(&router, "/api/v1/meta").await;
    assert!(meta.contains(r#""reason":"new version""#), "{meta}");
}

fn maintenance() -> Maintenance {
    Maintenance {
        scheduled: false,
        shutdown_time: Timestamp::UNIX_EPOCH,
        grace_period_seconds: 15,
        end_time: None,
        reason: "new version".into(),
    }
}

#[tokio::test]
async fn a_silent_task_fails_liveness_until_it_beats_again() {
    let (web, _sender) = server();
    let router = web.router();
    let lively = web.probes().heartbeat("page", Duration::from_hours(1));
    assert_eq!(ask(&router, "/livez").await.0, 200);
    let task = web.probes().heartbeat("decisions", Duration::from_millis(100));
    let text = live_with(&router, 503, || {}).await;
    assert!(text.contains("[-]decisions failed: silent") && text.contains("[+]page ok"), "{text}");
    live_with(&router, 200, || task.beat()).await;
    live_with(&router, 503, || {}).await;
    // A task that has ended is nobody's to be silent.
    drop(task);
    assert_eq!(ask(&router, "/livez").await.0, 200);
    drop(lively);
}

/// Asks for liveness until it answers `wanted`, doing something before each time.
async fn live_with(router: &axum::Router, wanted: u16, before: impl Fn()) -> String {
    let asking = async {
        loop {
            before();
            let (code, _, text) = ask(router, "/livez").await;
            if code == wanted {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never {wanted}"))
}

/// How long to wait for what has to come, on however busy a machine.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn every_answer_is_guarded_and_files_are_tagged() {
    let (web, _sender) = server();
    let router = web.router();
    let (code, headers, page) = ask(&router, "/").await;
    assert_eq!(code, 200);
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(!page.contains("http://") && !page.contains("https://"), "the page needs nothing from elsewhere");
    let tag = headers["etag"].to_str().unwrap();
    assert_eq!(ask_with(&router, "/", "if-none-match", tag).await.0, 304);
    assert_eq!(ask(&router, "/favicon.ico").await.1["content-type"], "image/svg+xml");
    for wrong in ["/assets/nothing.js", "/assets/../Cargo.toml", "/assets/%2e%2e/Cargo.toml", "/nothing"] {
        assert_eq!(ask(&router, wrong).await.0, 404, "{wrong}");
    }
    let (_, headers, _) = ask_with(&router, "/assets/js/app.js", "accept-encoding", "gzip").await;
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(ask(&router, "/api/v1/policies").await.1["cache-control"], "no-store");
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder().method(method).uri("/api/v1/policies").body(Body::empty()).unwrap();
        assert_eq!(
            router.clone().oneshot(request).await.unwrap().status(),
            405,
            "{method}: there is nothing to write"
        );
    }
}

#[tokio::test]
async fn policies_are_listed_filtered_and_found() {
    let (web, sender) = server();
    let router = web.router();
    let list = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let all = list(ask(&router, "/api/v1/policies").await.2);
    assert_eq!(all["meta"]["version"], "1.2.3");
    let names: Vec<_> =
        all["items"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["api", "web"]);
    assert_eq!(list(ask(&router, "/api/v1/policies?namespace=x").await.2)["items"], serde_json::json!([]));
    let one = list(ask(&router, "/api/v1/policies/shop/web").await.2);
    assert_eq!(one["replicas"]["desired"], 4);
    sender.send_modify(|s| {
        s.remove(&PolicyKey::new("shop", "web"));
    });
    let (code, _, text) = ask(&router, "/api/v1/policies/shop/web").await;
    assert!(code == 404 && text.contains("there is no policy shop/web"), "{text}");
}

#[tokio::test]
async fn health_is_told_as_health_json_with_the_announcement() {
    let (web, _sender) = server();
    let (code, headers, text) = ask(&web.router(), "/health").await;
    assert_eq!((code.as_u16(), headers["content-type"].to_str().unwrap()), (200, "application/health+json"));
    assert!(text.contains(r#""status":"pass""#));
    assert_eq!(ask(&web.router(), "/health?group=x").await.0, 404);
    let web = web.health_document(Arc::new(|query: &web::HealthQuery, maintenance: Option<&Maintenance>| {
        (503, serde_json::json!({"group": query.group, "verbose": query.verbose, "maintenance": maintenance}))
    }));
    web.announce(maintenance(), false);
    let (code, _, text) = ask(&web.router(), "/health?group=shop&verbose").await;
    assert_eq!(code, 503);
    assert!(
        text.contains(r#""group":"shop","verbose":true"#) && text.contains("gracePeriodSeconds"),
        "{text}"
    );
}

#[tokio::test]
async fn metrics_count_the_answers() {
    let (web, _sender) = server();
    let router = web.router();
    ask(&router, "/api/v1/policies").await;
    ask(&router, "/wp-login.php").await;
    let (_, headers, text) = ask(&router, "/metrics").await;
    assert!(headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(
        text.contains(r#"foresail_http_requests_total{route="/api/v1/policies",code="2xx"} 1"#),
        "{text}"
    );
    assert!(
        text.contains(r#"route="other",code="4xx"} 1"#),
        "paths that don't exist make no series of their own"
    );
}

/// Reads a stream until `word` comes.
async fn until(stream: &mut tokio::net::TcpStream, word: &str) -> String {
    let mut text = String::new();
    let mut part = vec![0; 4096];
    let reading = async {
        while !text.contains(word) {
            let n = stream.read(&mut part).await.unwrap();
            assert!(n > 0, "the stream ended before {word:?}: {text}");
            text.push_str(&String::from_utf8_lossy(&part[..n]));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no {word:?}"));
    text
}

#[tokio::test]
async fn a_reader_hears_of_changes_and_of_the_end_and_the_server_stops() {
    let (web, sender) = server();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(web.clone().serve(listener, async move {
        let _ = stopped.await;
    }));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n")
        .await
        .unwrap();
    let hello = until(&mut stream, "event: hello").await;
    assert!(hello.contains("text/event-stream") && hello.contains("x-accel-buffering: no"), "{hello}");
    let mut changed = policy("web");
    changed.replicas.desired = 9;
    sender.send_modify(|s| s.put(changed));
    assert!(until(&mut stream, r#""desired":9"#).await.contains("event: policy"));
    web.announce(maintenance(), true);
    until(&mut stream, "event: maintenance").await;
    stop.send(()).unwrap();
    let bye = until(&mut stream, "event: bye").await;
    assert!(bye.contains("retryMs"), "{bye}");
    tokio::time::timeout(Duration::from_secs(5), served).await.expect("the server stops").unwrap().unwrap();
}

/// Four hundred readers, a quarter of whom never read, while a thousand changes are told.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_readers_and_some_that_never_read_cost_bounded_memory() {
    let (web, sender) = server();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(web.clone().serve(listener, std::future::pending()));
    let mut readers = Vec::new();
    let mut silent = Vec::new();
    for n in 0..400 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        if n % 4 == 0 {
            silent.push(stream);
        } else {
            readers.push(tokio::spawn(async move { until(&mut stream, r#""desired":4242"#).await.len() }));
        }
    }
    for n in 0..100 {
        sender.send_modify(|s| {
            for name in 0..10 {
                let mut changed = policy(&format!("p{name}"));
                changed.replicas.desired = n;
                s.put(changed);
            }
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sender.send_modify(|s| {
        let mut last = policy("last");
        last.replicas.desired = 4242;
        s.put(last);
    });
    for reader in readers {
        reader.await.expect("every reader that reads hears the last change");
    }
    let resident = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = resident.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(pages * 4096 < 300 << 20, "{} MiB", (pages * 4096) >> 20);
    served.abort();
}
