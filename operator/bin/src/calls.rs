//! Counts calls to the API server on their way through the client: verb, resource, class of answer, time. It changes
//! nothing about them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use telemetry::metrics::Metrics;
use tower::Service;

/// The same client, with its calls counted.
pub(crate) fn counted(client: Client, namespace: &str, metrics: Metrics) -> Client {
    Client::new(Counted { inner: client, metrics }, namespace)
}

struct Counted {
    inner: Client,
    metrics: Metrics,
}

impl Service<Request<Body>> for Counted {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(())) // the client waits by itself when it is called
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let resource = resource(request.uri().path());
        let verb = verb(request.method(), request.uri().path(), request.uri().query().unwrap_or_default());
        let (client, metrics, began) = (self.inner.clone(), self.metrics.clone(), Instant::now());
        Box::pin(async move {
            let answer = client.send(request).await;
            let code = answer.as_ref().ok().map(|a| a.status().as_u16());
            metrics.api_request(verb, resource, code, began.elapsed().as_secs_f64());
            answer
        })
    }
}

/// The parts of a path behind group and version: namespace taken away.
fn parts(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let skip = match parts.first() {
        Some(&"api") => 2,
        Some(&"apis") => 3,
        _ => return Vec::new(),
    };
    parts.drain(..skip.min(parts.len()));
    if parts.first() == Some(&"namespaces") && parts.len() > 2 {
        parts.drain(..2);
    }
    parts
}

/// The resource as a label's value: a closed list, so that no path can make new series. A subresource of scale counts
/// as `scale`, whatever is scaled.
fn resource(path: &str) -> &'static str {
    const KNOWN: &[&str] = &[
        "alertreceivers",
        "autoscalepolicies",
        "configmaps",
        "controllerrevisions",
        "customresourcedefinitions",
        "daemonsets",
        "deployments",
        "events",
        "healthchecks",
        "horizontalpodautoscalers",
        "leases",
        "namespaces",
        "nodes",
        "pods",
        "replicasets",
        "scaledobjects",
        "scalingcalendars",
        "secrets",
        "selfsubjectaccessreviews",
        "services",
        "statefulsets",
    ];
    let parts = parts(path);
    match parts.as_slice() {
        [] => "discovery",
        [_, _, "scale"] => "scale",
        [name, ..] => KNOWN.iter().find(|k| *k == name).copied().unwrap_or("other"),
    }
}

fn verb(method: &Method, path: &str, query: &str) -> &'static str {
    let watches = query.split('&').any(|p| p == "watch=true" || p == "watch=1");
    match *method {
        Method::GET if watches => "watch",
        Method::GET if parts(path).len() == 1 => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_as_roles_name_them() {
        let name = |method: Method, path: &str, query: &str| (verb(&method, path, query), resource(path));
        let base = "/apis/foresail.dev/v1alpha1/namespaces/shop/autoscalepolicies";
        assert_eq!(name(Method::GET, base, "limit=500"), ("list", "autoscalepolicies"));
        assert_eq!(name(Method::GET, base, "watch=true&limit=5"), ("watch", "autoscalepolicies"));
        assert_eq!(name(Method::PATCH, &format!("{base}/web/status"), ""), ("patch", "autoscalepolicies"));
        let scale = "/apis/apps/v1/namespaces/shop/deployments/web/scale";
        assert_eq!(name(Method::PUT, scale, ""), ("update", "scale"));
        assert_eq!(name(Method::GET, "/api/v1/namespaces/shop/pods", ""), ("list", "pods"));
        assert_eq!(name(Method::GET, "/api/v1/namespaces/shop", ""), ("get", "namespaces"));
        assert_eq!(name(Method::GET, "/apis", ""), ("get", "discovery"));
        assert_eq!(resource("/apis/example.com/v1/namespaces/a/anything/b"), "other");
    }
}
