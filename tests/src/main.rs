//! The testbed by hand: a control plane to try things on, and measurements that are too long for a test.

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use testbed::{ControlPlane, Kubelets, idle};
use tokio::signal::unix::{SignalKind, signal};

/// Real servers on loopback, for trying Foresail without a cluster.
#[derive(Debug, Parser)]
#[command(name = "testbed")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a control plane, print its KUBECONFIG, wait for Ctrl-C
    Up {
        /// Seconds from a pod's creation until it is Ready
        #[arg(long, default_value_t = 5)]
        startup: u64,
        /// Do not install the CRDs of this repository
        #[arg(long)]
        without_crds: bool,
    },
    /// Measure what `foresail run` costs with many idle policies: memory and CPU
    ///
    /// The binary is the one that `FORESAIL_BIN` names, or the one beside this program. Figures mean something for
    /// a release build only.
    Idle {
        /// How many policies
        #[arg(long, default_value_t = 1_000)]
        policies: usize,
        /// How long to watch once everything has settled, in seconds
        #[arg(long, default_value_t = 120)]
        seconds: u64,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    testbed::prepare();
    match Arguments::parse().command {
        Command::Up { startup, without_crds } => up(Duration::from_secs(startup), !without_crds).await,
        Command::Idle { policies, seconds } => measure(policies, Duration::from_secs(seconds)).await,
    }
}

async fn measure(policies: usize, span: Duration) -> Result<()> {
    let idle::Measured { ready_after, resident, anonymous, peak, cores, .. } =
        idle::measure(policies, span).await?;
    println!("{policies} idle policies, one pod each, decided on every 15 s, watched for {span:?}:");
    println!(
        "  resident    {resident:.0} MiB, {anonymous:.0} MiB of it anonymous; {peak:.0} MiB at its peak"
    );
    println!("  CPU         {:.1} % of a core", cores * 100.0);
    println!("  all decided {:.1} s after the start", ready_after.as_secs_f64());
    Ok(())
}

async fn up(startup: Duration, crds: bool) -> Result<()> {
    eprintln!("starting etcd, kube-apiserver and kube-controller-manager ...");
    let mut plane = ControlPlane::start().await?;
    if crds {
        plane.install_crds().await?;
    }
    let _kubelets = Kubelets::start(plane.client(), startup);
    eprintln!(
        "Kubernetes {} serves at {}; logs in {}",
        plane.version(),
        plane.url(),
        plane.directory().display()
    );
    println!("export KUBECONFIG={}", plane.admin()?.kubeconfig().display());
    eprintln!("Ctrl-C ends everything.");

    let mut terminated = signal(SignalKind::terminate())?;
    let mut check = tokio::time::interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            result = tokio::signal::ctrl_c() => return Ok(result?),
            _ = terminated.recv() => return Ok(()),
            _ = check.tick() => plane.check()?,
        }
    }
}
