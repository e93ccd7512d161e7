//! Prints the metrics reference; with `--check FILE`, fails when FILE differs.

use std::process::ExitCode;

fn main() -> ExitCode {
    let page = telemetry::metrics::reference(telemetry::metrics::Metrics::new().entries());
    let mut args = std::env::args().skip(1);
    let (Some("--check"), Some(path)) = (args.next().as_deref(), args.next()) else {
        print!("{page}");
        return ExitCode::SUCCESS;
    };
    if std::fs::read_to_string(&path).is_ok_and(|old| old == page) {
        return ExitCode::SUCCESS;
    }
    eprintln!("{path} is stale: cargo run -p telemetry --example metrics-reference > {path}");
    ExitCode::FAILURE
}
