//! Every format against a server that checks what the service would check: golden requests, limits, signatures,
//! failures, and secrets that never show.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't be set up fails"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use health::alert::{Alert, AlertPhase, Evidence, Severity, fingerprint};
use jiff::Timestamp;
use notify::template::{Custom, Renderer};
use notify::{Filter, Grouping, Language, Message, Receiver, Settings, Target, Transport, TransportSettings};
use serde_json::Value;
use support::{SECRET, STANDARD_SECRET, Services, TOKEN};
use telemetry::metrics::Metrics;
use tokio::sync::watch;

fn targets(base: &str) -> Vec<Target> {
    let url = |path: &str| format!("{base}/{path}").into();
    vec![
        Target::Dingtalk {
            url: url(&format!("dingtalk/robot/send?access_token={TOKEN}")),
            secret: Some(SECRET.into()),
            mention: vec!["13800000000".into()],
        },
        Target::Wecom { url: url(&format!("wecom/cgi-bin/webhook/send?key={TOKEN}")) },
        Target::Feishu {
            url: url("feishu/open-apis/bot/v2/hook/x"),
            secret: Some(SECRET.into()),
            mention: vec!["all".into()],
        },
        Target::Slack { url: url("slack/services/T/B/x") },
        Target::Teams { url: url("teams/workflows/x?sig=y") },
        Target::Discord { url: url("discord/api/webhooks/1/x") },
        Target::Telegram {
            token: TOKEN.into(),
            chat_id: "-1001".into(),
            thread_id: None,
            api_url: Some(format!("{base}/telegram")),
        },
        Target::Pagerduty {
            routing_key: "0123456789abcdef0123456789abcdef".into(),
            api_url: Some(format!("{base}/pagerduty")),
        },
        Target::Alertmanager { urls: vec![format!("{base}/alertmanager")], token: Some(TOKEN.into()) },
        Target::Webhook { url: url("webhook/x"), secret: Some(STANDARD_SECRET.into()) },
    ]
}

fn transport() -> Transport {
    rustls::crypto::ring::default_provider().install_default().ok();
    Transport::new(TransportSettings { allow_insecure: true, ..TransportSettings::default() }).unwrap()
}

fn alert(component: &str, severity: Severity) -> Alert {
    let labels = BTreeMap::from([
        ("namespace".to_owned(), "shop".to_owned()),
        ("component".to_owned(), component.to_owned()),
    ]);
    let since: Timestamp = "2026-11-20T14:03:55Z".parse().unwrap();
    Alert {
        id: fingerprint("ComponentDown", &labels),
        name: "ComponentDown".into(),
        severity,
        summary: format!("shop/{component} is down: connection refused"),
        facts: BTreeMap::from([
            ("output".to_owned(), "connection refused <tcp> [10.0.0.7:5432]".to_owned()),
            ("consequences".to_owned(), "shop/checkout, shop/orders".to_owned()),
        ]),
        evidence: Evidence {
            check: Some(format!("shop/{component}")),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            ..Evidence::default()
        },
        labels,
        runbook_url: "https://example.com/runbooks/ComponentDown.md".into(),
        phase: AlertPhase::Firing,
        since,
        fired: Some(since),
        resolved: None,
        muted: false,
    }
}

fn message(alerts: Vec<Alert>) -> Message {
    Message {
        id: "msg_000102030405060708090a0b".into(),
        at: "2026-11-20T14:05:10Z".parse().unwrap(),
        groups: vec![notify::message::Group {
            key: "{alertname=\"ComponentDown\",namespace=\"shop\"}".into(),
            labels: BTreeMap::from([("alertname".to_owned(), "ComponentDown".to_owned())]),
            alerts,
        }],
    }
}

fn settings(target: Target, language: Language) -> Settings {
    Settings {
        name: format!("shop/{}", target.name()),
        target,
        language,
        custom: Custom::default(),
        filter: Filter::default(),
        grouping: Grouping {
            by: vec!["component".into()],
            wait: Duration::from_millis(20),
            interval: Duration::from_millis(100),
            ..Grouping::default()
        },
        send_resolved: true,
    }
}

#[tokio::test]
async fn every_service_takes_one_alert_many_alerts_and_the_all_clear_in_both_languages() {
    let (services, address) = Services::start().await;
    let base = format!("http://{address}");
    let transport = transport();
    for language in [Language::En, Language::Zh] {
        for target in targets(&base) {
            let format = target.format();
            let mut over = alert("orders-db", Severity::Critical);
            over.phase = AlertPhase::Resolved;
            over.resolved = Some("2026-11-20T14:09:00Z".parse().unwrap());
            let mut huge = alert("orders-db", Severity::Warning);
            huge.facts.insert("output".into(), "很长的错误信息 <&>[x](y) ".repeat(2_000));
            let many = (0..700).map(|i| alert(&format!("数据库-{i}"), Severity::Critical)).collect();
            for alerts in [vec![alert("orders-db", Severity::Critical)], vec![over], vec![huge], many] {
                let requests =
                    format.requests(&message(alerts), &Renderer::plain(language), Timestamp::now()).unwrap();
                for request in &requests {
                    let answer = transport.send(request).await.unwrap();
                    assert_eq!(
                        format.judge(&answer),
                        notify::Verdict::Delivered,
                        "{} {language:?}: {}",
                        format.name(),
                        answer.excerpt()
                    );
                }
            }
        }
    }
    for target in targets(&base) {
        assert!(services.bodies(target.name()).len() >= 8, "{}", target.name());
    }
}

#[tokio::test]
async fn a_wrong_secret_is_understood_from_the_body_and_never_shown() {
    let (_services, address) = Services::start().await;
    let base = format!("http://{address}");
    let wrong = [
        Target::Dingtalk {
            url: format!("{base}/dingtalk/robot/send?access_token={TOKEN}").into(),
            secret: Some("SECwrongwrong".into()),
            mention: vec![],
        },
        Target::Wecom { url: format!("{base}/wecom/cgi-bin/webhook/send?key=wrong-wrong-wrong").into() },
        Target::Feishu {
            url: format!("{base}/feishu/open-apis/bot/v2/hook/secret-hook-id").into(),
            secret: Some("wrongwrongwrong".into()),
            mention: vec![],
        },
        Target::Telegram {
            token: "wrong-wrong-wrong".into(),
            chat_id: "1".into(),
            thread_id: None,
            api_url: Some(format!("{base}/telegram")),
        },
        Target::Webhook {
            url: format!("{base}/webhook/secret-path").into(),
            secret: Some("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into()),
        },
    ];
    for target in wrong {
        let name = target.name();
        let report = Receiver::test(&settings(target, Language::En), &transport()).await.unwrap();
        assert!(!report.passed(), "{name}");
        let shown = format!("{report:?}");
        assert!(shown.contains("AuthError"), "{name}: {shown}");
        for secret in ["wrong-wrong", "wrongwrong", "secret-hook", "secret-path", "AAAAAAAA"] {
            assert!(!shown.contains(secret), "{name}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_service_that_is_gone_is_told_without_its_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let target =
        Target::Slack { url: format!("http://{address}/services/T0SECRET/B0SECRET/xyzxyzxyz").into() };
    let report = Receiver::test(&settings(target, Language::En), &transport()).await.unwrap();
    let shown = format!("{report:?}");
    assert!(
        shown.contains("NetworkError") && !shown.contains("SECRET") && !shown.contains("xyzxyz"),
        "{shown}"
    );
}

/// The requests as they are, for people to look at and for changes to be seen. `UPDATE_GOLDEN=1` rewrites them.
#[test]
fn golden_requests() {
    let at: Timestamp = "2026-11-20T14:05:10Z".parse().unwrap();
    for target in targets("https://chat.example.com") {
        for language in [Language::En, Language::Zh] {
            let alerts = vec![alert("orders-db", Severity::Critical), alert("search", Severity::Warning)];
            let requests =
                target.format().requests(&message(alerts), &Renderer::plain(language), at).unwrap();
            let bodies: Vec<Value> =
                requests.iter().map(|r| serde_json::from_slice(&r.body).unwrap()).collect();
            let text = serde_json::to_string_pretty(&bodies).unwrap() + "\n";
            let word = if language == Language::En { "en" } else { "zh" };
            let file = format!("tests/golden/{}.{word}.json", target.name());
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&file, &text).unwrap();
            }
            let golden = std::fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(golden, text, "{file} differs; UPDATE_GOLDEN=1 rewrites it");
        }
    }
}

/// 1,000 faults begin and end while 30 of 100 requests fail: in the end each was told once, and its end once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_faults_are_each_told_once_by_services_that_fail_a_third_of_the_time() {
    let (services, address) = Services::start().await;
    services.failing.store(30, Ordering::SeqCst);
    let begun = Instant::now();
    let lanes = (0..20).map(|lane| tokio::spawn(lane_of_faults(services.clone(), address, lane)));
    let mut dead = 0;
    for lane in lanes.collect::<Vec<_>>() {
        dead += lane.await.unwrap();
    }
    let told = services.taken.lock().unwrap().told.clone();
    let twice: Vec<_> = told.iter().filter(|(_, n)| **n != 1).collect();
    println!(
        "1,000 faults in {:.1} s: {} requests, {} failed, {dead} given up",
        begun.elapsed().as_secs_f64(),
        services.asked.load(Ordering::SeqCst),
        services.failed.load(Ordering::SeqCst),
    );
    assert_eq!(told.len(), 2_000, "every fault and every end");
    assert!(twice.is_empty(), "told more than once: {twice:?}");
    assert!(services.failed.load(Ordering::SeqCst) > 500);
}

/// 50 faults at one receiver, ten at a time. Gives how many messages were given up.
async fn lane_of_faults(services: Services, address: std::net::SocketAddr, lane: usize) -> u64 {
    let (sender, alerts) = watch::channel(Arc::new(Vec::new()));
    let target = Target::Webhook {
        url: format!("http://{address}/webhook/x").into(),
        secret: Some(STANDARD_SECRET.into()),
    };
    let mut settings = settings(target, Language::En);
    settings.name = format!("shop/lane-{lane}");
    let receiver = Receiver::start(settings, transport(), alerts, Vec::new(), &Metrics::new()).unwrap();
    for wave in 0..5 {
        let names: Vec<String> = (0..10).map(|i| format!("lane{lane}-{}", wave * 10 + i)).collect();
        let firing = names.iter().map(|n| alert(n, Severity::Critical)).collect();
        for (status, standing) in [("firing", firing), ("resolved", Vec::new())] {
            sender.send_replace(Arc::new(standing));
            let started = Instant::now();
            while !{
                let told = &services.taken.lock().unwrap().told;
                names.iter().all(|n| told.contains_key(&(n.clone(), status.to_owned())))
            } {
                assert!(started.elapsed() < Duration::from_secs(120), "{status}: {:?}", receiver.status());
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    receiver.status().dead_letters
}

#[tokio::test]
async fn a_receiver_that_ends_sends_what_is_due() {
    let (services, address) = Services::start().await;
    let (_sender, alerts) = watch::channel(Arc::new(vec![alert("db", Severity::Critical)]));
    let target = Target::Slack { url: format!("http://{address}/slack/x").into() };
    let mut settings = settings(target, Language::En);
    // Due from the first moment on, at which it is told to end.
    settings.grouping.wait = Duration::ZERO;
    let receiver = Receiver::start(settings, transport(), alerts, Vec::new(), &Metrics::new()).unwrap();
    receiver.finish(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!(services.bodies("slack").len(), 1);
}
