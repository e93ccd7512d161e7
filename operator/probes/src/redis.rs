//! Redis answers PING, signed in where that is asked for. Two lines of its protocol, no client.

use async_trait::async_trait;
use health::Reason;
use health::check::Outcome;
use secrecy::ExposeSecret;
use tokio::io::AsyncWriteExt;

use crate::net::{Credentials, Endpoint, Failure, line};
use crate::probe::{Probe, timed};

/// A Redis probe.
#[derive(Clone, Debug)]
pub struct Redis {
    /// Host and port of the server, and whether over TLS.
    pub endpoint: Endpoint,
    /// As whom; an empty name signs in with the password alone.
    pub credentials: Option<Credentials>,
}

#[async_trait]
impl Probe for Redis {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn host(&self) -> &str {
        self.endpoint.address()
    }

    async fn probe(&self) -> Outcome {
        timed(self.ping()).await
    }
}

impl Redis {
    async fn ping(&self) -> Result<(), Failure> {
        let mut stream = self.endpoint.connect().await?;
        let mut request = Vec::new();
        if let Some(Credentials { username, password }) = &self.credentials {
            let mut parts = vec!["AUTH"];
            if !username.is_empty() {
                parts.push(username);
            }
            parts.push(password.expose_secret());
            request.extend(command(&parts));
        }
        request.extend(command(&["PING"]));
        stream.write_all(&request).await?;
        if self.credentials.is_some() {
            let answer = line(&mut *stream, 512).await?;
            if answer != "+OK" {
                return Err(refusal(&answer));
            }
        }
        let answer = line(&mut *stream, 512).await?;
        if answer == "+PONG" { Ok(()) } else { Err(refusal(&answer)) }
    }
}

fn command(parts: &[&str]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", parts.len());
    for part in parts {
        text.extend(["$", &part.len().to_string(), "\r\n", part, "\r\n"]);
    }
    text.into_bytes()
}

/// `-NOAUTH`, `-WRONGPASS`: who we are. `-LOADING`, `-MASTERDOWN`, `-MISCONF`: it runs and doesn't serve.
fn refusal(answer: &str) -> Failure {
    let Some(error) = answer.strip_prefix('-') else { return Failure::invalid("Redis") };
    let code = error.split(' ').next().unwrap_or_default();
    let reason = match code {
        "NOAUTH" | "WRONGPASS" | "NOPERM" => Reason::Unauthorized,
        _ => Reason::NotServing,
    };
    Failure::new(reason, error)
}
