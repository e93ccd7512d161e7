//! The testbed by hand: a control plane to try things on.

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use testbed::{ControlPlane, Kubelets};
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
}

#[tokio::main]
async fn main() -> Result<()> {
    testbed::prepare();
    let Command::Up { startup, without_crds } = Arguments::parse().command;
    eprintln!("starting etcd, kube-apiserver and kube-controller-manager ...");
    let mut plane = ControlPlane::start().await?;
    if !without_crds {
        plane.install_crds().await?;
    }
    let _kubelets = Kubelets::start(plane.client(), Duration::from_secs(startup));
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
