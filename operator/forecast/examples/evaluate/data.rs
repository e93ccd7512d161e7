//! Reading of series and origins.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use series::Series;

/// One series of the folder.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) series: Series,
}

/// All series of a folder, by name.
pub(crate) fn folder(dir: &Path, step: Option<Duration>) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "csv") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(series) = file(&path, step).with_context(|| format!("reading {}", path.display()))? {
            inputs.push(Input { name, series });
        }
    }
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(inputs)
}

/// The series in a file; `None` where its header says it holds something else. Rows of one slot are averaged.
fn file(path: &Path, step: Option<Duration>) -> anyhow::Result<Option<Series>> {
    let mut reader = csv::Reader::from_path(path)?;
    if reader.headers()?.iter().take(2).ne(["timestamp", "value"]) {
        return Ok(None);
    }
    let mut rows: Vec<(i64, f64)> = Vec::new();
    for record in reader.records() {
        let record = record?;
        let time: Timestamp = record.get(0).unwrap_or_default().parse()?;
        let value = record.get(1).unwrap_or_default().trim().parse().unwrap_or(f64::NAN);
        rows.push((time.as_second(), value));
    }
    rows.sort_by_key(|r| r.0);
    let native = rows.windows(2).map(|w| w[1].0 - w[0].0).filter(|d| *d > 0).min().unwrap_or(300);
    let step = step.map_or(native, |s| s.as_secs() as i64).max(1);
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(None) };
    let (first, last) = (first.0.div_euclid(step), last.0.div_euclid(step));
    let mut sums = vec![(0.0, 0.0); (last - first + 1) as usize];
    for (second, value) in rows.iter().filter(|r| r.1.is_finite()) {
        let cell = &mut sums[(second.div_euclid(step) - first) as usize];
        *cell = (cell.0 + value, cell.1 + 1.0);
    }
    let values = sums.into_iter().map(|(sum, n)| if n > 0.0 { sum / n } else { f64::NAN }).collect();
    let start = Timestamp::from_second(first * step)?;
    Ok(Some(Series::new(start, Duration::from_secs(step as u64), values)?))
}

/// The origins of each series in a CSV `series,timestamp`.
pub(crate) fn origins(path: &Path) -> anyhow::Result<BTreeMap<String, BTreeSet<Timestamp>>> {
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("reading {}", path.display()))?;
    let mut out: BTreeMap<String, BTreeSet<Timestamp>> = BTreeMap::new();
    for record in reader.records() {
        let record = record?;
        let time: Timestamp = record.get(1).unwrap_or_default().parse()?;
        out.entry(record.get(0).unwrap_or_default().to_owned()).or_default().insert(time);
    }
    Ok(out)
}
