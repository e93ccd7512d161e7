//! Recorded load from a CSV. Text comes in, a regular [`Series`] goes out; what isn't a time and a number is refused
//! with its line, and a missing value is a gap, never zero.

use std::time::Duration;

use jiff::Timestamp;
use series::{Aggregate, Sample, Series, resample, time};

/// Why a CSV can't be replayed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The text isn't CSV.
    #[error("line {line}: {cause}")]
    Csv {
        /// Line in the file, counted from 1.
        line: u64,
        /// What the reader says.
        cause: String,
    },
    /// The first column isn't a time.
    #[error("line {line}: `{text}` is neither an RFC 3339 time nor seconds since 1970")]
    Time {
        /// Line in the file, counted from 1.
        line: u64,
        /// What stands there.
        text: String,
    },
    /// The second column holds something else than a load.
    #[error("line {line}: `{text}` is no load; write a number of 0 or more, or nothing for a gap")]
    Value {
        /// Line in the file, counted from 1.
        line: u64,
        /// What stands there.
        text: String,
    },
    /// Too few rows to find a step.
    #[error("{0} rows with a time; at least 3 are needed")]
    Short(usize),
    /// No row holds a number where its value should be.
    #[error("no row holds a number in its second column")]
    NoValue,
    /// The rows don't make a grid.
    #[error(transparent)]
    Series(#[from] series::SeriesError),
}

/// Reads `timestamp,value` rows (a header is skipped, further columns are ignored). The step is the most frequent
/// distance between neighboring rows; rows may be missing or unsorted.
pub fn parse_csv(text: &str) -> Result<Series, TraceError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut rows: Vec<(Timestamp, Option<f64>)> = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|e| TraceError::Csv {
            line: e.position().map_or(0, csv::Position::line),
            cause: e.to_string(),
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let first = record.get(0).unwrap_or_default();
        if first.is_empty() {
            continue;
        }
        match parse_time(first) {
            Some(at) => rows.push((at, parse_value(record.get(1).unwrap_or_default(), line)?)),
            None if index == 0 => {} // the header
            None => return Err(TraceError::Time { line, text: first.to_owned() }),
        }
    }
    to_series(rows)
}

/// Rows of time and value as a regular series.
pub fn to_series(mut rows: Vec<(Timestamp, Option<f64>)>) -> Result<Series, TraceError> {
    rows.sort_by_key(|row| row.0);
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Err(TraceError::Short(0)) };
    if rows.len() < 3 {
        return Err(TraceError::Short(rows.len()));
    }
    let step = usual_step(&rows);
    let (start, end) = (first.0, time::after(last.0, step));
    let samples: Vec<Sample> = rows
        .iter()
        .filter_map(|(at, value)| Sample::new(*at, (*value)?))
        .filter(|s| s.value() >= 0.0)
        .collect();
    if samples.is_empty() {
        return Err(TraceError::NoValue);
    }
    Ok(resample(&samples, start, end, step, Aggregate::Mean)?)
}

/// A load; `None` for a gap, which is empty or `NaN`.
fn parse_value(text: &str, line: u64) -> Result<Option<f64>, TraceError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => Ok(None),
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(Some(value)),
        _ => Err(TraceError::Value { line, text: text.to_owned() }),
    }
}

fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let seconds = text.parse::<f64>().ok().filter(|s| s.is_finite())?;
    Timestamp::from_second(seconds as i64).ok()
}

fn usual_step(rows: &[(Timestamp, Option<f64>)]) -> Duration {
    let mut distances: Vec<u64> =
        rows.windows(2).map(|w| time::since(w[1].0, w[0].0).as_secs()).filter(|d| *d > 0).collect();
    distances.sort_unstable();
    let usual = distances
        .chunk_by(|a, b| a == b)
        .max_by_key(|chunk| chunk.len())
        .and_then(|chunk| chunk.first().copied())
        .unwrap_or(60);
    Duration::from_secs(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_and_gaps_are_understood() {
        let text = "timestamp,value\n2026-01-01T00:00:00Z,1\n2026-01-01T00:01:00Z,\n2026-01-01T00:02:00Z,3\n2026-01-01T00:04:00Z,5\n";
        let series = parse_csv(text).unwrap();
        assert_eq!(series.step(), Duration::from_secs(60));
        let values: Vec<_> = series.iter().map(|(_, v)| v).collect();
        assert_eq!(values, [Some(1.0), None, Some(3.0), None, Some(5.0)]);
    }

    #[test]
    fn seconds_since_1970_are_times_too() {
        let series = parse_csv("0,1\n300,2\n600,NaN\n900,4\n").unwrap();
        assert_eq!(series.step(), Duration::from_secs(300));
        assert_eq!(series.get(2), None);
    }

    #[test]
    fn a_row_without_a_time_is_named_by_its_line() {
        let error = parse_csv("time,value\n0,1\nyesterday,2\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 3: `yesterday` is neither an RFC 3339 time nor seconds since 1970"
        );
    }

    #[test]
    fn what_is_no_load_is_named_by_its_line() {
        for text in ["n/a", "-5", "inf", "1,5"] {
            let error = parse_csv(&format!("time,value\n\n0,1\n60,\"{text}\"\n120,3\n")).unwrap_err();
            let words =
                format!("line 4: `{text}` is no load; write a number of 0 or more, or nothing for a gap");
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn two_rows_are_too_few() {
        assert!(matches!(parse_csv("0,1\n60,2\n"), Err(TraceError::Short(2))));
    }
}
