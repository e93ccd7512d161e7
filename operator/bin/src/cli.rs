//! The command line: one variant per subcommand, and what an error looks like.

use std::io;
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
    end_quietly_without_a_reader();
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
        if error.chain().any(|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
        }) {
            return ExitCode::from(NO_READER);
        }
        // `{:#}` joins the causes with colons, outermost first.
        eprintln!("foresail: {error:#}");
        ExitCode::FAILURE
    })
}

/// As a shell tells of a program that a closed pipe ended.
const NO_READER: u8 = 128 + 13;

/// In `foresail crds | head` the reader goes away early, which `print!` takes for a reason to panic. That is no fault
/// worth a word.
fn end_quietly_without_a_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str().is_some_and(|words| words.contains("Broken pipe")) {
            std::process::exit(NO_READER.into());
        }
        usual(panic);
    }));
}

/// The command line as data, for man pages, completions and the reference.
pub(crate) fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// A runtime for the subcommands that talk to servers.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("foresail").build()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use clap::error::ErrorKind;

    use super::*;

    fn pages(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pages(&path, into);
            } else if path.extension().is_some_and(|e| e == "md") {
                into.push(path);
            }
        }
    }

    /// What a page says to type: inline code, lines of blocks and examples of the help, up to a pipe or a comment.
    fn mentioned(page: &str) -> Vec<String> {
        let inline = page.split('`').skip(1).step_by(2).filter(|code| !code.contains('\n'));
        let lines =
            page.lines().map(|line| line.trim().trim_start_matches("$ ")).filter(|l| !l.contains('`'));
        let own = |part: &str| {
            let part = part.trim().trim_start_matches("kubectl ");
            part.starts_with("foresail ").then(|| part.to_owned())
        };
        let cut = |code: &str| {
            code.split(" #").next().unwrap_or_default().split("   ").next().unwrap_or_default().to_owned()
        };
        inline
            .chain(lines)
            .flat_map(|code| cut(code).split('|').filter_map(own).collect::<Vec<_>>())
            .collect()
    }

    fn words(command: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut quoted = false;
        for part in command.split('"') {
            if quoted {
                words.push(part.to_owned());
            } else {
                let plain = part.split_whitespace().take_while(|w| !w.starts_with('>') && *w != "\\");
                words.extend(plain.map(str::to_owned));
            }
            quoted = !quoted;
        }
        words
    }

    #[test]
    fn every_command_in_the_documentation_has_the_flags_that_it_names() {
        let root = Path::new("../..");
        let mut all = vec![
            root.join("README.md"),
            root.join("CONTRIBUTING.md"),
            root.join("charts/foresail/README.md"),
        ];
        pages(&root.join("docs"), &mut all);
        let (mut seen, mut wrong) = (0, Vec::new());
        for page in all {
            let text = std::fs::read_to_string(&page).unwrap();
            for command in mentioned(&text) {
                let words = words(&command);
                seen += 1;
                let Err(error) = Cli::try_parse_from(&words) else { continue };
                // A flag or a subcommand may be named without everything that a whole command needs.
                let fine = [
                    ErrorKind::MissingRequiredArgument,
                    ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                    ErrorKind::DisplayHelp,
                    ErrorKind::DisplayVersion,
                ];
                if !fine.contains(&error.kind()) {
                    wrong.push(format!("{}: {command}\n{error}", page.display()));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(seen > 60, "only {seen} commands found");
    }
}
