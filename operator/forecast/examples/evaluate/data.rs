//! Reading of series and origins. What can't be read is an error that names file, line and remedy; what is read in
//! another way than it stands there is a note for standard error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use series::Series;

/// One series of the folder.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) series: Series,
    /// The time of the newest row in each slot, in seconds since the epoch: an origin may not see beyond it.
    pub(crate) newest: Vec<i64>,
}

/// What a folder holds.
#[derive(Default)]
pub(crate) struct Folder {
    pub(crate) inputs: Vec<Input>,
    /// Series that weren't read, and why.
    pub(crate) left_out: BTreeMap<String, String>,
    /// What was read in another way than it stands in a file.
    pub(crate) notes: Vec<String>,
}

/// The steps that a forecaster works at.
const STEPS: std::ops::RangeInclusive<i64> = 10..=3600;
/// Rows of a series at most; more come from a wrong time stamp.
const MOST_SLOTS: i64 = 5_000_000;

/// All series of a folder by name, or that of one file.
pub(crate) fn folder(dir: &Path, step: Option<Duration>, exclude: &[String]) -> anyhow::Result<Folder> {
    let mut paths: Vec<PathBuf> = if dir.is_file() {
        vec![dir.to_owned()]
    } else {
        let entries = std::fs::read_dir(dir).with_context(|| {
            format!(
                "can't read {}; give a folder of CSV files with the header `timestamp,value`",
                dir.display()
            )
        })?;
        entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?
    };
    paths.retain(|p| p.is_file() && p.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")));
    paths.sort();
    let mut out = Folder::default();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if exclude.contains(&name) {
            continue;
        }
        let mut notes = Vec::new();
        match file(&path, step, &mut notes)? {
            Read::Series(series, newest) => out.inputs.push(Input { name, series, newest }),
            Read::Other(why) => {
                out.left_out.insert(name, why);
            }
        }
        out.notes.extend(notes.into_iter().map(|n| format!("{}: {n}", path.display())));
    }
    Ok(out)
}

enum Read {
    Series(Series, Vec<i64>),
    /// Not a series to evaluate, and why.
    Other(String),
}

/// A CSV file whose rows are read one by one with their line.
struct Rows {
    path: PathBuf,
    reader: csv::Reader<std::fs::File>,
    header: Vec<String>,
}

impl Rows {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_path(path)
            .with_context(|| format!("can't read {}", path.display()))?;
        let header = reader.headers().with_context(|| format!("can't read {}", path.display()))?;
        let header = header.iter().map(|h| h.trim_start_matches('\u{feff}').to_lowercase()).collect();
        Ok(Self { path: path.to_owned(), reader, header })
    }

    /// The first two cells of each row, with `path:line`.
    fn each(&mut self, mut take: impl FnMut(&str, &str, &str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let path = self.path.display().to_string();
        let mut record = csv::StringRecord::new();
        loop {
            match self.reader.read_record(&mut record) {
                Ok(false) => return Ok(()),
                Ok(true) => {
                    let line = record.position().map_or(0, csv::Position::line);
                    let cell = |k| record.get(k).unwrap_or_default();
                    take(cell(0), cell(1), &format!("{path}:{line}"))?;
                }
                Err(error) => {
                    bail!("can't read {path}: {error}; each row needs as many cells as the header, in UTF-8")
                }
            }
        }
    }
}

/// A time as written in CSV files: RFC 3339, the same without a zone (UTC), or seconds or milliseconds since 1970.
fn moment(text: &str, place: &str) -> anyhow::Result<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        let read = if number.abs() < 100_000_000_000 {
            Timestamp::from_second(number)
        } else {
            Timestamp::from_millisecond(number)
        };
        return read.with_context(|| format!("{place}: {text:?} is out of the range of time"));
    }
    let civil = || text.parse::<jiff::civil::DateTime>()?.to_zoned(TimeZone::UTC).map(|z| z.timestamp());
    text.parse::<Timestamp>()
        .or_else(|_| civil())
        .map_err(|_| anyhow::anyhow!("{place}: {text:?} isn't a time; write it like 2026-03-02T00:05:00Z"))
}

/// A value; NaN for a gap.
fn load(text: &str, place: &str) -> anyhow::Result<f64> {
    const GAPS: [&str; 6] = ["", "nan", "null", "none", "na", "n/a"];
    if GAPS.contains(&text.to_lowercase().as_str()) {
        return Ok(f64::NAN);
    }
    text.parse().map_err(|_| {
        anyhow::anyhow!(
            "{place}: the value {text:?} isn't a number; leave the cell empty where nothing was measured"
        )
    })
}

/// Rows as they stand in a file: second and value.
struct Table {
    rows: Vec<(i64, f64)>,
    /// The usual distance of two rows in seconds.
    native: i64,
}

fn table(path: &Path, notes: &mut Vec<String>) -> anyhow::Result<Result<Table, String>> {
    let mut file = Rows::open(path)?;
    if file.header.iter().take(2).ne(["timestamp", "value"]) {
        return Ok(Err(format!("its header is `{}`, not `timestamp,value`", file.header.join(","))));
    }
    let mut rows: Vec<(i64, f64)> = Vec::new();
    let (mut unsorted, mut twice, mut no_load) = (Vec::new(), Vec::new(), Vec::new());
    file.each(|time, value, place| {
        let second = moment(time, place)?.as_second();
        let mut value = load(value, place)?;
        if value.is_infinite() || value < 0.0 {
            no_load.push(place.to_owned());
            value = f64::NAN;
        }
        match rows.last().map(|r| r.0.cmp(&second)) {
            Some(std::cmp::Ordering::Greater) => unsorted.push(place.to_owned()),
            Some(std::cmp::Ordering::Equal) => twice.push(place.to_owned()),
            _ => {}
        }
        rows.push((second, value));
        Ok(())
    })?;
    let mut note = |places: &[String], what: &str| {
        if let Some(first) = places.first() {
            let line = first.rsplit(':').next().unwrap_or_default();
            notes.push(format!("{} rows {what}, the first in line {line}", places.len()));
        }
    };
    note(&unsorted, "are older than the row before: sorted by time");
    note(&twice, "have the time of the row before: averaged with it");
    note(&no_load, "have a value that is no load (below zero or infinite): taken as gaps");
    rows.sort_by_key(|r| r.0);
    let Some(native) = usual_distance(&rows) else {
        return Ok(Err("it has fewer than two rows at different times".to_owned()));
    };
    Ok(Ok(Table { rows, native }))
}

/// The most frequent distance of two neighboring rows, the shortest of equals.
fn usual_distance(rows: &[(i64, f64)]) -> Option<i64> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for pair in rows.windows(2) {
        let distance = pair[1].0 - pair[0].0;
        if distance > 0 {
            *counts.entry(distance).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|(distance, n)| (*n, -distance)).map(|(distance, _)| distance)
}

/// The series in a file. Rows of one slot are averaged.
fn file(path: &Path, step: Option<Duration>, notes: &mut Vec<String>) -> anyhow::Result<Read> {
    let Table { rows, native } = match table(path, notes)? {
        Ok(table) => table,
        Err(why) => return Ok(Read::Other(why)),
    };
    let step = step.map_or(native, |s| s.as_secs() as i64);
    if native > step {
        return Ok(Read::Other(format!("its rows are {native} s apart, more than --step {step}s")));
    }
    if !STEPS.contains(&step) {
        return Ok(Read::Other(format!("its rows are {step} s apart; choose a --step from 10s to 1h")));
    }
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(Read::Other("it has no rows".to_owned()));
    };
    let (first, last) = (first.0.div_euclid(step), last.0.div_euclid(step));
    if last - first > MOST_SLOTS {
        let time = |slot: i64| Timestamp::from_second(slot * step).map(|t| t.to_string()).unwrap_or_default();
        bail!(
            "{}: its rows reach from {} to {}, too far at a step of {step} s: is one of these times wrong?",
            path.display(),
            time(first),
            time(last)
        );
    }
    let slots = (last - first + 1) as usize;
    let mut sums = vec![(0.0, 0.0); slots];
    let mut newest = vec![i64::MIN; slots];
    for (second, value) in &rows {
        let slot = (second.div_euclid(step) - first) as usize;
        newest[slot] = *second;
        if value.is_finite() {
            sums[slot] = (sums[slot].0 + value, sums[slot].1 + 1.0);
        }
    }
    let values = sums.into_iter().map(|(sum, n)| if n > 0.0 { sum / n } else { f64::NAN }).collect();
    let start = Timestamp::from_second(first * step)?;
    Ok(Read::Series(Series::new(start, Duration::from_secs(step as u64), values)?, newest))
}

/// Origins of one series.
pub(crate) type Origins = BTreeSet<Timestamp>;

/// The origins of each series in a CSV `series,timestamp`.
pub(crate) fn origins(path: &Path) -> anyhow::Result<BTreeMap<String, Origins>> {
    let mut file = Rows::open(path)?;
    if file.header.first().is_none_or(|h| h != "series")
        || file.header.get(1).is_none_or(|h| h != "timestamp" && h != "origin")
    {
        bail!("{}: its header is `{}`, not `series,timestamp`", path.display(), file.header.join(","));
    }
    let mut out: BTreeMap<String, Origins> = BTreeMap::new();
    file.each(|name, time, place| {
        let name = name.strip_suffix(".csv").unwrap_or(name);
        if name.is_empty() {
            bail!("{place}: the name of the series is missing");
        }
        out.entry(name.to_owned()).or_default().insert(moment(time, place)?);
        Ok(())
    })?;
    if out.is_empty() {
        bail!("{}: no origins in it; write rows `series,timestamp`", path.display());
    }
    Ok(out)
}

/// Keeps the series that `origins` names; what else it names is a note.
pub(crate) fn keep_named(folder: &mut Folder, origins: &BTreeMap<String, Origins>) {
    folder.inputs.retain(|i| origins.contains_key(&i.name));
    let unknown: Vec<&str> = origins
        .keys()
        .filter(|name| !folder.inputs.iter().any(|i| i.name == **name))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        folder.notes.push(format!("--origins names series that aren't evaluated: {}", unknown.join(", ")));
    }
}

/// Says what was left out and what was changed, for standard error.
pub(crate) fn remarks(folder: &Folder) -> String {
    let mut out = String::new();
    for (name, why) in &folder.left_out {
        let _ = writeln!(out, "left out {name}: {why}");
    }
    for note in &folder.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out
}
