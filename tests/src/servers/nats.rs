//! NATS with JetStream.

use anyhow::Result;
use tempfile::TempDir;

use super::{PATIENCE, directory};
use crate::process::{Process, command};
use crate::{assets, net};

/// A running NATS server.
#[derive(Debug)]
pub struct Nats {
    process: Process,
    port: u16,
    monitoring: u16,
    #[allow(dead_code, reason = "its files live as long as the server")]
    dir: TempDir,
}

impl Nats {
    /// Starts it.
    ///
    /// # Errors
    /// Fails when it is not installed or does not come up.
    pub async fn start() -> Result<Self> {
        Self::with(&[]).await
    }

    /// Starts it with further arguments, such as `--user a --pass b`.
    ///
    /// # Errors
    /// Fails when it is not installed or does not come up.
    pub async fn with(arguments: &[&str]) -> Result<Self> {
        let (dir, port, monitoring) = (directory("nats")?, net::free_port()?, net::free_port()?);
        let mut command = command(assets::program("nats-server")?);
        command.args([
            "-js",
            "-a",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-m",
            &monitoring.to_string(),
            "-sd",
        ]);
        command.arg(dir.path().join("jetstream")).args(arguments);
        let mut process = Process::start("nats", command)?;
        process.answers_http(&format!("http://127.0.0.1:{monitoring}/healthz"), PATIENCE).await?;
        process.answers_tcp(port, PATIENCE).await?;
        Ok(Self { process, port, monitoring, dir })
    }

    /// The port that clients use.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `nats://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// `http://127.0.0.1:PORT` of the monitoring endpoints.
    pub fn monitoring_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitoring)
    }

    /// Ends it, as an outage would.
    pub fn stop(&mut self) {
        self.process.kill();
    }
}
