//! What `foresail run` costs while nothing happens: many policies whose load stays as it is, each with its own
//! deployment and pod, on a real control plane and a Prometheus with two weeks of history.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::fleet::{Fleet, PATIENCE};
use crate::{Shape, wait};

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Policies at work.
    pub policies: usize,
    /// From the start of the process until every policy was decided on.
    pub ready_after: Duration,
    /// Resident memory at the end, in MiB.
    pub resident: f64,
    /// Of that, what no file backs.
    pub anonymous: f64,
    /// The most that was ever resident, in MiB.
    pub peak: f64,
    /// Cores used on the average over the span.
    pub cores: f64,
    /// How long that was watched.
    pub span: Duration,
}

/// Sets everything up, lets it settle, and watches for `span`.
///
/// # Errors
/// Fails when a server doesn't start, or a policy isn't decided on in time.
pub async fn measure(policies: usize, span: Duration) -> Result<Measured> {
    let (fleet, access) = Fleet::start(policies, Shape::constant(80.0)).await?;
    let begun = Instant::now();
    let foresail = fleet.foresail(&access).await?;
    wait::until("a decision for every policy", PATIENCE, || async {
        let decided = foresail.series("foresail_policy_last_decision_timestamp_seconds").await?;
        ensure!(decided >= policies, "{decided} of {policies}");
        anyhow::Ok(())
    })
    .await?;
    let ready_after = begun.elapsed();
    eprintln!("every policy was decided on {ready_after:.1?} after the start; histories are read ...");
    wait::until("a forecast for every policy", PATIENCE, || async {
        let fits = foresail.metric("foresail_forecast_refits_total").await?;
        ensure!(fits >= policies as f64, "{fits} of {policies}");
        anyhow::Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_mins(2)).await;
    eprintln!("watching for {span:?} ...");
    let (watched, used) = (Instant::now(), cpu_seconds(foresail.id())?);
    tokio::time::sleep(span).await;
    let cores = (cpu_seconds(foresail.id())? - used) / watched.elapsed().as_secs_f64();
    let memory = |field| mebibytes(foresail.id(), field);
    Ok(Measured {
        policies,
        ready_after,
        resident: memory("VmRSS:")?,
        anonymous: memory("RssAnon:")?,
        peak: memory("VmHWM:")?,
        cores,
        span,
    })
}

/// Seconds of CPU that a process has used, in user and kernel mode.
fn cpu_seconds(process: u32) -> Result<f64> {
    /// What Linux counts in, on every architecture that it runs on today.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in brackets may hold spaces: what follows it is counted.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| -> Result<f64> { Ok(fields.get(index).context("a short stat")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn mebibytes(process: u32, field: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field)).with_context(|| format!("no {field}"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kibibytes / 1024.0)
}
