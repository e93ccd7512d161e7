//! NATS JetStream: what a durable consumer has not been given and has not acknowledged. Asks with
//! `$JS.API.CONSUMER.INFO` and, for the age of the oldest message, `$JS.API.STREAM.MSG.GET`; changes nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::context::{ConsumerInfoError, ConsumerInfoErrorKind};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, ConnectErrorKind, ConnectOptions};
use async_trait::async_trait;
use jiff::Timestamp;
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use series::{Absence, AbsenceReason, time};

use super::link::Link;
use super::{Count, DEADLINE, QueueReading, QueueSource};
use crate::Tls;
use crate::fingerprint::Fingerprint;
use crate::http::{Pool, root_cause};

/// How long one request may take. JetStream answers within milliseconds or not at all.
const REQUEST: Duration = Duration::from_secs(3);

/// Which consumer on which server.
#[derive(Clone, Debug)]
pub struct Config {
    /// `nats://host:4222` or `tls://host:4222`.
    pub address: String,
    /// The stream.
    pub stream: String,
    /// The durable consumer.
    pub consumer: String,
    /// The JetStream domain.
    pub domain: Option<String>,
    /// Who is asking.
    pub auth: Auth,
    /// TLS, where wanted.
    pub tls: Option<Tls>,
}

/// Credentials. Never printed.
#[derive(Clone, Debug)]
pub enum Auth {
    /// None.
    None,
    /// User and password.
    User {
        /// The user.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// A token.
    Token(SecretString),
    /// A credentials file: JWT and NKey seed.
    Credentials(SecretString),
}

/// One consumer on a connection that all consumers of that server and user share.
pub struct Nats {
    pool: Pool,
    server: Arc<Server>,
    stream: String,
    consumer: String,
    domain: Option<String>,
    /// Reading single messages needs a permission of its own; without it the age stays unknown.
    messages_readable: AtomicBool,
}

struct Server {
    name: String,
    address: String,
    auth: Auth,
    tls: Option<ClientConfig>,
    link: Link<Client>,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("server", &self.server.name)
            .field("stream", &self.stream)
            .field("consumer", &self.consumer)
            .finish_non_exhaustive()
    }
}

impl Nats {
    /// Makes the source; nothing is asked yet. Refused where a certificate can't be used.
    pub fn new(pool: &Pool, config: Config) -> Result<Self, Absence> {
        let mut fingerprint = Fingerprint::new("nats");
        fingerprint.add(&config.address);
        match &config.auth {
            Auth::None => fingerprint.add("none"),
            Auth::User { username, password } => {
                fingerprint.add(username);
                fingerprint.add(password.expose_secret());
            }
            Auth::Token(secret) | Auth::Credentials(secret) => fingerprint.add(secret.expose_secret()),
        }
        let tls = match &config.tls {
            None => None,
            Some(tls) => {
                tls.feed(&mut fingerprint);
                Some(tls.client_config()?)
            }
        };
        let server = pool.shared(fingerprint.key(), || Server {
            name: config.address.clone(),
            address: config.address,
            auth: config.auth,
            tls,
            link: Link::default(),
        });
        Ok(Self {
            pool: pool.clone(),
            server,
            stream: config.stream,
            consumer: config.consumer,
            domain: config.domain,
            messages_readable: AtomicBool::new(true),
        })
    }

    async fn once(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        let client = self.server.link.get(usable, self.server.connect()).await?;
        let mut context = match &self.domain {
            Some(domain) => jetstream::with_domain(client, domain),
            None => jetstream::new(client),
        };
        context.set_timeout(REQUEST);
        let stream = context
            .get_stream_no_info(&self.stream)
            .await
            .map_err(|e| self.absent(AbsenceReason::InvalidQuery, format!("stream {}: {e}", self.stream)))?;
        let info = stream.consumer_info(&self.consumer).await.map_err(|e| self.meaning(&e))?;
        let age = self.oldest_age(&stream, &info, now).await;
        Ok(reading(&info, age, now))
    }

    /// The age of the message after the last one acknowledged in order. Unknown where that one is gone.
    async fn oldest_age(&self, stream: &Stream<()>, info: &Info, now: Timestamp) -> Option<Duration> {
        if info.num_pending == 0 && info.num_ack_pending == 0 {
            return Some(Duration::ZERO);
        }
        let filtered = !info.config.filter_subject.is_empty() || !info.config.filter_subjects.is_empty();
        if filtered || !self.messages_readable.load(Ordering::Relaxed) {
            return None;
        }
        match stream.get_raw_message(info.ack_floor.stream_sequence + 1).await {
            Ok(message) => {
                let at = Timestamp::from_nanosecond(message.time.unix_timestamp_nanos()).ok()?;
                Some(time::since(now, at))
            }
            Err(error) => {
                // A server that doesn't permit it doesn't answer; waiting for that once is enough.
                if error.to_string().contains("timed out") {
                    self.messages_readable.store(false, Ordering::Relaxed);
                }
                None
            }
        }
    }

    fn meaning(&self, error: &ConsumerInfoError) -> Absence {
        let which = format!("consumer {} of stream {}", self.consumer, self.stream);
        let reason = match error.kind() {
            ConsumerInfoErrorKind::NotFound | ConsumerInfoErrorKind::StreamNotFound => {
                AbsenceReason::NotFound
            }
            ConsumerInfoErrorKind::JetStream(inner)
                if matches!(
                    inner.error_code(),
                    ErrorCode::STREAM_NOT_FOUND | ErrorCode::CONSUMER_NOT_FOUND
                ) =>
            {
                AbsenceReason::NotFound
            }
            ConsumerInfoErrorKind::Offline => AbsenceReason::Partial,
            ConsumerInfoErrorKind::InvalidName => AbsenceReason::InvalidQuery,
            ConsumerInfoErrorKind::JetStream(_) => AbsenceReason::ServerError,
            ConsumerInfoErrorKind::TimedOut => AbsenceReason::Timeout,
            // Nobody listens on the JetStream API: JetStream is off, or the domain isn't there.
            ConsumerInfoErrorKind::NoResponders => AbsenceReason::NotFound,
            ConsumerInfoErrorKind::Request => AbsenceReason::Unreachable,
        };
        self.absent(reason, format!("{which}: {error}"))
    }

    fn absent(&self, reason: AbsenceReason, message: String) -> Absence {
        Absence::new(reason, format!("{}: {message}", self.server.name))
    }
}

#[async_trait]
impl QueueSource for Nats {
    async fn read(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        self.pool.ask("nats", &self.server.name, now, DEADLINE, || self.once(now)).await
    }
}

impl Server {
    async fn connect(&self) -> Result<Client, Absence> {
        let mut options = ConnectOptions::new()
            .name("foresail")
            .connection_timeout(Duration::from_secs(3))
            .request_timeout(Some(REQUEST))
            // Whether to try again, and when, is the circuit breaker's business.
            .max_reconnects(1);
        options = match &self.auth {
            Auth::None => options,
            Auth::User { username, password } => {
                options.user_and_password(username.clone(), password.expose_secret().to_owned())
            }
            Auth::Token(token) => options.token(token.expose_secret().trim().to_owned()),
            Auth::Credentials(file) => options.credentials(file.expose_secret()).map_err(|_| {
                Absence::new(
                    AbsenceReason::Unauthorized,
                    format!("{}: the credentials aren't a NATS credentials file", self.name),
                )
            })?,
        };
        if let Some(tls) = &self.tls {
            options = options.tls_client_config(tls.clone()).require_tls(true);
        }
        options.connect(&self.address).await.map_err(|error| {
            let reason = match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    AbsenceReason::Unauthorized
                }
                ConnectErrorKind::ServerParse => AbsenceReason::InvalidQuery,
                ConnectErrorKind::TimedOut => AbsenceReason::Timeout,
                _ => AbsenceReason::Unreachable,
            };
            Absence::new(reason, format!("{}: {}", self.name, root_cause(&error)))
        })
    }
}

fn usable(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

fn reading(info: &Info, oldest_age: Option<Duration>, now: Timestamp) -> QueueReading {
    let delivered = info.delivered.consumer_sequence;
    let in_flight = info.num_ack_pending as u64;
    QueueReading {
        in_flight: Some(in_flight),
        // Deliveries count, so a message that is delivered again has arrived again: it is work again.
        arrivals: Some(Count::Total(delivered.saturating_add(info.num_pending))),
        served: Some(Count::Total(delivered.saturating_sub(in_flight))),
        oldest_age,
        ..QueueReading::of_waiting(now, info.num_pending)
    }
}
