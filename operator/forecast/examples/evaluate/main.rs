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

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::prelude::*;

/// Rolling-origin evaluation of forecasts on a folder of CSVs.
#[derive(Debug, Parser)]
#[command(name = "evaluate")]
pub(crate) struct Args {
    /// Folder of CSV files with the header `timestamp,value`, or one such file; an empty value is a gap. Times are RFC
    /// 3339 (UTC where no zone stands there) or seconds since 1970. Files with another header are left out.
    dir: PathBuf,
    /// CSV `series,timestamp` of the origins to evaluate at, each the time of the newest row that may be seen; by
    /// default 200 of each series, evenly spaced.
    #[arg(long)]
    origins: Option<PathBuf>,
    /// Length of a step, 10s to 1h; finer rows are averaged. By default that of each file.
    #[arg(long, value_parser = duration)]
    step: Option<Duration>,
    /// Horizons to score, each a multiple of the step, up to 48h.
    #[arg(long, value_parser = duration, value_delimiter = ',', default_value = "5m,15m,60m")]
    horizons: Vec<Duration>,
    /// Time between two refits.
    #[arg(long, value_parser = duration, default_value = "1h")]
    refit: Duration,
    /// How many origins of each series, where no file says which.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..))]
    count: u32,
    /// Series to leave out.
    #[arg(long, value_delimiter = ',')]
    exclude: Vec<String>,
    /// Members of the blend to leave out together, as in `analog,fourier`: what they are worth is what the others lose
    /// without them.
    #[arg(long, value_delimiter = ',')]
    leave_out: Vec<String>,
    /// IANA time zone in which days and weeks begin.
    #[arg(long, default_value = "UTC")]
    time_zone: String,
    /// Where to write every forecast, those of the naive baselines too: CSV
    /// `series,origin,horizon_seconds,model,quantile,value`.
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
    number
        .checked_mul(unit)
        .filter(|seconds| (1..=u64::from(u32::MAX)).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is out of range; a duration is above zero, such as 5m"))
}

/// A duration as one would write it.
fn shown(duration: Duration) -> String {
    match duration.as_secs() {
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// What can be seen to be wrong before anything is read.
fn check(args: &Args) -> anyhow::Result<()> {
    if let Some(step) = args.step {
        if !(10..=3600).contains(&step.as_secs()) {
            bail!("--step {} is out of range: choose 10s to 1h", shown(step));
        }
        if let Some(odd) = args.horizons.iter().find(|h| !h.as_secs().is_multiple_of(step.as_secs())) {
            bail!("--horizons: {} isn't a multiple of --step {}", shown(*odd), shown(step));
        }
    }
    if let Some(far) = args.horizons.iter().find(|h| **h > Duration::from_hours(48)) {
        bail!("--horizons: {} is too far ahead; at most 48h", shown(*far));
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In one line, without a trace of calls: it's about what was given.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let args = Args::parse();
    check(&args)?;
    let zone = jiff::tz::TimeZone::get(&args.time_zone).with_context(|| {
        format!("--time-zone {:?} isn't known; use an IANA name such as Europe/Berlin", args.time_zone)
    })?;
    let origins = args.origins.as_deref().map(data::origins).transpose()?;
    let mut folder = data::folder(&args.dir, args.step, &args.exclude)?;
    if let Some(origins) = &origins {
        data::keep_named(&mut folder, origins);
    }
    eprint!("{}", data::remarks(&folder));
    if folder.inputs.is_empty() {
        bail!(
            "no series to evaluate in {}: it needs CSV files with the header `timestamp,value`{}",
            args.dir.display(),
            if origins.is_some() { ", named as in --origins" } else { "" }
        );
    }
    // Opened first: a run of minutes must not end with a path that can't be written.
    let predictions = args.predictions.as_deref().map(report::Predictions::create).transpose()?;
    let results = evaluate(&folder.inputs, origins.as_ref(), &args, &zone)?;
    for result in &results {
        for note in &result.notes {
            eprintln!("note: {}: {note}", result.name);
        }
    }
    if results.iter().all(|r| r.said.is_empty()) {
        bail!(
            "there is no forecast to score: no origin lies on a row with rows after it, at any of the horizons"
        );
    }
    if let Some(predictions) = predictions {
        predictions.write(&results)?;
    }
    let summary = report::summarize(&results, folder.left_out);
    if args.output == "json" {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        report::print(&summary);
    }
    Ok(())
}

/// Evaluates all series, in parallel over cores, with a progress bar on a terminal.
fn evaluate(
    inputs: &[data::Input],
    origins: Option<&BTreeMap<String, data::Origins>>,
    args: &Args,
    zone: &jiff::tz::TimeZone,
) -> anyhow::Result<Vec<run::Outcome>> {
    let bar = ProgressBar::new(inputs.iter().map(|i| i.series.len() as u64).sum());
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.set_style(ProgressStyle::with_template("{bar:40} {percent}% {pos}/{len} steps, {eta} left")?);
    let results = inputs
        .par_iter()
        .map(|input| {
            let wanted = origins.and_then(|o| o.get(&input.name));
            run::series(input, wanted, args, zone, &bar)
        })
        .collect();
    bar.finish_and_clear();
    Ok(results)
}
