//! Recordings of `foresail run --record`: every call made again, and whether every decision is what it was, bit for bit.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use autoscaler::{Call, Replay, Replayed};
use decide::Record;
use jiff::Timestamp;

/// What a recording came to.
struct Summary {
    steps: u64,
    differ: u64,
    /// The first decision that differs.
    first: Option<(Timestamp, u32, u32)>,
    restarts: u64,
}

/// Replays a recording, or every one in a folder, and prints a line for each.
pub(crate) fn main(path: &Path) -> anyhow::Result<ExitCode> {
    let mut same = true;
    for file in files(path)? {
        let summary = replay(&file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        println!(
            "{name}: {} decisions, {} restarts, {} differ",
            summary.steps,
            summary.restarts.saturating_sub(1),
            summary.differ
        );
        if let Some((at, then, now)) = summary.first {
            println!(
                "  the first at {at}: {then} replicas then, {now} now; foresail explain {} --at {at}",
                file.display()
            );
        }
        same &= summary.differ == 0;
    }
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("can't read {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("{} holds no recording; `foresail run --record {}` makes some", path.display(), path.display());
    }
    Ok(files)
}

fn replay(path: &Path) -> anyhow::Result<Summary> {
    let mut summary = Summary { steps: 0, differ: 0, first: None, restarts: 0 };
    each(path, |call, replayed| {
        summary.restarts += u64::from(call == "restored");
        if let Some(replayed) = replayed {
            summary.steps += 1;
            if !replayed.same {
                summary.differ += 1;
                let record = &replayed.decided.record;
                let first = (record.now, replayed.target, record.recommendation.target);
                summary.first.get_or_insert(first);
            }
        }
        true
    })?;
    Ok(summary)
}

/// The decision at or after `at`, or the last one.
pub(crate) fn record(path: &Path, at: Option<Timestamp>) -> anyhow::Result<Record> {
    let mut found = None;
    each(path, |_, replayed| {
        let Some(replayed) = replayed else { return true };
        let now = replayed.decided.record.now;
        found = Some(replayed.decided.record);
        at.is_none_or(|at| now < at)
    })?;
    found.with_context(|| format!("{} holds no decision", path.display()))
}

/// Whether the first line of a file is a recorded call.
pub(crate) fn is_recording(line: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| value.get("call").is_some())
}

/// Makes each call again, until `go_on` says no.
fn each(path: &Path, mut go_on: impl FnMut(&str, Option<Replayed>) -> bool) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
    let mut replay = Replay::default();
    let mut lines = BufReader::new(file).lines().enumerate().peekable();
    while let Some((i, line)) = lines.next() {
        let line = line.with_context(|| format!("can't read {}", path.display()))?;
        let place = || format!("{}, line {}", path.display(), i + 1);
        let call: Call = match serde_json::from_str(&line) {
            Ok(call) => call,
            // A process that was killed leaves half a line at the end.
            Err(_) if lines.peek().is_none() => break,
            Err(error) => return Err(error).with_context(|| format!("{} isn't a call", place())),
        };
        let kind = if matches!(call, Call::Restored { .. }) { "restored" } else { "" };
        let replayed = replay.call(call).map_err(anyhow::Error::msg).with_context(place)?;
        if !go_on(kind, replayed) {
            break;
        }
    }
    Ok(())
}
