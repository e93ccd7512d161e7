//! `testbed up`: a whole cluster on loopback for a person to try things on.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;
use testbed::exporter::Counter;
use testbed::nodes::MetricsServer;
use testbed::peers::{Karpenter, Keda, Rollouts};
use testbed::servers::Kafka;
use testbed::{ControlPlane, LoadExporter, Nodes, Prometheus, Shape};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What there is besides the control plane; KEDA, Argo Rollouts and Karpenter are built by
    /// `tests/setup/servers.sh --peers`
    #[arg(long, value_delimiter = ',', default_value = "nodes", value_name = "WHAT")]
    with: Vec<Part>,
    /// Seconds from a container's start until its pod is Ready, where the pod says nothing else
    #[arg(long, default_value_t = 5)]
    startup: u64,
    /// Do not install the CRDs of this repository
    #[arg(long)]
    without_crds: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The scheduler and two nodes that KWOK plays
    Nodes,
    /// metrics-server, which reads the nodes: `kubectl top`, HPAs on CPU
    MetricsServer,
    /// Prometheus, with a load to look at: http_requests_total{app="web"}
    Prometheus,
    /// An Apache Kafka broker
    Kafka,
    /// KEDA: its operator, and its adapter for external metrics
    Keda,
    /// Argo Rollouts
    Rollouts,
    /// Karpenter, which adds nodes for pods that have no room
    Karpenter,
}

/// What runs besides the control plane. Dropped before it.
#[derive(Default)]
struct Parts {
    karpenter: Option<Karpenter>,
    rollouts: Option<Rollouts>,
    keda: Option<Keda>,
    metrics_server: Option<MetricsServer>,
    nodes: Option<Nodes>,
    kafka: Option<Kafka>,
    prometheus: Option<(Prometheus, LoadExporter)>,
}

impl Parts {
    /// Fails when a server has ended.
    fn check(&mut self) -> Result<()> {
        self.nodes.as_mut().map_or(Ok(()), Nodes::check)?;
        self.metrics_server.as_mut().map_or(Ok(()), MetricsServer::check)?;
        self.keda.as_mut().map_or(Ok(()), Keda::check)?;
        self.rollouts.as_mut().map_or(Ok(()), Rollouts::check)?;
        self.karpenter.as_mut().map_or(Ok(()), Karpenter::check)?;
        self.kafka.as_mut().map_or(Ok(()), Kafka::check)?;
        self.prometheus.as_mut().map_or(Ok(()), |(prometheus, _)| prometheus.check())
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let begun = Instant::now();
    let with = |part| arguments.with.contains(&part);
    // What ends it is heard from the beginning: a half-started cluster ends as well.
    let mut terminated = signal(SignalKind::terminate())?;
    let starting = start(&arguments);
    let (mut plane, mut parts) = tokio::select! {
        started = starting => started?,
        result = tokio::signal::ctrl_c() => return Ok(result?),
        _ = terminated.recv() => return Ok(()),
    };
    println!("export KUBECONFIG={}", plane.admin()?.kubeconfig().display());
    println!("# Kubernetes {} at {}", plane.version().await?, plane.url());
    if let Some((prometheus, exporter)) = &parts.prometheus {
        println!(
            "# Prometheus at {}, scrapes http_requests_total{{app=\"web\"}} from {}",
            prometheus.url(),
            exporter.target()
        );
    }
    if let Some(kafka) = &parts.kafka {
        println!("# Kafka at {}", kafka.address());
    }
    let foresail = if with(Part::Prometheus) {
        let address = parts.prometheus.as_ref().map(|(prometheus, _)| prometheus.url()).unwrap_or_default();
        format!("cargo run -- run --prometheus-url {address}")
    } else {
        "cargo run -- run".to_owned()
    };
    println!("# Foresail beside it, in another shell with that KUBECONFIG: {foresail}");
    println!("# Logs in {}", testbed::process::logs()?.display());
    eprintln!("Up after {:.0?}. Ctrl-C ends everything.", begun.elapsed());

    let mut check = tokio::time::interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            result = tokio::signal::ctrl_c() => return Ok(result?),
            _ = terminated.recv() => return Ok(()),
            _ = check.tick() => {
                plane.check()?;
                parts.check()?;
            }
        }
    }
}

async fn start(arguments: &Arguments) -> Result<(ControlPlane, Parts)> {
    let with = |part| arguments.with.contains(&part);
    let begun = Instant::now();
    let say = |what: &str| eprintln!("{:>4.0} s  {what} ...", begun.elapsed().as_secs_f64());
    say("etcd, kube-apiserver, kube-controller-manager");
    let mut parts = Parts::default();
    // Kafka and Prometheus need no cluster.
    let aside = async {
        let kafka = if with(Part::Kafka) { Some(Kafka::start().await?) } else { None };
        let prometheus = if with(Part::Prometheus) { Some(prometheus().await?) } else { None };
        anyhow::Ok((kafka, prometheus))
    };
    let (plane, (kafka, prometheus)) = tokio::try_join!(ControlPlane::start(), aside)?;
    (parts.kafka, parts.prometheus) = (kafka, prometheus);
    if !arguments.without_crds {
        plane.install_crds().await?;
    }
    // Karpenter makes its own nodes, which KWOK has to play as well, and metrics-server has to find some.
    if [Part::Nodes, Part::MetricsServer, Part::Karpenter].into_iter().any(with) {
        say("kube-scheduler, nodes");
        parts.nodes = Some(Nodes::start(&plane, Duration::from_secs(arguments.startup)).await?);
    }
    if with(Part::MetricsServer) {
        say("metrics-server");
        parts.metrics_server = Some(MetricsServer::start(&plane).await?);
    }
    if with(Part::Keda) {
        say("KEDA");
        parts.keda = Some(Keda::start(&plane).await?);
    }
    if with(Part::Rollouts) {
        say("Argo Rollouts");
        parts.rollouts = Some(Rollouts::start(&plane).await?);
    }
    if with(Part::Karpenter) {
        say("Karpenter");
        parts.karpenter = Some(Karpenter::start(&plane).await?);
    }
    Ok((plane, parts))
}

/// A Prometheus that scrapes a load which rises and falls every ten minutes.
async fn prometheus() -> Result<(Prometheus, LoadExporter)> {
    let now = jiff::Timestamp::now();
    let shape = Shape::new(
        now,
        jiff::SignedDuration::from_mins(10),
        &[(0, 200.0), (180, 900.0), (300, 900.0), (480, 200.0)],
    );
    let counter = Counter::new("http_requests_total{app=\"web\"}", shape, now);
    let exporter = LoadExporter::start(vec![counter]).await?;
    let prometheus = Prometheus::setup()
        .scrape("load", &[exporter.target()])
        .every(Duration::from_secs(5))
        .start()
        .await?;
    Ok((prometheus, exporter))
}
