//! RabbitMQ with its management and Prometheus plugins, and the Erlang port mapper of its own.

use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use super::directory;
use crate::process::{Process, command};
use crate::{assets, net, wait};

/// Erlang takes its time on a crowded machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(2);

/// A running RabbitMQ; user and password are `guest`.
#[derive(Debug)]
pub struct RabbitMq {
    process: Process,
    port_mapper: Process,
    port: u16,
    management: u16,
    prometheus: u16,
    #[allow(dead_code, reason = "its files live as long as the server")]
    dir: TempDir,
}

impl RabbitMq {
    /// Starts it.
    ///
    /// # Errors
    /// Fails when it is not installed or does not come up.
    pub async fn start() -> Result<Self> {
        let dir = directory("rabbitmq")?;
        let (port, distribution, mapper) = (net::free_port()?, net::free_port()?, net::free_port()?);
        let (management, prometheus) = (net::free_port()?, net::free_port()?);
        // Started by us, so that we know whom to end: RabbitMQ would leave its own behind.
        let mut epmd = command(assets::program("epmd")?);
        epmd.args(["-port", &mapper.to_string(), "-address", "127.0.0.1"]);
        let mut port_mapper = Process::start("epmd", epmd)?;
        port_mapper.answers_tcp(mapper, PATIENCE).await?;

        std::fs::write(dir.path().join("plugins"), "[rabbitmq_management,rabbitmq_prometheus].\n")?;
        let configuration = format!(
            "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n\
             prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {prometheus}\nlog.console = true\n"
        );
        std::fs::write(dir.path().join("rabbitmq.conf"), configuration)?;
        let mut server = command(assets::program("rabbitmq-server")?);
        configure(&mut server, &dir, port, distribution, mapper);
        let mut process = Process::start("rabbitmq", server)?;
        let ready = process.answers(PATIENCE, || async move {
            let url = format!("http://127.0.0.1:{management}/api/overview");
            let answer = wait::client()?.get(url).basic_auth("guest", Some("guest")).send().await?;
            answer.error_for_status()?;
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
            anyhow::Ok(())
        });
        ready.await?;
        Ok(Self { process, port_mapper, port, management, prometheus, dir })
    }

    /// The AMQP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `amqp://guest:guest@127.0.0.1:PORT/%2f`
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// `http://127.0.0.1:PORT` of the management API.
    pub fn management_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.management)
    }

    /// `127.0.0.1:PORT` as a scrape target.
    pub fn scrape_target(&self) -> String {
        format!("127.0.0.1:{}", self.prometheus)
    }

    /// Ends it, as an outage would.
    pub fn stop(&mut self) {
        self.process.kill();
        self.port_mapper.kill();
    }
}

fn configure(command: &mut Command, dir: &TempDir, port: u16, distribution: u16, mapper: u16) {
    let home = dir.path();
    command
        .env("HOME", home)
        .env("RABBITMQ_NODENAME", format!("testbed{port}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("ERL_EPMD_PORT", mapper.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_MNESIA_BASE", home.join("data"))
        .env("RABBITMQ_LOG_BASE", home.join("logs"))
        .env("RABBITMQ_PID_FILE", home.join("pid"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
        .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq.conf"));
}
