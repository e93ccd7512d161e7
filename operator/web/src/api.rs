//! The read-only API: JSON over the newest snapshot. A list is always answered with 200: a sick system is not a sick
//! API.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use health::snapshot::{
    HealthSnapshot, HealthStatus, Maintenance, Meta, PolicyKey, PolicySnapshot, PolicySummary,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{HealthQuery, Web};

/// A list and what it is true for.
#[derive(Serialize)]
struct List<T> {
    meta: Arc<Meta>,
    items: T,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Filter {
    namespace: Option<String>,
}

/// The meta of the newest snapshot, with the announcement of this process if there is one.
fn meta_of(web: &Web) -> Arc<Meta> {
    let meta = Arc::clone(&web.snapshot.borrow().meta);
    match web.maintenance.borrow().clone() {
        Some(maintenance) => Arc::new(Meta { maintenance: Some(maintenance), ..(*meta).clone() }),
        None => meta,
    }
}

pub(crate) async fn meta(State(web): State<Web>) -> Json<Arc<Meta>> {
    Json(meta_of(&web))
}

pub(crate) async fn policies(State(web): State<Web>, Query(filter): Query<Filter>) -> Response {
    let wanted: Vec<Arc<PolicySnapshot>> = web
        .snapshot
        .borrow()
        .policies
        .iter()
        .filter(|(key, _)| filter.namespace.as_deref().is_none_or(|n| n == &*key.namespace))
        .map(|(_, p)| Arc::clone(p))
        .collect();
    let items: Vec<PolicySummary> = wanted.iter().map(|p| p.summary()).collect();
    Json(List { meta: meta_of(&web), items }).into_response()
}

pub(crate) async fn policy(
    State(web): State<Web>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let key = PolicyKey::new(namespace, name);
    let found = web.snapshot.borrow().policies.get(&key).cloned();
    match found {
        Some(policy) => Json(policy).into_response(),
        None => problem(StatusCode::NOT_FOUND, "NotFound", format!("there is no policy {key}")),
    }
}

pub(crate) async fn health(State(web): State<Web>) -> Json<Arc<HealthSnapshot>> {
    Json(Arc::clone(&web.snapshot.borrow().health))
}

pub(crate) async fn alerts(State(web): State<Web>) -> Response {
    let items = Arc::clone(&web.snapshot.borrow().alerts);
    Json(List { meta: meta_of(&web), items }).into_response()
}

pub(crate) async fn calendar(State(web): State<Web>) -> Response {
    let items = Arc::clone(&web.snapshot.borrow().calendar);
    Json(List { meta: meta_of(&web), items }).into_response()
}

pub(crate) async fn metrics(State(web): State<Web>) -> Response {
    ([(header::CONTENT_TYPE, telemetry::metrics::CONTENT_TYPE)], web.metrics.text()).into_response()
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct HealthParams {
    group: Option<String>,
    verbose: Option<String>,
}

pub(crate) async fn health_document(State(web): State<Web>, Query(params): Query<HealthParams>) -> Response {
    let query = HealthQuery { group: params.group, verbose: params.verbose.is_some_and(|v| v != "false") };
    let maintenance = web.maintenance.borrow().clone();
    let (code, body) = if let Some(document) = &web.health_document {
        document(&query, maintenance.as_ref())
    } else {
        let health = Arc::clone(&web.snapshot.borrow().health);
        document(&health, &query, maintenance.as_ref())
    };
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, [(header::CONTENT_TYPE, "application/health+json")], body.to_string()).into_response()
}

/// Health JSON of a snapshot, for programs that have no health checks of their own, such as the demo.
fn document(health: &HealthSnapshot, query: &HealthQuery, maintenance: Option<&Maintenance>) -> (u16, Value) {
    let status = match &query.group {
        None => health.status,
        Some(group) => match health.groups.iter().find(|g| &g.name == group) {
            Some(group) => group.status,
            None => {
                return (404, json!({"status": "unknown", "output": format!("there is no group {group:?}")}));
            }
        },
    };
    // Nothing to check is nothing wrong.
    let status = if health.nodes.is_empty() { HealthStatus::Pass } else { status };
    let mut checks = Map::new();
    for node in &health.nodes {
        if query.group.as_ref().is_some_and(|g| !node.groups.contains(g)) {
            continue;
        }
        let mut entry = json!({"componentId": node.id, "status": node.status});
        if query.verbose {
            entry["output"] = json!(node.output);
            entry["time"] = json!(node.since);
            entry["cause"] = json!(node.causes);
        }
        checks.insert(format!("{}:{}", node.id, node.kind), json!([entry]));
    }
    let mut body = json!({"status": status, "checks": checks});
    if let Some(maintenance) = maintenance {
        body["maintenance"] = json!(maintenance);
    }
    let code = if matches!(status, HealthStatus::Fail | HealthStatus::Unknown) { 503 } else { 200 };
    (code, body)
}

pub(crate) async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "NotFound", "there is nothing here; the page is at /".to_owned())
}

pub(crate) fn problem(code: StatusCode, reason: &'static str, message: String) -> Response {
    (code, Json(json!({"reason": reason, "message": message}))).into_response()
}
