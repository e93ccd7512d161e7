//! The command line against a real cluster and a real Prometheus: what each subcommand says and does there, and the exit
//! codes that its help promises. What needs neither is tested beside the program (`operator/bin/tests`).

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

mod scene;

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use scene::{Scene, policy};
use serde_json::{Value, json};
use testbed::Shape;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What came of a command.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{self:?}"))
    }

    /// Demands an exit code, and words on either stream.
    fn demand(self, code: i32, words: &[&str]) -> Result<Self> {
        ensure!(self.code == code, "exit code {} instead of {code}: {self:?}", self.code);
        for word in words {
            ensure!(self.out.contains(word) || self.err.contains(word), "{word:?} isn't said: {self:?}");
        }
        Ok(self)
    }
}

/// A shell of somebody with a kubeconfig, `foresail` and `kubectl` on the path.
struct Shell<'a> {
    scene: &'a Scene,
    desk: tempfile::TempDir,
}

impl Shell<'_> {
    async fn run(&self, line: &str) -> Result<Ended> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = [self.desk.path().to_path_buf(), testbed::assets::programs()];
        let folders = own.into_iter().chain(std::env::split_paths(&path));
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "120", "bash", "-o", "pipefail", "-c", line]).stdin(Stdio::null());
        command.env("PATH", std::env::join_paths(folders)?).env("NO_COLOR", "1");
        command.env("KUBECONFIG", self.scene.plane.admin()?.kubeconfig()).current_dir(self.desk.path());
        // Servers of the testbed live on this thread.
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        })
    }
}

#[tokio::test]
async fn every_subcommand_does_on_a_real_cluster_what_its_help_says() -> Result<()> {
    let evening = Timestamp::now() + SignedDuration::from_hours(3);
    let shape = Shape::daily(evening, &[(0, 300.0), (3_600, 1_100.0), (7_200, 300.0)]);
    let mut scene = Scene::set(shape, &json!({})).await?;
    scene.deploy("web", 4).await?;
    scene.start_foresail("one", &[]).await?;
    let desk = tempfile::Builder::new().prefix("foresail-shell-").tempdir()?;
    let binary = testbed::foresail::binary()?;
    for name in ["foresail", "kubectl-foresail"] {
        std::os::unix::fs::symlink(&binary, desk.path().join(name))?;
    }
    let shell = Shell { scene: &scene, desk };
    let taken = scene.foresail[0].address();
    let second = format!("foresail run --log-filter off --listen {taken}");
    shell.run(&second).await?.demand(1, &[&format!("can't listen on {taken}")])?;
    shell.run("foresail status").await?.demand(0, &["No policies"])?;
    scene.plane.apply_object(policy("web", &json!({}))).await?;
    scene.wait_for_condition("web", "Ready", "True", "", Duration::from_mins(1)).await?;

    explain(&shell).await?;
    doctor(&shell).await?;
    backtest(&shell).await?;
    pause(&shell).await?;
    alert(&shell).await?;
    status(&shell).await
}

/// The exit code says whether all is Ready; every output holds the same policies; kubectl knows it as a plugin.
async fn status(shell: &Shell<'_>) -> Result<()> {
    let table = shell.run("foresail status").await?.demand(0, &["NAME", "Deployment/web", "True ("])?;
    shell.run("kubectl foresail status web").await?.demand(0, &["Deployment/web"])?;
    ensure!(!table.out.contains("NAMESPACE"), "{}", table.out);
    shell.run("foresail status --all-namespaces").await?.demand(0, &["NAMESPACE", "default"])?;
    let list = shell.run("foresail status -o json").await?.json()?;
    ensure!(list[0]["metadata"]["name"] == "web" && list[0]["status"]["decision"].is_object(), "{list}");
    shell.run("foresail status -o yaml").await?.demand(0, &["kind: AutoscalePolicy", "name: web"])?;
    shell.run("foresail status nobody").await?.demand(1, &["can't read AutoscalePolicy nobody"])?;
    shell.run("foresail status --context lost").await?.demand(1, &["lost"])?;

    shell.scene.plane.apply_object(policy("missing", &json!({}))).await?;
    shell.scene.wait_for_condition("missing", "Ready", "False", "", Duration::from_mins(1)).await?;
    shell.run("foresail status").await?.demand(3, &["TargetNotFound"])?;
    shell.run("foresail explain missing").await?.demand(1, &["missing has no decision yet"])?;
    shell.run("foresail doctor").await?.demand(1, &["default/missing isn't Ready", "→"])?;
    Ok(())
}

/// A live decision, by name and from a status, and its replay to the same answer.
async fn explain(shell: &Shell<'_>) -> Result<()> {
    let text =
        shell.run("foresail explain web --replay").await?.demand(0, &["candidate", "the same answer"])?;
    ensure!(text.out.contains("replicas"), "{}", text.out);
    let record = shell.run("foresail explain web -o json").await?.demand(0, &[])?.json()?;
    ensure!(record["recommendation"]["target"].is_u64(), "{record}");
    let piped = "kubectl get asp web -o yaml | foresail explain - --replay";
    shell.run(piped).await?.demand(0, &["the same answer"])?;
    let edited = "kubectl get asp web -o json | sed 's/\"target\": [0-9]*,/\"target\": 987,/' | foresail explain - --replay";
    let ended = shell.run(edited).await?;
    ensure!(ended.code == 1, "a record that was changed is replayed as if it weren't: {ended:?}");
    shell.run("foresail explain nobody").await?.demand(1, &["can't get the policy nobody"])?;
    Ok(())
}

/// Nothing broken where all is well; the chart's account may do what it needs; what is broken is named.
async fn doctor(shell: &Shell<'_>) -> Result<()> {
    let url = shell.scene.prometheus.url();
    let ended = shell.run(&format!("foresail doctor --prometheus-url {url} -o json")).await?;
    let findings = ended.json()?;
    let all = findings.as_array().context("a list")?;
    ensure!(all.iter().all(|f| f["verdict"] != "broken"), "{findings:#}");
    let warned = all.iter().any(|f| f["verdict"] == "warning");
    ensure!(ended.code == if warned { 2 } else { 0 }, "{ended:?}");
    let found = |words: &str| all.iter().any(|f| f["what"].as_str().is_some_and(|what| what.contains(words)));
    for words in ["default/web is Ready", "default/web: requests is", "targets are scraped"] {
        ensure!(found(words), "nothing about {words:?}: {findings:#}");
    }
    let account = format!("foresail doctor --prometheus-url {url} --service-account foresail/foresail");
    shell.run(&account).await?.demand(ended.code, &["foresail/foresail may do what the operator does"])?;
    let other = format!("foresail doctor --prometheus-url {url} --service-account shop/default");
    shell.run(&other).await?.demand(2, &["shop/default may not: ", "watch pods"])?;
    let gone = "foresail doctor --prometheus-url http://127.0.0.1:1";
    shell
        .run(gone)
        .await?
        .demand(1, &["http://127.0.0.1:1 doesn't answer", "default/web: requests gives no value"])?;
    Ok(())
}

/// The policy's own query over two weeks of a real Prometheus, which was back-filled.
async fn backtest(shell: &Shell<'_>) -> Result<()> {
    let write = |name: &str, policy: Value| std::fs::write(shell.desk.path().join(name), policy.to_string());
    write("web.yaml", policy("web", &json!({})))?;
    let url = shell.scene.prometheus.url();
    let replay = format!(
        "foresail backtest --policy web.yaml --prometheus {url} --since 14d --quick --output json --html web.html"
    );
    let ended = shell.run(&replay).await?.demand(0, &[])?;
    let comparison = ended.json()?;
    let days = comparison["days"].as_f64().unwrap_or_default();
    // A fortnight and a bit was recorded, of which half is known history.
    ensure!((6.5..=8.0).contains(&days), "half of what was recorded is scored, not {days} days");
    let rows = comparison["rows"].as_array().context("rows")?;
    let row = |name: &str| rows.iter().find(|r| r["name"] == name).with_context(|| format!("no row {name}"));
    let hours = |row: &Value| row["replica_hours"].as_f64().unwrap_or_default();
    let (ours, peak) = (row("Foresail")?, row("static peak")?);
    // The load is 300 but for two hours a day; a peak all day costs more than twice as much.
    ensure!(hours(ours) > 0.0 && hours(ours) * 2.0 < hours(peak), "{ours} {peak}");
    ensure!(ours["violation_percent"].as_f64().is_some_and(|p| p < 1.0), "{ours}");
    let page = std::fs::read_to_string(shell.desk.path().join("web.html"))?;
    ensure!(page.contains("Deployment/web") && page.contains("<svg"), "no charts");

    let gone = "foresail backtest --policy web.yaml --prometheus http://127.0.0.1:1";
    shell.run(gone).await?.demand(1, &["Unreachable"])?;
    let empty =
        json!([{"name": "requests", "target": 100, "prometheus": {"query": "sum(rate(nobody_total[1m]))"}}]);
    write("empty.yaml", policy("web", &json!({"metrics": empty})))?;
    let nothing = format!("foresail backtest --policy empty.yaml --prometheus {url}");
    shell.run(&nothing).await?.demand(1, &["foresail: "])?;
    Ok(())
}

/// A pause stands in the policy with its end and its reason, holds the target, and can be ended.
async fn pause(shell: &Shell<'_>) -> Result<()> {
    let scene = shell.scene;
    let said = ["web is paused until", "foresail pause web --end"];
    shell.run("foresail pause web --for 1h --why 'a look'").await?.demand(0, &said)?;
    let paused = scene.policy("web").await?["spec"]["paused"].clone();
    ensure!(paused["reason"] == "a look", "{paused}");
    let until: Timestamp = paused["until"].as_str().context("an end")?.parse()?;
    let left = until.duration_since(Timestamp::now()).as_secs();
    ensure!((3_500..=3_600).contains(&left), "{left} s left");
    let before = scene.replicas("web").await?;
    let minimum = json!({"spec": {"minReplicas": 9}});
    shell.run(&format!("kubectl patch asp web --type merge -p '{minimum}'")).await?.demand(0, &[])?;
    scene.demand_replicas("web", before..=before, Duration::from_secs(5)).await?;
    shell.run("foresail explain web").await?.demand(0, &[])?;
    shell.run("foresail pause web --end").await?.demand(0, &["web goes on scaling"])?;
    scene.wait_for_replicas("web", 9..=9, Duration::from_secs(30)).await?;
    shell.run("foresail pause nobody --end").await?.demand(1, &["can't change AutoscalePolicy nobody"])?;
    Ok(())
}

/// An HTTP server that answers every request with `status`.
async fn answering(status: &'static str) -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let _ = stream.read(&mut request).await;
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    Ok(address)
}

/// The service's answer decides the exit code; what is missing is named, and a secret never is.
async fn alert(shell: &Shell<'_>) -> Result<()> {
    let (takes, refuses) = (answering("200 OK").await?, answering("400 Bad Request").await?);
    let receiver = |name: &str, spec: Value| {
        json!({"apiVersion": "foresail.dev/v1alpha1", "kind": "AlertReceiver",
            "metadata": {"name": name, "namespace": "default"}, "spec": spec})
    };
    let hook = |address: &str| json!({"alertmanager": {"urls": [format!("http://{address}")]}, "allowInsecure": true});
    let lost = json!({"slack": {"urlSecretRef": {"name": "lost", "key": "url"}}});
    for object in
        [receiver("takes", hook(&takes)), receiver("refuses", hook(&refuses)), receiver("lost", lost)]
    {
        shell.scene.plane.apply_object(object).await?;
    }
    shell.run("foresail alert test takes").await?.demand(0, &["√ firing", "√ resolved"])?;
    shell.run("foresail alert test refuses").await?.demand(1, &["× firing", "400"])?;
    shell.run("foresail alert test lost").await?.demand(1, &["lost"])?;
    shell
        .run("foresail alert test nobody")
        .await?
        .demand(1, &["there is no AlertReceiver nobody in default"])?;
    Ok(())
}
