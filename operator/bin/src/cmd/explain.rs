//! `foresail explain`: a recorded decision in plain sentences, and proof that its inputs still give the same answer.

use std::io::{BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use api::v1alpha1::AutoscalePolicy;
use decide::Record;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::{self, Output};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  foresail explain checkout -n shop                       the last decision of a policy in the cluster
  kubectl get asp checkout -o yaml | foresail explain -   the same, from its status
  foresail explain trace.jsonl --at 2026-03-02T09:08:30Z  a tick of `foresail backtest --trace-out`
  foresail explain trace.jsonl --replay                   proof that its inputs give the same answer
  foresail explain shop.web.jsonl --at 2026-03-02T09:08:30Z  a decision of `foresail run --record`")]
pub(crate) struct Args {
    /// A file with a decision (a status as YAML or JSON, or a trace as JSON lines), `-` for standard input, or the
    /// name of an AutoscalePolicy in the cluster
    what: String,
    /// Namespace of the policy; the one of the current context by default
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Of a trace: the first decision at or after this time; the last one by default
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Of a trace: the run to look at
    #[arg(long, value_name = "NAME", default_value = backtest::FORESAIL)]
    run: String,
    /// Decide again from the recorded inputs and compare; the exit code is 1 where the answer differs
    #[arg(long)]
    replay: bool,
    /// For people or for machines
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    let records = records(&args)?;
    let mut same = true;
    for (i, record) in records.iter().enumerate() {
        if i > 0 {
            println!();
        }
        print(&args, record)?;
        if args.replay {
            same &= replay(&args, record);
        }
    }
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(args: &Args, record: &Record) -> anyhow::Result<()> {
    match args.output {
        Output::Text => {
            let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            print!("{}", record.explain(color));
            for memory in record.history.memories(record.now) {
                println!("{memory}");
            }
        }
        Output::Json => println!("{}", serde_json::to_string_pretty(record)?),
        Output::Yaml => print!("{}", serde_saphyr::to_string(record)?),
    }
    Ok(())
}

/// Decides again; says on standard error how it went, so that machines can read standard output.
fn replay(args: &Args, record: &Record) -> bool {
    let again = record.replay();
    if again == record.recommendation {
        eprintln!("replayed: the same answer, {} replicas", again.target);
        return true;
    }
    eprintln!(
        "replayed: {} replicas instead of {}; this version of Foresail decides otherwise, or the record was changed",
        again.target, record.recommendation.target
    );
    if args.output == Output::Text {
        let other = Record { recommendation: again, ..record.clone() };
        eprintln!("\n{}", other.explain(false));
    }
    false
}

fn records(args: &Args) -> anyhow::Result<Vec<Record>> {
    if args.what == "-" {
        return from_reader(args, &mut std::io::stdin().lock()).context("standard input");
    }
    let path = Path::new(&args.what);
    if path.exists() {
        let mut first = String::new();
        let file = std::fs::File::open(path).with_context(|| format!("can't read {}", path.display()))?;
        BufReader::new(file)
            .read_line(&mut first)
            .with_context(|| format!("can't read {}", path.display()))?;
        if super::recorded::is_recording(&first) {
            return super::recorded::record(path, args.at).map(|record| vec![record]);
        }
        let file = std::fs::File::open(path).with_context(|| format!("can't read {}", path.display()))?;
        return from_reader(args, &mut BufReader::new(file)).with_context(|| path.display().to_string());
    }
    // What looks like a path was meant as one.
    if args.what.contains(['/', '.']) && !args.what.starts_with("asp/") {
        bail!("there is no file {}", args.what);
    }
    from_cluster(args).map(|record| vec![record])
}

/// A decision from a status, several from a list of policies, or one of a trace's many.
fn from_reader(args: &Args, reader: &mut dyn BufRead) -> anyhow::Result<Vec<Record>> {
    let mut first = String::new();
    reader.read_line(&mut first).context("can't read")?;
    // A trace has a whole object on each line; a status goes on after its first one.
    if let Ok(line) = serde_json::from_str::<Value>(&first) {
        let mut rest = String::new();
        reader.read_line(&mut rest).context("can't read")?;
        if serde_json::from_str::<Value>(&rest).is_ok() {
            let lines = [Ok(first), Ok(rest)].into_iter().chain(reader.lines());
            return from_trace(args, lines).map(|record| vec![record]);
        }
        return some(found(&line));
    }
    let mut text = first;
    reader.read_to_string(&mut text).context("can't read")?;
    let value: Value = match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(_) => serde_saphyr::from_str(&text).context("neither JSON nor YAML")?,
    };
    some(found(&value))
}

fn some(records: anyhow::Result<Vec<Record>>) -> anyhow::Result<Vec<Record>> {
    let records = records?;
    if records.is_empty() {
        bail!("there is no recorded decision in it; a status has one under status.decision.record");
    }
    Ok(records)
}

/// Every recorded decision inside `value`, outermost first.
fn found(value: &Value) -> anyhow::Result<Vec<Record>> {
    const PARTS: [&str; 5] = ["now", "recommendation", "policy", "observation", "history"];
    match value {
        Value::Object(map) if PARTS.iter().all(|part| map.contains_key(*part)) => {
            let record = serde_json::from_value(value.clone())
                .context("there is a decision in it, and this version of Foresail can't read it")?;
            Ok(vec![record])
        }
        Value::Object(map) => Ok(map.values().map(found).collect::<anyhow::Result<Vec<_>>>()?.concat()),
        Value::Array(items) => Ok(items.iter().map(found).collect::<anyhow::Result<Vec<_>>>()?.concat()),
        _ => Ok(Vec::new()),
    }
}

fn from_trace(args: &Args, lines: impl Iterator<Item = std::io::Result<String>>) -> anyhow::Result<Record> {
    let mut chosen: Option<Value> = None;
    for (i, line) in lines.enumerate() {
        let line = line.context("can't read")?;
        if line.trim().is_empty() {
            continue;
        }
        let tick: Value =
            serde_json::from_str(&line).with_context(|| format!("line {} isn't JSON", i + 1))?;
        let run = tick.get("run").and_then(Value::as_str);
        if run.is_some_and(|run| run != args.run) {
            continue;
        }
        let time = tick.get("time").and_then(Value::as_str).and_then(|t| t.parse::<Timestamp>().ok());
        chosen = Some(tick);
        if let (Some(at), Some(time)) = (args.at, time)
            && time >= at
        {
            break;
        }
    }
    let Some(tick) = chosen else { bail!("no line of a run called {}; --run names another", args.run) };
    let records = found(&tick)?;
    records.into_iter().next().with_context(|| {
        format!("the line of {} has no recorded decision; baselines can't be explained", tick["time"])
    })
}

fn from_cluster(args: &Args) -> anyhow::Result<Record> {
    let name = args.what.trim_start_matches("asp/");
    let policy: AutoscalePolicy = cli::runtime()?.block_on(async {
        let client = kube::Client::try_default()
            .await
            .with_context(|| format!("there is no file {name}, and no cluster to look for a policy in"))?;
        let policies: kube::Api<AutoscalePolicy> = match &args.namespace {
            Some(namespace) => kube::Api::namespaced(client, namespace),
            None => kube::Api::default_namespaced(client),
        };
        policies.get(name).await.with_context(|| format!("can't get the policy {name}"))
    })?;
    let status = serde_json::to_value(&policy.status)?;
    found(&status)?.into_iter().next().with_context(|| {
        format!("{name} has no decision yet; its conditions say why: kubectl describe asp {name}")
    })
}

#[cfg(test)]
mod tests {
    use decide::{History, MetricObservation, Observation, Policy};
    use series::AbsenceReason;

    use super::*;

    fn args(extra: &[&str]) -> Args {
        use clap::Parser;
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            args: Args,
        }
        Only::parse_from(["explain", "-"].iter().chain(extra)).args
    }

    fn record(second: i64) -> Record {
        let metric = MetricObservation::absent("load", AbsenceReason::Empty, "nothing matched");
        let observation = Observation { metrics: vec![metric], ..Observation::of(3) };
        let now = Timestamp::from_second(second).unwrap();
        Record::make(&Policy::simple(1, 9, 100.0), &observation, &History::default(), now).0
    }

    fn read(args: &Args, text: &str) -> anyhow::Result<Vec<Record>> {
        from_reader(args, &mut text.as_bytes())
    }

    #[test]
    fn a_status_is_read_as_yaml_and_as_json() {
        let status = serde_json::json!({ "kind": "AutoscalePolicy", "status": { "decision": { "record": record(5) } } });
        let json = serde_json::to_string_pretty(&status).unwrap();
        assert_eq!(read(&args(&[]), &json).unwrap(), [record(5)]);
        assert_eq!(read(&args(&[]), &status.to_string()).unwrap(), [record(5)]);
        let yaml = serde_saphyr::to_string(&status).unwrap();
        assert_eq!(read(&args(&[]), &yaml).unwrap(), [record(5)]);
        assert!(record(5).holds());
    }

    #[test]
    fn a_trace_gives_the_decision_at_a_time_of_the_run_asked_for() {
        let line = |run: &str, second: i64, record: Option<Record>| {
            let time = Timestamp::from_second(second).unwrap();
            serde_json::json!({ "run": run, "time": time, "record": record }).to_string()
        };
        let trace = [
            line("HPA 70%", 15, None),
            line("Foresail", 15, Some(record(15))),
            line("Foresail", 30, Some(record(30))),
            line("Foresail", 45, Some(record(45))),
        ]
        .join("\n");
        assert_eq!(read(&args(&[]), &trace).unwrap(), [record(45)]);
        assert_eq!(read(&args(&["--at", "1970-01-01T00:00:20Z"]), &trace).unwrap(), [record(30)]);
        let error = read(&args(&["--run", "HPA 70%"]), &trace).unwrap_err();
        assert!(format!("{error:#}").contains("baselines can't be explained"));
        assert!(read(&args(&["--run", "nobody"]), &trace).is_err());
    }

    #[test]
    fn what_holds_no_decision_says_so() {
        let error = read(&args(&[]), "status: {}\nspec: {}\n").unwrap_err();
        assert!(error.to_string().contains("no recorded decision"), "{error}");
    }
}
