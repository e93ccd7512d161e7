//! An HTTP request: its status, its body, a value in its JSON, how long it took, and when the certificate expires.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use health::Reason;
use health::check::Outcome;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::tls::TlsInfo;
use reqwest::{Client, Method, Response, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use series::{Absence, AbsenceReason};
use sources::Tls;

use crate::certificate;
use crate::net::Failure;
use crate::probe::Probe;

const BODY_MAX: usize = 1024 * 1024;

/// Status codes from and to, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange(pub u16, pub u16);

/// A value in a JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonExpectation {
    /// `/a/b`, or `$.a[0].b`.
    pub path: String,
    /// What it must be, as text; without, it must be there and neither false nor null.
    pub equals: Option<String>,
}

/// Latencies that are too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Slower is degraded.
    pub warn_above: Option<Duration>,
    /// Slower is down.
    pub fail_above: Option<Duration>,
}

/// An HTTP probe.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    method: Method,
    url: String,
    host: String,
    headers: HeaderMap,
    /// Codes that are well; none means 200 to 399.
    pub statuses: Vec<StatusRange>,
    /// Text that the body must contain.
    pub body_contains: Option<String>,
    /// A value in a JSON body.
    pub json: Option<JsonExpectation>,
    /// Latency.
    pub bounds: Bounds,
    /// A certificate that lives less long is degraded.
    pub certificate_warn_before: Duration,
}

impl Http {
    /// A client for probes with this trust; share it between checks that have the same.
    pub fn client(tls: &Tls) -> Result<Client, Absence> {
        Client::builder()
            .tls_backend_preconfigured(tls.client_config()?)
            .tls_info(true)
            .user_agent(concat!("foresail-probe/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(2)
            .no_proxy()
            .build()
            .map_err(|e| Absence::new(AbsenceReason::InvalidQuery, format!("no HTTP client: {e}")))
    }

    /// A probe of `url` with `method` and `headers`.
    pub fn new(
        client: Client,
        method: &str,
        url: &str,
        headers: &[(String, SecretString)],
    ) -> Result<Self, Absence> {
        let wrong = |message: String| Absence::new(AbsenceReason::InvalidQuery, message);
        let parsed = url::Url::parse(url).map_err(|e| wrong(format!("{url} is no URL: {e}")))?;
        let host = format!(
            "{}:{}",
            parsed.host_str().unwrap_or_default(),
            parsed.port_or_known_default().unwrap_or_default()
        );
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let key =
                HeaderName::try_from(name.as_str()).map_err(|_| wrong(format!("{name} is no header")))?;
            let mut value = HeaderValue::from_str(value.expose_secret())
                .map_err(|_| wrong(format!("the value of header {name} can't be sent")))?;
            value.set_sensitive(true);
            map.insert(key, value);
        }
        let method = method.parse().map_err(|_| wrong(format!("{method} is no HTTP method")))?;
        Ok(Self {
            client,
            method,
            url: parsed.to_string(),
            host,
            headers: map,
            statuses: Vec::new(),
            body_contains: None,
            json: None,
            bounds: Bounds::default(),
            certificate_warn_before: Duration::from_secs(14 * 86_400),
        })
    }

    async fn ask(&self, started: Instant) -> Result<Outcome, Failure> {
        let request = self.client.request(self.method.clone(), &self.url).headers(self.headers.clone());
        let response = request.send().await.map_err(|e| failure(&e))?;
        let expires = response
            .extensions()
            .get::<TlsInfo>()
            .and_then(TlsInfo::peer_certificate)
            .and_then(certificate::expiry);
        let status = response.status().as_u16();
        if !self.accepts(status) {
            return Err(Failure::new(Reason::UnexpectedStatus, format!("HTTP {status}")));
        }
        self.judge_body(response).await?;
        let mut outcome = self.judge_time(started.elapsed(), expires);
        outcome.expires = expires;
        Ok(outcome)
    }

    fn accepts(&self, status: u16) -> bool {
        if self.statuses.is_empty() {
            return (200..400).contains(&status);
        }
        self.statuses.iter().any(|StatusRange(from, to)| (*from..=*to).contains(&status))
    }

    async fn judge_body(&self, mut response: Response) -> Result<(), Failure> {
        // Read to its end in any case: the connection can then be used again.
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failure(&e))? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_MAX {
                break;
            }
        }
        if let Some(text) = &self.body_contains
            && !String::from_utf8_lossy(&body).contains(text.as_str())
        {
            return Err(Failure::new(Reason::UnexpectedBody, format!("the body doesn't contain {text:?}")));
        }
        match &self.json {
            Some(expected) => judge_json(&body, expected),
            None => Ok(()),
        }
    }

    fn judge_time(&self, latency: Duration, expires: Option<Timestamp>) -> Outcome {
        let slow =
            |bound: Duration| format!("{} ms, the bound is {} ms", latency.as_millis(), bound.as_millis());
        if let Some(bound) = self.bounds.fail_above.filter(|b| latency > *b) {
            return Outcome::fail(Reason::TooSlow, slow(bound), latency);
        }
        if let Some(left) = expires.map(|e| e.duration_since(Timestamp::now())) {
            let before = i64::try_from(self.certificate_warn_before.as_secs()).unwrap_or(i64::MAX);
            if left.as_secs() < before {
                let text = format!("the certificate expires in {} days", left.as_secs() / 86_400);
                return Outcome::warn(Reason::CertificateExpiring, text, latency);
            }
        }
        match self.bounds.warn_above.filter(|b| latency > *b) {
            Some(bound) => Outcome::warn(Reason::TooSlow, slow(bound), latency),
            None => Outcome::pass(latency),
        }
    }
}

#[async_trait]
impl Probe for Http {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn host(&self) -> &str {
        &self.host
    }

    async fn probe(&self) -> Outcome {
        let started = Instant::now();
        match self.ask(started).await {
            Ok(outcome) => outcome,
            Err(failure) => failure.outcome(started.elapsed()),
        }
    }
}

fn judge_json(body: &[u8], expected: &JsonExpectation) -> Result<(), Failure> {
    let json: Value = serde_json::from_slice(body)
        .map_err(|_| Failure::new(Reason::UnexpectedBody, "the body is not JSON"))?;
    let wrong = |message: String| Err(Failure::new(Reason::UnexpectedBody, message));
    let found = json.pointer(&pointer(&expected.path));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (found, &expected.equals) {
        (None, _) => wrong(format!("the body has nothing at {}", expected.path)),
        (Some(value), Some(wanted)) if text(value) == *wanted => Ok(()),
        (Some(value), Some(wanted)) => {
            let found: String = text(value).chars().take(60).collect();
            wrong(format!("{} is {found}, not {wanted}", expected.path))
        }
        (Some(Value::Null | Value::Bool(false)), None) => wrong(format!("{} is not true", expected.path)),
        (Some(_), None) => Ok(()),
    }
}

/// `$.a[0].b` as the JSON pointer `/a/0/b`; a pointer stays what it is.
fn pointer(path: &str) -> String {
    if path.is_empty() || path.starts_with('/') {
        return path.to_owned();
    }
    let path =
        path.trim_start_matches('$').replace("['", ".").replace("']", "").replace('[', ".").replace(']', "");
    path.split('.')
        .filter(|p| !p.is_empty())
        .fold(String::new(), |pointer, p| pointer + "/" + &p.replace('~', "~0").replace('/', "~1"))
}

/// The words for a failed request, without its address: that may hold a token.
pub(crate) fn failure(error: &reqwest::Error) -> Failure {
    let mut chain = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => {
                    return Failure::new(Reason::Refused, "connection refused");
                }
                std::io::ErrorKind::TimedOut => return Failure::new(Reason::Timeout, "no answer in time"),
                _ => {}
            }
        }
        if cause.is::<rustls::Error>() {
            return Failure::new(Reason::Tls, cause.to_string());
        }
        chain.push(cause.to_string());
        source = cause.source();
    }
    let innermost = chain.pop().unwrap_or_else(|| "the request failed".into());
    let reason = if error.is_timeout() {
        Reason::Timeout
    } else if innermost.contains("lookup")
        || innermost.contains("resolve")
        || chain.iter().any(|c| c.contains("dns"))
    {
        Reason::NameNotFound
    } else if innermost.contains("certificate") {
        Reason::Tls
    } else {
        Reason::ConnectionLost
    };
    Failure::new(reason, innermost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expects(path: &str, equals: Option<&str>, body: &str) -> bool {
        let expected = JsonExpectation { path: path.into(), equals: equals.map(str::to_owned) };
        judge_json(body.as_bytes(), &expected).is_ok()
    }

    #[test]
    fn values_are_found_by_pointer_and_by_path() {
        let body = r#"{"status":"UP","checks":[{"up":true,"n":3}],"down":false}"#;
        assert!(expects("/status", Some("UP"), body));
        assert!(expects("$.checks[0].up", None, body));
        assert!(expects("checks[0].n", Some("3"), body));
        assert!(!expects("$.checks[1].up", None, body));
        assert!(!expects("/status", Some("DOWN"), body));
        assert!(!expects("/down", None, body));
        assert!(!expects("/status", None, "hello"));
    }
}
