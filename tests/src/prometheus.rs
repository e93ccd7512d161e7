//! A real Prometheus: back-filled history, scrape targets, rules; stopped and started again on the same data.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

use crate::exporter::Counter;
use crate::process::{Process, command, run};
use crate::{assets, net, wait};

const PATIENCE: Duration = Duration::from_mins(1);

/// What a Prometheus is started with.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    scrape: Vec<(String, Vec<String>)>,
    interval: Option<Duration>,
    rules: Vec<PathBuf>,
    alertmanager: Option<String>,
    history: String,
    web_config: Option<String>,
}

impl Setup {
    /// Scrapes these `HOST:PORT` as one job.
    pub fn scrape(mut self, job: &str, targets: &[String]) -> Self {
        self.scrape.push((job.to_owned(), targets.to_vec()));
        self
    }

    /// Scrapes and evaluates this often (default 1 s).
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Loads rule files.
    pub fn rules(mut self, files: &[PathBuf]) -> Self {
        self.rules.extend_from_slice(files);
        self
    }

    /// Sends alerts to an Alertmanager at `HOST:PORT`.
    pub fn alertmanager(mut self, address: &str) -> Self {
        self.alertmanager = Some(address.to_owned());
        self
    }

    /// The web configuration file's text (TLS, basic authentication).
    pub fn web_config(mut self, yaml: &str) -> Self {
        self.web_config = Some(yaml.to_owned());
        self
    }

    /// Back-fills a counter from `from` to `to`, one sample each `step`, with the labels that a scrape by `job`
    /// from `instance` would give it, so that scraped samples continue the same series.
    pub fn back_fill(
        self,
        counter: &Counter,
        job: &str,
        instance: &str,
        (from, to): (Timestamp, Timestamp),
        step: SignedDuration,
    ) -> Self {
        let labels = format!("instance=\"{instance}\",job=\"{job}\"");
        let series = match counter.series.strip_suffix('}') {
            Some(open) => format!("{open},{labels}}}"),
            None => format!("{}{{{labels}}}", counter.series),
        };
        let mut samples = Vec::new();
        let mut at = from;
        while at <= to {
            samples.push((at, counter.value(at)));
            at += step;
        }
        self.back_fill_samples(&series, &samples)
    }

    /// Back-fills one series from samples; times are rounded down to whole seconds.
    pub fn back_fill_samples(mut self, series: &str, samples: &[(Timestamp, f64)]) -> Self {
        for (at, value) in samples {
            // Writing to a String cannot fail.
            let _ = writeln!(self.history, "{series} {value} {}", at.as_second());
        }
        self
    }

    /// Starts it and waits until it answers queries.
    ///
    /// # Errors
    /// Fails when Prometheus is not installed, refuses the configuration or does not come up.
    pub async fn start(self) -> Result<Prometheus> {
        let dir = tempfile::Builder::new().prefix("foresail-prometheus-").tempdir()?;
        if !self.history.is_empty() {
            self.write_history(dir.path())?;
        }
        std::fs::write(dir.path().join("prometheus.yml"), self.configuration())?;
        if let Some(yaml) = &self.web_config {
            std::fs::write(dir.path().join("web.yml"), yaml)?;
        }
        let mut prometheus = Prometheus { process: None, port: net::free_port()?, dir, setup: self };
        prometheus.start().await?;
        Ok(prometheus)
    }

    fn write_history(&self, dir: &Path) -> Result<()> {
        let file = dir.join("history.openmetrics");
        std::fs::write(&file, format!("{}# EOF\n", self.history))?;
        let mut promtool = Command::new(assets::program("promtool")?);
        promtool.args(["tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=504h"]);
        run(promtool.arg(&file).arg(dir.join("data"))).context("back-filling history")?;
        std::fs::remove_file(&file)?;
        Ok(())
    }

    fn configuration(&self) -> String {
        let interval = format!("{}ms", self.interval.unwrap_or(Duration::from_secs(1)).as_millis());
        let jobs: Vec<Value> = self
            .scrape
            .iter()
            .map(|(job, targets)| {
                serde_json::json!({
                    "job_name": job, "honor_labels": true, "scrape_timeout": interval,
                    "static_configs": [{"targets": targets}],
                })
            })
            .collect();
        let managers: Vec<Value> = self
            .alertmanager
            .iter()
            .map(|address| serde_json::json!({"static_configs": [{"targets": [address]}]}))
            .collect();
        // JSON is YAML.
        serde_json::json!({
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": self.rules,
            "scrape_configs": jobs,
            "alerting": {"alertmanagers": managers},
        })
        .to_string()
    }
}

/// A running (or stopped) Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    process: Option<Process>,
    port: u16,
    dir: TempDir,
    setup: Setup,
}

impl Prometheus {
    /// What to start one with; begin here.
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// Starts it again, with the same data, on the same port.
    ///
    /// # Errors
    /// Fails when it does not come up.
    pub async fn start(&mut self) -> Result<()> {
        let mut command = command(assets::program("prometheus")?);
        command
            .arg(format!("--config.file={}", self.dir.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", self.dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .args(["--storage.tsdb.retention.time=90d", "--web.enable-lifecycle"])
            .args(["--enable-feature=exemplar-storage"]);
        if self.setup.web_config.is_some() {
            command.arg(format!("--web.config.file={}", self.dir.path().join("web.yml").display()));
        }
        match &mut self.process {
            Some(process) => process.start_again(command)?,
            None => self.process = Some(Process::start("prometheus", command)?),
        }
        let process = self.process.as_mut().context("it was just started")?;
        if self.setup.web_config.is_some() {
            process.answers_tcp(self.port, PATIENCE).await
        } else {
            process.answers_http(&format!("http://127.0.0.1:{}/-/ready", self.port), PATIENCE).await
        }
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// Fails with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check)
    }

    /// Ends it, as an outage would. Its data stays.
    pub fn stop(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let url = format!("{}/api/v1/{path}", self.url());
        let answer: Value = wait::client()?.get(url).query(parameters).send().await?.json().await?;
        ensure!(answer["status"] == "success", "Prometheus refused {path} {parameters:?}: {answer}");
        Ok(answer["data"].clone())
    }

    /// The result vector of an instant query: labels and value of each series.
    ///
    /// # Errors
    /// Fails when Prometheus does not answer, or refuses the query.
    pub async fn query(&self, query: &str) -> Result<Vec<(Value, f64)>> {
        let data = self.api("query", &[("query", query)]).await?;
        let series = data["result"].as_array().context("no vector")?;
        let value =
            |one: &Value| one["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        Ok(series.iter().map(|one| (one["metric"].clone(), value(one))).collect())
    }

    /// The value of an instant query that gives one series.
    ///
    /// # Errors
    /// Fails when there is none, or more than one.
    pub async fn value(&self, query: &str) -> Result<f64> {
        let series = self.query(query).await?;
        ensure!(series.len() == 1, "{query} gives {} series", series.len());
        Ok(series[0].1)
    }

    /// Waits until an instant query gives exactly one series, and returns its value.
    ///
    /// # Errors
    /// Fails when `patience` is over.
    pub async fn wait_for(&self, query: &str, patience: Duration) -> Result<f64> {
        wait::until(query, patience, || self.value(query)).await
    }

    /// The alerts that Prometheus holds: name and state of each.
    ///
    /// # Errors
    /// Fails when Prometheus does not answer.
    pub async fn alerts(&self) -> Result<Vec<(String, String)>> {
        let data = self.api("alerts", &[]).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alerts = data["alerts"].as_array().context("no alerts")?;
        Ok(alerts.iter().map(|alert| (text(&alert["labels"]["alertname"]), text(&alert["state"]))).collect())
    }
}
