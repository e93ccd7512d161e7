//! The built `foresail` binary as a process: started with arguments, asked, signaled, killed.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::control_plane::Access;
use crate::process::{Process, command};
use crate::{net, wait};

const PATIENCE: Duration = Duration::from_mins(1);

/// The binary under test: `FORESAIL_BIN`, or the one beside the running test in the target folder.
///
/// # Errors
/// Fails, naming the command that builds it, when there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("FORESAIL_BIN") {
        return Ok(PathBuf::from(path));
    }
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).map(|dir| dir.join("foresail")).find(|candidate| candidate.is_file());
    found.context("no foresail binary in the target folder: run `cargo build --package foresail`")
}

/// What `foresail run` is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    kubeconfig: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// Adds arguments to `foresail run`.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Uses this Prometheus for policies that name none.
    pub fn prometheus(self, url: &str) -> Self {
        self.arguments(&["--prometheus-url", url])
    }

    /// Sets an environment variable.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it is alive. It may not be ready yet: see [`Foresail::ready`].
    ///
    /// # Errors
    /// Fails, with the end of its log, when it is not alive in time.
    pub async fn start(self) -> Result<Foresail> {
        crate::prepare();
        let port = net::free_port()?;
        let process = Process::start("foresail", command_line(&self, port)?)?;
        let mut foresail = Foresail { process, port, setup: self };
        foresail.alive().await?;
        Ok(foresail)
    }
}

fn command_line(setup: &Setup, port: u16) -> Result<Command> {
    let mut command = command(binary()?);
    command.arg("run").args(["--listen", &format!("127.0.0.1:{port}")]).args(&setup.arguments);
    command.env("KUBECONFIG", &setup.kubeconfig).env("NO_COLOR", "1");
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "info");
    }
    command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
    Ok(command)
}

/// A running Foresail.
#[derive(Debug)]
pub struct Foresail {
    process: Process,
    port: u16,
    setup: Setup,
}

impl Foresail {
    /// What to start one with; begin here.
    pub fn setup(access: &Access) -> Setup {
        let kubeconfig = access.kubeconfig().to_path_buf();
        Setup { kubeconfig, arguments: Vec::new(), environment: Vec::new() }
    }

    /// `http://127.0.0.1:PORT` of probes, metrics and the page.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT` as a scrape target.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    async fn alive(&mut self) -> Result<()> {
        let url = format!("{}/livez", self.url());
        self.process.answers(PATIENCE, || get(&url)).await.map(drop)
    }

    /// Waits until `/readyz` says so.
    ///
    /// # Errors
    /// Fails, with the end of its log, when it is not ready in time.
    pub async fn ready(&mut self) -> Result<()> {
        let url = format!("{}/readyz", self.url());
        self.process.answers(PATIENCE, || get(&url)).await.map(drop)
    }

    /// The page of metrics.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        get(&format!("{}/metrics", self.url())).await
    }

    /// The sum of a metric over all of its series; 0 where there are none.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        Ok(self.values(name).await?.iter().sum())
    }

    /// The value of each series of a metric.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub async fn values(&self, name: &str) -> Result<Vec<f64>> {
        Ok(values(&self.metrics().await?, name).map(|(_, value)| value).collect())
    }

    /// The bound of the first bucket of a histogram below which at least this share (0 to 1) of all observations lies;
    /// infinite where that is the last, 0 where nothing was observed.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub async fn quantile(&self, name: &str, share: f64) -> Result<f64> {
        let page = self.metrics().await?;
        let bound = |series: &str| {
            let bound = series.split("le=\"").nth(1)?.split('"').next()?;
            if bound == "+Inf" { Some(f64::INFINITY) } else { bound.parse().ok() }
        };
        let bucket = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> =
            values(&page, &bucket).filter_map(|(series, count)| Some((bound(series)?, count))).collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = buckets.last().map_or(0.0, |(_, count)| *count);
        Ok(buckets
            .iter()
            .find(|(_, count)| all > 0.0 && *count >= share * all)
            .map_or(0.0, |(bound, _)| *bound))
    }

    /// How many series a metric has.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub async fn series(&self, name: &str) -> Result<usize> {
        let page = self.metrics().await?;
        let is = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        Ok(page.lines().filter(is).count())
    }

    /// Asks it to end (SIGTERM) and waits for that, at most `patience`.
    ///
    /// # Errors
    /// Fails when it does not end by itself.
    pub async fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.process.terminate(patience).await
    }

    /// Asks it to end (SIGTERM) and returns at once.
    pub fn ask_to_end(&mut self) {
        self.process.ask_to_end();
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Starts it again with the same arguments, on the same port.
    ///
    /// # Errors
    /// Fails, with the end of its log, when it is not alive in time.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.start_again(command_line(&self.setup, self.port)?)?;
        self.alive().await
    }
}

/// Each series of a metric on a page of metrics, with its value.
pub(crate) fn values<'a>(page: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(move |line| {
        let (series, value) = line.split(" # ").next().unwrap_or(line).rsplit_once(' ')?;
        (series.split('{').next() == Some(name)).then(|| Some((series, value.parse().ok()?))).flatten()
    })
}

async fn get(url: &str) -> Result<String> {
    let answer = wait::client()?.get(url).timeout(Duration::from_secs(5)).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    if !status.is_success() {
        bail!("{url} answers {status}: {text}");
    }
    Ok(text)
}
