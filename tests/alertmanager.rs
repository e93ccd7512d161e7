//! A real Alertmanager in both directions: our alerts go in, and what it sends out comes back through the relay to a chat.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "all of this file is test code")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use health::alert::{Alert, AlertPhase, Evidence, Severity, fingerprint};
use jiff::Timestamp;
use notify::template::Custom;
use notify::{Filter, Grouping, Language, Receiver, Settings, Target, Transport, TransportSettings};
use serde_json::{Value, json};
use telemetry::metrics::Metrics;
use testbed::{servers, wait};
use tokio::sync::watch;

fn transport() -> Transport {
    Transport::new(TransportSettings { allow_insecure: true, ..TransportSettings::default() }).unwrap()
}

fn settings(target: Target) -> Settings {
    Settings {
        name: format!("shop/{}", target.name()),
        target,
        language: Language::Zh,
        custom: Custom::default(),
        filter: Filter::default(),
        grouping: Grouping::default(),
        send_resolved: true,
    }
}

fn alert() -> Alert {
    let labels = BTreeMap::from([
        ("namespace".to_owned(), "shop".to_owned()),
        ("component".to_owned(), "orders-db".to_owned()),
    ]);
    let now = Timestamp::now();
    Alert {
        id: fingerprint("ComponentDown", &labels),
        name: "ComponentDown".into(),
        severity: Severity::Critical,
        labels,
        summary: "shop/orders-db is down".into(),
        facts: BTreeMap::from([("output".to_owned(), "connection refused".to_owned())]),
        evidence: Evidence::default(),
        runbook_url: "https://example.com/runbooks/ComponentDown.md".into(),
        phase: AlertPhase::Firing,
        since: now,
        fired: Some(now),
        resolved: None,
        muted: false,
    }
}

/// A server whose answers are made by `handle`.
async fn server<F, R>(handle: F) -> String
where
    F: Fn(Value) -> R + Clone + Send + Sync + 'static,
    R: std::future::Future<Output = axum::response::Response> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let take = move |axum::Json(body): axum::Json<Value>| handle(body);
    let router = axum::Router::new().route("/hook", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn alerts_go_in_and_come_back_to_the_chat_once_also_when_it_fails_at_first() -> Result<()> {
    use axum::response::IntoResponse as _;
    testbed::prepare();
    let told: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = told.clone();
    let failures = Arc::new(Mutex::new(2));
    // A DingTalk that says "too fast" twice, with a 200, and then takes the message.
    let chat = server(move |body| {
        let (kept, failures) = (kept.clone(), failures.clone());
        async move {
            let mut left = failures.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                return axum::Json(json!({"errcode": -1, "errmsg": "system busy"})).into_response();
            }
            kept.lock().unwrap().push(body);
            axum::Json(json!({"errcode": 0, "errmsg": "ok"})).into_response()
        }
    })
    .await;
    let nothing = watch::channel(Arc::new(Vec::new())).1;
    let target = Target::Dingtalk { url: chat.into(), secret: None, mention: vec![] };
    let relay_to =
        Arc::new(Receiver::start(settings(target), transport(), nothing, vec![], &Metrics::new())?);
    let statuses: Arc<Mutex<Vec<u16>>> = Arc::default();
    let answered = statuses.clone();
    let hook = server(move |body| {
        let (relay_to, answered) = (relay_to.clone(), answered.clone());
        async move {
            let (message, key) = notify::relay::read(body.to_string().as_bytes(), Timestamp::now()).unwrap();
            let status = notify::relay::status(&relay_to.relay(message, key).await);
            answered.lock().unwrap().push(status);
            axum::http::StatusCode::from_u16(status).unwrap().into_response()
        }
    })
    .await;
    let alertmanager = servers::Alertmanager::start(Some(&hook)).await?;

    let (to_notify, alerts) = watch::channel(Arc::new(vec![alert()]));
    // One member of the cluster is gone; the other one takes it.
    let gone = format!("http://127.0.0.1:{}", testbed::net::free_port()?);
    let target = Target::Alertmanager { urls: vec![gone, alertmanager.url()], token: None };
    let out = Receiver::start(settings(target), transport(), alerts, vec![], &Metrics::new())?;
    wait::until("Alertmanager has it", Duration::from_secs(20), || async {
        let held = alertmanager.alerts().await?;
        ensure!(held.len() == 1 && held[0]["labels"]["alertname"] == "ComponentDown", "{held:?}");
        ensure!(held[0]["annotations"]["summary"].as_str().is_some_and(|s| s.contains("不可用")), "{held:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    ensure!(out.status().dead_letters == 0);
    let shown = |word: &'static str| {
        let told = told.lock().unwrap();
        told.iter().filter(|t| t["markdown"]["title"].as_str().is_some_and(|s| s.contains(word))).count()
    };
    wait::until("the chat has it", Duration::from_secs(60), || async {
        ensure!(shown("告警") == 1, "{:?} {:?}", statuses.lock().unwrap(), told.lock().unwrap());
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    let before = statuses.lock().unwrap().clone();
    ensure!(before.starts_with(&[503, 503]) && before.contains(&200), "{before:?}");

    to_notify.send_replace(Arc::new(Vec::new()));
    wait::until("the chat knows that it is over", Duration::from_secs(60), || async {
        ensure!(shown("已恢复") == 1, "{:?}", told.lock().unwrap());
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    wait::throughout("once each", Duration::from_secs(5), || async {
        ensure!((shown("告警"), shown("已恢复")) == (1, 1), "{:?}", told.lock().unwrap());
        Ok::<_, anyhow::Error>(())
    })
    .await
}
