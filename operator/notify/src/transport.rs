//! Sending one request: https only, no redirects, no way into the network by a rebound name, a deadline, and no secret
//! in any error. Requests come in, answers or a verdict go out; what they mean is the format's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use secrecy::ExposeSecret;

use crate::message::{Answer, FailureReason, Request, Verdict};

const BODY_MAX: usize = 64 * 1024;

/// How to send.
#[derive(Clone, Copy, Debug)]
pub struct TransportSettings {
    /// Plain http and addresses inside the network are allowed: for services of the cluster and for tests.
    pub allow_insecure: bool,
    /// From the request to the end of the answer.
    pub timeout: Duration,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self { allow_insecure: false, timeout: Duration::from_secs(15) }
    }
}

/// Sends requests. Cheap to clone; receivers share the connections.
#[derive(Clone, Debug)]
pub struct Transport {
    client: reqwest::Client,
    settings: TransportSettings,
}

/// No HTTP client could be made.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client: {0}")]
pub struct NoClient(reqwest::Error);

impl Transport {
    /// A transport. The process must have chosen a TLS provider before.
    pub fn new(settings: TransportSettings) -> Result<Self, NoClient> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("foresail/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .timeout(settings.timeout)
            .connect_timeout(Duration::from_secs(5))
            .pool_max_idle_per_host(2)
            .no_proxy();
        if !settings.allow_insecure {
            builder = builder.https_only(true).dns_resolver(Arc::new(PublicOnly));
        }
        Ok(Self { client: builder.build().map_err(NoClient)?, settings })
    }

    /// Sends one request; an error is already a verdict.
    pub async fn send(&self, request: &Request) -> Result<Answer, Verdict> {
        self.permit(request.address())?;
        let mut post = self
            .client
            .post(request.address())
            .header("content-type", "application/json")
            .body(request.body.clone());
        for (name, value) in &request.headers {
            post = post.header(*name, value.expose_secret());
        }
        let mut response = post.send().await.map_err(|e| failure(&e))?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let mut body = Vec::new();
        while body.len() < BODY_MAX {
            // A service that took the message and then broke off has still taken it: its status says so.
            let Ok(Some(chunk)) = response.chunk().await else { break };
            body.extend_from_slice(&chunk[..chunk.len().min(BODY_MAX - body.len())]);
        }
        Ok(Answer { status, retry_after, body })
    }

    fn permit(&self, address: &str) -> Result<(), Verdict> {
        let refused = |why: &str| Verdict::refused(FailureReason::AddressRefused, why);
        let url = url::Url::parse(address).map_err(|_| refused("the address is not a URL"))?;
        if self.settings.allow_insecure {
            return Ok(());
        }
        if url.scheme() != "https" {
            return Err(refused(
                "the address is not https; set allowInsecure for a service inside the cluster",
            ));
        }
        let inside = match url.host() {
            Some(url::Host::Ipv4(ip)) => is_inside(IpAddr::V4(ip)),
            Some(url::Host::Ipv6(ip)) => is_inside(IpAddr::V6(ip)),
            Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            None => true,
        };
        if inside {
            return Err(refused(
                "the address is inside the network; set allowInsecure for a service of the cluster",
            ));
        }
        Ok(())
    }
}

/// Resolves names and leaves out addresses inside the network, so that a name can't lead there.
#[derive(Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|a| !is_inside(a.ip())).collect();
            if public.is_empty() {
                return Err("the name leads inside the network".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Loopback, private, link-local (where cloud metadata lives), shared, unspecified and multicast addresses.
fn is_inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_inside(IpAddr::V4(v4));
            }
            let first = v6.segments()[0];
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || (first & 0xfe00) == 0xfc00
                || (first & 0xffc0) == 0xfe80
        }
    }
}

fn failure(error: &reqwest::Error) -> Verdict {
    // The source's text names hosts at most; the URL itself is left out because it may be the secret.
    let mut text = if error.is_timeout() {
        "no answer within the deadline".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "the request failed".to_owned()
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !cause_text.contains("://") && !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    if text.contains("leads inside the network") {
        return Verdict::refused(FailureReason::AddressRefused, text);
    }
    let reason =
        if error.is_timeout() { FailureReason::ContextDeadlineExceeded } else { FailureReason::NetworkError };
    Verdict::retry(reason, None, text)
}

/// Seconds, or an HTTP date; also Discord's `X-RateLimit-Reset-After`, in seconds with a fraction.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let seconds = |t: &str| t.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    if let Some(value) = text(RETRY_AFTER.as_str()) {
        return seconds(value).or_else(|| {
            let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
            Some(series::time::since(at, Timestamp::now()))
        });
    }
    text("x-ratelimit-reset-after").and_then(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_the_network_are_known() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "192.168.0.1",
            "100.64.0.1",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_inside(inside.parse().unwrap()), "{inside}");
        }
        for public in ["1.1.1.1", "2606:4700::1111", "203.0.113.9"] {
            assert!(!is_inside(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn plain_http_is_refused_without_showing_the_address() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let transport = Transport::new(TransportSettings::default()).unwrap();
        for address in
            ["http://chat.example.com/secret-token", "https://169.254.169.254/secret-token", "secret-token"]
        {
            let verdict = transport.permit(address).unwrap_err();
            assert!(!format!("{verdict:?}").contains("secret-token"));
        }
        assert!(transport.permit("https://hooks.slack.com/services/x").is_ok());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let headers = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        assert_eq!(retry_after(&headers("retry-after", "7")), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after(&headers("x-ratelimit-reset-after", "0.25")),
            Some(Duration::from_millis(250))
        );
        assert_eq!(
            retry_after(&headers("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
