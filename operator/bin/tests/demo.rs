//! The demo as a newcomer meets it: one command, no Kubernetes, no network, the story, the table, the page.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

#[test]
fn the_demo_tells_its_story_without_any_network_and_ends_with_the_comparison() {
    let folder = tempfile::tempdir().unwrap();
    // In a network namespace of its own there isn't even a loopback; where that isn't allowed it runs as it is.
    let unshared = Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|s| s.success());
    let plain = support::command(folder.path(), &["demo", "--speed", "0", "--no-page"]);
    let command = if unshared {
        let mut command = Command::new("unshare");
        command.arg("--net").arg(plain.get_program()).args(plain.get_args()).stdin(Stdio::null());
        command
    } else {
        plain
    };
    let ended = support::ended(command);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for words in [
        "** The morning ramp",
        "** A flash sale nobody announced",
        "** The sale that stands in the calendar",
        "** Prometheus is gone",
        "no metric: ",
        "** A bad release",
        "The day is over.",
        "HPA, CPU at 70 %",
        "oracle",
        "Too few replicas, by what happened meanwhile",
        "The promise, 99.50 %, was kept where the past or the calendar could tell",
    ] {
        assert!(ended.out.contains(words), "{words:?} isn't in it:\n{}", ended.out);
    }
    let row = |name: &str| ended.out.lines().find(|l| l.starts_with(name)).unwrap_or_default().to_owned();
    assert!(row("the sale in the calendar").contains(" 0 s "), "{}", row("the sale in the calendar"));
    assert!(row("Prometheus gone").contains(" 0 s "), "{}", row("Prometheus gone"));
    assert!(ended.err.is_empty(), "{}", ended.err);
}

#[test]
fn the_same_seed_is_the_same_day() {
    let folder = tempfile::tempdir().unwrap();
    let day =
        |seed: &str| support::run(folder.path(), &["demo", "--speed", "0", "--no-page", "--seed", seed]).out;
    let first = day("7");
    assert_eq!(first, day("7"));
    assert_ne!(first, day("8"));
}

struct Playing(std::process::Child);

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// GET over a plain socket: status line and body.
fn get(address: &str, path: &str) -> (String, String) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn the_page_the_api_and_the_metrics_are_served_while_it_plays_and_ctrl_c_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = support::command(folder.path(), &["demo", "--speed", "1200", "--page", "127.0.0.1:0"]);
    let mut playing = Playing(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(playing.0.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let address =
        line.strip_prefix("page: http://").and_then(|l| l.strip_suffix('/')).expect(&line).to_owned();

    let (status, page) = get(&address, "/");
    assert!(status.contains("200") && page.contains("<title>"), "{status}");
    let begun = Instant::now();
    let policy: Value = loop {
        let (status, body) = get(&address, "/api/v1/policies/shop/checkout");
        if status.contains("200") {
            break serde_json::from_str(&body).unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{status}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(policy["replicas"]["desired"].as_u64().unwrap() > 0, "{policy}");
    assert!(policy["metrics"][0]["forecast"].is_object(), "a fan is drawn");
    let (_, calendar) = get(&address, "/api/v1/calendar");
    assert!(calendar.contains("announced sale"), "{calendar}");
    let wanted = [
        "foresail_leader 1",
        "foresail_policy_desired_replicas{namespace=\"shop\",policy=\"checkout\"}",
        "foresail_policy_decisions_total",
        "foresail_policy_condition{namespace=\"shop\",policy=\"checkout\",type=\"Ready\",status=\"True\"} 1",
        "foresail_forecast_value{namespace=\"shop\",policy=\"checkout\",metric=\"requests\",bound=\"upper\"}",
        "foresail_health_status{namespace=\"shop\",component=\"prometheus\",status=\"pass\"} 1",
    ];
    loop {
        let (_, metrics) = get(&address, "/metrics");
        let Some(missing) = wanted.iter().find(|series| !metrics.contains(**series)) else { break };
        assert!(begun.elapsed() < Duration::from_secs(30), "{missing} isn't in\n{metrics}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let (status, _) = get(&address, "/readyz");
    assert!(status.contains("200"), "{status}");

    let id = playing.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let begun = Instant::now();
    let ended = loop {
        if let Some(status) = playing.0.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "it goes on after Ctrl-C");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(ended.success(), "{ended}");
}
