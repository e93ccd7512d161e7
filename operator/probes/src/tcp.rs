//! A TCP connection is accepted.

use async_trait::async_trait;
use health::check::Outcome;

use crate::net::Endpoint;
use crate::probe::{Probe, timed};

/// A TCP probe.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// Host and port to connect to, and whether over TLS.
    pub endpoint: Endpoint,
}

#[async_trait]
impl Probe for Tcp {
    fn kind(&self) -> &'static str {
        "tcp"
    }

    fn host(&self) -> &str {
        self.endpoint.address()
    }

    async fn probe(&self) -> Outcome {
        timed(async { self.endpoint.tcp().await.map(drop) }).await
    }
}
