//! NATS greets with INFO and answers PING.

use async_trait::async_trait;
use health::Reason;
use health::check::Outcome;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::net::{Credentials, Endpoint, Failure, line};
use crate::probe::{Probe, timed};

/// A NATS probe.
#[derive(Clone, Debug)]
pub struct Nats {
    /// Where. NATS greets before TLS begins.
    pub endpoint: Endpoint,
    /// As whom; an empty name signs in with a token.
    pub credentials: Option<Credentials>,
}

#[async_trait]
impl Probe for Nats {
    fn kind(&self) -> &'static str {
        "nats"
    }

    fn host(&self) -> &str {
        self.endpoint.address()
    }

    async fn probe(&self) -> Outcome {
        timed(self.ping()).await
    }
}

impl Nats {
    async fn ping(&self) -> Result<(), Failure> {
        let mut plain = self.endpoint.tcp().await?;
        let greeting = line(&mut plain, 16_384).await?;
        if !greeting.starts_with("INFO ") {
            return Err(Failure::invalid("NATS"));
        }
        let mut stream = self.endpoint.upgrade(plain).await?;
        let mut options = json!({
            "verbose": false, "pedantic": false, "name": "foresail-probe", "lang": "rust", "version": "1",
            "tls_required": self.endpoint.is_tls(),
        });
        if let Some(Credentials { username, password }) = &self.credentials {
            if username.is_empty() {
                options["auth_token"] = json!(password.expose_secret());
            } else {
                options["user"] = json!(username);
                options["pass"] = json!(password.expose_secret());
            }
        }
        stream.write_all(format!("CONNECT {options}\r\nPING\r\n").as_bytes()).await?;
        loop {
            let answer = line(&mut *stream, 16_384).await?;
            match answer.as_str() {
                "PONG" => return Ok(()),
                // The server may ask first, or tell of changes in the cluster.
                "PING" => stream.write_all(b"PONG\r\n").await?,
                other if other.starts_with("INFO ") => {}
                other if other.contains("Authorization") => {
                    return Err(Failure::new(Reason::Unauthorized, "authorization violation"));
                }
                other if other.starts_with("-ERR") => {
                    return Err(Failure::new(
                        Reason::NotServing,
                        other.trim_start_matches("-ERR ").to_owned(),
                    ));
                }
                _ => return Err(Failure::invalid("NATS")),
            }
        }
    }
}
