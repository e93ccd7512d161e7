//! Components that fail now and then, and what depends on them.

#[allow(clippy::wildcard_imports, reason = "a preview shows all of it")]
use health::snapshot::*;
use jiff::Timestamp;

use super::{at, noise, second};

/// Name, kind, group, what it depends on.
const COMPONENTS: &[(&str, &str, &str, &[&str])] = &[
    ("storefront", "http", "shop", &["search", "cart", "checkout", "recommendations"]),
    ("mobile-api", "http", "shop", &["search", "cart", "auth"]),
    ("checkout", "http", "shop", &["orders", "payments"]),
    ("cart", "http", "shop", &["redis"]),
    ("search", "http", "shop", &["search-index"]),
    ("recommendations", "grpc", "shop", &["feature-store"]),
    ("orders", "grpc", "orders", &["orders-db", "kafka"]),
    ("payments", "http", "payments", &["payments-db", "card-network"]),
    ("auth", "http", "platform", &["redis", "users-db"]),
    ("search-index", "tcp", "platform", &[]),
    ("feature-store", "grpc", "platform", &["redis"]),
    ("redis", "redis", "data", &[]),
    ("orders-db", "postgres", "data", &[]),
    ("payments-db", "postgres", "data", &[]),
    ("users-db", "postgres", "data", &[]),
    ("kafka", "kafka", "data", &[]),
    ("card-network", "promql", "outside", &[]),
];

fn id(name: &str) -> String {
    format!("shop/{name}")
}

pub(super) fn health(now: Timestamp) -> HealthSnapshot {
    let s = second(now);
    // For ten of every twenty minutes the orders database is down, and all that needs it with it.
    let down = s.rem_euclid(1200) < 600;
    let began = s - s.rem_euclid(1200) - if down { 0 } else { -600 };
    let needs = |name: &str| {
        let mut found = false;
        let mut open = vec![name];
        while let Some(next) = open.pop() {
            found |= next == "orders-db";
            open.extend(COMPONENTS.iter().filter(|c| c.0 == next).flat_map(|c| c.3.iter().copied()));
        }
        found
    };
    let node = |&(name, kind, group, depends): &(&str, &str, &str, &[&str])| {
        let root = name == "orders-db";
        let hit = down && needs(name);
        let mild = name == "storefront";
        let slow = name == "card-network";
        let status = match () {
            () if hit && mild => HealthStatus::Warn,
            () if hit => HealthStatus::Fail,
            () if slow => HealthStatus::Warn,
            () if name == "users-db" && s.rem_euclid(3600) < 900 => HealthStatus::Maintenance,
            () => HealthStatus::Pass,
        };
        let seed = name.len() as u64 * 7 + u64::from(name.as_bytes()[0]);
        let base = 2.0 + (seed % 40) as f64;
        let latency = |t: i64| base * (1.0 + 0.35 * noise(seed, t / 5)).max(0.2);
        HealthNode {
            id: id(name),
            title: name.into(),
            groups: vec![group.into()],
            kind: kind.into(),
            status,
            pending: false,
            flapping: false,
            since: Some(at(if hit { began } else { s - s.rem_euclid(86_400) - 40_000 })),
            output: match status {
                HealthStatus::Fail if root => "connection refused: 10.0.14.7:5432".into(),
                HealthStatus::Fail => "HTTP 503 within 31 ms".into(),
                HealthStatus::Warn if slow => {
                    "p95 of card authorizations is 840 ms, warns above 600 ms".into()
                }
                HealthStatus::Warn => "checkout is down; the rest serves".into(),
                HealthStatus::Maintenance => "planned: minor version upgrade".into(),
                _ => format!("ok in {:.0} ms", latency(s)),
            },
            critical: !slow,
            depends_on: depends.iter().map(|d| id(d)).collect(),
            causes: if hit && !root { vec![id("orders-db")] } else { vec![] },
            latency_ms: (status != HealthStatus::Fail).then(|| latency(s)),
            latencies_ms: (0..60)
                .rev()
                .map(|i| s - i * 5)
                .map(|t| if hit && t >= began { None } else { Some(latency(t)) })
                .collect(),
            uptime: vec![
                ("1h".into(), if needs(name) { 0.5 } else { 1.0 }),
                ("24h".into(), if needs(name) { 0.9871 } else { 0.9998 }),
                ("30d".into(), if needs(name) { 0.9991 } else { 0.9997 }),
            ],
            votes: Some((if hit { 3 } else { 0 }, 3)),
            transitions: if needs(name) { transitions(s) } else { vec![] },
        }
    };
    let nodes: Vec<HealthNode> = COMPONENTS.iter().map(node).collect();
    let mut names: Vec<&str> = COMPONENTS.iter().map(|c| c.2).collect();
    names.sort_unstable();
    names.dedup();
    let groups = names
        .into_iter()
        .map(|g| HealthGroup {
            name: g.into(),
            status: nodes.iter().filter(|n| n.groups[0] == g).map(|n| n.status).max().unwrap_or_default(),
        })
        .collect();
    HealthSnapshot { status: if down { HealthStatus::Fail } else { HealthStatus::Warn }, nodes, groups }
}

fn transitions(s: i64) -> Vec<HealthTransition> {
    let half = s - s.rem_euclid(600);
    (0..5)
        .map(|i| half - i * 600)
        .map(|t| {
            let fails = t.rem_euclid(1200) == 0;
            HealthTransition {
                at: at(t),
                to: if fails { HealthStatus::Fail } else { HealthStatus::Pass },
                output: if fails { "connection refused" } else { "ok" }.into(),
            }
        })
        .collect()
}
