//! OTLP against a receiver in this process that speaks both wires, and against receivers that are down or hang.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use telemetry::metrics::{Metrics, Signal, SignalLabels};
use telemetry::otlp::{Pipeline, Protocol, Settings};
use telemetry::tracing::{propagate, trace_id};
use tonic::{Request, Response, Status};
use tracing_subscriber::layer::SubscriberExt as _;

/// What the receiver got.
#[derive(Clone, Default)]
struct Sink {
    traces: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    logs: Arc<Mutex<Vec<ExportLogsServiceRequest>>>,
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    headers: Arc<Mutex<Vec<String>>>,
}

impl Sink {
    fn spans(&self) -> Vec<Span> {
        let traces = self.traces.lock().unwrap();
        let scopes = traces.iter().flat_map(|t| &t.resource_spans).flat_map(|r| &r.scope_spans);
        scopes.flat_map(|s| s.spans.clone()).collect()
    }
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let tenant = request.metadata().get("x-tenant").and_then(|v| v.to_str().ok()).unwrap_or_default();
        self.headers.lock().unwrap().push(tenant.to_owned());
        self.traces.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Sink {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.logs.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Sink {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.metrics.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn serve(sink: Sink, protocol: Protocol) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    match protocol {
        Protocol::Grpc => {
            let incoming = futures::stream::unfold(listener, |l| async move {
                let stream = l.accept().await.map(|(s, _)| s);
                Some((stream, l))
            });
            let server = tonic::transport::Server::builder()
                .add_service(TraceServiceServer::new(sink.clone()))
                .add_service(LogsServiceServer::new(sink.clone()))
                .add_service(MetricsServiceServer::new(sink));
            tokio::spawn(server.serve_with_incoming(incoming));
        }
        Protocol::Http => {
            let router = Router::new()
                .route(
                    "/v1/traces",
                    post(async |State(sink): State<Sink>, headers: axum::http::HeaderMap, body: Bytes| {
                        let tenant =
                            headers.get("x-tenant").and_then(|v| v.to_str().ok()).unwrap_or_default();
                        sink.headers.lock().unwrap().push(tenant.to_owned());
                        sink.traces.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
                    }),
                )
                .route(
                    "/v1/logs",
                    post(async |State(sink): State<Sink>, body: Bytes| {
                        sink.logs.lock().unwrap().push(ExportLogsServiceRequest::decode(body).unwrap());
                    }),
                )
                .route(
                    "/v1/metrics",
                    post(async |State(sink): State<Sink>, body: Bytes| {
                        sink.metrics.lock().unwrap().push(ExportMetricsServiceRequest::decode(body).unwrap());
                    }),
                )
                .with_state(sink);
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
    }
    url
}

fn settings(url: &str, protocol: Protocol) -> Settings {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Settings {
        headers: vec![("x-tenant".into(), "team-a".into())],
        instance: "foresail-0".into(),
        version: "9.9.9".into(),
        metrics_interval: Duration::from_secs(3600),
        timeout: Duration::from_secs(1),
        ..Settings::new(url, protocol)
    }
}

/// Runs `inside` with the pipeline's layers, and returns what it gave. Nothing else of the process is touched.
fn under<T>(pipeline: &Pipeline, inside: impl FnOnce() -> T) -> T {
    let subscriber = tracing_subscriber::registry().with(pipeline.spans()).with(pipeline.records());
    tracing::subscriber::with_default(subscriber, inside)
}

async fn end(pipeline: Pipeline, deadline: Duration) -> Duration {
    let begun = Instant::now();
    tokio::task::spawn_blocking(move || pipeline.shutdown(deadline)).await.expect("shutdown");
    begun.elapsed()
}

fn count(metrics: &Metrics, signal: Signal) -> (u64, u64) {
    let labels = SignalLabels { signal };
    let of = |f: &prometheus_client::metrics::family::Family<
        SignalLabels,
        prometheus_client::metrics::counter::Counter,
    >| { f.get_or_create(&labels).get() };
    (of(&metrics.telemetry_exports), of(&metrics.telemetry_dropped))
}

async fn one_decision_arrives_whole(protocol: Protocol) {
    let sink = Sink::default();
    let url = serve(sink.clone(), protocol).await;
    let metrics = Metrics::new();
    let pipeline = Pipeline::start(&settings(&url, protocol), &metrics).expect("the pipeline starts");
    let policy = metrics.policy("shop", "web");
    let (trace, sent) = under(&pipeline, || {
        let decision = tracing::info_span!("decision", policy = "shop/web", replicas = 4);
        let _entered = decision.enter();
        let trace = trace_id();
        let mut sent = Vec::new();
        tracing::info_span!("read", metric = "rps").in_scope(|| {
            propagate(|name, value| sent.push((name.to_owned(), value)));
        });
        tracing::info_span!("decide").in_scope(|| tracing::info!(target = 6, "scaled"));
        policy.decided(telemetry::metrics::DecisionOutcome::Scale, 0.03, trace.clone());
        (trace, sent)
    });
    let trace = trace.expect("a sampled trace");
    assert!(end(pipeline, Duration::from_secs(5)).await < Duration::from_secs(4));

    let spans = sink.spans();
    let find = |name: &str| spans.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no span {name}"));
    let (decision, read, decide) = (find("decision"), find("read"), find("decide"));
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
    assert_eq!(hex(&decision.trace_id), trace);
    assert!(read.parent_span_id == decision.span_id && decide.parent_span_id == decision.span_id);
    assert!(decision.attributes.iter().any(|a| a.key == "policy"));
    let parent = sent.iter().find(|(n, _)| n == "traceparent").map(|(_, v)| v.clone()).expect("traceparent");
    assert_eq!(
        parent,
        format!("00-{trace}-{}-01", hex(&read.span_id)),
        "calls carry the span they are made in"
    );
    assert_eq!(sink.headers.lock().unwrap()[0], "team-a");

    let logs = sink.logs.lock().unwrap().clone();
    let record = logs
        .iter()
        .flat_map(|l| &l.resource_logs)
        .flat_map(|r| &r.scope_logs)
        .flat_map(|s| &s.log_records)
        .find(|r| format!("{:?}", r.body).contains("scaled"))
        .expect("the log record");
    assert_eq!(hex(&record.trace_id), trace, "a log record names its trace");

    let points = sink.metrics.lock().unwrap().clone();
    let resource = format!("{:?}", points[0].resource_metrics[0].resource);
    assert!(
        resource.contains("service.name") && resource.contains("foresail-0") && resource.contains("9.9.9")
    );
    let names: Vec<_> =
        points[0].resource_metrics[0].scope_metrics[0].metrics.iter().map(|m| &m.name).collect();
    assert!(names.iter().any(|n| *n == "foresail_policy_decisions_total"), "{names:?}");
    assert!(names.iter().any(|n| *n == "foresail_decision_duration_seconds"));
    assert_eq!(count(&metrics, Signal::Traces), (3, 0));
    assert_eq!(count(&metrics, Signal::Logs).1, 0);
    assert!(count(&metrics, Signal::Metrics).0 > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_arrives_whole_by_grpc() {
    one_decision_arrives_whole(Protocol::Grpc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_arrives_whole_by_http() {
    one_decision_arrives_whole(Protocol::Http).await;
}

/// Ten thousand decisions while nobody takes their telemetry.
async fn nobody_waits(url: &str, protocol: Protocol) {
    let metrics = Metrics::new();
    let settings = Settings { queue: 256, ..settings(url, protocol) };
    let pipeline = Pipeline::start(&settings, &metrics).expect("the pipeline starts");
    let mut slowest = Duration::ZERO;
    let begun = Instant::now();
    under(&pipeline, || {
        for n in 0..10_000 {
            let one = Instant::now();
            tracing::info_span!("decision", n).in_scope(|| tracing::info!(n, "held"));
            slowest = slowest.max(one.elapsed());
        }
    });
    let took = begun.elapsed();
    // The machine may be busy; a wait for the network would be a thousand times this.
    assert!(took < Duration::from_secs(8), "10,000 decisions took {took:?}, the slowest {slowest:?}");
    let ended = end(pipeline, Duration::from_secs(3)).await;
    assert!(ended < Duration::from_secs(6), "the end took {ended:?}");
    for signal in [Signal::Traces, Signal::Logs] {
        let (sent, dropped) = count(&metrics, signal);
        assert_eq!(sent, 0);
        assert!(dropped >= 10_000 - 256, "{signal:?}: {dropped} dropped of 10,000");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_down_stops_nobody_and_drops_are_counted() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for protocol in [Protocol::Grpc, Protocol::Http] {
        nobody_waits(&format!("http://{closed}"), protocol).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_stops_nobody() {
    // Accepts, and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let held: Vec<_> = listener.incoming().take(64).collect();
        drop(held);
    });
    for protocol in [Protocol::Grpc, Protocol::Http] {
        nobody_waits(&url, protocol).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_wanted_share_of_traces_is_kept() {
    let sink = Sink::default();
    let url = serve(sink.clone(), Protocol::Grpc).await;
    let metrics = Metrics::new();
    let wanted = Settings { sample_ratio: 0.25, ..settings(&url, Protocol::Grpc) };
    let pipeline = Pipeline::start(&wanted, &metrics).expect("the pipeline starts");
    let named = under(&pipeline, || {
        (0..400).filter(|_| tracing::info_span!("decision").in_scope(|| trace_id().is_some())).count()
    });
    end(pipeline, Duration::from_secs(5)).await;
    let kept = sink.spans().len();
    assert!((60..=140).contains(&kept), "{kept} of 400");
    assert_eq!(named, kept, "events and alerts name only traces that can be found");
    assert_eq!(count(&metrics, Signal::Traces), (kept as u64, 0));
}

#[test]
fn a_header_that_is_none_is_refused_without_showing_its_value() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let wrong = Settings {
        headers: vec![("authorization".into(), "Bearer s3cret\n".into())],
        ..settings("http://127.0.0.1:1", Protocol::Grpc)
    };
    let error = Pipeline::start(&wrong, &Metrics::new()).unwrap_err().to_string();
    assert!(error.contains("authorization") && !error.contains("s3cret"), "{error}");
}
