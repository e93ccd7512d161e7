//! `foresail alert test`: sends a test message to a receiver, and shows what the service said.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use api::v1alpha1::AlertReceiver;
use kube::Api;
use notify::{Receiver, Transport, TransportSettings};

use crate::cli;
use crate::cluster::Cluster;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Send one test alert, firing and then resolved, and show what the service said
    Test(TestArgs),
}

#[derive(Debug, clap::Args)]
struct TestArgs {
    /// Name of the AlertReceiver
    receiver: String,
    /// Namespace of the AlertReceiver. Default: the one of the context
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Longest time the service may take
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = api::units::duration)]
    timeout: Duration,
    #[command(flatten)]
    cluster: Cluster,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    let Command::Test(args) = args.command;
    cli::runtime()?.block_on(test(args))
}

async fn test(args: TestArgs) -> anyhow::Result<ExitCode> {
    let (client, own) = args.cluster.client().await?;
    let namespace = args.namespace.unwrap_or(own);
    let name = &args.receiver;
    let api: Api<AlertReceiver> = Api::namespaced(client.clone(), &namespace);
    let object = api
        .get_opt(name)
        .await
        .with_context(|| format!("can't read AlertReceiver {name} in {namespace}"))?
        .with_context(|| format!("there is no AlertReceiver {name} in {namespace}"))?;
    let secrets = monitoring::Secrets::new(client);
    let settings = monitoring::receiver_settings(&secrets, &namespace, name, &object.spec).await?;
    let transport = Transport::new(TransportSettings {
        allow_insecure: object.spec.allow_insecure || object.spec.alertmanager.is_some(),
        timeout: args.timeout,
    })?;
    let report = Receiver::test(&settings, &transport).await?;
    println!("{namespace}/{name} ({})", settings.target.name());
    for (step, delivery) in &report.steps {
        let mark = if delivery.delivered { "√" } else { "×" };
        let reason = delivery.reason.map(|r| format!("{}: ", r.as_str())).unwrap_or_default();
        println!("  {mark} {step:<9} {reason}{}", delivery.message);
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
