//! `foresail completions`: completion scripts for shells.

use std::process::ExitCode;

use crate::cli;

#[derive(Debug, clap::Args)]
#[command(after_help = "For bash: source <(foresail completions bash)")]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

#[expect(clippy::unnecessary_wraps, reason = "every subcommand has the same signature")]
pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    clap_complete::generate(args.shell, &mut cli::command(), "foresail", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
