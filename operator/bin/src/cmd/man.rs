//! `foresail man`: manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli;

#[derive(Debug, clap::Args)]
#[command(after_help = "Prints foresail(1), or writes it and one page for each subcommand into a directory.")]
pub(crate) struct Args {
    /// Where to write all pages
    #[arg(long, value_name = "DIRECTORY")]
    write: Option<PathBuf>,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    match args.write {
        Some(directory) => {
            std::fs::create_dir_all(&directory)
                .and_then(|()| clap_mangen::generate_to(cli::command(), &directory))
                .with_context(|| format!("can't write to {}", directory.display()))?;
        }
        None => clap_mangen::Man::new(cli::command()).render(&mut std::io::stdout())?,
    }
    Ok(ExitCode::SUCCESS)
}
