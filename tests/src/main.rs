//! The testbed by hand: a control plane to try things on, and measurements that are too long for a test.

mod up;

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use jiff::{SignedDuration, Timestamp};
use testbed::hpa_agreement::{self, Agreement, Scene};
use testbed::{Shape, assets, idle, warm_up};

/// Real servers on loopback, for trying Foresail without a cluster.
#[derive(Debug, Parser)]
#[command(name = "testbed")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster on loopback, print its KUBECONFIG and addresses, wait for Ctrl-C
    ///
    /// Deployments, HPAs and everything else go their real way; nodes and pods are played by KWOK. A workload's pods say
    /// in annotations how they behave, such as `testbed.foresail.dev/startup: 30s`.
    Up(up::Arguments),
    /// Print which version of which server the tests run against
    Versions,
    /// Measure what `foresail run` costs with many idle policies: memory and CPU
    ///
    /// The binary is the one that `FORESAIL_BIN` names, or the one beside this program. Figures mean something for
    /// a release build only.
    Idle {
        /// How many policies
        #[arg(long, default_value_t = 1_000)]
        policies: usize,
        /// How long to watch once everything has settled, in seconds
        #[arg(long, default_value_t = 120)]
        seconds: u64,
    },
    /// Measure how long `foresail run` takes to learn from two weeks of history of many policies
    ///
    /// The binary is chosen as for `idle`.
    WarmUp {
        /// How many policies
        #[arg(long, default_value_t = 300)]
        policies: usize,
    },
    /// Play load to a real HPA on CPU, and ask the one that `foresail backtest` replays at each tick what it would do
    Hpa {
        /// For how long, in minutes
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// The HPA's scaleDown.stabilizationWindowSeconds; without it the HPA has no behavior
        #[arg(long)]
        window: Option<u32>,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    testbed::prepare();
    match Arguments::parse().command {
        Command::Up(arguments) => up::run(arguments).await,
        Command::Versions => versions(),
        Command::Idle { policies, seconds } => measure(policies, Duration::from_secs(seconds)).await,
        Command::WarmUp { policies } => learn(policies).await,
        Command::Hpa { minutes, window } => compare(Duration::from_mins(minutes), window).await,
    }
}

fn versions() -> Result<()> {
    for assets::Server { name, version, origin } in assets::servers()? {
        println!("{name:<16} {version:<18} {origin}");
    }
    Ok(())
}

async fn measure(policies: usize, span: Duration) -> Result<()> {
    let idle::Measured { ready_after, resident, anonymous, peak, cores, .. } =
        idle::measure(policies, span).await?;
    println!("{policies} idle policies, one pod each, decided on every 15 s, watched for {span:?}:");
    println!(
        "  resident    {resident:.0} MiB, {anonymous:.0} MiB of it anonymous; {peak:.0} MiB at its peak"
    );
    println!("  CPU         {:.1} % of a core", cores * 100.0);
    println!("  all decided {:.1} s after the start", ready_after.as_secs_f64());
    Ok(())
}

async fn learn(policies: usize) -> Result<()> {
    let measured = warm_up::measure(policies).await?;
    println!("{policies} policies with two weeks of history, in seconds after the start:");
    let line = |what: &str, first: Duration, all: Duration| {
        println!("  {what:<42} {:>7.1} {:>7.1}", first.as_secs_f64(), all.as_secs_f64());
    };
    println!("  {:<42} {:>7} {:>7}", "", "first", "all");
    println!("  {:<42} {:>7} {:>7.1}", "decided on", "", measured.decided.as_secs_f64());
    line("decided on with a forecast", measured.first_forecast, measured.forecasts);
    line("a strategy selected on seven days", measured.first_selected, measured.selected);
    println!("  99 % of the looks began no later than {} s after their turn", measured.delay_p99);
    Ok(())
}

/// Ramps, a plateau, a spike and a night, again and again in twenty minutes.
fn changing() -> Shape {
    let knots = [
        (0, 60.0),
        (180, 60.0),
        (300, 420.0),
        (420, 420.0),
        (425, 900.0),
        (500, 900.0),
        (505, 300.0),
        (700, 350.0),
        (900, 40.0),
        (1_199, 40.0),
    ];
    Shape::new(Timestamp::now(), SignedDuration::from_mins(20), &knots)
}

async fn compare(span: Duration, window: Option<u32>) -> Result<()> {
    let startup = Duration::from_secs(20);
    let scene = Scene { load: changing(), span, target: 70, window, startup };
    let agreement = hpa_agreement::play(&scene).await?;
    let Agreement { ticks, differing } = &agreement;
    println!(
        "{} ticks of 2 s, {} changes of replicas by the real HPA; the replayed one differs at {} ticks",
        ticks.len(),
        agreement.changes(),
        differing.len()
    );
    for tick in differing {
        println!(
            "  {} {} replicas, replayed {}; ready {:?}, {} unready, {} missing",
            tick.at,
            tick.replicas,
            tick.replayed,
            tick.groups.ready,
            tick.groups.unready,
            tick.groups.missing
        );
    }
    Ok(())
}
