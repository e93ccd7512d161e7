//! Prints the metrics reference; with `--check FILE`, fails when FILE differs.

use std::process::ExitCode;

fn main() -> ExitCode {
    let page = telemetry::metrics::reference(telemetry::metrics::Metrics::new().entries());
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("--check"), Some(path)) => {
            if std::fs::read_to_string(&path).is_ok_and(|old| old == page) {
                return ExitCode::SUCCESS;
            }
            eprintln!("{path} is stale: cargo run -p telemetry --example metrics-reference > {path}");
            ExitCode::FAILURE
        }
        _ => {
            print!("{page}");
            ExitCode::SUCCESS
        }
    }
}
