//! Logs and spans: JSON lines for machines, colored lines for people, and OTLP where a receiver is named.
//!
//! What comes in: `tracing` events and spans from every crate. What goes out: standard error, and OTLP through
//! [`crate::otlp`]. Every JSON line written inside a trace carries `trace_id` and `span_id`.

use std::fmt;
use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::metrics::Metrics;
use crate::otlp;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people, with color on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// For people on a terminal, JSON otherwise.
    pub fn for_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Human } else { Self::Json }
    }
}

/// What is logged, how, and where else it goes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How lines look.
    pub format: Format,
    /// As `RUST_LOG` has it: `info`, `info,sources=debug`.
    pub filter: String,
    /// The OTLP receiver, if there is one.
    pub otlp: Option<otlp::Settings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: Format::for_stderr(), filter: "info".to_owned(), otlp: None }
    }
}

/// Why logging couldn't be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter doesn't parse.
    #[error("the log filter {filter:?} doesn't parse; it looks like `info,sources=debug`")]
    Filter {
        /// The filter as given.
        filter: String,
        /// Where it goes wrong.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The OTLP exporter can't be made.
    #[error(transparent)]
    Otlp(#[from] otlp::OtlpError),
    /// Somebody set up logging before.
    #[error("logging is already set up")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps telemetry going; [`Guard::shutdown`] sends what is still waiting.
#[must_use = "telemetry ends when the guard is dropped"]
#[derive(Debug)]
pub struct Guard {
    pipeline: Option<otlp::Pipeline>,
}

impl Guard {
    /// Sends what is still waiting, within `deadline`. It blocks; in async code, call it on a blocking thread.
    pub fn shutdown(self, deadline: Duration) {
        if let Some(pipeline) = self.pipeline {
            pipeline.shutdown(deadline);
        }
    }
}

/// Sets up logging for the process. With an OTLP receiver, call it inside a tokio runtime.
pub fn init(settings: &Settings, metrics: &Metrics) -> Result<Guard, InitError> {
    let filter = EnvFilter::try_new(&settings.filter)
        .map_err(|source| InitError::Filter { filter: settings.filter.clone(), source })?;
    let lines = match settings.format {
        Format::Json => tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(Json)
            .with_writer(std::io::stderr)
            .boxed(),
        Format::Human => tracing_subscriber::fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    let pipeline = settings.otlp.as_ref().map(|s| otlp::Pipeline::start(s, metrics)).transpose()?;
    let spans = pipeline.as_ref().map(otlp::Pipeline::spans);
    let records = pipeline.as_ref().map(otlp::Pipeline::records);
    tracing_subscriber::registry().with(filter).with(lines).with(spans).with(records).try_init()?;
    Ok(Guard { pipeline })
}

/// The trace that the current span belongs to, as 32 hexadecimal digits; `None` where tracing is off or the trace
/// isn't sampled.
pub fn trace_id() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let span = span.span_context();
    (span.is_valid() && span.is_sampled()).then(|| span.trace_id().to_string())
}

/// Gives the headers that carry the current trace to another server (W3C `traceparent`, `tracestate`).
pub fn propagate(mut header: impl FnMut(&str, String)) {
    struct Carrier<'a>(&'a mut dyn FnMut(&str, String));
    impl opentelemetry::propagation::Injector for Carrier<'_> {
        fn set(&mut self, key: &str, value: String) {
            if !value.is_empty() {
                (self.0)(key, value);
            }
        }
    }
    let context = tracing::Span::current().context();
    opentelemetry::global::get_text_map_propagator(|p| p.inject_context(&context, &mut Carrier(&mut header)));
}

/// One JSON object a line: time, level, target, message, fields, the spans around it, and their trace.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> tracing_subscriber::fmt::FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        line.insert("time".into(), time.into());
        line.insert("level".into(), event.metadata().level().as_str().to_ascii_lowercase().into());
        line.insert("target".into(), event.metadata().target().into());
        event.record(&mut Fields(&mut line));
        let mut spans = Vec::new();
        for span in ctx.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            let mut entry = Map::new();
            entry.insert("name".into(), span.name().into());
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && let Ok(Value::Object(fields)) = serde_json::from_str(&fields.fields)
            {
                entry.extend(fields);
            }
            spans.push(Value::Object(entry));
        }
        if !spans.is_empty() {
            line.insert("spans".into(), spans.into());
            let context = tracing::Span::current().context();
            let span = context.span();
            if span.span_context().is_valid() {
                line.insert("trace_id".into(), span.span_context().trace_id().to_string().into());
                line.insert("span_id".into(), span.span_context().span_id().to_string().into());
            }
        }
        let text = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{text}")
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.0.insert(field.name().to_owned(), text.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_json_line_has_fields_and_the_spans_around_it() {
        let page = Page::default();
        let writer = page.clone();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(Json)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let _span = tracing::info_span!("decide", policy = "shop/web").entered();
            tracing::warn!(replicas = 4, reason = "TooManyReplicas", "held back");
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let line: Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "held back");
        assert_eq!(line["replicas"], 4);
        assert_eq!(line["level"], "warn");
        assert_eq!(line["spans"][0]["name"], "decide");
        assert_eq!(line["spans"][0]["policy"], "shop/web");
    }

    #[test]
    fn a_bad_filter_says_so() {
        let settings = Settings { filter: "sources=loud".into(), ..Settings::default() };
        let error = init(&settings, &Metrics::new()).unwrap_err();
        assert!(error.to_string().contains("sources=loud"), "{error}");
    }
}
