//! A queue's room, counted exactly: who finds none is dropped at once and counted; who left gives the room back.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{BatchLogProcessor, LogBatch, LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanProcessor};

use crate::metrics::{Metrics, Signal, SignalLabels};

/// Room for a number of items.
#[derive(Clone, Debug)]
pub(super) struct Room {
    taken: Arc<AtomicUsize>,
    size: usize,
    signal: Signal,
    metrics: Metrics,
}

impl Room {
    pub(super) fn new(size: usize, signal: Signal, metrics: &Metrics) -> Self {
        Self { taken: Arc::default(), size, signal, metrics: metrics.clone() }
    }

    /// Takes room for one item; without room, counts it as dropped.
    fn enter(&self) -> bool {
        let taken = self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < self.size).then_some(n + 1));
        if taken.is_err() {
            self.dropped(1);
        }
        taken.is_ok()
    }

    /// Gives room back for `count` items that were sent or not.
    fn leave(&self, count: usize, sent: bool) {
        let _ =
            self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| Some(n.saturating_sub(count)));
        if sent {
            let labels = SignalLabels { signal: self.signal };
            self.metrics.telemetry_exports.get_or_create(&labels).inc_by(count as u64);
        } else {
            self.dropped(count);
        }
    }

    fn dropped(&self, count: usize) {
        let labels = SignalLabels { signal: self.signal };
        self.metrics.telemetry_dropped.get_or_create(&labels).inc_by(count as u64);
    }
}

/// An exporter that gives back room, and counts.
#[derive(Debug)]
pub(super) struct Counted<E> {
    inner: E,
    room: Room,
}

impl<E> Counted<E> {
    pub(super) fn new(inner: E, room: Room) -> Self {
        Self { inner, room }
    }
}

impl opentelemetry_sdk::trace::SpanExporter for Counted<SpanExporter> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let result = self.inner.export(batch).await;
        self.room.leave(count, result.is_ok());
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl opentelemetry_sdk::logs::LogExporter for Counted<LogExporter> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        let result = self.inner.export(batch).await;
        self.room.leave(count, result.is_ok());
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// A processor behind a door that lets in only as many as there is room for.
#[derive(Debug)]
pub(super) struct Bounded<P> {
    inner: P,
    room: Room,
}

impl<P> Bounded<P> {
    pub(super) fn new(inner: P, room: Room) -> Self {
        Self { inner, room }
    }
}

impl SpanProcessor for Bounded<BatchSpanProcessor> {
    fn on_start(&self, span: &mut Span, cx: &opentelemetry::Context) {
        self.inner.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        // Unsampled spans don't wait in the queue.
        if span.span_context.is_sampled() && self.room.enter() {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl LogProcessor for Bounded<BatchLogProcessor> {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if self.room.enter() {
            self.inner.emit(record, scope);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
