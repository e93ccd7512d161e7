//! `foresail backtest`: a policy over recorded load, beside everything else one could run.

mod existing;
mod input;

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use api::v1alpha1::SAME_COST;
use autoscaler::Prepared;
use backtest::report::{Paint, html, table};
use backtest::{Comparison, Existing, Load, Setup, Suite};
use controller::validate::Intent;
use decide::Protection;
use indicatif::{ProgressBar, ProgressStyle};

use input::{existing, intent, read_csv, recordings};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("query").args(["policy", "hpa", "scaled_object"]).multiple(true), after_help = "\
Examples:
  foresail backtest --policy web.yaml --prometheus http://prometheus:9090 --since 14d
  foresail backtest --hpa hpa.yaml --prometheus http://prometheus:9090
  foresail backtest --scaled-object so.yaml --csv load.csv --price 0.05
  foresail backtest --policy web.yaml --csv load.csv --html report.html
  foresail backtest --csv load.csv --target 200 --startup 45s
  foresail backtest --suite traces/ --startup 30s,60s,180s
  foresail backtest --recorded recordings/")]
pub(crate) struct Args {
    /// The AutoscalePolicy to replay, as YAML: with all of its metrics from Prometheus; with its first from a CSV
    #[arg(long, value_name = "FILE", required_unless_present_any = ["target", "hpa", "scaled_object", "suite", "recorded"])]
    policy: Option<PathBuf>,
    /// The HorizontalPodAutoscaler that runs today, as YAML: Foresail is held against it. Without --policy or --target, what
    /// is replayed is the policy that `foresail convert` makes of it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scaled_object", "suite"])]
    hpa: Option<PathBuf>,
    /// The same with the KEDA ScaledObject that runs today
    #[arg(long, value_name = "FILE", conflicts_with = "suite")]
    scaled_object: Option<PathBuf>,
    /// Instead of a policy: the load one replica carries, with every default
    #[arg(long, value_name = "LOAD", conflicts_with = "policy")]
    target: Option<f64>,
    /// Recorded load: `timestamp,value` rows, RFC 3339 or seconds since 1970; a folder replays every CSV in it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prometheus", "suite"], required_unless_present_any = ["prometheus", "suite", "recorded"])]
    csv: Option<PathBuf>,
    /// Read the load from this Prometheus with the policy's own query
    #[arg(long, value_name = "URL", requires = "query")]
    prometheus: Option<String>,
    /// How much of the newest load is scored. As much again before it is read too, or what the policy learns from where that
    /// is more: it is known history. Where less was recorded, half of it is scored
    #[arg(long, value_name = "DURATION", default_value = "14d", value_parser = parse_duration)]
    since: Duration,
    /// A folder of CSVs, each scaled to the same peak and replayed against the swept HPA; prints the bars by class
    #[arg(long, value_name = "DIR", conflicts_with = "prometheus")]
    suite: Option<PathBuf>,
    /// Recordings of `foresail run --record`: a file, or a folder of them. Every call is made again; the exit code is 1
    /// where a decision isn't what it was
    #[arg(long, value_name = "PATH", conflicts_with_all = ["policy", "target", "hpa", "scaled_object", "csv", "prometheus", "suite"])]
    recorded: Option<PathBuf>,
    /// In a suite, only series whose name holds this text
    #[arg(long, value_name = "TEXT", requires = "suite", default_value = "")]
    only: String,
    /// How long pods take from creation to Ready, as the median; a suite takes several, with commas
    #[arg(long, value_name = "DURATION", default_value = "60s", value_delimiter = ',', value_parser = parse_duration)]
    startup: Vec<Duration>,
    /// Scale the load so that its peak needs this many replicas; a suite scales to 50 unless told otherwise
    #[arg(long, value_name = "N")]
    peak_replicas: Option<f64>,
    /// SameCost, or how long the promise should be kept, such as 99.9%; instead of the policy's own
    #[arg(long, value_name = "SameCost|PERCENT", value_parser = parse_protection)]
    protection: Option<Protection>,
    /// Break the measurements as in real incidents, one fault after the other over the scored days
    #[arg(long)]
    faults: bool,
    /// Everything that happens by chance follows from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// What a replica costs an hour; adds a column of money
    #[arg(long, value_name = "PRICE")]
    price: Option<f64>,
    /// For people or for machines
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// Also write a page with charts: one file that loads nothing
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Also write every decision of every run as JSON lines
    #[arg(long, value_name = "FILE")]
    trace_out: Option<PathBuf>,
    /// Leave out the replays at other protections and without forecasts
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table.
    #[value(alias = "text")]
    Table,
    /// JSON.
    Json,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.recorded {
        return crate::cmd::recorded::main(path);
    }
    if let Some(folder) = &args.suite {
        return suite(&args, folder);
    }
    let existing = existing(&args)?;
    let intent = intent(&args, existing.as_ref())?;
    let (title, recordings) = recordings(&args, intent.as_ref())?;
    let setup = setup(&args, intent.as_ref(), existing.map(|found| found.existing))?;
    let load = setup.load_of_metrics(&recordings).with_context(|| format!("can't replay {title}"))?;
    less_than_asked(&args, &load);
    let setup = faults(&args, setup, &load);
    let (comparison, forecasts) = run(&setup, &load);
    match args.output {
        Format::Table => {
            let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            print!("{}", table(&comparison, Paint { color, price: args.price }));
        }
        Format::Json => println!("{}", serde_json::to_string_pretty(&comparison)?),
    }
    if let Some(path) = &args.html {
        std::fs::write(path, html(&comparison, &title, args.price))
            .with_context(|| format!("can't write {}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    if let Some(path) = &args.trace_out {
        trace(path, &setup, &load, &forecasts)?;
        eprintln!("wrote {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn run(setup: &Setup, load: &Load) -> (Comparison, Vec<Arc<Prepared>>) {
    let bar = progress(backtest::names(setup).len() as u64 + 1);
    bar.set_message("forecasts");
    let forecasts = setup.forecasts(load);
    bar.inc(1);
    let comparison = backtest::compare(setup, load, &forecasts, &|name| {
        bar.set_message(name.to_owned());
        bar.inc(1);
    });
    bar.finish_and_clear();
    (comparison, forecasts)
}

fn progress(length: u64) -> ProgressBar {
    // Drawn on standard error, and only where that is a terminal.
    let style = ProgressStyle::with_template("{spinner} {bar:32} {pos}/{len} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Says where less is scored than was asked for.
fn less_than_asked(args: &Args, load: &Load) {
    let scored = Duration::from_secs((load.seconds() as u64).saturating_sub(backtest::RUN_IN));
    if scored + Duration::from_hours(1) < args.since {
        eprintln!(
            "{} are scored, not {}: half of what was recorded is known history",
            api::units::write_duration(scored),
            api::units::write_duration(args.since)
        );
    }
}

fn setup(args: &Args, intent: Option<&Intent>, existing: Option<Existing>) -> anyhow::Result<Setup> {
    let mut policy = match (intent, args.target) {
        (Some(intent), _) => intent.policy.clone(),
        (None, Some(target)) if target > 0.0 => backtest::policy_for(target),
        (None, Some(target)) => bail!("--target is {target}; it must be above 0"),
        (None, None) => backtest::policy_for(80.0),
    };
    if let Some(protection) = args.protection {
        policy.protection = protection;
    }
    let startup = args.startup.first().copied().unwrap_or(Duration::from_secs(60));
    let mut setup = Setup::new(policy, startup, args.seed);
    setup.peak_replicas = args.peak_replicas;
    setup.variants = !args.quick && args.suite.is_none();
    setup.scored = args.since;
    if let Some(intent) = intent {
        setup.forecast = intent.forecast.clone();
        setup.warm_up = intent.forecast.history;
    }
    setup.existing = existing;
    if let (Some(intent), None) = (intent, &args.policy)
        && let Some(existing) = setup.existing.take()
    {
        let (carried, existing) = existing::carried(&intent.policy, existing);
        setup = setup.carrying(carried);
        setup.existing = Some(existing);
    }
    Ok(setup)
}

/// Spreads the fault menu evenly over the scored part.
fn faults(args: &Args, setup: Setup, load: &Load) -> Setup {
    if !args.faults {
        return setup;
    }
    let begin = backtest::RUN_IN as usize;
    let every = (load.seconds() - begin) / 13;
    backtest::with_faults(setup, backtest::menu(begin + every / 2, every))
}

fn trace(path: &Path, setup: &Setup, load: &Load, forecasts: &[Arc<Prepared>]) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut failure: Option<anyhow::Error> = None;
    backtest::record(setup, load, forecasts, &mut |tick| {
        if failure.is_none()
            && let Err(error) = backtest::line(&tick)
                .map_err(anyhow::Error::from)
                .and_then(|line| writeln!(out, "{line}").map_err(Into::into))
        {
            failure = Some(error);
        }
    });
    if let Some(error) = failure {
        return Err(error.context(format!("can't write {}", path.display())));
    }
    out.flush()?;
    Ok(())
}

fn suite(args: &Args, folder: &Path) -> anyhow::Result<ExitCode> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("can't read {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "csv"))
        .filter(|path| path.to_string_lossy().contains(&args.only))
        .collect();
    files.sort();
    let intent = intent(args, None)?;
    let mut setup = setup(args, intent.as_ref(), None)?;
    setup.peak_replicas = Some(args.peak_replicas.unwrap_or(50.0));
    let bar = progress((files.len() * args.startup.len()) as u64);
    let mut cells = Vec::new();
    for path in &files {
        let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let replayed = read_csv(path).and_then(|recording| {
            let load = setup.load(&recording)?;
            let setup = faults(args, setup.clone(), &load);
            let done = |name: &str| {
                bar.set_message(name.to_owned());
                bar.inc(1);
            };
            let forecasts = setup.forecasts(&load);
            Ok(backtest::replay_series(&name, &recording, &setup, &args.startup, (&load, &forecasts), &done))
        });
        match replayed {
            Ok(of_series) => cells.extend(of_series),
            // A folder may hold other tables, such as a list of events.
            Err(error) => eprintln!("left out {name}: {error:#}"),
        }
    }
    bar.finish_and_clear();
    if cells.is_empty() {
        bail!("{} holds no CSV that can be replayed", folder.display());
    }
    let suite = Suite { cells };
    match args.output {
        Format::Table => print!("{}", suite.table()),
        Format::Json => println!("{}", serde_json::to_string_pretty(&suite)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    api::units::duration(text).map_err(|e| e.to_string())
}

fn parse_protection(text: &str) -> Result<Protection, String> {
    if text == SAME_COST {
        return Ok(Protection::SameCost);
    }
    let number: f64 = text
        .trim_end_matches('%')
        .parse()
        .map_err(|_| format!("{text:?} is neither SameCost nor a percentage"))?;
    if (50.0..=99.99).contains(&number) {
        Ok(Protection::Share(number / 100.0))
    } else {
        Err(format!("{text} isn't from 50% to 99.99%"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_replay_has_the_forecast_of_the_policy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        let replayed = |forecast: &str| {
            let text = format!(
                "apiVersion: foresail.dev/v1alpha1\nkind: AutoscalePolicy\nmetadata: {{name: web}}\nspec:\n  \
                 scaleTargetRef: {{name: web}}\n  maxReplicas: 20\n  {forecast}\n  \
                 metrics: [{{name: rps, target: 200, prometheus: {{query: x}}}}]\n"
            );
            std::fs::write(&file, text).unwrap();
            let path = file.to_str().unwrap();
            let args = Only::parse_from(["backtest", "--csv", "load.csv", "--policy", path]).args;
            let intent = intent(&args, None).unwrap();
            setup(&args, intent.as_ref(), None).unwrap().forecast
        };
        assert_eq!(replayed("").step, Duration::from_mins(1));
        let settings = replayed("forecast: {step: 5m, history: 7d}");
        assert_eq!(settings.step, Duration::from_mins(5));
        assert_eq!(settings.history, Duration::from_hours(7 * 24));
    }
}
