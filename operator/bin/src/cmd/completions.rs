//! `foresail completions`: completion scripts for shells.

use std::process::ExitCode;

use crate::cli;

/// For bash: `source <(foresail completions bash)`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

#[expect(clippy::unnecessary_wraps, reason = "every subcommand has the same signature")]
pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    clap_complete::generate(args.shell, &mut cli::command(), "foresail", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
