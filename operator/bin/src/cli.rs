//! The command line: one variant per subcommand, and what an error looks like.

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::cmd;

/// Scales Kubernetes workloads before the load arrives, and tells you why.
#[derive(Debug, Parser)]
#[command(name = "foresail", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try alert receivers out
    Alert(cmd::alert::Args),
    /// Watch a day of scaling on a simulated cluster; needs nothing
    Demo(cmd::demo::Args),
    /// Replay a policy over recorded load, beside the HPA and others
    Backtest(cmd::backtest::Args),
    /// Say why a decision was made, and prove it
    Explain(cmd::explain::Args),
    /// Run the operator
    Run(cmd::run::Args),
    /// List the policies and how they are doing
    Status(cmd::status::Args),
    /// Find what keeps Foresail from working, and say what to do
    Doctor(cmd::doctor::Args),
    /// Hold a policy's target as it is for a while
    Pause(cmd::pause::Args),
    /// Make a policy of a HorizontalPodAutoscaler or a KEDA ScaledObject
    Convert(cmd::convert::Args),
    /// Print the custom resource definitions
    Crds(cmd::crds::Args),
    /// Print a completion script for a shell
    Completions(cmd::completions::Args),
    /// Print or write the manual pages
    Man(cmd::man::Args),
    /// Write the reference pages
    #[command(hide = true)]
    Reference(cmd::reference::Args),
}

/// How machines want their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Parses the arguments, runs the subcommand, prints an error with its causes. Exit codes: 0 done, 1 failed, 2 wrong
/// usage; `doctor` and `status` say in their help what theirs mean.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Alert(args) => cmd::alert::main(args),
        Command::Demo(args) => cmd::demo::main(args),
        Command::Backtest(args) => cmd::backtest::main(args),
        Command::Explain(args) => cmd::explain::main(args),
        Command::Run(args) => cmd::run::main(args),
        Command::Status(args) => cmd::status::main(args),
        Command::Doctor(args) => cmd::doctor::main(args),
        Command::Pause(args) => cmd::pause::main(args),
        Command::Convert(args) => cmd::convert::main(args),
        Command::Crds(args) => cmd::crds::main(args),
        Command::Completions(args) => cmd::completions::main(args),
        Command::Man(args) => cmd::man::main(args),
        Command::Reference(args) => cmd::reference::main(args),
    };
    result.unwrap_or_else(|error| {
        // `{:#}` joins the causes with colons, outermost first.
        eprintln!("foresail: {error:#}");
        ExitCode::FAILURE
    })
}

/// The command line as data, for man pages, completions and the reference.
pub(crate) fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// A runtime for the subcommands that talk to servers.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("foresail").build()
}
