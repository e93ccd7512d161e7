//! Alertmanager.

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, directory};
use crate::process::{Process, command};
use crate::{assets, net};

/// A running Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    process: Process,
    port: u16,
    #[allow(dead_code, reason = "its files live as long as the server")]
    dir: TempDir,
}

impl Alertmanager {
    /// Starts it; with `webhook`, it sends every alert there, at once.
    ///
    /// # Errors
    /// Fails when it is not installed or does not come up.
    pub async fn start(webhook: Option<&str>) -> Result<Self> {
        let (dir, port) = (directory("alertmanager")?, net::free_port()?);
        let hooks: Vec<Value> =
            webhook.iter().map(|url| serde_json::json!({"url": url, "send_resolved": true})).collect();
        // JSON is YAML.
        let configuration = serde_json::json!({
            "route": {"receiver": "testbed", "group_by": ["..."], "group_wait": "100ms", "group_interval": "1s"},
            "receivers": [{"name": "testbed", "webhook_configs": hooks}],
        });
        let file = dir.path().join("alertmanager.yml");
        std::fs::write(&file, configuration.to_string())?;
        let mut command = command(assets::program("alertmanager")?);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=");
        let mut process = Process::start("alertmanager", command)?;
        process.answers_http(&format!("http://127.0.0.1:{port}/-/ready"), PATIENCE).await?;
        Ok(Self { process, port, dir })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The alerts that it holds.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub async fn alerts(&self) -> Result<Vec<Value>> {
        let answer = reqwest::get(format!("{}/api/v2/alerts", self.url())).await?;
        answer.json().await.context("reading alerts")
    }

    /// Ends it, as an outage would.
    pub fn stop(&mut self) {
        self.process.kill();
    }
}
