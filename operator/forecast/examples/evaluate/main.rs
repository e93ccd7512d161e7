//! Rolling-origin evaluation of the forecaster on a folder of `timestamp,value` CSVs, beside naive baselines.
//!
//! `cargo run --release -p forecast --example evaluate -- DIR --step 5m --horizons 5m,15m,60m`
//!
//! An origin is the time of the newest row that a forecast may see, and the forecast at a horizon is of the row at
//! origin plus horizon. Between origins the forecaster takes in every row, and learns anew every `--refit`. See
//! `docs/forecast-evaluation.md`.

#![allow(clippy::disallowed_methods, reason = "measures how long things take")]

mod data;
mod report;
mod run;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::prelude::*;

/// Rolling-origin evaluation of forecasts on a folder of CSVs.
#[derive(Debug, Parser)]
#[command(name = "evaluate")]
pub(crate) struct Args {
    /// Folder of CSV files with the header `timestamp,value`; an empty value is a gap. Other files are left out.
    dir: PathBuf,
    /// CSV `series,timestamp` of the origins to evaluate at; by default 200 of each series, evenly spaced.
    #[arg(long)]
    origins: Option<PathBuf>,
    /// Length of a step; finer rows are averaged. By default that of each file.
    #[arg(long, value_parser = duration)]
    step: Option<Duration>,
    /// Horizons to score, each a multiple of the step.
    #[arg(long, value_parser = duration, value_delimiter = ',', default_value = "5m,15m,60m")]
    horizons: Vec<Duration>,
    /// Time between two refits.
    #[arg(long, value_parser = duration, default_value = "1h")]
    refit: Duration,
    /// How many origins of each series, where no file says which.
    #[arg(long, default_value_t = 200)]
    count: usize,
    /// Series to leave out.
    #[arg(long, value_delimiter = ',')]
    exclude: Vec<String>,
    /// IANA time zone in which days and weeks begin.
    #[arg(long, default_value = "UTC")]
    time_zone: String,
    /// Where to write every forecast: CSV `series,origin,horizon_seconds,model,quantile,value`.
    #[arg(long)]
    predictions: Option<PathBuf>,
    /// `table` or `json`.
    #[arg(long, value_parser = ["table", "json"], default_value = "table")]
    output: String,
}

/// `90s`, `5m`, `1h` or `2d`.
fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..at].parse().map_err(|_| format!("{text:?} isn't a duration such as 5m"))?;
    let unit = match &text[at..] {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        other => return Err(format!("unknown unit {other:?}; use s, m, h or d")),
    };
    Some(Duration::from_secs(number * unit))
        .filter(|d| !d.is_zero())
        .ok_or("a duration is above zero".to_owned())
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let zone = jiff::tz::TimeZone::get(&args.time_zone).context("--time-zone")?;
    let origins = args.origins.as_deref().map(data::origins).transpose()?;
    let mut inputs = data::folder(&args.dir, args.step)?;
    inputs.retain(|i| !args.exclude.contains(&i.name));
    if let Some(origins) = &origins {
        inputs.retain(|i| origins.contains_key(&i.name));
    }
    if inputs.is_empty() {
        bail!("no series to evaluate in {}", args.dir.display());
    }
    let bar = ProgressBar::new(inputs.iter().map(|i| i.series.len() as u64).sum());
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.set_style(ProgressStyle::with_template("{bar:40} {percent}% {pos}/{len} steps, {eta} left")?);
    let results: Vec<run::Outcome> = inputs
        .par_iter()
        .map(|input| {
            let wanted = origins.as_ref().and_then(|o| o.get(&input.name));
            run::series(input, wanted, &args, &zone, &bar)
        })
        .collect::<anyhow::Result<_>>()?;
    bar.finish_and_clear();
    if let Some(path) = &args.predictions {
        report::predictions(path, &results)?;
    }
    let summary = report::summarise(&results);
    if args.output == "json" {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        report::print(&summary);
    }
    Ok(())
}
