//! The built program, run to its end.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The program with these arguments in a folder, where no cluster is to be found.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foresail"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env("NO_COLOR", "1");
    for name in ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "FORESAIL_PROMETHEUS_URL", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ended {
    ended(command(folder, arguments))
}

/// Runs it to its end with something to read.
pub(crate) fn run_with(folder: &Path, arguments: &[&str], input: &str) -> Ended {
    let mut command = command(folder, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    told(child.wait_with_output().unwrap())
}

pub(crate) fn ended(mut command: Command) -> Ended {
    told(command.output().unwrap())
}

fn told(output: std::process::Output) -> Ended {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A load like a day's, again and again, one value each five minutes.
pub(crate) fn recorded(days: u32) -> String {
    let mut text = "timestamp,value\n".to_owned();
    for slot in 0..days * 288 {
        let second = 1_772_668_800 + u64::from(slot) * 300;
        let angle = f64::from(slot % 288) / 288.0 * std::f64::consts::TAU;
        writeln!(text, "{second},{:.1}", 900.0 - 600.0 * angle.cos() + f64::from(slot % 7) * 9.0).unwrap();
    }
    text
}
