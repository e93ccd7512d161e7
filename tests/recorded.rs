//! What is proved is what runs: the operator, recorded on real servers through a ramp, an outage of Prometheus, a kill and a
//! restart; the replay of the recording gives the same decisions, bit for bit.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

mod scene;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use scene::{Scene, policy, until};
use serde_json::{Value, json};
use testbed::{Shape, foresail, wait};

/// Lines of the recording that hold `words`.
fn lines(recording: &Path, words: &str) -> usize {
    let text = std::fs::read_to_string(recording).unwrap_or_default();
    text.lines().filter(|line| line.contains(words)).count()
}

/// Whether two values are the same; an API server writes 1.0 as 1.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|b| same(value, b)))
        }
        _ => a == b,
    }
}

#[tokio::test]
async fn what_was_recorded_on_real_servers_is_what_is_replayed() -> Result<()> {
    let ramp = Timestamp::now() + SignedDuration::from_secs(100);
    let knots = [(0, 200.0), (10, 1000.0), (7200, 1000.0), (7210, 200.0)];
    let mut scene = Scene::set(Shape::daily(ramp, &knots), &json!({})).await?;
    scene.deploy("web", 3).await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_str().context("a path in UTF-8")?;
    let recording = folder.path().join("default.web.jsonl");
    scene
        .start_foresail(
            "one",
            &["--record", path, "--record-policy", "default/web", "--lease-duration", "4s"],
        )
        .await?;
    scene.plane.apply_object(policy("web", &json!({}))).await?;
    scene.plane.apply_object(policy("other", &json!({"scaleTargetRef": {"name": "missing"}}))).await?;

    // A strategy is proved by the two weeks before, within three minutes of the start.
    let proved = || async {
        let learned = scene.policy("web").await?["status"]["learned"]["selection"].clone();
        ensure!(learned["evidence"]["score"]["days"].as_f64() >= Some(6.9), "{learned}");
        Ok(learned["selected"]["strategy"].clone())
    };
    let selected: Value = wait::until("seven days of evidence", Duration::from_mins(3), proved).await?;
    tokio::time::sleep(until(ramp)).await;
    scene.wait_for_replicas("web", 10..=20, Duration::from_mins(1)).await?;

    scene.prometheus.stop();
    scene.wait_for_condition("web", "DataFresh", "False", "", Duration::from_secs(30)).await?;
    scene.prometheus.start().await?;
    scene.wait_for_condition("web", "DataFresh", "True", "", Duration::from_mins(1)).await?;

    scene.foresail[0].kill();
    let before = lines(&recording, "\"call\":\"stepped\"");
    scene.foresail[0].restart().await?;
    wait::until("decisions after the restart", Duration::from_mins(1), || async {
        let stepped = lines(&recording, "\"call\":\"stepped\"");
        ensure!(stepped > before, "{stepped} decisions");
        Ok(())
    })
    .await?;
    // At the first decision after it the strategy is still the one that was proved.
    let text = std::fs::read_to_string(&recording)?;
    let restored = text.lines().rfind(|line| line.contains("\"call\":\"restored\""));
    let restored: Value = serde_json::from_str(restored.context("no restart in the recording")?)?;
    let kept = &restored["saved"]["selection"]["selected"]["strategy"];
    ensure!(same(kept, &selected), "{kept} instead of {selected}");
    wait::until("a fit after the restart", Duration::from_mins(1), || async {
        let (taken, restarts) =
            (lines(&recording, "\"call\":\"tookOver\""), lines(&recording, "\"call\":\"restored\""));
        ensure!(restarts == 2 && taken >= 3, "{restarts} starts, {taken} jobs");
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    scene.foresail[0].terminate(Duration::from_secs(20)).await?;

    let replayed = tokio::process::Command::new(foresail::binary()?)
        .args(["backtest", "--recorded", path])
        .output()
        .await?;
    let told = String::from_utf8_lossy(&replayed.stdout).into_owned();
    println!("{told}");
    ensure!(replayed.status.success(), "{told}{}", String::from_utf8_lossy(&replayed.stderr));
    ensure!(told.contains("1 restarts, 0 differ"), "{told}");
    ensure!(!told.contains("other"), "only the policy that was named is recorded: {told}");

    let explained =
        tokio::process::Command::new(foresail::binary()?).arg("explain").arg(&recording).output().await?;
    let told = String::from_utf8_lossy(&explained.stdout).into_owned();
    ensure!(explained.status.success() && told.contains("replicas"), "{told}");
    Ok(())
}
