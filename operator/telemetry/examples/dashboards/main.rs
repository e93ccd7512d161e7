//! Writes the Grafana dashboards: `cargo run -p telemetry --example dashboards -- dashboards/grafana`. With `--check`
//! before the folder, fails when a file there differs.
//!
//! Dashboards are written in the classic schema, which Grafana 10 and later and its sidecar load. What panels ask is in
//! `boards`; how a panel looks in JSON is in `grafana`.

mod boards;
mod grafana;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let check = args.first().is_some_and(|a| a == "--check");
    if check {
        args.remove(0);
    }
    let folder = std::path::PathBuf::from(args.first().map_or("dashboards/grafana", String::as_str));
    let mut stale = false;
    for board in boards::all() {
        let path = folder.join(format!("{}.json", board.uid));
        let text = format!("{:#}\n", board.json());
        if check {
            if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
                continue;
            }
            eprintln!("{} is stale: cargo run -p telemetry --example dashboards", path.display());
            stale = true;
        } else if let Err(error) = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, text))
        {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
