//! The gRPC health protocol: one unary call of `grpc.health.v1.Health/Check`, written by hand over HTTP/2. A request is
//! a service's name in a protobuf of one field, an answer a number in another.

use std::time::Duration;

use async_trait::async_trait;
use health::Reason;
use health::check::Outcome;
use reqwest::Client;
use sources::Tls;

use crate::http::failure;
use crate::net::Failure;
use crate::probe::{Probe, timed};

const SERVING: u8 = 1;
const NOT_FOUND: &str = "5";
const UNIMPLEMENTED: &str = "12";

/// A gRPC health probe.
#[derive(Clone, Debug)]
pub struct Grpc {
    address: String,
    url: String,
    service: String,
    client: Client,
}

impl Grpc {
    /// A probe of `service` (empty: the whole server) at `host:port`.
    pub fn new(address: &str, service: &str, tls: Option<&Tls>) -> Result<Self, series::Absence> {
        let builder = Client::builder().pool_idle_timeout(Duration::from_secs(30)).no_proxy();
        let (scheme, builder) = match tls {
            None => ("http", builder.http2_prior_knowledge()),
            Some(tls) => {
                let mut config = tls.client_config()?;
                config.alpn_protocols = vec![b"h2".to_vec()];
                ("https", builder.tls_backend_preconfigured(config).http2_prior_knowledge())
            }
        };
        let client = builder.build().map_err(|e| {
            series::Absence::new(series::AbsenceReason::InvalidQuery, format!("no HTTP client: {e}"))
        })?;
        Ok(Self {
            address: address.to_owned(),
            url: format!("{scheme}://{address}/grpc.health.v1.Health/Check"),
            service: service.to_owned(),
            client,
        })
    }

    async fn check(&self) -> Result<(), Failure> {
        let request = self
            .client
            .post(&self.url)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(encode(&self.service));
        let response = request.send().await.map_err(|e| failure(&e))?;
        if response.status() != 200 {
            return Err(Failure::new(
                Reason::UnexpectedStatus,
                format!("HTTP {}", response.status().as_u16()),
            ));
        }
        // An error without a message is told in the headers.
        if let Some(status) =
            response.headers().get("grpc-status").and_then(|s| s.to_str().ok()).filter(|s| *s != "0")
        {
            return Err(match status {
                NOT_FOUND => {
                    Failure::new(Reason::NotFound, format!("the server knows no service {:?}", self.service))
                }
                UNIMPLEMENTED => Failure::new(Reason::NotFound, "the server has no health service"),
                code => Failure::new(Reason::NotServing, format!("gRPC status {code}")),
            });
        }
        let body = response.bytes().await.map_err(|e| failure(&e))?;
        decode(&body)
    }
}

/// Five bytes of framing, then field 1 as a string.
fn encode(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0A);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7F) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
    framed.extend(message);
    framed
}

/// Field 1 is the status; a message without it says UNKNOWN.
fn decode(body: &[u8]) -> Result<(), Failure> {
    let status = match body.get(5..) {
        Some([0x08, status, ..]) => *status,
        Some([]) => 0,
        _ => return Err(Failure::invalid("a gRPC health service")),
    };
    match status {
        SERVING => Ok(()),
        2 => Err(Failure::new(Reason::NotServing, "NOT_SERVING")),
        3 => Err(Failure::new(Reason::NotFound, "SERVICE_UNKNOWN")),
        _ => Err(Failure::new(Reason::NotServing, "UNKNOWN")),
    }
}

#[async_trait]
impl Probe for Grpc {
    fn kind(&self) -> &'static str {
        "grpc"
    }

    fn host(&self) -> &str {
        &self.address
    }

    async fn probe(&self) -> Outcome {
        timed(self.check()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_and_read_as_protobuf_says() {
        assert_eq!(encode(""), [0, 0, 0, 0, 0]);
        assert_eq!(encode("a"), [0, 0, 0, 0, 3, 0x0A, 1, b'a']);
        assert_eq!(encode(&"x".repeat(200))[5..8], [0x0A, 0xC8, 0x01]);
        assert!(decode(&[0, 0, 0, 0, 2, 0x08, 1]).is_ok());
        assert_eq!(decode(&[0, 0, 0, 0, 2, 0x08, 2]).unwrap_err().reason, Reason::NotServing);
        assert_eq!(decode(&[0, 0, 0, 0, 0]).unwrap_err().message, "UNKNOWN");
        assert_eq!(decode(b"<html>").unwrap_err().reason, Reason::InvalidAnswer);
    }
}
