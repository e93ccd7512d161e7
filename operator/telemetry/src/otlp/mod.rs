//! OTLP: traces, logs and metrics to a receiver, by gRPC or HTTP.
//!
//! What comes in: finished spans, log records, and the metrics registry. What goes out: OTLP requests from threads of
//! their own. Queues are bounded; when the receiver is slow or down, what doesn't fit is thrown away and counted
//! (`foresail_telemetry_dropped_total`), and nobody who decides ever waits.

mod bounded;
mod points;
mod push;

use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{BatchLogProcessor, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, Filtered};

use crate::metrics::{Metrics, Signal};

/// Which wire the receiver speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC, by convention on port 4317.
    Grpc,
    /// OTLP over HTTP with protobuf bodies, by convention on port 4318.
    Http,
}

/// Where telemetry goes and how much of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The receiver, as `http://collector:4317`; for HTTP, `/v1/traces` and so on are put behind it.
    pub endpoint: String,
    /// The wire.
    pub protocol: Protocol,
    /// Further headers, as a tenant or a token. Never logged.
    pub headers: Vec<(String, String)>,
    /// Share of decisions whose trace is kept, 0 to 1.
    pub sample_ratio: f64,
    /// This replica's name.
    pub instance: String,
    /// Foresail's version.
    pub version: String,
    /// How often metrics are sent.
    pub metrics_interval: Duration,
    /// Spans, and as many log records, that may wait.
    pub queue: usize,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Settings {
    /// Everything by default but the receiver.
    pub fn new(endpoint: impl Into<String>, protocol: Protocol) -> Self {
        Self {
            endpoint: endpoint.into(),
            protocol,
            headers: Vec::new(),
            sample_ratio: 1.0,
            instance: String::new(),
            version: String::new(),
            metrics_interval: Duration::from_secs(30),
            queue: 2048,
            timeout: Duration::from_secs(5),
        }
    }

    fn url(&self, signal: &str) -> String {
        match self.protocol {
            Protocol::Grpc => self.endpoint.clone(),
            Protocol::Http => format!("{}/v1/{signal}", self.endpoint.trim_end_matches('/')),
        }
    }

    fn resource(&self) -> Vec<(&'static str, String)> {
        vec![
            ("service.name", "foresail".to_owned()),
            ("service.version", self.version.clone()),
            ("service.instance.id", self.instance.clone()),
        ]
    }
}

/// Why an exporter can't be made.
#[derive(Debug, thiserror::Error)]
#[error("telemetry can't be sent to {endpoint}: {message}")]
pub struct OtlpError {
    /// The receiver as given.
    pub endpoint: String,
    /// What is wrong with it.
    pub message: String,
}

/// The running exporters.
#[derive(Debug)]
pub struct Pipeline {
    traces: SdkTracerProvider,
    logs: SdkLoggerProvider,
    metrics: push::Push,
    tracer: SdkTracer,
}

/// A layer that doesn't hear what the exporters themselves say, for that must not feed the exporters.
pub type Quiet<L, S> = Filtered<L, FilterFn<fn(&tracing::Metadata<'_>) -> bool>, S>;

impl Pipeline {
    /// Starts the exporters. With gRPC it must be called inside a tokio runtime.
    pub fn start(settings: &Settings, metrics: &Metrics) -> Result<Self, OtlpError> {
        let resource = Resource::builder()
            .with_attributes(settings.resource().into_iter().map(|(k, v)| KeyValue::new(k, v)))
            .build();
        let wrong = |message: String| OtlpError { endpoint: settings.endpoint.clone(), message };
        let traces = Self::traces(settings, metrics, resource.clone()).map_err(wrong)?;
        let logs = Self::logs(settings, metrics, resource).map_err(wrong)?;
        let push = push::Push::start(settings, metrics).map_err(wrong)?;
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let tracer = traces.tracer("foresail");
        Ok(Self { traces, logs, metrics: push, tracer })
    }

    fn traces(
        settings: &Settings,
        metrics: &Metrics,
        resource: Resource,
    ) -> Result<SdkTracerProvider, String> {
        let exporter = match settings.protocol {
            Protocol::Grpc => opentelemetry_otlp::SpanExporter::builder()
                .with_tonic()
                .with_endpoint(settings.url("traces"))
                .with_timeout(settings.timeout)
                .with_metadata(push::metadata(&settings.headers)?)
                .build(),
            Protocol::Http => opentelemetry_otlp::SpanExporter::builder()
                .with_http()
                .with_endpoint(settings.url("traces"))
                .with_timeout(settings.timeout)
                .with_headers(settings.headers.iter().cloned().collect())
                .build(),
        }
        .map_err(|e| e.to_string())?;
        let room = bounded::Room::new(settings.queue, Signal::Traces, metrics);
        let config = opentelemetry_sdk::trace::BatchConfigBuilder::default()
            .with_max_queue_size(settings.queue)
            .with_max_export_batch_size(settings.queue.min(512))
            .with_scheduled_delay(Duration::from_secs(1))
            .build();
        let batch = BatchSpanProcessor::builder(bounded::Counted::new(exporter, room.clone()))
            .with_batch_config(config)
            .build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample_ratio)));
        Ok(SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(sampler)
            .with_span_processor(bounded::Bounded::new(batch, room))
            .build())
    }

    fn logs(settings: &Settings, metrics: &Metrics, resource: Resource) -> Result<SdkLoggerProvider, String> {
        let exporter = match settings.protocol {
            Protocol::Grpc => opentelemetry_otlp::LogExporter::builder()
                .with_tonic()
                .with_endpoint(settings.url("logs"))
                .with_timeout(settings.timeout)
                .with_metadata(push::metadata(&settings.headers)?)
                .build(),
            Protocol::Http => opentelemetry_otlp::LogExporter::builder()
                .with_http()
                .with_endpoint(settings.url("logs"))
                .with_timeout(settings.timeout)
                .with_headers(settings.headers.iter().cloned().collect())
                .build(),
        }
        .map_err(|e| e.to_string())?;
        let room = bounded::Room::new(settings.queue, Signal::Logs, metrics);
        let config = opentelemetry_sdk::logs::BatchConfigBuilder::default()
            .with_max_queue_size(settings.queue)
            .with_max_export_batch_size(settings.queue.min(512))
            .with_scheduled_delay(Duration::from_secs(1))
            .build();
        let batch = BatchLogProcessor::builder(bounded::Counted::new(exporter, room.clone()))
            .with_batch_config(config)
            .build();
        Ok(SdkLoggerProvider::builder()
            .with_resource(resource)
            .with_log_processor(bounded::Bounded::new(batch, room))
            .build())
    }

    /// The layer that feeds the exporter of spans.
    pub fn spans<S>(&self) -> Quiet<OpenTelemetryLayer<S, SdkTracer>, S>
    where
        S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    {
        tracing_opentelemetry::layer().with_tracer(self.tracer.clone()).with_filter(quiet())
    }

    /// The layer that feeds the exporter of log records.
    pub fn records<S>(&self) -> Quiet<OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>, S>
    where
        S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    {
        OpenTelemetryTracingBridge::new(&self.logs).with_filter(quiet())
    }

    /// Sends what is waiting, all within `deadline`; what the receiver doesn't take by then is lost and counted.
    pub fn shutdown(self, deadline: Duration) {
        let end = Instant::now() + deadline;
        let left = || end.saturating_duration_since(Instant::now());
        // Each gets a share, so that one that hangs doesn't take it all.
        if let Err(error) = self.traces.shutdown_with_timeout(left() / 2) {
            tracing::warn!(%error, "traces weren't all sent");
        }
        if let Err(error) = self.logs.shutdown_with_timeout(left() / 2) {
            tracing::warn!(%error, "log records weren't all sent");
        }
        self.metrics.shutdown(left());
    }
}

fn quiet() -> FilterFn<fn(&tracing::Metadata<'_>) -> bool> {
    FilterFn::new(is_ours)
}

fn is_ours(metadata: &tracing::Metadata<'_>) -> bool {
    const WIRE: &[&str] = &["opentelemetry", "hyper", "h2", "tonic", "tower", "reqwest", "rustls"];
    !WIRE.iter().any(|w| metadata.target().starts_with(w))
}
