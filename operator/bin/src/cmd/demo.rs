//! `foresail demo`: everything, simulated, in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use crate::demo::{Wishes, play};

/// Where the page is served unless told otherwise.
const PAGE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8_080);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A shop's day on a simulated cluster: the morning ramp, a sale in the calendar and one that nobody announced, a metric
outage, a release that crash-loops. The forecaster, the decision, the page and the metrics are those of production.
Nothing outside of this process is touched.")]
pub(crate) struct Args {
    /// Times faster than the clock; 0 for as fast as it goes
    #[arg(long, value_name = "N", default_value_t = 600.0)]
    speed: f64,
    /// Where to serve the page; 127.0.0.1:8080, or a free port where that one is taken
    #[arg(long, value_name = "ADDRESS")]
    page: Option<SocketAddr>,
    /// Serve no page
    #[arg(long, conflicts_with = "page")]
    no_page: bool,
    /// Everything that happens by chance follows from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        args.speed.is_finite() && args.speed >= 0.0,
        "--speed is {}; it must be 0 or more",
        args.speed
    );
    play(&Wishes {
        speed: args.speed,
        page: if args.no_page { None } else { Some(args.page.unwrap_or(PAGE)) },
        insist: args.page.is_some(),
        seed: args.seed,
    })
}
