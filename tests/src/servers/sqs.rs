//! SQS, played by moto.

use anyhow::{Result, ensure};
use tempfile::TempDir;

use super::{PATIENCE, directory};
use crate::process::{Process, command};
use crate::{assets, net};

/// A running SQS endpoint that accepts any credentials.
#[derive(Debug)]
pub struct Sqs {
    process: Process,
    port: u16,
    #[allow(dead_code, reason = "its files live as long as the server")]
    dir: TempDir,
}

impl Sqs {
    /// Starts it.
    ///
    /// # Errors
    /// Fails when moto is not installed or does not come up.
    pub async fn start() -> Result<Self> {
        let (dir, port) = (directory("sqs")?, net::free_port()?);
        let program = assets::python("moto_server");
        ensure!(program.exists(), "{} not found: run tests/setup/python.sh", program.display());
        let mut command = command(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut process = Process::start("moto", command)?;
        process.answers_http(&format!("http://127.0.0.1:{port}/moto-api/"), PATIENCE).await?;
        Ok(Self { process, port, dir })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it, as an outage would.
    pub fn stop(&mut self) {
        self.process.kill();
    }
}
