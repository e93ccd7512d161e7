//! AMQP itself: a passive declaration, which says how many messages wait and how many consumers there are.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::FieldTable;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties, ErrorKind};
use secrecy::{ExposeSecret, SecretString};
use series::{Absence, AbsenceReason};

use super::{Config, invalid};
use crate::fingerprint::Fingerprint;
use crate::http::{Pool, root_cause};
use crate::queue::link::Link;
use crate::queue::{DEADLINE, QueueReading};

pub(super) struct Amqp {
    pool: Pool,
    server: Arc<Server>,
    queue: String,
}

/// A virtual host as one user sees it. AMQP connections are bound to both.
struct Server {
    name: String,
    host: String,
    port: u16,
    vhost: String,
    username: String,
    password: SecretString,
    scheme: AMQPScheme,
    tls: OwnedTLSConfig,
    link: Link<Arc<Connection>>,
}

impl Amqp {
    pub(super) fn new(
        pool: &Pool,
        host: &str,
        port: u16,
        secure: bool,
        config: &Config,
    ) -> Result<Self, Absence> {
        let tls = config.tls.clone().unwrap_or_default();
        if tls.insecure_skip_verify || tls.server_name.is_some() {
            return Err(invalid(
                "insecureSkipVerify and serverName can't be used with amqps; use the management API"
                    .to_owned(),
            ));
        }
        // Refuses broken certificates here, with a sentence, instead of at the first connection.
        tls.client_config()?;
        let mut fingerprint = Fingerprint::new("amqp");
        for part in
            [host, &port.to_string(), &config.vhost, &config.username, config.password.expose_secret()]
        {
            fingerprint.add(part);
        }
        fingerprint.add(if secure { "amqps" } else { "amqp" });
        tls.feed(&mut fingerprint);
        let identity = tls.identity.map(|identity| OwnedIdentity::PKCS8 {
            pem: identity.certificate.into_bytes(),
            key: identity.key.expose_secret().as_bytes().to_vec(),
        });
        let scheme = if secure { AMQPScheme::AMQPS } else { AMQPScheme::AMQP };
        let server = pool.shared(fingerprint.key(), || Server {
            name: format!("{}://{host}:{port}", if secure { "amqps" } else { "amqp" }),
            host: host.to_owned(),
            port,
            vhost: config.vhost.clone(),
            username: config.username.clone(),
            password: config.password.clone(),
            scheme,
            tls: OwnedTLSConfig { identity, cert_chain: tls.ca },
            link: Link::default(),
        });
        Ok(Self { pool: pool.clone(), server, queue: config.queue.clone() })
    }

    pub(super) fn names(&self) -> (&str, &str) {
        (&self.server.name, &self.queue)
    }

    pub(super) async fn read(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        self.pool.ask("rabbitmq", &self.server.name, now, DEADLINE, || self.once(now)).await
    }

    async fn once(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        let usable = |connection: &Arc<Connection>| connection.status().connected();
        let connection = self.server.link.get(usable, self.server.connect()).await?;
        // A declaration of what isn't there closes its channel, so each question gets one of its own.
        let channel = connection.create_channel().await.map_err(|e| self.meaning(&e))?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel
            .queue_declare(self.queue.as_str().into(), passive, FieldTable::default())
            .await
            .map_err(|e| self.meaning(&e))?;
        let reading = QueueReading {
            consumers: Some(declared.consumer_count()),
            ..QueueReading::of_waiting(now, u64::from(declared.message_count()))
        };
        // Whether the channel closes in good order changes nothing about the reading.
        drop(channel.close(200, "".into()).await);
        Ok(reading)
    }

    fn meaning(&self, error: &lapin::Error) -> Absence {
        self.server.meaning(error, &format!("queue {}", self.queue))
    }
}

impl Server {
    async fn connect(&self) -> Result<Arc<Connection>, Absence> {
        let uri = AMQPUri {
            scheme: self.scheme.clone(),
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.username.clone(),
                    password: self.password.expose_secret().to_owned(),
                },
                host: self.host.clone(),
                port: self.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString { connection_timeout: Some(3_000), ..AMQPQueryString::default() },
        };
        let properties = ConnectionProperties::default().with_connection_name("foresail".into());
        let runtime = lapin::runtime::default_runtime().map_err(|e| self.meaning(&e, "connecting"))?;
        let connection =
            Connection::connect_uri_with_config(uri, properties, self.tls.clone(), runtime).await;
        connection.map(Arc::new).map_err(|e| self.meaning(&e, &format!("virtual host {}", self.vhost)))
    }

    fn meaning(&self, error: &lapin::Error, what: &str) -> Absence {
        let reason = match error.kind() {
            ErrorKind::ProtocolError(protocol) => match protocol.kind() {
                // The second is the answer to a virtual host that isn't there, or isn't this user's.
                AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
                | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => AbsenceReason::NotFound,
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => AbsenceReason::Unauthorized,
                _ => AbsenceReason::ServerError,
            },
            ErrorKind::IOError(io) if io.kind() == std::io::ErrorKind::TimedOut => AbsenceReason::Timeout,
            ErrorKind::IOError(_)
            | ErrorKind::InvalidConnectionState(_)
            | ErrorKind::InvalidChannelState(..)
            | ErrorKind::MissingHeartbeatError => AbsenceReason::Unreachable,
            _ => AbsenceReason::ServerError,
        };
        Absence::new(reason, format!("{}: {what}: {}", self.name, root_cause(error)))
    }
}

impl fmt::Debug for Amqp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amqp")
            .field("server", &self.server.name)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
