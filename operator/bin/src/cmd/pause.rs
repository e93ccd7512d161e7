//! `foresail pause`: holds a policy's target as it is for a while, and says why to whoever finds it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use api::units;
use api::v1alpha1::AutoscalePolicy;
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use series::time;

use crate::cli;
use crate::cluster::Cluster;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A pause ends by itself, so that nobody forgets it. The policy goes on deciding and reporting meanwhile.")]
pub(crate) struct Args {
    /// The policy
    name: String,
    #[command(flatten)]
    cluster: Cluster,
    /// Namespace. Default: the one of the context
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// How long, such as 2h or 45m
    #[arg(long = "for", value_name = "DURATION", value_parser = units::duration, required_unless_present = "end")]
    duration: Option<Duration>,
    /// Why, for those who find it
    #[arg(long, value_name = "TEXT", required_unless_present = "end")]
    why: Option<String>,
    /// End a pause now
    #[arg(long, conflicts_with_all = ["duration", "why"])]
    end: bool,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    cli::runtime()?.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, namespace) = args.cluster.client().await?;
    let namespace = args.namespace.unwrap_or(namespace);
    let api: Api<AutoscalePolicy> = Api::namespaced(client, &namespace);
    let until = time::after(Timestamp::now(), args.duration.unwrap_or_default());
    // Whole seconds read better.
    let until = Timestamp::from_second(until.as_second())?;
    let paused = if args.end {
        serde_json::Value::Null
    } else {
        serde_json::json!({"until": until.to_string(), "reason": args.why.unwrap_or_default()})
    };
    let patch = serde_json::json!({"spec": {"paused": paused}});
    let params = PatchParams { field_manager: Some("foresail-cli".to_owned()), ..PatchParams::default() };
    api.patch(&args.name, &params, &Patch::Merge(patch))
        .await
        .with_context(|| format!("can't change AutoscalePolicy {} in {namespace}", args.name))?;
    if args.end {
        println!("{} goes on scaling", args.name);
    } else {
        println!(
            "{} is paused until {until}; end it sooner with `foresail pause {} --end`",
            args.name, args.name
        );
    }
    Ok(ExitCode::SUCCESS)
}
