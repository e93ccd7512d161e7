//! From an address to a byte stream, with or without TLS.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use series::{Absence, AbsenceReason};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// A connection to a broker, whatever it is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to `host:port`. The port is what follows the last colon; IPv6 addresses stand in brackets.
pub(super) async fn dial(address: &str, tls: Option<&Arc<ClientConfig>>) -> Result<Box<dyn Stream>, Absence> {
    let unreachable = |what: &dyn std::fmt::Display| {
        Absence::new(AbsenceReason::Unreachable, format!("{address} can't be reached: {what}"))
    };
    let connecting = async {
        let tcp = TcpStream::connect(address).await.map_err(|e| unreachable(&e))?;
        tcp.set_nodelay(true).map_err(|e| unreachable(&e))?;
        let Some(config) = tls else { return Ok(Box::new(tcp) as Box<dyn Stream>) };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|e| unreachable(&e))?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await;
        Ok(Box::new(stream.map_err(|e| unreachable(&format!("TLS: {e}")))?) as Box<dyn Stream>)
    };
    tokio::time::timeout(CONNECT_WITHIN, connecting).await.unwrap_or_else(|_| {
        Err(Absence::new(
            AbsenceReason::Timeout,
            format!("{address} didn't accept a connection within {}s", CONNECT_WITHIN.as_secs()),
        ))
    })
}
