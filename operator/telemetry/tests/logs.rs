//! What a process writes to standard error once logging is set up: seen from outside, by running this test again as a
//! child.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::Duration;

use telemetry::metrics::Metrics;
use telemetry::otlp::{Protocol, Settings as Otlp};
use telemetry::tracing::{Format, Settings, init};

#[test]
fn json_lines_name_their_trace() {
    if std::env::var_os("LOGS_CHILD").is_some() {
        return child();
    }
    let me = std::env::current_exe().expect("the test's own path");
    let run = Command::new(me)
        .args(["--exact", "json_lines_name_their_trace", "--nocapture"])
        .env("LOGS_CHILD", "1")
        .output()
        .expect("the child runs");
    let text = String::from_utf8_lossy(&run.stderr);
    let lines: Vec<serde_json::Value> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let find =
        |message: &str| lines.iter().find(|l| l["message"] == message).unwrap_or_else(|| panic!("{text}"));
    let inside = find("scaled");
    assert_eq!(inside["trace_id"].as_str().map(str::len), Some(32), "{inside}");
    assert_eq!(inside["span_id"].as_str().map(str::len), Some(16), "{inside}");
    assert_eq!(inside["spans"][0]["policy"], "shop/web");
    assert_eq!(inside["replicas"], 6);
    assert!(find("outside")["trace_id"].is_null());
    assert!(!text.contains("too quiet to hear"));
}

fn child() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let otlp =
        Otlp { timeout: Duration::from_millis(100), ..Otlp::new("http://127.0.0.1:1", Protocol::Grpc) };
    let settings = Settings { format: Format::Json, filter: "info".into(), otlp: Some(otlp) };
    let guard = init(&settings, &Metrics::new()).expect("logging is set up");
    tracing::info!("outside");
    tracing::debug!("too quiet to hear");
    tracing::info_span!("decision", policy = "shop/web").in_scope(|| tracing::info!(replicas = 6, "scaled"));
    guard.shutdown(Duration::from_millis(500));
}
