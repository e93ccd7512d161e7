//! The arrows between crates, read from `cargo metadata`: what a crate must not know, it must not reach, however
//! indirectly.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Crates that decide and compute: time, data and history come in as arguments.
const CORE: [&str; 6] = ["series", "forecast", "decide", "autoscaler", "health", "backtest"];

/// What talks to the world.
const WORLD: [&str; 9] =
    ["tokio", "hyper", "reqwest", "axum", "kube-client", "kube-runtime", "tonic", "async-std", "mio"];

/// Calls that read a clock or the environment.
const BANNED_CALLS: [&str; 5] = [
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::env::var",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
];

struct Graph {
    metadata: Metadata,
    edges: BTreeMap<PackageId, BTreeSet<PackageId>>,
}

impl Graph {
    fn read() -> Self {
        let manifest = Path::new("../Cargo.toml");
        let metadata = MetadataCommand::new()
            .manifest_path(manifest)
            // Without a platform, crates for other systems would have to be fetched.
            .other_options([
                "--filter-platform".to_owned(),
                format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
            ])
            .exec()
            .expect("cargo metadata runs");
        let nodes = metadata.resolve.as_ref().expect("a resolved graph").nodes.iter();
        let edges = nodes
            .map(|node| {
                let normal = node.deps.iter().filter(|dependency| {
                    dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
                });
                (node.id.clone(), normal.map(|dependency| dependency.pkg.clone()).collect())
            })
            .collect();
        Self { metadata, edges }
    }

    fn own(&self, name: &str) -> &PackageId {
        let package =
            self.metadata.workspace_packages().into_iter().find(|package| package.name.as_str() == name);
        &package.unwrap_or_else(|| panic!("no crate {name} in the workspace")).id
    }

    /// The names of everything that a crate reaches through normal dependencies, each with one way to it.
    fn reach(&self, name: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut open = vec![(self.own(name).clone(), name.to_owned())];
        let mut seen = BTreeSet::new();
        while let Some((id, way)) = open.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            for next in &self.edges[&id] {
                let package = self.metadata[next].name.to_string();
                let way = format!("{way} -> {package}");
                found.entry(package).or_insert_with(|| way.clone());
                open.push((next.clone(), way));
            }
        }
        found
    }

    fn demand_no_way(&self, from: &str, to: &[&str]) {
        let reach = self.reach(from);
        let ways: Vec<&String> = to.iter().filter_map(|name| reach.get(*name)).collect();
        assert!(ways.is_empty(), "{from} reaches what it must not know: {ways:#?}");
    }
}

#[test]
fn the_core_reaches_neither_runtime_nor_network_nor_kubernetes() {
    let graph = Graph::read();
    for name in CORE {
        graph.demand_no_way(name, &WORLD);
        graph.demand_no_way(name, &["api", "telemetry", "sources", "notify", "controller", "web", "kube"]);
    }
}

#[test]
fn forecast_and_decide_do_not_know_each_other() {
    let graph = Graph::read();
    graph.demand_no_way("forecast", &["decide", "autoscaler", "health", "backtest"]);
    graph.demand_no_way("decide", &["forecast", "autoscaler", "health", "backtest"]);
    graph.demand_no_way("autoscaler", &["health", "backtest", "controller"]);
    graph.demand_no_way("series", &["forecast", "decide", "autoscaler", "health", "backtest"]);
}

#[test]
fn the_resource_types_reach_neither_client_nor_runtime() {
    let graph = Graph::read();
    graph.demand_no_way("api", &WORLD);
    graph.demand_no_way(
        "api",
        &["decide", "forecast", "health", "backtest", "telemetry", "sources", "controller"],
    );
}

#[test]
fn the_page_does_not_know_the_controller() {
    let graph = Graph::read();
    graph.demand_no_way("web", &["controller", "sources", "notify", "kube-client"]);
    graph.demand_no_way("sources", &["controller", "web", "kube-client"]);
    graph.demand_no_way("notify", &["controller", "web"]);
    graph.demand_no_way("probes", &["controller", "web", "notify", "api", "decide"]);
    graph.demand_no_way("monitoring", &["controller", "web", "decide", "forecast"]);
    graph.demand_no_way("controller", &["monitoring", "probes", "notify"]);
}

#[test]
fn the_tls_provider_is_ring_everywhere() {
    let graph = Graph::read();
    graph.demand_no_way("foresail", &["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls"]);
}

#[test]
fn each_core_crate_bans_the_clock_and_the_environment() {
    let root = Path::new("..");
    let common = std::fs::read_to_string(root.join("clippy.toml")).expect("the root's clippy.toml");
    for name in CORE {
        let file = root.join("operator").join(name).join("clippy.toml");
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{name} needs a clippy.toml that bans the clock: {error}"));
        for call in BANNED_CALLS {
            assert!(text.contains(&format!("\"{call}\"")), "{} does not ban {call}", file.display());
        }
        // A crate's file replaces the root's: what is set there has to be repeated.
        for line in common.lines().filter(|line| line.contains('=')) {
            assert!(text.contains(line), "{} does not repeat `{line}`", file.display());
        }
    }
}
