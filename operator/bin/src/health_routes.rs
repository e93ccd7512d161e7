//! Joins monitoring to the web server: `/health` from what is probed, and Alertmanager's webhook to the receivers.

use std::sync::Arc;

use controller::lease::Leadership;
use health::document::{Query, document};
use health::maintenance::Announcement;
use health::snapshot::Maintenance;
use monitoring::{Handles, Relayed};
use tokio::sync::watch;
use web::{HealthDocument, HealthQuery};

/// A payload of Alertmanager is rarely above some tens of kilobytes.
const PAYLOAD_MAX: usize = 4 * 1024 * 1024;

/// Whether this instance leads, and when that changes.
pub(crate) fn leads(mut leadership: watch::Receiver<Leadership>) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(leadership.borrow().ours);
    tokio::spawn(async move {
        while leadership.changed().await.is_ok() {
            let ours = leadership.borrow_and_update().ours;
            sender.send_if_modified(|last| std::mem::replace(last, ours) != ours);
        }
    });
    receiver
}

/// The answer of `/health`.
pub(crate) fn health(handles: &Handles) -> Arc<HealthDocument> {
    let overview = handles.overview.clone();
    Arc::new(move |query: &HealthQuery, announced: Option<&Maintenance>| {
        let announced = announced.map(|m| Announcement {
            scheduled: m.scheduled,
            shutdown_time: m.shutdown_time,
            grace_period_seconds: m.grace_period_seconds,
            end_time: m.end_time,
            reason: m.reason.clone(),
        });
        let query = Query { group: query.group.as_deref(), verbose: query.verbose };
        let made = document(&overview.borrow(), query, announced.as_ref(), env!("CARGO_PKG_VERSION"));
        (made.code, made.body)
    })
}

/// `POST /webhooks/alertmanager/{namespace}/{receiver}`: what Alertmanager sends, handed on.
pub(crate) fn webhooks(handles: Handles) -> axum::Router {
    use axum::extract::{DefaultBodyLimit, Path};
    use axum::http::StatusCode;
    use axum::routing::post;
    let relay = move |Path((namespace, name)): Path<(String, String)>, body: axum::body::Bytes| {
        let handles = handles.clone();
        async move {
            let Relayed { status, message } = handles.relay(&format!("{namespace}/{name}"), &body).await;
            if status != 200 {
                tracing::warn!(receiver = %format!("{namespace}/{name}"), status, message, "not relayed");
            }
            (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), message)
        }
    };
    axum::Router::new()
        .route("/webhooks/alertmanager/{namespace}/{receiver}", post(relay))
        .layer(DefaultBodyLimit::max(PAYLOAD_MAX))
}
