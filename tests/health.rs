//! Probes on real servers, killed and revived: how soon it is known, what is named as the cause, who is told, how often.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "all of this file is test code")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use health::agreement::ProberView;
use health::alert::{self, Alert, Alerts};
use health::check::Settings;
use health::event::Event;
use health::graph::Dependency;
use health::{Component, ComponentId, Criticality, Overview, Reason, Status, Verdict};
use jiff::Timestamp;
use notify::template::Custom;
use notify::{Filter, Grouping, Language, Receiver, Target, Transport, TransportSettings};
use probes::{
    Credentials, Definition, Endpoint, Grpc, Http, Inputs, Kafka, Limits, Nats, Outputs, Postgres, Probe,
    Rabbitmq, Redis, Tcp, Watch,
};
use serde_json::Value;
use telemetry::metrics::Metrics;
use testbed::{servers, wait};
use tokio::sync::watch;

const INTERVAL: Duration = Duration::from_secs(1);

fn id(name: &str) -> ComponentId {
    ComponentId::new("shop", name)
}

fn definition(name: &str, probe: impl Probe + 'static, on: &[&str], interval: Duration) -> Definition {
    Definition {
        component: Component {
            id: id(name),
            kind: probe.kind().to_owned(),
            settings: Settings { interval, timeout: interval, ..Settings::default() },
            criticality: Criticality::Critical,
            depends_on: on.iter().map(|n| Dependency { on: id(n), required: true }).collect(),
            groups: vec!["shop".into()],
            labels: BTreeMap::new(),
        },
        probe: Arc::new(probe),
        revision: "1".into(),
    }
}

fn watch_all(
    definitions: Vec<Definition>,
    others: watch::Receiver<Arc<Vec<ProberView>>>,
) -> (Watch, Outputs) {
    let inputs = Inputs {
        definitions: watch::channel(Arc::new(definitions)).1,
        others,
        calendars: watch::channel(Arc::default()).1,
        prober: "test".into(),
        limits: Limits::default(),
    };
    Watch::start(inputs, Metrics::new())
}

fn alone() -> watch::Receiver<Arc<Vec<ProberView>>> {
    watch::channel(Arc::default()).1
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint::new(&format!("127.0.0.1:{port}"), None).unwrap()
}

fn redis(port: u16) -> Redis {
    Redis { endpoint: endpoint(port), credentials: None }
}

fn postgres(port: u16, password: &str) -> Postgres {
    let credentials = Credentials { username: "postgres".into(), password: password.into() };
    Postgres { endpoint: endpoint(port), credentials, database: "postgres".into() }
}

async fn until(
    outputs: &mut Outputs,
    what: &str,
    limit: Duration,
    met: impl Fn(&Overview) -> bool,
) -> Duration {
    let begun = Instant::now();
    loop {
        if met(&outputs.overview.borrow_and_update()) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < limit, "{what}: {:#?}", outputs.overview.borrow().components);
        tokio::time::timeout(limit, outputs.overview.changed()).await.ok();
    }
}

fn is(overview: &Overview, name: &str, status: Status) -> bool {
    overview.component(&id(name)).is_some_and(|c| c.status == status)
}

/// An application that answers 200 while its Redis and its PostgreSQL listen.
async fn application(redis: u16, postgres: u16) -> u16 {
    use axum::http::StatusCode;
    let up = async |port: u16| tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    let answer = move || async move {
        if up(redis).await && up(postgres).await { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = axum::Router::new().route("/", axum::routing::get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

fn http(port: u16) -> Http {
    let client = Http::client(&sources::Tls::default()).unwrap();
    Http::new(client, "GET", &format!("http://127.0.0.1:{port}/"), &[]).unwrap()
}

/// A chat that keeps what it is told: alert, component, status.
async fn chat() -> (String, Arc<Told>) {
    let told: Arc<Told> = Arc::default();
    let kept = told.clone();
    let take = move |axum::Json(body): axum::Json<Value>| async move {
        for alert in body["data"]["alerts"].as_array().unwrap() {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            kept.lock().unwrap().push((
                text(&alert["alert"]),
                text(&alert["labels"]["component"]),
                text(&alert["status"]),
            ));
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/hook", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, told)
}

type Told = Mutex<Vec<(String, String, String)>>;

/// How often a chat was told of a component that is down, or is it no more.
fn times(told: &Told, component: &str, status: &str) -> usize {
    let told = told.lock().unwrap();
    told.iter().filter(|(a, c, s)| a == "ComponentDown" && c == component && s == status).count()
}

async fn chat_has(told: &Told, component: &str, status: &str) -> Result<()> {
    wait::until(&format!("{component} {status} in the chat"), Duration::from_secs(30), || async {
        ensure!(times(told, component, status) > 0, "{:?}", told.lock().unwrap());
        Ok::<_, anyhow::Error>(())
    })
    .await
}

fn receiver(url: &str, alerts: watch::Receiver<Arc<Vec<Alert>>>) -> Receiver {
    let settings = notify::Settings {
        name: "shop/chat".into(),
        target: Target::Webhook { url: url.into(), secret: None },
        language: Language::En,
        custom: Custom::default(),
        filter: Filter::default(),
        grouping: Grouping {
            by: vec!["alertname".into(), "component".into()],
            wait: Duration::from_millis(200),
            interval: Duration::from_secs(1),
            ..Grouping::default()
        },
        send_resolved: true,
    };
    let transport =
        Transport::new(TransportSettings { allow_insecure: true, ..TransportSettings::default() }).unwrap();
    Receiver::start(settings, transport, alerts, Vec::new(), &Metrics::new()).unwrap()
}

#[tokio::test]
async fn redis_and_postgresql_are_killed_and_revived() -> Result<()> {
    testbed::prepare();
    let mut cache = servers::Redis::start().await?;
    let mut database = servers::PostgreSql::start().await?;
    let app = application(cache.port(), database.port()).await;
    let definitions = vec![
        definition("cache", redis(cache.port()), &[], INTERVAL),
        definition("db", postgres(database.port(), "testbed"), &[], INTERVAL),
        definition("app", http(app), &["cache", "db"], INTERVAL),
    ];
    let (_watch, mut outputs) = watch_all(definitions, alone());
    let mut events = outputs.events.subscribe();
    until(&mut outputs, "all is well", Duration::from_secs(10), |o| o.status == Status::Pass).await;

    let (url, told) = chat().await;
    let (to_notify, alerts) = watch::channel(Arc::new(Vec::new()));
    let _receiver = receiver(&url, alerts);
    let overview = outputs.overview.clone();
    let alerting =
        tokio::spawn(async move {
            let mut machine = Alerts::new("https://example.com/runbooks");
            loop {
                // The built-in waits are made for intervals of 5 s: 2 intervals here, too.
                let conditions = alert::components(&overview.borrow())
                    .into_iter()
                    .map(|c| alert::Condition { for_: c.for_ / 5, keep_firing: c.keep_firing / 5, ..c });
                machine.step(conditions, Timestamp::now());
                to_notify.send_replace(Arc::new(machine.to_notify()));
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });

    // At most two intervals and a second.
    let bar = 2 * INTERVAL + Duration::from_secs(1);
    cache.stop();
    let took = until(&mut outputs, "cache is down", bar, |o| is(o, "cache", Status::Fail)).await;
    println!("redis: down after {took:?}, the bar is {bar:?}");
    until(&mut outputs, "the application is its consequence", bar, |o| {
        let (cache, app) = (o.component(&id("cache")).unwrap(), o.component(&id("app")).unwrap());
        cache.root
            && cache.consequences == [id("app")]
            && app.own == Status::Fail
            && !app.root
            && app.causes[0].id == id("cache")
    })
    .await;
    chat_has(&told, "cache", "firing").await?;
    cache.restart().await?;
    until(&mut outputs, "the cache is back", bar, |o| o.status == Status::Pass).await;

    database.stop();
    let took = until(&mut outputs, "db is down", bar, |o| is(o, "db", Status::Fail)).await;
    println!("postgresql: down after {took:?}, the bar is {bar:?}");
    let reason = outputs.overview.borrow().component(&id("db")).unwrap().view.last.clone().unwrap().reason;
    ensure!(matches!(reason, Reason::Refused | Reason::ConnectionLost), "{reason}");
    until(&mut outputs, "the application is its consequence, too", bar, |o| {
        let (db, app) = (o.component(&id("db")).unwrap(), o.component(&id("app")).unwrap());
        db.root && db.consequences == [id("app")] && !app.root && app.causes[0].id == id("db")
    })
    .await;
    chat_has(&told, "db", "firing").await?;
    database.restart().await?;
    // It listens a moment before it has recovered.
    let back = bar + Duration::from_secs(3);
    until(&mut outputs, "the database is back", back, |o| o.status == Status::Pass).await;

    for component in ["cache", "db"] {
        chat_has(&told, component, "resolved").await?;
    }
    wait::throughout("once each, and no alert for a consequence", Duration::from_secs(5), || async {
        let counts = ["cache", "db", "app"]
            .map(|component| (times(&told, component, "firing"), times(&told, component, "resolved")));
        ensure!(counts == [(1, 1), (1, 1), (0, 0)], "{:?}", told.lock().unwrap());
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    alerting.abort();
    let mut transitions = 0;
    while let Ok(event) = events.try_recv() {
        transitions += usize::from(matches!(event, Event::Transition { .. }));
    }
    ensure!(transitions <= 11, "{transitions} transitions are a storm");
    Ok(())
}

#[tokio::test]
async fn each_kind_of_probe_knows_its_server_from_another() -> Result<()> {
    testbed::prepare();
    let (cache, queue) =
        (servers::Redis::with(&["--requirepass", "s3cret"]).await?, servers::Nats::start().await?);
    let database = servers::PostgreSql::start().await?;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let silent_port = silent.local_addr()?.port();
    let grpc = grpc_server().await?;
    let kafka = rdkafka::mocking::MockCluster::new(1)?;
    kafka.create_topic("orders", 3, 1)?;

    let signed = Redis {
        endpoint: endpoint(cache.port()),
        credentials: Some(Credentials { username: String::new(), password: "s3cret".into() }),
    };
    let nats = |port| Nats { endpoint: endpoint(port), credentials: None };
    let kafka_probe = |topics: &[&str]| Kafka {
        endpoint: Endpoint::new(&kafka.bootstrap_servers(), None).unwrap(),
        topics: topics.iter().map(|t| (*t).to_owned()).collect(),
    };
    let well: Vec<Box<dyn Probe>> = vec![
        Box::new(signed),
        Box::new(nats(queue.port())),
        Box::new(postgres(database.port(), "testbed")),
        Box::new(Tcp { endpoint: endpoint(silent_port) }),
        Box::new(Grpc::new(&grpc, "", None)?),
        Box::new(Grpc::new(&grpc, "up", None)?),
        Box::new(kafka_probe(&[])),
        Box::new(kafka_probe(&["orders"])),
    ];
    for probe in well {
        let outcome = tokio::time::timeout(Duration::from_secs(5), probe.probe()).await?;
        ensure!(outcome.verdict == Verdict::Pass, "{}: {outcome:?}", probe.kind());
    }
    let unwell: Vec<(Box<dyn Probe>, Reason)> = vec![
        (Box::new(redis(cache.port())), Reason::Unauthorized),
        (Box::new(redis(queue.port())), Reason::InvalidAnswer),
        (Box::new(nats(cache.port())), Reason::InvalidAnswer),
        (Box::new(postgres(database.port(), "wrong")), Reason::Unauthorized),
        (Box::new(Tcp { endpoint: endpoint(testbed::net::free_port()?) }), Reason::Refused),
        (Box::new(Grpc::new(&grpc, "down", None)?), Reason::NotServing),
        (Box::new(Grpc::new(&grpc, "ghost", None)?), Reason::NotFound),
        (Box::new(http(testbed::net::free_port()?)), Reason::Refused),
        (Box::new(Tcp { endpoint: Endpoint::new("no-such-host.invalid:1", None)? }), Reason::NameNotFound),
    ];
    for (probe, reason) in unwell {
        let outcome = tokio::time::timeout(Duration::from_secs(5), probe.probe()).await;
        match outcome {
            Ok(outcome) => ensure!(outcome.reason == reason, "{}: {outcome:?}, not {reason}", probe.kind()),
            // Redis waits for the rest of what it takes for a command.
            Err(_) => ensure!(reason == Reason::InvalidAnswer, "{} didn't answer", probe.kind()),
        }
    }
    Ok(())
}

#[tokio::test]
async fn rabbitmq_is_opened_and_refuses_a_wrong_password() -> Result<()> {
    testbed::prepare();
    let server = servers::RabbitMq::start().await?;
    let probe = |password: &str, virtual_host: &str| Rabbitmq {
        endpoint: endpoint(server.port()),
        credentials: Credentials { username: "guest".into(), password: password.into() },
        virtual_host: virtual_host.into(),
    };
    let outcome = probe("guest", "/").probe().await;
    ensure!(outcome.verdict == Verdict::Pass, "{outcome:?}");
    let outcome = probe("wrong", "/").probe().await;
    ensure!(outcome.reason == Reason::Unauthorized, "{outcome:?}");
    let outcome = probe("guest", "/ghost").probe().await;
    ensure!(outcome.verdict == Verdict::Fail, "{outcome:?}");
    Ok(())
}

/// grpc.health.v1 by hand: the whole server and `up` serve, `down` doesn't, others are unknown.
async fn grpc_server() -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(socket).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let mut bytes = Vec::new();
                        while let Some(Ok(chunk)) = body.data().await {
                            bytes.extend_from_slice(&chunk);
                        }
                        let name = String::from_utf8_lossy(bytes.get(7..).unwrap_or_default()).into_owned();
                        let head = http::Response::builder().header("content-type", "application/grpc");
                        let status = match name.as_str() {
                            "" | "up" => 1,
                            "down" => 2,
                            _ => {
                                let head = head.header("grpc-status", "5").body(()).unwrap();
                                respond.send_response(head, true).ok();
                                return;
                            }
                        };
                        let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
                        stream.send_data(vec![0, 0, 0, 0, 2, 0x08, status].into(), false).ok();
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                        stream.send_trailers(trailers).ok();
                    });
                }
            });
        }
    });
    Ok(address)
}

#[tokio::test]
async fn one_probers_broken_network_takes_nothing_down() -> Result<()> {
    testbed::prepare();
    let definitions: Vec<Definition> = (0..4)
        .map(|i| {
            let nobody = testbed::net::free_port().unwrap();
            definition(&format!("c{i}"), Tcp { endpoint: endpoint(nobody) }, &[], Duration::from_millis(500))
        })
        .collect();
    let other = |name: &str| ProberView { prober: name.into(), probed: 4, troubles: BTreeMap::new() };
    let (heard, others) = watch::channel(Arc::new(vec![other("b"), other("c")]));
    let (_watch, mut outputs) = watch_all(definitions, others);
    until(&mut outputs, "this prober is found out", Duration::from_secs(10), |o| {
        o.isolated.iter().any(|i| i.prober == "test") && o.status == Status::Pass
    })
    .await;
    // Now the others see it as well.
    let troubles: BTreeMap<_, _> = (0..4).map(|i| (id(&format!("c{i}")), Status::Fail)).collect();
    let agrees = |name: &str| ProberView { prober: name.into(), probed: 4, troubles: troubles.clone() };
    heard.send_replace(Arc::new(vec![agrees("b"), agrees("c")]));
    let took = until(&mut outputs, "agreed", Duration::from_secs(3), |o| o.summary.fail == 4).await;
    println!("agreed after {took:?}");
    Ok(())
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Nobody starves. What it costs is printed, together with the servers that answer; run it with `--release` on a quiet
/// machine for a figure that means something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_checks_every_five_seconds() -> Result<()> {
    testbed::prepare();
    let mut ports = Vec::new();
    for _ in 0..20 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        ports.push(listener.local_addr()?.port());
        let router = axum::Router::new().route("/", axum::routing::get(|| async { "ok" }));
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    let definitions: Vec<Definition> = (0..2_000)
        .map(|i| {
            let on = format!("c{:04}", (i / 10) * 10);
            let on = if i % 10 == 0 { vec![] } else { vec![on.as_str()] };
            definition(&format!("c{i:04}"), http(ports[i % 20]), &on, Duration::from_secs(5))
        })
        .collect();
    let (_watch, mut outputs) = watch_all(definitions, alone());
    until(&mut outputs, "all were probed", Duration::from_mins(2), |o| o.summary.pass == 2_000).await;
    let (begun, before) = (Instant::now(), cpu_seconds());
    for round in 1..=3 {
        let asked = Timestamp::now();
        wait::until(&format!("round {round}: everybody is probed again"), Duration::from_mins(1), || async {
            let overview = outputs.overview.borrow().clone();
            let is_old = |at: Timestamp| at < asked;
            let waiting = overview.components.iter().filter(|c| c.view.last_probe.is_none_or(is_old)).count();
            ensure!(waiting == 0, "{waiting} wait");
            Ok::<_, anyhow::Error>(())
        })
        .await?;
    }
    let cores = (cpu_seconds() - before) / begun.elapsed().as_secs_f64();
    println!("2,000 checks, three rounds in {:.1?}: {cores:.2} cores with the servers", begun.elapsed());
    Ok(())
}
