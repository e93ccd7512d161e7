//! Figures about the process itself, read from `/proc` at each scrape; elsewhere than on Linux there are none.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::entry::{Entry, Kind};

/// The kernel counts time in hundredths of a second for processes, on every architecture that Linux has today.
const TICKS_PER_SECOND: f64 = 100.0;
/// Pages of memory, where the kernel doesn't say: 4 KiB holds on what Foresail is built for (amd64, arm64).
const PAGE_BYTES: f64 = 4096.0;

#[derive(Debug)]
pub(super) struct Process;

struct Figure {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&Stat) -> f64,
}

struct Stat {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    start_seconds: f64,
    threads: f64,
    open_fds: f64,
    max_fds: f64,
}

const FIGURES: &[Figure] = &[
    Figure {
        name: "process_cpu_seconds_total",
        kind: Kind::Counter,
        help: "User and system CPU time spent.",
        value: |s| s.cpu_seconds,
    },
    Figure {
        name: "process_resident_memory_bytes",
        kind: Kind::Gauge,
        help: "Resident memory.",
        value: |s| s.resident_bytes,
    },
    Figure {
        name: "process_virtual_memory_bytes",
        kind: Kind::Gauge,
        help: "Virtual memory.",
        value: |s| s.virtual_bytes,
    },
    Figure {
        name: "process_start_time_seconds",
        kind: Kind::Gauge,
        help: "When the process started, as seconds since 1970.",
        value: |s| s.start_seconds,
    },
    Figure {
        name: "process_threads",
        kind: Kind::Gauge,
        help: "Threads of the operating system.",
        value: |s| s.threads,
    },
    Figure {
        name: "process_open_fds",
        kind: Kind::Gauge,
        help: "Open file descriptors.",
        value: |s| s.open_fds,
    },
    Figure {
        name: "process_max_fds",
        kind: Kind::Gauge,
        help: "How many file descriptors may be open.",
        value: |s| s.max_fds,
    },
];

pub(super) fn entries() -> impl Iterator<Item = Entry> {
    FIGURES.iter().map(|f| Entry { name: f.name.to_owned(), kind: f.kind, labels: &[], help: f.help })
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(stat) = read() else { return Ok(()) };
        for figure in FIGURES {
            let value = (figure.value)(&stat);
            let name = figure.name.trim_end_matches("_total");
            let help = figure.help.trim_end_matches('.');
            match figure.kind {
                Kind::Counter => {
                    let metric = ConstCounter::new(value);
                    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
                }
                Kind::Gauge | Kind::Histogram => {
                    let metric = ConstGauge::new(value);
                    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
                }
            }
        }
        Ok(())
    }
}

fn read() -> Option<Stat> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name may contain blanks and parentheses; fields are counted from the last one.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok(); // numbered as in proc(5)
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot = boot.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse::<f64>().ok()?;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let max_fds = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))
        .and_then(|l| l.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(f64::NAN);
    Some(Stat {
        cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
        threads: field(20)?,
        start_seconds: boot + field(22)? / TICKS_PER_SECOND,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * PAGE_BYTES,
        open_fds: std::fs::read_dir("/proc/self/fd").map_or(f64::NAN, |d| d.count() as f64),
        max_fds,
    })
}
