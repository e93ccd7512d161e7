//! What a replay is made from: the autoscaler that runs today, the policy, and the recorded load.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use controller::validate::{Intent, SignalSource};
use decide::MetricKind;
use jiff::Timestamp;
use series::{Series, time};

use super::Args;
use super::existing::{self, Found};
use crate::{cli, policy_file};

/// The autoscaler that runs today, where one is given.
pub(super) fn existing(args: &Args) -> anyhow::Result<Option<Found>> {
    let found = match (&args.hpa, &args.scaled_object) {
        (Some(path), _) => existing::read(path, "HorizontalPodAutoscaler")?,
        (None, Some(path)) => existing::read(path, "ScaledObject")?,
        (None, None) => return Ok(None),
    };
    found.notes.iter().for_each(|note| eprintln!("{note}"));
    Ok(Some(found))
}

/// What the policy asks for: the given one, or what becomes of the autoscaler that runs today.
pub(super) fn intent(args: &Args, existing: Option<&Found>) -> anyhow::Result<Option<Intent>> {
    let (name, text) = match (&args.policy, existing) {
        (Some(path), _) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).with_context(|| format!("can't read {name}"))?;
            (name, text)
        }
        (None, Some(found)) if args.target.is_none() => {
            if args.csv.is_some() && existing::on_cpu_alone(&found.existing) {
                bail!(
                    "the {} looks at CPU alone, which doesn't say how much of the load in the CSV one replica carries; give that \
                     with --target, or read CPU with --prometheus",
                    found.existing.name
                );
            }
            (format!("the policy made of the {}", found.existing.name), found.policy.clone())
        }
        _ => return Ok(None),
    };
    let (_, mut intent) = policy_file::read(&name, &text)?;
    keep_what_can_be_replayed(args, &mut intent)?;
    Ok(Some(intent))
}

/// Takes out of a policy the metrics that have no recording, and says so: each would block every way down.
fn keep_what_can_be_replayed(args: &Args, intent: &mut Intent) -> anyhow::Result<()> {
    let (mut metrics, mut signals) = (Vec::new(), Vec::new());
    for (metric, signal) in intent.policy.metrics.drain(..).zip(intent.signals.drain(..)) {
        let why = match (&metric.kind, &signal.source) {
            (MetricKind::Value, _) => Some("nobody knows what its value would have been with other replicas"),
            (MetricKind::Backlog(_), _) | (_, SignalSource::Queue { .. }) => {
                Some("it is a queue, and what is replayed is load that can't wait")
            }
            (MetricKind::AverageValue, _) if args.prometheus.is_none() && !metrics.is_empty() => {
                Some("a file holds one load; with --prometheus all are replayed")
            }
            (MetricKind::AverageValue, SignalSource::Prometheus { .. }) => None,
        };
        if let Some(why) = why {
            eprintln!("left out metric {}: {why}", metric.name);
        } else {
            metrics.push(metric);
            signals.push(signal);
        }
    }
    if metrics.is_empty() {
        bail!("the policy has no metric that can be replayed");
    }
    (intent.policy.metrics, intent.signals) = (metrics, signals);
    Ok(())
}

/// The load of each metric.
pub(super) fn recordings(args: &Args, intent: Option<&Intent>) -> anyhow::Result<(String, Vec<Series>)> {
    if let Some(path) = &args.csv {
        let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        return Ok((name, vec![read_csv(path)?]));
    }
    let (Some(url), Some(intent)) = (&args.prometheus, intent) else {
        bail!("give --csv FILE, or --policy FILE (or --hpa, or --scaled-object) with --prometheus URL")
    };
    let runtime = cli::runtime()?;
    let mut recordings = Vec::new();
    for signal in &intent.signals {
        let SignalSource::Prometheus { query, .. } = &signal.source else { continue };
        let span = args.since + args.since.max(intent.forecast.history);
        let read = runtime.block_on(from_prometheus(url, query, span));
        recordings.push(read.with_context(|| format!("can't read metric {}", signal.name))?);
    }
    Ok((intent.target.to_string(), recordings))
}

pub(super) fn read_csv(path: &Path) -> anyhow::Result<Series> {
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    backtest::parse_csv(&text).with_context(|| format!("can't understand {}", path.display()))
}

async fn from_prometheus(url: &str, query: &str, span: Duration) -> anyhow::Result<Series> {
    use sources::Source;
    let pool = sources::Pool::default();
    let mut config = sources::prometheus::Config::new(url, query);
    config.deadline = Duration::from_secs(60);
    let source = sources::prometheus::Prometheus::new(&pool, config)?;
    let step = Duration::from_secs(60);
    let now = time::align(Timestamp::now(), step);
    let from = time::before(now, span);
    let samples = source.history(from, now, step).await?;
    let rows = samples.iter().map(|s| (s.time(), Some(s.value()))).collect();
    backtest::to_series(rows).context("Prometheus gave too little history")
}
