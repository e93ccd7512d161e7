//! What all sources of one process share: HTTP clients, one connection per broker, a circuit breaker and a limit on
//! concurrent requests per server. Requests go in, outcomes with reasons come out; what is asked is the caller's.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use series::{Absence, AbsenceReason, time};
use telemetry::metrics::Metrics;
use tokio::sync::{Notify, Semaphore};

use crate::breaker::{Admission, Breaker, Limits};
use crate::fingerprint::{Fingerprint, Key};
use crate::tls::Tls;

/// Requests under way to one server at a time. Prometheus itself runs 20 queries at once; the rest would wait there.
const CONCURRENT_PER_SERVER: usize = 20;

/// Writes the trace context of the current span into request headers.
pub type Inject = dyn Fn(&mut HeaderMap) + Send + Sync;

/// The shared part of all sources. Cheap to clone; make one per process.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Limits,
    inject: Option<Box<Inject>>,
    metrics: Option<Metrics>,
    clients: Mutex<HashMap<Key, reqwest::Client>>,
    servers: Mutex<HashMap<String, Arc<Server>>>,
    shared: Mutex<HashMap<Key, Weak<dyn Any + Send + Sync>>>,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("limits", &self.inner.limits).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool whose circuit breakers have these limits.
    pub fn new(limits: Limits) -> Self {
        Self::build(limits, None, None)
    }

    /// A pool that adds trace context to every HTTP request, as `inject` writes it.
    pub fn with_trace(limits: Limits, inject: Box<Inject>) -> Self {
        Self::build(limits, Some(inject), None)
    }

    /// As [`Pool::with_trace`]; calls, retries and open circuits are also counted in `metrics`.
    pub fn observed(limits: Limits, inject: Box<Inject>, metrics: Metrics) -> Self {
        Self::build(limits, Some(inject), Some(metrics))
    }

    /// How many servers the pool has met, how many HTTP clients and how many broker connections are alive.
    pub fn census(&self) -> Census {
        Census {
            servers: lock(&self.inner.servers).len(),
            http_clients: lock(&self.inner.clients).len(),
            brokers: lock(&self.inner.shared).values().filter(|weak| weak.strong_count() > 0).count(),
        }
    }

    fn build(limits: Limits, inject: Option<Box<Inject>>, metrics: Option<Metrics>) -> Self {
        Self {
            inner: Arc::new(Inner {
                limits,
                inject,
                metrics,
                clients: Mutex::default(),
                servers: Mutex::default(),
                shared: Mutex::default(),
            }),
        }
    }

    /// The HTTP client for a TLS set-up: one for all who have the same.
    pub(crate) fn client(&self, tls: &Tls) -> Result<reqwest::Client, Absence> {
        let mut fingerprint = Fingerprint::new("http");
        tls.feed(&mut fingerprint);
        let key = fingerprint.key();
        let mut clients = lock(&self.inner.clients);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.client_config()?)
            .user_agent(concat!("foresail/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(3))
            .pool_idle_timeout(Duration::from_secs(90))
            .tcp_keepalive(Duration::from_secs(30))
            // A redirect could carry credentials to another host; the address in the policy is the one that is meant.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Absence::new(AbsenceReason::InvalidQuery, format!("no HTTP client: {e}")))?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// Headers for one request: the trace context, if there is any.
    pub(crate) fn trace_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(inject) = &self.inner.inject {
            inject(&mut headers);
        }
        headers
    }

    /// The one `T` for `key` in this process, made where nobody holds it yet. It lives as long as somebody does.
    pub(crate) fn shared<T: Any + Send + Sync>(&self, key: Key, make: impl FnOnce() -> T) -> Arc<T> {
        let mut shared = lock(&self.inner.shared);
        shared.retain(|_, weak| weak.strong_count() > 0);
        let alive = shared.get(&key).and_then(Weak::upgrade).and_then(|any| any.downcast::<T>().ok());
        alive.unwrap_or_else(|| {
            let made = Arc::new(make());
            let any: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(&made);
            shared.insert(key, Arc::downgrade(&any));
            made
        })
    }

    /// Asks `server`, a `kind` of source, under its circuit breaker and concurrency limit, within `deadline` in total,
    /// again with jittered backoff after failures that may pass by themselves.
    pub(crate) async fn ask<T, F, Fut>(
        &self,
        kind: &'static str,
        server: &str,
        now: Timestamp,
        deadline: Duration,
        request: F,
    ) -> Result<T, Absence>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Absence>>,
    {
        let server = self.server(server);
        let began = tokio::time::Instant::now();
        let (outcome, change) = match server.admit(now, deadline).await {
            Err(absence) => (Err(absence), None),
            Ok(asking) => {
                let left = deadline.saturating_sub(began.elapsed());
                let outcome = self.attempt(kind, &server, left, request).await;
                let change = asking.ended(&outcome, time::after(now, began.elapsed()));
                (outcome, change)
            }
        };
        if let Some(metrics) = &self.inner.metrics {
            let result = outcome.as_ref().map_or_else(|absence| absence.reason.as_str(), |_| "success");
            metrics.source_request(kind, result, began.elapsed().as_secs_f64());
            if let Some(open) = change {
                metrics.source_circuit(kind, open);
            }
        }
        outcome
    }

    async fn attempt<T, F, Fut>(
        &self,
        kind: &'static str,
        server: &Server,
        deadline: Duration,
        request: F,
    ) -> Result<T, Absence>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Absence>>,
    {
        let attempts = async {
            let _permit = server.permits.acquire().await;
            request
                .retry(
                    ExponentialBuilder::default()
                        .with_min_delay(Duration::from_millis(100))
                        .with_max_delay(Duration::from_secs(2))
                        .with_max_times(2)
                        .with_jitter(),
                )
                .when(|absence| server_failed(absence.reason))
                .notify(|_, _| {
                    if let Some(metrics) = &self.inner.metrics {
                        metrics.source_retried(kind);
                    }
                })
                .await
        };
        tokio::time::timeout(deadline, attempts).await.unwrap_or_else(|_| {
            Err(Absence::new(
                AbsenceReason::Timeout,
                format!("{} didn't answer within {}s", server.name, deadline.as_secs_f64()),
            ))
        })
    }

    fn server(&self, name: &str) -> Arc<Server> {
        let mut servers = lock(&self.inner.servers);
        if let Some(server) = servers.get(name) {
            return Arc::clone(server);
        }
        let server = Arc::new(Server {
            name: name.to_owned(),
            permits: Semaphore::new(CONCURRENT_PER_SERVER),
            settled: Notify::new(),
            health: Mutex::new(Health { breaker: Breaker::new(self.inner.limits), last: None }),
        });
        servers.insert(name.to_owned(), Arc::clone(&server));
        server
    }
}

/// Counts of what a pool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Servers asked so far.
    pub servers: usize,
    /// HTTP clients, one per TLS set-up.
    pub http_clients: usize,
    /// Live broker connections, one per server and credentials.
    pub brokers: usize,
}

/// One server as all policies see it.
struct Server {
    name: String,
    permits: Semaphore,
    /// Told whenever a probe came to its end.
    settled: Notify,
    health: Mutex<Health>,
}

struct Health {
    breaker: Breaker,
    last: Option<Absence>,
}

impl Server {
    /// Admission to ask the server. Who comes while another one probes waits for the outcome, at most `patience`:
    /// a reading of two queries must not fail because its first is the probe.
    async fn admit(&self, now: Timestamp, patience: Duration) -> Result<Asking<'_>, Absence> {
        let admitted = async {
            loop {
                // Registered before the look, so that an end between the two isn't missed.
                let settled = self.settled.notified();
                tokio::pin!(settled);
                settled.as_mut().enable();
                let admission = lock(&self.health).breaker.admit(now);
                match admission {
                    Admission::Free => return Some(Asking { server: self, probes: false }),
                    Admission::Probe => return Some(Asking { server: self, probes: true }),
                    Admission::Refused => return None,
                    Admission::Wait => settled.await,
                }
            }
        };
        match tokio::time::timeout(patience, admitted).await {
            Ok(Some(asking)) => Ok(asking),
            Ok(None) | Err(_) => Err(self.left_alone()),
        }
    }

    fn left_alone(&self) -> Absence {
        let health = lock(&self.health);
        let until = health
            .breaker
            .opens_again_at()
            .map_or_else(String::new, |at| format!(" before {}", at.strftime("%H:%M:%SZ")));
        let last =
            health.last.as_ref().map_or_else(String::new, |last| format!("; the last failure: {last}"));
        Absence::new(
            AbsenceReason::CircuitOpen,
            format!("{} failed several times in a row and isn't asked again{until}{last}", self.name),
        )
    }
}

/// The right to ask a server. Dropped without an outcome (the reading was cancelled), a probe is handed on.
struct Asking<'a> {
    server: &'a Server,
    probes: bool,
}

impl Asking<'_> {
    /// Takes the outcome in. Says whether the circuit opened (`true`) or closed (`false`) by it.
    fn ended<T>(mut self, outcome: &Result<T, Absence>, now: Timestamp) -> Option<bool> {
        self.probes = false;
        let mut health = lock(&self.server.health);
        let before = health.breaker.is_open();
        match outcome {
            Err(absence) if server_failed(absence.reason) => {
                health.breaker.failed(now);
                health.last = Some(absence.clone());
            }
            _ => health.breaker.succeeded(),
        }
        let after = health.breaker.is_open();
        drop(health);
        self.server.settled.notify_waiters();
        (before != after).then_some(after)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.probes {
            lock(&self.server.health).breaker.abandoned();
            self.server.settled.notify_waiters();
        }
    }
}

/// Whether the server as a whole is to blame, rather than one question asked of it.
fn server_failed(reason: AbsenceReason) -> bool {
    matches!(reason, AbsenceReason::Unreachable | AbsenceReason::Timeout | AbsenceReason::ServerError)
}

/// What a failed HTTP request means. Addresses and bodies stay out of the message: they may hold credentials.
pub(crate) fn failure(server: &str, error: &reqwest::Error) -> Absence {
    if error.is_timeout() {
        return Absence::new(AbsenceReason::Timeout, format!("{server} didn't answer in time"));
    }
    let cause = root_cause(error);
    if error.is_body() || error.is_decode() {
        return Absence::new(AbsenceReason::ServerError, format!("{server} broke off its answer: {cause}"));
    }
    if error.is_builder() {
        return Absence::new(AbsenceReason::InvalidQuery, format!("the request can't be made: {cause}"));
    }
    if is_trust(error) {
        // Not the server's fault: whoever shows it another certificate, or trusts another authority, is served.
        let text =
            format!("{server} and this client don't trust each other: {cause}; check the fields under tls");
        return Absence::new(AbsenceReason::Unauthorized, text);
    }
    Absence::new(AbsenceReason::Unreachable, format!("{server} can't be reached: {cause}"))
}

/// Whether one side refused the other's certificate.
fn is_trust(error: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::{AlertDescription as Alert, Error};
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref() {
            Some(Error::InvalidCertificate(_)) => return true,
            Some(Error::AlertReceived(alert)) => {
                return matches!(
                    alert,
                    Alert::AccessDenied
                        | Alert::BadCertificate
                        | Alert::CertificateExpired
                        | Alert::CertificateRequired
                        | Alert::CertificateRevoked
                        | Alert::CertificateUnknown
                        | Alert::HandshakeFailure
                        | Alert::NoCertificate
                        | Alert::UnknownCA
                        | Alert::UnsupportedCertificate
                );
            }
            _ => {}
        }
        // An I/O error that wraps another passes it over as its source.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map(|inner| inner as _).or_else(|| error.source());
    }
    false
}

/// The innermost error, which names the thing that went wrong ("Connection refused").
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Reads a body up to `limit` bytes.
pub(crate) async fn body(
    server: &str,
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, Absence> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failure(server, &e))? {
        if body.len() + chunk.len() > limit {
            return Err(Absence::new(
                AbsenceReason::InvalidAnswer,
                format!("{server} answered with more than {} MiB; narrow the query", limit >> 20),
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Locks, and goes on after a panic elsewhere: nothing in here is left half-written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn unreachable() -> Absence {
        Absence::new(AbsenceReason::Unreachable, "connection refused")
    }

    #[tokio::test]
    async fn a_failure_that_may_pass_is_retried_twice() {
        let calls = AtomicU32::new(0);
        let pool = Pool::default();
        let outcome: Result<(), Absence> = pool
            .ask("test", "s", at(0), Duration::from_secs(10), || async {
                calls.fetch_add(1, Ordering::Relaxed);
                Err(unreachable())
            })
            .await;
        assert_eq!(outcome.unwrap_err().reason, AbsenceReason::Unreachable);
        assert_eq!(calls.into_inner(), 3);
    }

    #[tokio::test]
    async fn a_refused_query_is_not_retried_and_does_not_open_the_circuit() {
        let calls = AtomicU32::new(0);
        let pool = Pool::default();
        for _ in 0..20 {
            let outcome: Result<(), Absence> = pool
                .ask("test", "s", at(0), Duration::from_secs(10), || async {
                    calls.fetch_add(1, Ordering::Relaxed);
                    Err(Absence::new(AbsenceReason::InvalidQuery, "parse error"))
                })
                .await;
            assert_eq!(outcome.unwrap_err().reason, AbsenceReason::InvalidQuery);
        }
        assert_eq!(calls.into_inner(), 20);
    }

    #[tokio::test]
    async fn an_open_circuit_answers_at_once_for_that_server_only() {
        let pool = Pool::new(Limits { failures: 2, ..Limits::default() });
        for _ in 0..2 {
            let _: Result<(), _> =
                pool.ask("test", "a", at(0), Duration::from_secs(10), || async { Err(unreachable()) }).await;
        }
        let open =
            pool.ask("test", "a", at(1), Duration::from_secs(10), || async { Ok(1) }).await.unwrap_err();
        assert_eq!(open.reason, AbsenceReason::CircuitOpen);
        assert!(open.message.contains("connection refused"), "{open}");
        assert_eq!(pool.ask("test", "b", at(1), Duration::from_secs(10), || async { Ok(1) }).await, Ok(1));
        assert_eq!(pool.ask("test", "a", at(60), Duration::from_secs(10), || async { Ok(1) }).await, Ok(1));
    }

    #[tokio::test]
    async fn a_reading_of_two_queries_closes_the_circuit_once_the_server_is_back() {
        let pool = Pool::new(Limits { failures: 1, ..Limits::default() });
        let ask = |second, answer: Result<u32, Absence>| {
            let pool = pool.clone();
            async move {
                pool.ask("test", "s", at(second), Duration::from_secs(10), || async {
                    // Both queries are under way before the first has its answer.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    answer.clone()
                })
                .await
            }
        };
        assert!(ask(0, Err(unreachable())).await.is_err());
        let both = futures::future::try_join(ask(60, Ok(1)), ask(60, Ok(2))).await;
        assert_eq!(both, Ok((1, 2)));
    }

    #[tokio::test]
    async fn a_probe_that_is_cancelled_is_made_by_the_next_who_asks() {
        let pool = Pool::new(Limits { failures: 1, ..Limits::default() });
        let ask = || pool.ask("test", "s", at(60), Duration::from_secs(10), || async { Ok(1) });
        let _: Result<u32, _> =
            pool.ask("test", "s", at(0), Duration::from_secs(10), || async { Err(unreachable()) }).await;
        let hangs =
            pool.ask("test", "s", at(60), Duration::from_secs(10), std::future::pending::<Result<u32, _>>);
        assert!(tokio::time::timeout(Duration::from_millis(20), hangs).await.is_err());
        assert_eq!(ask().await, Ok(1));
    }

    #[tokio::test]
    async fn the_deadline_covers_all_attempts() {
        let pool = Pool::default();
        let outcome: Result<(), Absence> =
            pool.ask("test", "s", at(0), Duration::from_millis(200), std::future::pending).await;
        assert_eq!(outcome.unwrap_err().reason, AbsenceReason::Timeout);
    }

    #[test]
    fn equal_set_ups_share_one_client_and_broker() {
        let pool = Pool::default();
        let key = |part: &str| {
            let mut fingerprint = Fingerprint::new("kind");
            fingerprint.add(part);
            fingerprint.key()
        };
        let first = pool.shared(key("a"), || 1_u32);
        let again = pool.shared(key("a"), || 2_u32);
        let other = pool.shared(key("b"), || 3_u32);
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(*other, 3);
        assert_eq!(pool.census().brokers, 2);
        drop((first, again));
        assert_eq!(*pool.shared(key("a"), || 4_u32), 4);
    }

    #[test]
    fn parts_of_a_fingerprint_do_not_run_together() {
        let key = |parts: &[&str]| {
            let mut fingerprint = Fingerprint::new("kind");
            for part in parts {
                fingerprint.add(part);
            }
            fingerprint.key()
        };
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
    }
}
