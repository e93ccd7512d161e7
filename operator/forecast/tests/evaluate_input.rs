//! What the `evaluate` example reads, and what it says about input it can't use: file, line and remedy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on should stop"
)]

#[path = "../examples/evaluate/data.rs"]
mod data;

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

fn write(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn folder(files: &[(&str, &str)], step: Option<u64>) -> anyhow::Result<data::Folder> {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        write(&dir, name, text);
    }
    data::folder(dir.path(), step.map(Duration::from_secs), &[])
}

fn refusal(text: &str) -> String {
    format!("{:#}", folder(&[("web.csv", text)], None).err().expect("refused"))
}

fn only(text: &str, step: Option<u64>) -> (Vec<f64>, String) {
    let read = folder(&[("web.csv", text)], step).unwrap();
    (read.inputs[0].series.raw().to_vec(), data::remarks(&read))
}

const GOOD: &str = "timestamp,value\n2026-03-02T00:00:00Z,1\n2026-03-02T00:05:00Z,2\n";

#[test]
fn rows_are_read_and_empty_cells_are_gaps() {
    let (values, remarks) = only(
        "timestamp,value\n2026-03-02T00:00:00Z,1\n2026-03-02T00:05:00Z,\n2026-03-02T00:15:00Z,NaN\n2026-03-02T00:20:00Z,4.5\n",
        None,
    );
    assert_eq!(values.len(), 5);
    assert_eq!((values[0], values[4]), (1.0, 4.5));
    assert!(values[1..4].iter().all(|v| v.is_nan()) && remarks.is_empty(), "{values:?} {remarks}");
}

#[test]
fn times_may_be_written_in_several_ways() {
    let (a, _) =
        only("timestamp,value\n2026-03-02 00:00:00,1\n2026-03-02T00:05:00+00:00,2\n1772410200,3\n", None);
    assert_eq!(a, [1.0, 2.0, 3.0]);
    let (b, _) = only("timestamp,value\n1772409600000,1\n1772409900000,2\n", None);
    assert_eq!(b, [1.0, 2.0]);
}

#[test]
fn finer_rows_are_averaged() {
    let rows: Vec<String> = (0..10).map(|m| format!("2026-03-02T00:{m:02}:00Z,{m}\n")).collect();
    let rows = rows.concat();
    let read = folder(&[("web.csv", &format!("timestamp,value\n{rows}"))], Some(300)).unwrap();
    assert_eq!(read.inputs[0].series.raw(), [2.0, 7.0]);
    // The newest row of each step: what an origin inside the step could not have seen.
    let begin = read.inputs[0].series.start().as_second();
    assert_eq!(read.inputs[0].newest, [begin + 240, begin + 540]);
}

#[test]
fn disorder_doubles_and_what_is_no_load_are_put_right_and_said() {
    let text = "timestamp,value\n2026-03-02T00:05:00Z,2\n2026-03-02T00:00:00Z,1\n2026-03-02T00:10:00Z,3\n\
                2026-03-02T00:10:00Z,5\n2026-03-02T00:15:00Z,-7\n2026-03-02T00:20:00Z,inf\n2026-03-02T00:25:00Z,6\n";
    let (values, remarks) = only(text, None);
    assert_eq!(values[..3], [1.0, 2.0, 4.0]);
    assert!(values[3].is_nan() && values[4].is_nan() && values[5] == 6.0, "{values:?}");
    for part in
        ["older than the row before", "line 3", "time of the row before", "line 5", "no load", "line 6"]
    {
        assert!(remarks.contains(part), "{part}: {remarks}");
    }
}

#[test]
fn what_cannot_be_read_is_named_with_its_line() {
    let text = refusal("timestamp,value\n2026-03-02T00:00:00Z,1\n2026-03-02T00:05:00Z,much\n");
    assert!(
        text.contains("web.csv:3") && text.contains("\"much\"") && text.contains("leave the cell empty"),
        "{text}"
    );
    let text = refusal("timestamp,value\nyesterday,1\n");
    assert!(text.contains("web.csv:2") && text.contains("2026-03-02T00:05:00Z"), "{text}");
    let text = refusal("timestamp,value\n2026-03-02T00:00:00Z,1,2,3\n");
    assert!(text.contains("web.csv") && text.contains("line: 2"), "{text}");
    let text =
        refusal("timestamp,value\n1970-01-01T00:00:00Z,1\n1970-01-01T00:00:10Z,1\n2026-03-02T00:00:00Z,2\n");
    assert!(text.contains("is one of these times wrong"), "{text}");
}

#[test]
fn other_files_are_left_out_and_said() {
    let read = folder(
        &[
            ("web.csv", GOOD),
            ("matches.csv", "start,end,event\na,b,c\n"),
            ("empty.csv", "timestamp,value\n"),
            ("notes.txt", "x"),
        ],
        None,
    )
    .unwrap();
    assert_eq!(read.inputs.len(), 1);
    let remarks = data::remarks(&read);
    assert!(
        remarks.contains("left out matches: its header is `start,end,event`, not `timestamp,value`"),
        "{remarks}"
    );
    assert!(remarks.contains("left out empty: it has fewer than two rows"), "{remarks}");
    assert!(!remarks.contains("notes"));
}

#[test]
fn a_step_shorter_than_the_rows_or_out_of_range_leaves_a_series_out() {
    let read = folder(&[("web.csv", GOOD)], Some(60)).unwrap();
    assert!(read.inputs.is_empty());
    assert_eq!(read.left_out["web"], "its rows are 300 s apart, more than --step 60s");
    let daily = "timestamp,value\n2026-03-02T00:00:00Z,1\n2026-03-03T00:00:00Z,2\n";
    assert!(folder(&[("web.csv", daily)], None).unwrap().left_out["web"].contains("from 10s to 1h"));
}

#[test]
fn a_missing_folder_is_an_error_with_a_remedy() {
    let missing = data::folder(std::path::Path::new("/nowhere/at/all"), None, &[]).err().unwrap();
    let text = format!("{missing:#}");
    assert!(text.contains("/nowhere/at/all") && text.contains("timestamp,value"), "{text}");
}

#[test]
fn origins_are_read_and_those_of_unknown_series_said() {
    let dir = TempDir::new().unwrap();
    let path = write(
        &dir,
        "origins.csv",
        "series,timestamp\nweb.csv,2026-03-02T00:00:00Z\nshop,2026-03-02T00:05:00Z\n",
    );
    let origins = data::origins(&path).unwrap();
    let mut read = folder(&[("web.csv", GOOD)], None).unwrap();
    data::keep_named(&mut read, &origins);
    assert_eq!(read.inputs.len(), 1);
    assert!(data::remarks(&read).contains("--origins names series that aren't evaluated: shop"));
    for (text, part) in [
        ("name,when\n", "its header is `name,when`, not `series,timestamp`"),
        ("series,timestamp\nweb,noon\n", "origins.csv:2"),
        ("series,timestamp\n", "no origins in it"),
    ] {
        let path = write(&dir, "origins.csv", text);
        let error = format!("{:#}", data::origins(&path).err().unwrap());
        assert!(error.contains(part), "{error}");
    }
}
