//! Connections for the probes that speak a protocol of their own: TCP, TLS where wanted, and the words for what goes
//! wrong on the way.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use health::Reason;
use health::check::Outcome;
use rustls::pki_types::ServerName;
use secrecy::SecretString;
use sources::Tls;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Anything that can be read from and written to.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Host and port, and how to trust what answers there.
#[derive(Clone, Debug)]
pub struct Endpoint {
    address: String,
    host: String,
    connector: Option<Arc<rustls::ClientConfig>>,
}

/// Name and password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: SecretString,
}

/// Why a step of a probe failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    pub(crate) fn invalid(what: &str) -> Self {
        Self::new(Reason::InvalidAnswer, format!("the answer isn't {what}'s"))
    }

    pub(crate) fn outcome(self, latency: Duration) -> Outcome {
        Outcome::fail(self.reason, self.message, latency)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused => Reason::Refused,
            io::ErrorKind::TimedOut => Reason::Timeout,
            io::ErrorKind::InvalidData => Reason::Tls,
            _ => Reason::ConnectionLost,
        };
        let message = match reason {
            Reason::Refused => "connection refused".to_owned(),
            _ => error.to_string(),
        };
        Self { reason, message }
    }
}

impl Endpoint {
    /// An endpoint from `host:port`, with TLS where `tls` is given.
    pub fn new(address: &str, tls: Option<&Tls>) -> Result<Self, series::Absence> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let connector = match tls {
            None => None,
            Some(tls) => Some(Arc::new(tls.client_config()?)),
        };
        let host = tls.and_then(|t| t.server_name.clone()).unwrap_or_else(|| host.to_owned());
        Ok(Self { address: address.to_owned(), host, connector })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.connector.is_some()
    }

    /// A TCP connection.
    pub(crate) async fn tcp(&self) -> Result<TcpStream, Failure> {
        let mut found = tokio::net::lookup_host(&self.address)
            .await
            .map_err(|_| Failure::new(Reason::NameNotFound, format!("{} doesn't resolve", self.host)))?
            .peekable();
        if found.peek().is_none() {
            return Err(Failure::new(Reason::NameNotFound, format!("{} doesn't resolve", self.host)));
        }
        let mut last = None;
        for address in found {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(|| Failure::new(Reason::Refused, "connection refused"), Failure::from))
    }

    /// TLS over a connection.
    pub(crate) async fn upgrade(&self, stream: TcpStream) -> Result<Box<dyn Stream>, Failure> {
        let Some(config) = &self.connector else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| Failure::new(Reason::Tls, format!("{} is no name for a certificate", self.host)))?;
        let stream = TlsConnector::from(config.clone())
            .connect(name, stream)
            .await
            .map_err(|e| Failure::new(Reason::Tls, e.to_string()))?;
        Ok(Box::new(stream))
    }

    /// A connection, with TLS where wanted.
    pub(crate) async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        let stream = self.tcp().await?;
        self.upgrade(stream).await
    }
}

/// Reads up to and with the next `\n`, at most `max` bytes, and gives the line without its end.
pub(crate) async fn line(stream: &mut dyn Stream, max: usize) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    while bytes.len() < max {
        let byte = stream.read_u8().await?;
        if byte == b'\n' {
            break;
        }
        bytes.push(byte);
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned())
}
