//! Dashboards and rules name only what exists: metrics and labels of the registry, recording rules, runbooks. And what
//! they ask gives data: a real Prometheus scrapes a registry that was used, and is asked every query of every panel.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use promql_parser::parser::{self, Expr, LabelModifier};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;
use telemetry::metrics::*;

fn root() -> PathBuf {
    PathBuf::from("../..")
}

/// Labels that come from scraping.
const FROM_SCRAPING: &[&str] = &["job", "instance", "pod", "le"];

struct Known {
    labels: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    /// The registry's series, and the recording rules' with the labels of what they are made from.
    fn new() -> Self {
        let mut labels = BTreeMap::new();
        for entry in Metrics::new().entries() {
            let mut set: BTreeSet<String> = entry.labels.iter().map(|l| (*l).to_owned()).collect();
            set.extend(FROM_SCRAPING.iter().map(|l| (*l).to_owned()));
            for series in entry.series() {
                labels.insert(series, set.clone());
            }
        }
        labels.insert("ALERTS".into(), ["alertname", "alertstate"].map(String::from).into());
        for (name, _) in rules("record") {
            let set = ["namespace", "policy", "job", "receiver"].map(String::from);
            labels.insert(name, set.into());
        }
        Self { labels }
    }

    fn complaints(&self, expr: &str) -> Vec<String> {
        struct Visit<'a> {
            known: &'a Known,
            complaints: Vec<String>,
            names: Vec<String>,
            grouped: Vec<String>,
        }
        impl ExprVisitor for Visit<'_> {
            type Error = String;

            fn pre_visit(&mut self, expr: &Expr) -> Result<bool, String> {
                if let Expr::Aggregate(aggregate) = expr
                    && let Some(LabelModifier::Include(labels)) = &aggregate.modifier
                {
                    self.grouped.extend(labels.labels.iter().cloned());
                }
                let selector = match expr {
                    Expr::VectorSelector(selector) => Some(selector),
                    Expr::MatrixSelector(matrix) => Some(&matrix.vs),
                    _ => None,
                };
                if let Some(selector) = selector {
                    let name = selector.name.clone().unwrap_or_default();
                    match self.known.labels.get(&name) {
                        None => self.complaints.push(format!("there is no metric {name}")),
                        Some(labels) => {
                            for matcher in &selector.matchers.matchers {
                                if matcher.name != "__name__" && !labels.contains(&matcher.name) {
                                    self.complaints.push(format!("{name} has no label {}", matcher.name));
                                }
                            }
                        }
                    }
                    self.names.push(name);
                }
                Ok(true)
            }
        }
        let parsed = match parser::parse(expr) {
            Ok(parsed) => parsed,
            Err(error) => return vec![format!("{expr}: {error}")],
        };
        let mut visit = Visit { known: self, complaints: vec![], names: vec![], grouped: vec![] };
        walk_expr(&mut visit, &parsed).expect("the walk doesn't fail");
        for label in visit.grouped {
            let anywhere = visit.names.iter().filter_map(|n| self.labels.get(n)).any(|l| l.contains(&label));
            if !anywhere {
                visit.complaints.push(format!("{expr}: nothing in it has the label {label}"));
            }
        }
        visit.complaints
    }
}

/// Name and expression of the rules of a kind (`record` or `alert`), read from the lines that we write ourselves.
fn rules(kind: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("dashboards/rules/foresail.yaml")).expect("the rules");
    let mut lines = text.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(name) = line.trim().strip_prefix(&format!("- {kind}: ")) {
            let expr = lines.next().and_then(|l| l.trim().strip_prefix("expr: ").map(str::to_owned));
            found.push((name.to_owned(), expr.expect("expr stands below the name")));
        }
    }
    found
}

fn boards() -> Vec<(String, Value)> {
    let mut all: Vec<_> = std::fs::read_dir(root().join("dashboards/grafana"))
        .expect("the dashboards")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .map(|p| {
            let text = std::fs::read_to_string(&p).expect("a dashboard");
            (
                p.file_stem().unwrap().to_string_lossy().into_owned(),
                serde_json::from_str(&text).expect("JSON"),
            )
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(all.len() >= 6, "overview, policy, forecast, queues, health, operator");
    all
}

/// Every query of a dashboard: where it stands, and its text with variables as Grafana would fill them in.
fn queries(board: &Value) -> Vec<(String, String)> {
    let fill = |expr: &str| {
        expr.replace("$__rate_interval", "1m")
            .replace("$job", ".+")
            .replace("$namespace", ".+")
            .replace("$policy", ".+")
    };
    let mut all = Vec::new();
    for panel in board["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let place = panel["title"].as_str().unwrap_or_default().to_owned();
            all.push((place, fill(target["expr"].as_str().expect("expr"))));
        }
    }
    for annotation in board["annotations"]["list"].as_array().expect("annotations") {
        let place = format!("annotation {}", annotation["name"]);
        all.push((place, fill(annotation["expr"].as_str().expect("expr"))));
    }
    all
}

#[test]
fn dashboards_name_only_metrics_and_labels_that_exist() {
    let known = Known::new();
    let mut complaints = Vec::new();
    let mut asked = 0;
    for (name, board) in boards() {
        for (place, expr) in queries(&board) {
            asked += 1;
            complaints.extend(known.complaints(&expr).into_iter().map(|c| format!("{name}, {place}: {c}")));
        }
        for variable in board["templating"]["list"].as_array().expect("variables") {
            if let Some(metric) =
                variable["definition"].as_str().and_then(|d| d.strip_prefix("label_values("))
            {
                let metric = metric.split(['{', ',']).next().unwrap_or_default();
                if !known.labels.contains_key(metric) {
                    complaints
                        .push(format!("{name}, variable {}: there is no metric {metric}", variable["name"]));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(asked > 70, "{asked} queries");
}

#[test]
fn rules_name_only_what_exists_and_every_alert_has_a_runbook_and_a_test() {
    let known = Known::new();
    let tests =
        std::fs::read_to_string(root().join("dashboards/rules/tests/foresail.yaml")).expect("rule tests");
    let mut complaints = Vec::new();
    for (name, expr) in rules("record").into_iter().chain(rules("alert")) {
        complaints.extend(known.complaints(&expr).into_iter().map(|c| format!("{name}: {c}")));
    }
    for (alert, _) in rules("alert") {
        if !root().join(format!("docs/runbooks/{alert}.md")).is_file() {
            complaints.push(format!("docs/runbooks/{alert}.md isn't there"));
        }
        if !tests.contains(&format!("alertname: {alert}\n        exp_alerts")) {
            complaints.push(format!("no test in which {alert} fires"));
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn every_family_is_on_a_dashboard_or_said_to_be_for_other_uses() {
    // Facts for joins, and figures that others are made from.
    const ELSEWHERE: &[&str] = &[
        "foresail_shard_policies",
        "foresail_metric_target",
        "foresail_metric_absences_total",
        "foresail_health_last_transition_timestamp_seconds",
        "foresail_source_retries_total",
        "foresail_reconcile_duration_seconds",
        "foresail_notification_duration_seconds",
        "foresail_event_streams_behind_total",
        "foresail_events_published_total",
        "foresail_telemetry_exported_total",
        "foresail_policy_last_decision_timestamp_seconds",
    ];
    let all: String = boards().iter().flat_map(|(_, b)| queries(b)).map(|(_, e)| e + "\n").collect();
    let missing: Vec<_> = Metrics::new()
        .entries()
        .iter()
        .filter(|e| e.name.starts_with("foresail_") && !ELSEWHERE.contains(&e.name.as_str()))
        .filter(|e| !e.series().iter().any(|s| all.contains(s.as_str())))
        .map(|e| e.name.clone())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn panels_have_titles_descriptions_units_and_the_chosen_data_source() {
    for (name, board) in boards() {
        assert_eq!(board["uid"], *name);
        assert_eq!(board["editable"], false);
        let mut boxes: Vec<(u64, u64, u64, u64)> = Vec::new();
        for panel in board["panels"].as_array().expect("panels") {
            let title = panel["title"].as_str().unwrap_or_default();
            assert!(!title.is_empty());
            let of = |k: &str| panel["gridPos"][k].as_u64().expect("a place");
            let (x, y, w, h) = (of("x"), of("y"), of("w"), of("h"));
            assert!(x + w <= 24, "{name}, {title} is too wide");
            let overlaps = boxes.iter().any(|b| x < b.0 + b.2 && b.0 < x + w && y < b.1 + b.3 && b.1 < y + h);
            assert!(!overlaps, "{name}, {title} lies over another panel");
            boxes.push((x, y, w, h));
            if panel["type"] == "row" {
                continue;
            }
            assert!(panel["description"].as_str().is_some_and(|d| d.ends_with('.')), "{name}, {title}");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{name}, {title}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}, {title}");
        }
    }
}

#[test]
fn committed_files_are_what_the_generators_write() {
    let reference = reference(Metrics::new().entries());
    let committed = std::fs::read_to_string(root().join("docs/reference/metrics.md")).unwrap_or_default();
    assert!(
        reference == committed,
        "run: cargo run -p telemetry --example metrics-reference > docs/reference/metrics.md"
    );
    let build = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "-p", "telemetry", "--example", "dashboards", "--", "--check"])
        .arg(root().join("dashboards/grafana"))
        .status();
    assert!(build.expect("cargo runs").success());
}

/// Uses every handle once more, as a busy operator would.
fn use_all(metrics: &Metrics, keep: &mut Vec<Box<dyn std::any::Any>>, round: u32) {
    let now = f64::from(round) * 5.0 + 1_700_000_000.0;
    metrics.build("0.1.0", "abc", "1.95");
    metrics.leader.set(1);
    metrics.event_streams.set(1);
    for (name, queue) in [("web", false), ("worker", true)] {
        let policy = metrics.policy("shop", name);
        policy.info("Auto", "Deployment", name);
        for kind in ["Ready", "DataFresh"] {
            policy.condition(kind, if round.is_multiple_of(7) { Truth::False } else { Truth::True });
        }
        policy.replicas(ReplicaFigures {
            current: 5,
            ready: 4,
            desired: 6,
            min: 1,
            max: 6,
            unlimited: Some(7.5),
        });
        policy.candidate("rps", CandidateKind::Predictive, Some(7.5));
        policy.candidate("rps", CandidateKind::Backlog, Some(3.0));
        policy.limited("TooManyReplicas");
        policy.decided(DecisionOutcome::Hold, 0.02, Some("0af7651916cd43dd8448eb211c80319c".into()));
        policy.decided_at(now);
        policy.scaled(Direction::Up, CandidateKind::Predictive, now);
        policy.failed("ScaleRefused");
        policy.paused(false);
        policy.timing(Some(40.0), 90.0);
        policy.saved(7200.0);
        policy.simulated(7.0);
        policy.signal("rps", Some(400.0), 80.0, Some(420.0), Some(4.0));
        policy.absent("rps", "Stale");
        policy.forecast(
            "rps",
            ForecastFigures {
                active: true,
                mid: Some(420.0),
                upper: Some(500.0),
                hindcast_mid: Some(390.0),
                hindcast_upper: Some(470.0),
                error_ratio: Some(0.5),
                coverage: Some(0.98),
                coverage_target: Some(0.99),
                history_seconds: Some(86_400.0),
            },
        );
        if queue {
            policy.queue(
                "rps",
                QueueFigures {
                    backlog: Some(900.0),
                    arrivals: Some(30.0),
                    throughput: Some(8.0),
                    drain_seconds: Some(120.0),
                },
            );
        }
        keep.push(Box::new(policy));
    }
    for (name, status) in [("db", "fail"), ("cache", "pass"), ("api", "warn")] {
        let component = metrics.component("shop", name);
        component.checked("tcp", Outcome::Failure, 0.01);
        component.checked("tcp", Outcome::Success, 0.01);
        component.status(status, false, Some(now));
        keep.push(Box::new(component));
    }
    let receiver = metrics.receiver("ops", "feishu");
    receiver.delivered(0.1);
    receiver.failed("RateLimited", 0.1, true);
    receiver.queue(1);
    keep.push(Box::new(receiver));
    metrics.health_delay.observe(0.02);
    metrics.decision_delay.observe(0.02);
    metrics.api_request("get", "scale", Some(200), 0.01);
    metrics.source_request("prometheus", "success", 0.02);
    metrics.source_circuits.get_or_create(&SourceKindLabels { source: "prometheus" }).set(0);
    metrics.reconciled("AutoscalePolicy", Outcome::Success, 0.01);
    metrics.refitted(Outcome::Success, 0.2);
    metrics.alerts_firing("ComponentDown", "critical", 1);
    metrics.http_request("/metrics", 200);
    for step in Step::ALL {
        metrics.step(*step, 0.002);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_every_panel_gives_data_on_a_real_prometheus() {
    testbed::prepare();
    let metrics = Metrics::new();
    let serve = metrics.clone();
    let router = axum::Router::new().route(
        "/metrics",
        axum::routing::get(move || {
            let text = serve.text();
            async move { ([("content-type", CONTENT_TYPE)], text) }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let served = tokio::spawn(async move { axum::serve(listener, router).await });
    let rules = root().join("dashboards/rules/foresail.yaml").canonicalize().expect("the rules");
    let prometheus = testbed::Prometheus::setup()
        .scrape("foresail", &[address])
        .rules(&[rules])
        .start()
        .await
        .expect("a server");

    // Handles are kept, or their series would go.
    let mut keep = Vec::new();
    let begun = Instant::now();
    let mut round = 0;
    let mut open: Vec<(String, String)> = boards()
        .iter()
        .flat_map(|(name, board)| queries(board).into_iter().map(move |(p, e)| (format!("{name}, {p}"), e)))
        // Alerts take minutes to fire; that they do is what the tests of the rules show.
        .filter(|(_, e)| !e.starts_with("ALERTS"))
        .collect();
    let all = open.len();
    while !open.is_empty() && begun.elapsed() < Duration::from_secs(60) {
        round += 1;
        use_all(&metrics, &mut keep, round);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut still = Vec::new();
        for (place, expr) in open {
            match prometheus.query(&expr).await {
                Ok(series) if series.is_empty() => still.push((place, expr)),
                Ok(_) => {}
                Err(error) => panic!("{place}: {error}: {expr}"),
            }
        }
        open = still;
    }
    assert!(open.is_empty(), "no data for {open:#?}");
    assert!(all > 70, "{all} queries");
    let exemplars: Value = reqwest::get(format!(
        "{}/api/v1/query_exemplars?query=foresail_decision_duration_seconds_bucket&start=0&end=9999999999",
        prometheus.url()
    ))
    .await
    .expect("an answer")
    .json()
    .await
    .expect("JSON");
    let trace = &exemplars["data"][0]["exemplars"][0]["labels"]["trace_id"];
    assert_eq!(trace, "0af7651916cd43dd8448eb211c80319c", "{exemplars}");
    served.abort();
}
