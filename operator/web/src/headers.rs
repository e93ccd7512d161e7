//! What every answer carries, and the count of answers.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use telemetry::metrics::Metrics;

/// Nothing from elsewhere, nothing inline, no frames around us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

pub(crate) async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", |p| route(p.as_str()));
    let response = next.run(request).await;
    metrics.http_request(route, response.status().as_u16());
    response
}

/// Routes as label values: a closed list, whatever is asked for.
fn route(path: &str) -> &'static str {
    const KNOWN: &[&str] = &[
        "/livez",
        "/healthz",
        "/readyz",
        "/metrics",
        "/health",
        "/api/v1/events",
        "/api/v1/meta",
        "/api/v1/policies",
        "/api/v1/policies/{namespace}/{name}",
        "/api/v1/health",
        "/api/v1/alerts",
        "/api/v1/calendar",
        "/",
        "/assets/{*path}",
    ];
    KNOWN.iter().find(|k| **k == path).copied().unwrap_or("other")
}
