//! Types commands as a reader of the documentation does: in a shell, with `foresail` and `kubectl` on the path and a
//! kubeconfig at hand. Addresses of the examples become those of the testbed; what would start this very test again is
//! only looked for.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use testbed::{assets, chart, foresail, wait};

use crate::scene::Scene;

/// What is running today, where a page holds a replay against it.
const HPA: &str = "
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {kind: Deployment, name: web}
  maxReplicas: 30
  metrics: [{type: External, external: {metric: {name: requests}, target: {averageValue: 70}}}]
";
const SCALED_OBJECT: &str = "
kind: ScaledObject
metadata: {name: web}
spec:
  scaleTargetRef: {name: web}
  triggers: [{type: prometheus, metadata: {query: 'sum(rate(http_requests_total[2m]))', threshold: '100'}}]
";

/// Exit codes besides 0 that say "done": `doctor` may have something to remark on.
const REMARKS: &[(&str, i32)] = &[("foresail doctor", 2)];

/// What ends when somebody ends it, and is ended here.
const ENDLESS: &[&str] = &["foresail run", "kubectl get asp -w"];

/// Seconds that an endless command runs, and that any other may take.
const WATCHED: u32 = 6;
const PATIENCE: u32 = 180;

pub(crate) struct Typist<'a> {
    scene: &'a Scene,
    desk: TempDir,
    path: OsString,
    kubeconfig: PathBuf,
}

impl<'a> Typist<'a> {
    /// A desk with what the examples read: a recorded load, a folder of them, the manifests.
    pub(crate) fn new(scene: &'a Scene) -> Result<Self> {
        let desk = tempfile::Builder::new().prefix("foresail-typist-").tempdir()?;
        let programs = desk.path().join("bin");
        std::fs::create_dir(&programs)?;
        for name in ["foresail", "kubectl-foresail"] {
            symlink(foresail::binary()?, programs.join(name))?;
        }
        let mut folders = vec![programs, assets::programs()];
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let kubeconfig = scene.plane.admin()?.kubeconfig().to_path_buf();
        let typist = Self { scene, path: std::env::join_paths(folders)?, kubeconfig, desk };
        typist.put("load.csv", &recorded(4))?;
        typist.put("hpa.yaml", HPA)?;
        typist.put("so.yaml", SCALED_OBJECT)?;
        typist.put("traces/shop.csv", &recorded(4))?;
        let manifests = std::fs::read_to_string(assets::repository().join("deploy/foresail.yaml"))?;
        typist.put("deploy/foresail.yaml", &manifests)?;
        symlink(assets::repository().join("charts"), typist.desk.path().join("charts"))?;
        Ok(typist)
    }

    /// Puts a file onto the desk.
    pub(crate) fn put(&self, name: &str, text: &str) -> Result<()> {
        let path = self.desk.path().join(name);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(path, text)?;
        Ok(())
    }

    /// Types one command and demands that it does what it should.
    pub(crate) async fn type_in(&mut self, command: &str) -> Result<()> {
        let words = words(command);
        let first = words.first().context("an empty command")?.as_str();
        let command = self.here(command);
        if command.starts_with("helm install") || command.contains("deploy/foresail.yaml") {
            self.clear().await?;
        }
        if first.starts_with("./tests/") || first.starts_with("tests/") || first.starts_with(".ci/") {
            return is_program(first);
        }
        if command.starts_with("cargo ") || command.contains(" cargo ") {
            return cargo_knows(&words);
        }
        self.shell(&command).await?;
        if command.starts_with("kubectl apply -f web.yaml") {
            self.wait_for_a_decision().await?;
        }
        Ok(())
    }

    /// Another way to install wants a cluster that has nothing of the one before but the definitions.
    async fn clear(&self) -> Result<()> {
        let plane = &self.scene.plane;
        chart::uninstall(plane).await?;
        let manifests = std::fs::read_to_string(self.desk.path().join("deploy/foresail.yaml"))?;
        for object in testbed::control_plane::apply::documents(&manifests)? {
            if !matches!(object["kind"].as_str(), Some("CustomResourceDefinition" | "Namespace")) {
                // Most often there is none.
                drop(plane.delete(object).await);
            }
        }
        Ok(())
    }

    /// The command with the testbed's addresses and ports.
    fn here(&self, command: &str) -> String {
        let prometheus = self.scene.prometheus.url();
        let mut command = command.to_owned();
        for address in
            ["http://prometheus.monitoring:9090", "http://prometheus:9090", "http://127.0.0.1:9090"]
        {
            command = command.replace(address, &prometheus);
        }
        for (example, here) in [
            ("http://collector:4317", "http://127.0.0.1:1"),
            ("http://collector:4318", "http://127.0.0.1:1"),
            ("cargo run --release -- ", "foresail "),
            ("foresail demo", "foresail demo --speed 0 --no-page"),
            ("foresail run", "foresail run --listen 127.0.0.1:0 --shutdown-delay 0s"),
            ("oci://ghcr.io/foresail/charts/foresail", "charts/foresail"),
        ] {
            command = command.replace(example, here);
        }
        command
    }

    async fn shell(&self, command: &str) -> Result<()> {
        let endless = ENDLESS.iter().any(|begin| command.starts_with(begin));
        let seconds = if endless { WATCHED } else { PATIENCE };
        let mut shell = Command::new("timeout");
        shell.args(["--preserve-status", "--kill-after=20", "--signal=TERM", &seconds.to_string()]);
        shell.args(["bash", "-o", "pipefail", "-c"]);
        // The shell makes way for a single command, so that it's that one which hears of the end.
        shell.arg(if endless { format!("exec {command}") } else { command.to_owned() });
        shell.current_dir(self.desk.path()).env("PATH", &self.path).env("KUBECONFIG", &self.kubeconfig);
        shell.env("NO_COLOR", "1").stdin(Stdio::null());
        // Servers of the testbed live on this thread.
        let output: Output = tokio::task::spawn_blocking(move || shell.output()).await??;
        let code = output.status.code().unwrap_or(-1);
        let remark = REMARKS.iter().any(|(begin, also)| command.starts_with(begin) && *also == code);
        // kubectl doesn't tell being ended from failing; what failed has something to say about it.
        let quiet = output.stderr.is_empty() && !output.stdout.is_empty();
        let ended = endless && (code == 128 + 15 || quiet);
        if code == 0 || remark || ended {
            return Ok(());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        bail!("exit code {code}\n{}{}", text(&output.stdout), text(&output.stderr))
    }

    /// The readme goes on with what Foresail decided, a moment later.
    async fn wait_for_a_decision(&self) -> Result<()> {
        wait::until("a decision", Duration::from_mins(1), || async {
            let policy = self.scene.policy("web").await?;
            ensure!(policy["status"]["decision"]["record"].is_object(), "{}", policy["status"]);
            Ok(())
        })
        .await
    }
}

/// A script of the repository that is there and may be run.
fn is_program(name: &str) -> Result<()> {
    let path = assets::repository().join(name.trim_start_matches("./"));
    let found = std::fs::metadata(&path).with_context(|| format!("there is no {name}"))?;
    ensure!(found.permissions().mode() & 0o111 != 0, "{name} can't be run");
    Ok(())
}

/// Packages, examples and test targets that a cargo command names are in the workspace. Building them all anew is what
/// the rest of CI does.
fn cargo_knows(words: &[String]) -> Result<()> {
    let root = assets::repository();
    let mut package = root.join("operator/bin");
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        let mut named = || words.next().with_context(|| format!("{word} wants a name"));
        match word.as_str() {
            "-p" | "--package" => {
                let name = named()?;
                package = match name.as_str() {
                    "testbed" => root.join("tests"),
                    "foresail" => root.join("operator/bin"),
                    other => root.join("operator").join(other),
                };
                ensure!(package.join("Cargo.toml").is_file(), "there is no package {name}");
            }
            "--example" => {
                let name = named()?;
                let place = package.join("examples").join(name);
                ensure!(place.is_dir() || place.with_extension("rs").is_file(), "there is no example {name}");
            }
            "--test" => {
                let name = named()?;
                let manifest = std::fs::read_to_string(package.join("Cargo.toml"))?;
                ensure!(manifest.contains(&format!("name = \"{name}\"")), "there is no test {name}");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The words of a command up to a comment, without their quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A load like a day's, again and again, one value each five minutes.
fn recorded(days: u32) -> String {
    let mut text = "timestamp,value\n".to_owned();
    for slot in 0..days * 288 {
        let second = 1_772_668_800 + u64::from(slot) * 300;
        let angle = f64::from(slot % 288) / 288.0 * std::f64::consts::TAU;
        // Writing to a String can't fail.
        let _ = writeln!(text, "{second},{:.1}", 900.0 - 600.0 * angle.cos() + f64::from(slot % 7) * 9.0);
    }
    text
}
