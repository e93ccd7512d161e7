//! Probes, metrics, the read-only API, the event stream and the page.
//!
//! What comes in: a [`health::snapshot::Snapshot`] over a watch channel, the metrics registry, and what tasks say about
//! their own liveness. What goes out: HTTP. What this crate refuses to know: who makes the snapshot and how; it never
//! writes anything anywhere.
//!
//! ```no_run
//! # async fn example(snapshot: tokio::sync::watch::Receiver<health::snapshot::Snapshot>) -> std::io::Result<()> {
//! let web = web::Web::new(snapshot, telemetry::metrics::Metrics::new());
//! let cache = web.probes().check("informer-sync"); // not ready until it passes
//! cache.pass();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! web.serve(listener, std::future::pending()).await
//! # }
//! ```

mod api;
mod assets;
mod diff;
mod events;
mod headers;
mod probes;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use health::snapshot::{Maintenance, Snapshot};
use serde_json::Value;
use telemetry::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::compression::CompressionLayer;

pub use events::Limits;
pub use probes::{Check, Heartbeat, Probes};

/// What a caller of `/health` asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthQuery {
    /// Only this group; all without.
    pub group: Option<String>,
    /// With outputs, causes and times.
    pub verbose: bool,
}

/// Makes the answer of `/health`: an HTTP status and a body.
pub type HealthDocument = dyn Fn(&HealthQuery, Option<&Maintenance>) -> (u16, Value) + Send + Sync;

/// The server's parts. Cloning is cheap; clones are the same server.
#[derive(Clone)]
pub struct Web {
    pub(crate) snapshot: watch::Receiver<Snapshot>,
    pub(crate) metrics: Metrics,
    pub(crate) probes: Probes,
    pub(crate) hub: events::Hub,
    pub(crate) maintenance: Arc<watch::Sender<Option<Maintenance>>>,
    pub(crate) health_document: Option<Arc<HealthDocument>>,
}

impl Web {
    /// A server over the snapshots of `snapshot`.
    pub fn new(snapshot: watch::Receiver<Snapshot>, metrics: Metrics) -> Self {
        Self::with_limits(snapshot, metrics, Limits::default())
    }

    /// A server with other limits on its event streams.
    pub fn with_limits(snapshot: watch::Receiver<Snapshot>, metrics: Metrics, limits: Limits) -> Self {
        let hub = events::Hub::new(metrics.clone(), limits);
        Self {
            snapshot,
            metrics,
            probes: Probes::default(),
            hub,
            maintenance: Arc::new(watch::Sender::new(None)),
            health_document: None,
        }
    }

    /// Answers `/health` with `document` instead of what the snapshot says.
    pub fn health_document(mut self, document: Arc<HealthDocument>) -> Self {
        self.health_document = Some(document);
        self
    }

    /// Where tasks say whether they are ready and alive.
    pub fn probes(&self) -> &Probes {
        &self.probes
    }

    /// Announces a planned end of service: on `/health`, on the stream and on the page. With `unready`, readiness is
    /// gone from now on.
    pub fn announce(&self, maintenance: Maintenance, unready: bool) {
        if unready {
            self.probes.shutting_down();
        }
        self.hub.publish("maintenance", &maintenance);
        self.maintenance.send_replace(Some(maintenance));
    }

    /// Takes an announcement back.
    pub fn withdraw(&self) {
        self.hub.publish("maintenance", &Value::Null);
        self.maintenance.send_replace(None);
    }

    /// Tells every event stream when to come back, and ends it.
    pub fn close_streams(&self) {
        self.hub.close();
    }

    /// The routes. Events flow only while [`Web::publish`] runs.
    pub fn router(&self) -> Router {
        let probes = Router::new()
            .route("/livez", get(probes::livez))
            .route("/livez/{check}", get(probes::livez_one))
            .route("/healthz", get(probes::livez))
            .route("/readyz", get(probes::readyz))
            .route("/readyz/{check}", get(probes::readyz_one))
            .route("/metrics", get(api::metrics))
            .route("/health", get(api::health_document))
            .route("/api/v1/events", get(events::stream));
        let compressed = Router::new()
            .route("/api/v1/meta", get(api::meta))
            .route("/api/v1/policies", get(api::policies))
            .route("/api/v1/policies/{namespace}/{name}", get(api::policy))
            .route("/api/v1/health", get(api::health))
            .route("/api/v1/alerts", get(api::alerts))
            .route("/api/v1/calendar", get(api::calendar))
            .route("/", get(assets::index))
            .route("/favicon.ico", get(assets::favicon))
            .route("/assets/{*path}", get(assets::asset))
            .layer(CompressionLayer::new());
        probes
            .merge(compressed)
            .fallback(api::not_found)
            .layer(axum::middleware::from_fn_with_state(self.metrics.clone(), headers::count))
            .layer(axum::middleware::from_fn(headers::secure))
            .with_state(self.clone())
    }

    /// Turns changes of the snapshot into events, until the snapshot's sender is gone.
    pub async fn publish(self) {
        events::publish(self.snapshot.clone(), &self.hub).await;
    }

    /// Serves until `shutdown`; then streams are told and closed, and requests in flight end.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let router = self.router();
        self.serve_router(listener, router, shutdown).await
    }

    /// As [`Web::serve`], with a router that has further routes merged into it.
    pub async fn serve_router(
        self,
        listener: TcpListener,
        router: Router,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let publisher = tokio::spawn(self.clone().publish());
        let closing = self.clone();
        let served = axum::serve(listener, router)
            .with_graceful_shutdown(async move {
                shutdown.await;
                closing.close_streams();
            })
            .await;
        publisher.abort();
        served
    }
}

/// Changes that come within this time of each other are one round of events.
pub(crate) const ROUND: Duration = Duration::from_millis(200);
