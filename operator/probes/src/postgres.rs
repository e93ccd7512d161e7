//! PostgreSQL answers SELECT 1 over a connection of its own, so that a server that has none left is noticed.

use async_trait::async_trait;
use health::Reason;
use health::check::Outcome;
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::NoTls;
use tokio_postgres::config::SslMode;

use crate::net::{Credentials, Endpoint, Failure};
use crate::probe::{Probe, timed};

/// The request that asks for TLS before anything else: its length and 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A PostgreSQL probe.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// Host and port of the server, and whether over TLS.
    pub endpoint: Endpoint,
    /// As whom.
    pub credentials: Credentials,
    /// In which database.
    pub database: String,
}

#[async_trait]
impl Probe for Postgres {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn host(&self) -> &str {
        self.endpoint.address()
    }

    async fn probe(&self) -> Outcome {
        timed(self.select()).await
    }
}

impl Postgres {
    async fn select(&self) -> Result<(), Failure> {
        let mut plain = self.endpoint.tcp().await?;
        if self.endpoint.is_tls() {
            plain.write_all(&SSL_REQUEST).await?;
            if plain.read_u8().await? != b'S' {
                return Err(Failure::new(Reason::Tls, "the server doesn't speak TLS"));
            }
        }
        let stream = self.endpoint.upgrade(plain).await?;
        let mut config = tokio_postgres::Config::new();
        config
            .user(&self.credentials.username)
            .password(self.credentials.password.expose_secret())
            .dbname(&self.database)
            .application_name("foresail-probe")
            // TLS was done above where it is wanted.
            .ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(|e| failure(&e))?;
        // The connection's task lives no longer than the probe: dropped with its future when the timeout strikes.
        let query = async { client.simple_query("SELECT 1").await.map(drop).map_err(|e| failure(&e)) };
        tokio::select! {
            answer = query => answer,
            ended = connection => match ended {
                Ok(()) => Err(Failure::new(Reason::ConnectionLost, "the server closed the connection")),
                Err(error) => Err(failure(&error)),
            },
        }
    }
}

fn failure(error: &tokio_postgres::Error) -> Failure {
    if let Some(db) = error.as_db_error() {
        let reason = match db.code().code() {
            code if code.starts_with("28") => Reason::Unauthorized,
            "3D000" => Reason::NotFound,
            _ => Reason::NotServing,
        };
        return Failure::new(reason, db.message().to_owned());
    }
    Failure::new(Reason::ConnectionLost, error.to_string())
}
