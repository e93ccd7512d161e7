//! Redis.

use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use super::{PATIENCE, directory};
use crate::process::{Process, command};
use crate::{assets, net};

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: u16,
    dir: TempDir,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts it without a password.
    ///
    /// # Errors
    /// Fails when it is not installed or does not come up.
    pub async fn start() -> Result<Self> {
        Self::with(&[]).await
    }

    /// Starts it with further arguments, such as `--requirepass secret`.
    ///
    /// # Errors
    /// Fails when it is not installed or does not come up.
    pub async fn with(arguments: &[&str]) -> Result<Self> {
        let (dir, port) = (directory("redis")?, net::free_port()?);
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut process = Process::start("redis", command_line(&dir, port, &arguments)?)?;
        process.answers_tcp(port, PATIENCE).await?;
        Ok(Self { process, port, dir, arguments })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it, as an outage would.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port, empty.
    ///
    /// # Errors
    /// Fails when it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.start_again(command_line(&self.dir, self.port, &self.arguments)?)?;
        self.process.answers_tcp(self.port, PATIENCE).await
    }
}

fn command_line(dir: &TempDir, port: u16, arguments: &[String]) -> Result<Command> {
    let mut command = command(assets::program("redis-server")?);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"]).arg(dir.path());
    command.args(arguments);
    Ok(command)
}
