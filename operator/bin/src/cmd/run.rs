//! `foresail run`: the operator. Wires the controller, the web server and telemetry together, and ends them in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use api::units;
use controller::lease::{Leadership, LeaseSettings};
use controller::{Progress, Wiring};
use health::snapshot::{Maintenance, Meta, Snapshot};
use jiff::Timestamp;
use telemetry::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::calls;
use crate::cli;
use crate::cluster::Cluster;
use crate::health_routes;

/// Where the runbooks of alerts are.
pub(crate) const RUNBOOKS: &str = "https://github.com/foresail/foresail/blob/main/docs/runbooks";
/// For notifications that are due at the end.
const FLUSH: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: Cluster,
    /// Prometheus for policies that name none
    #[arg(long, value_name = "URL", env = "FORESAIL_PROMETHEUS_URL")]
    prometheus_url: Option<String>,
    /// Namespace to look after; may be given several times. Default: all
    #[arg(long = "namespace", value_name = "NAME")]
    namespaces: Vec<String>,
    /// Address of probes, metrics, API and page
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Take part in the election of the one instance that acts
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    leader_election: bool,
    /// Namespace of the election's Lease. Default: the one of the pod or the context
    #[arg(long, value_name = "NAME")]
    leader_election_namespace: Option<String>,
    /// Name of the election's Lease
    #[arg(long, value_name = "NAME", default_value = "foresail")]
    leader_election_name: String,
    /// How long an instance that gives no sign of life still counts as the leader
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = units::duration)]
    lease_duration: Duration,
    /// Time between two decisions for one policy
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = units::duration)]
    interval: Duration,
    /// How many policies are looked at at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Pods that all policies together may add in a minute. Default: no limit
    #[arg(long, value_name = "NUMBER")]
    pods_per_minute: Option<u32>,
    /// Longest time one query may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::duration)]
    query_timeout: Duration,
    /// Name of this instance. Default: $POD_NAME, or the host's name
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    instance: Option<String>,
    /// Time that work under way gets to end after SIGTERM
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = units::duration)]
    shutdown_timeout: Duration,
    /// How long requests are still served after readiness is gone, while proxies learn of it
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = units::duration)]
    shutdown_delay: Duration,
    /// Where the runbooks of alerts are
    #[arg(
        long,
        value_name = "URL",
        default_value = RUNBOOKS
    )]
    runbook_url: String,
    /// Export metric series for each policy
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    per_policy_metrics: bool,
    /// Folder to record every call of policies' autoscalers in, for `foresail backtest --recorded` and `explain`
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Policy to record, as NAMESPACE/NAME; may be given several times. Default: all
    #[arg(long = "record-policy", value_name = "POLICY", requires = "record")]
    record_policies: Vec<String>,
    /// Largest size of one policy's recording in MiB; the one before is kept too
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    record_limit: u64,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[derive(Debug, clap::Args)]
struct TelemetryArgs {
    /// How log lines look. Default: for people on a terminal, JSON otherwise
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged, such as info or info,sources=debug
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    log_filter: String,
    /// OTLP receiver for traces, metrics and logs, such as http://collector:4317
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    /// OTLP protocol
    #[arg(long, value_name = "PROTOCOL", env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = "grpc")]
    otlp_protocol: OtlpProtocol,
    /// Share of decisions whose trace is kept, 0 to 1
    #[arg(long, value_name = "SHARE", env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 1.0)]
    otlp_sample: f64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    /// Lines for people
    Human,
    /// One JSON object a line
    Json,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OtlpProtocol {
    /// gRPC
    Grpc,
    /// HTTP with protobuf bodies
    #[value(alias = "http")]
    #[value(name = "http/protobuf")]
    Http,
}

pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = cli::runtime()?;
    let metrics = Metrics::new().per_policy(args.per_policy_metrics);
    metrics.build(
        env!("CARGO_PKG_VERSION"),
        option_env!("FORESAIL_REVISION").unwrap_or("unknown"),
        env!("CARGO_PKG_RUST_VERSION"),
    );
    // The OTLP exporters want the runtime's context, not a task of it.
    let guard = {
        let _entered = runtime.enter();
        telemetry::tracing::init(&telemetry_settings(&args), &metrics)?
    };
    let result = runtime.block_on(operate(args, metrics));
    let begun = Instant::now();
    guard.shutdown(Duration::from_secs(5));
    runtime.shutdown_timeout(Duration::from_secs(1));
    if begun.elapsed() > Duration::from_secs(4) {
        eprintln!("foresail: telemetry took {:.1} s to flush", begun.elapsed().as_secs_f64());
    }
    result.map(|()| ExitCode::SUCCESS)
}

fn telemetry_settings(args: &Args) -> telemetry::tracing::Settings {
    use telemetry::otlp::Protocol;
    use telemetry::tracing::{Format, Settings};
    let given = &args.telemetry;
    let otlp = given.otlp_endpoint.as_ref().filter(|e| !e.is_empty()).map(|endpoint| {
        let protocol = match given.otlp_protocol {
            OtlpProtocol::Grpc => Protocol::Grpc,
            OtlpProtocol::Http => Protocol::Http,
        };
        telemetry::otlp::Settings {
            sample_ratio: given.otlp_sample.clamp(0.0, 1.0),
            instance: instance(args),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..telemetry::otlp::Settings::new(endpoint, protocol)
        }
    });
    let format = match given.log_format {
        Some(LogFormat::Human) => Format::Human,
        Some(LogFormat::Json) => Format::Json,
        None => Format::for_stderr(),
    };
    Settings { format, filter: given.log_filter.clone(), otlp }
}

/// Unique among instances: pods have unique names; processes on one host are told apart by their id.
fn instance(args: &Args) -> String {
    args.instance.clone().unwrap_or_else(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}-{}", host.trim(), std::process::id())
    })
}

async fn operate(args: Args, metrics: Metrics) -> anyhow::Result<()> {
    let instance = instance(&args);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), instance, "foresail starts");
    let (client, namespace) = args.cluster.client().await?;
    let client = calls::counted(client, &namespace, metrics.clone());
    let (snapshot, seen) =
        watch::channel(Snapshot::new(Meta::new(env!("CARGO_PKG_VERSION"), &*instance, Timestamp::now())));
    let (leadership, leads) = watch::channel(Leadership::default());
    let stop = CancellationToken::new();
    let own_namespace = args.leader_election_namespace.clone().unwrap_or(namespace);
    let (handles, monitored) = monitoring::start(
        client.clone(),
        monitoring_settings(&args, &instance, &own_namespace),
        metrics.clone(),
        snapshot.clone(),
        health_routes::leads(leads.clone()),
        stop.clone(),
        FLUSH,
    );
    let web = web::Web::new(seen, metrics.clone()).health_document(health_routes::health(&handles));
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("can't listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "probes, metrics, API and page");

    let leave = CancellationToken::new();
    let router = web.router().merge(health_routes::webhooks(handles.clone()));
    let served = tokio::spawn(web.clone().serve_router(listener, router, leave.clone().cancelled_owned()));

    let (progress, got) = watch::channel(Progress::Waiting("starting".to_owned()));
    let ready = tokio::spawn(readiness(web.probes().check("controller"), got));
    let told = tokio::spawn(tell_leader(snapshot.clone(), leads, instance.clone()));
    let heartbeat = web.probes().heartbeat("controller", Duration::from_mins(1).max(args.interval * 4));
    let lease = args.leader_election.then(|| lease_settings(&args, &instance, &own_namespace));
    let wiring = Wiring {
        client,
        metrics,
        snapshot,
        overview: handles.overview.clone(),
        calendars: handles.calendars.clone(),
        progress,
        leadership,
        lease,
        beat: Arc::new(move || heartbeat.beat()),
    };
    let settings = controller_settings(&args, instance, own_namespace);
    let mut controlled = tokio::spawn(controller::run(wiring, settings, stop.clone()));

    until_asked_to_end(&mut controlled).await?;
    let announced = Instant::now();
    end(&args, &web, &stop, controlled, monitored).await;
    drain(&args, announced, leave, served).await;
    ready.abort();
    told.abort();
    Ok(())
}

/// Waits for a signal; the controller doesn't end by itself.
async fn until_asked_to_end(controlled: &mut JoinHandle<()>) -> anyhow::Result<()> {
    let failed = tokio::select! {
        signal = signaled() => { tracing::info!(signal, "asked to end"); None }
        ended = controlled => Some(ended),
    };
    if let Some(ended) = failed {
        ended.context("the controller failed")?;
        anyhow::bail!("the controller ended by itself");
    }
    Ok(())
}

fn lease_settings(args: &Args, instance: &str, own_namespace: &str) -> LeaseSettings {
    LeaseSettings {
        duration: args.lease_duration.max(Duration::from_secs(3)),
        ..LeaseSettings::new(own_namespace, &*args.leader_election_name, instance)
    }
}

fn monitoring_settings(args: &Args, instance: &str, own_namespace: &str) -> monitoring::Settings {
    monitoring::Settings {
        instance: instance.to_owned(),
        namespaces: args.namespaces.clone(),
        own_namespace: own_namespace.to_owned(),
        prometheus_url: args.prometheus_url.clone(),
        runbooks: args.runbook_url.clone(),
        share: args.leader_election,
    }
}

fn controller_settings(args: &Args, instance: String, own_namespace: String) -> controller::Settings {
    controller::Settings {
        prometheus_url: args.prometheus_url.clone(),
        namespaces: args.namespaces.clone(),
        interval: args.interval.max(Duration::from_secs(1)),
        concurrency: args.concurrency,
        pods_per_minute: args.pods_per_minute,
        deadline: args.query_timeout,
        store: Some(controller::Store { namespace: own_namespace, owner: args.leader_election_name.clone() }),
        recordings: args.record.clone().map(|folder| controller::Recordings {
            folder,
            policies: args.record_policies.clone(),
            limit: args.record_limit << 20,
        }),
        ..controller::Settings::new(instance)
    }
}

/// Serves until proxies have learned that this instance ends, and then what was begun.
async fn drain(
    args: &Args,
    announced: Instant,
    leave: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
) {
    // Proxies learn of it by and by; until then requests come, and are served.
    tokio::time::sleep(args.shutdown_delay.saturating_sub(announced.elapsed())).await;
    tracing::info!(
        phase = "announced",
        seconds = announced.elapsed().as_secs_f64(),
        "phase of shutdown ended"
    );
    leave.cancel();
    let begun = Instant::now();
    if tokio::time::timeout(Duration::from_secs(3), served).await.is_err() {
        tracing::warn!("some connections are still open");
    }
    tracing::info!(phase = "draining", seconds = begun.elapsed().as_secs_f64(), "phase of shutdown ended");
}

/// Readiness first, then the work under way and the leadership, each phase with its duration.
async fn end(
    args: &Args,
    web: &web::Web,
    stop: &CancellationToken,
    controlled: JoinHandle<()>,
    monitored: JoinHandle<()>,
) {
    let grace = args.shutdown_timeout;
    let announced = Maintenance {
        scheduled: false,
        shutdown_time: series::time::after(Timestamp::now(), args.shutdown_delay),
        grace_period_seconds: grace.as_secs() as u32,
        end_time: None,
        reason: "this instance ends".to_owned(),
    };
    web.announce(announced, true);
    tracing::info!("not ready any more");
    let begun = Instant::now();
    stop.cancel();
    tokio::select! {
        ended = tokio::time::timeout(grace, controlled) => match ended {
            Ok(Ok(())) => tracing::info!(seconds = begun.elapsed().as_secs_f64(), "controller ended"),
            Ok(Err(error)) => tracing::error!(%error, "the controller failed"),
            Err(_) => tracing::warn!(seconds = begun.elapsed().as_secs_f64(), "work under way was abandoned"),
        },
        signal = signaled() => tracing::warn!(signal, "asked again; work under way is abandoned"),
    }
    if tokio::time::timeout(FLUSH + Duration::from_secs(1), monitored).await.is_err() {
        tracing::warn!("some notifications weren't sent; the next leader sends them");
    }
}

async fn signaled() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => "SIGTERM",
        () = wait(SignalKind::interrupt()) => "SIGINT",
    }
}

async fn readiness(check: web::Check, mut progress: watch::Receiver<Progress>) {
    loop {
        match &*progress.borrow_and_update() {
            Progress::Ready => check.pass(),
            Progress::Waiting(why) => check.fail(why.clone()),
        }
        if progress.changed().await.is_err() {
            return;
        }
    }
}

async fn tell_leader(
    snapshot: watch::Sender<Snapshot>,
    mut leadership: watch::Receiver<Leadership>,
    instance: String,
) {
    loop {
        let now = leadership.borrow_and_update().clone();
        snapshot.send_modify(|snapshot| {
            let meta = Arc::make_mut(&mut snapshot.meta);
            meta.leader = now.ours;
            meta.leader_name.clone_from(&now.holder);
            meta.instance.clone_from(&instance);
        });
        if leadership.changed().await.is_err() {
            return;
        }
    }
}
