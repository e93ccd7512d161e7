//! A small shop that never was: loads by the hour of the day, policies that follow them, components that fail now and
//! then. Everything is a function of time.

use std::sync::Arc;
use std::time::Duration;

#[allow(clippy::wildcard_imports, reason = "a preview shows all of it")]
use health::snapshot::*;
use jiff::{Timestamp, Unit};
use series::{Absence, AbsenceReason, Forecast, Series};
use tokio::sync::watch;

use crate::share;

const STEP: i64 = 60;
const PAST: i64 = 2 * 24 * 60;
const AHEAD: i64 = 8 * 60;

/// One workload: name, namespace, kind, base and peak load, target per replica, hour of the peak, max replicas.
struct Workload {
    namespace: &'static str,
    name: &'static str,
    kind: &'static str,
    unit: &'static str,
    metric: &'static str,
    base: f64,
    peak: f64,
    target: f64,
    hour: f64,
    max: u32,
    noise: f64,
    trait_: Trait,
}

#[derive(Clone, Copy, PartialEq)]
enum Trait {
    Plain,
    Learning,
    Recommend,
    Paused,
    Blind,
    AtMax,
    Queue,
}

const fn workload(
    namespace: &'static str,
    name: &'static str,
    load: (f64, f64, f64),
    hour: f64,
    max: u32,
    trait_: Trait,
) -> Workload {
    let queue = matches!(trait_, Trait::Queue);
    Workload {
        namespace,
        name,
        kind: "Deployment",
        unit: if queue { "messages" } else { "requests/s" },
        metric: if queue { "backlog" } else { "requests" },
        base: load.0,
        peak: load.1,
        target: load.2,
        hour,
        max,
        noise: 0.05,
        trait_,
    }
}

const SHOP: &[Workload] = &[
    workload("shop", "checkout", (140.0, 1900.0, 90.0), 20.0, 40, Trait::Plain),
    workload("shop", "storefront", (420.0, 5200.0, 160.0), 20.5, 60, Trait::Plain),
    workload("shop", "search", (260.0, 2400.0, 120.0), 19.5, 18, Trait::AtMax),
    workload("shop", "cart", (90.0, 1100.0, 75.0), 20.0, 30, Trait::Plain),
    workload("shop", "recommendations", (150.0, 1300.0, 80.0), 21.0, 24, Trait::Recommend),
    workload("payments", "gateway", (60.0, 740.0, 50.0), 20.2, 24, Trait::Plain),
    workload("payments", "fraud-scoring", (50.0, 510.0, 30.0), 20.3, 24, Trait::Paused),
    workload("media", "thumbnails", (900.0, 16000.0, 1200.0), 14.0, 30, Trait::Queue),
    workload("media", "transcode", (300.0, 5200.0, 600.0), 13.0, 20, Trait::Queue),
    workload("platform", "auth", (300.0, 2600.0, 220.0), 10.5, 24, Trait::Plain),
    workload("platform", "notifications", (80.0, 1400.0, 110.0), 9.0, 20, Trait::Learning),
    workload("platform", "reports", (20.0, 260.0, 40.0), 8.5, 10, Trait::Blind),
];

/// Noise in -1 to 1 that depends on nothing but its arguments.
fn noise(seed: u64, at: i64) -> f64 {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (at as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 30;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 31;
    (x >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn second(at: Timestamp) -> i64 {
    at.as_second()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Workload {
    fn seed(&self) -> u64 {
        self.name.bytes().fold(17, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)))
    }

    /// What the load would be without chance.
    fn shape(&self, s: i64) -> f64 {
        let hour = s.rem_euclid(86_400) as f64 / 3600.0;
        let away = |peak: f64| {
            let d = (hour - peak).abs();
            d.min(24.0 - d)
        };
        let bump = |peak: f64, width: f64| (-(away(peak) / width).powi(2)).exp();
        let evening =
            bump(self.hour, 2.6) + 0.55 * bump(self.hour - 7.5, 2.2) + 0.12 * bump(self.hour - 11.0, 1.4);
        let weekday = (s.div_euclid(86_400) + 4).rem_euclid(7);
        let week = if weekday >= 5 { 1.12 } else { 1.0 };
        self.base + (self.peak - self.base) * evening * week / 1.12
    }

    fn load(&self, s: i64) -> f64 {
        let slow = noise(self.seed(), s / 1800) * (1.0 - (s % 1800) as f64 / 1800.0)
            + noise(self.seed(), s / 1800 + 1) * ((s % 1800) as f64 / 1800.0);
        (self.shape(s) * (1.0 + self.noise * 1.3 * slow + self.noise * 0.6 * noise(self.seed() ^ 7, s)))
            .max(0.0)
    }

    /// Replicas that were wanted at `s`: enough for the most that is expected within ten minutes, a little slow to go
    /// down.
    fn wanted(&self, s: i64) -> u32 {
        let need = |s: i64| (self.shape(s) * 1.12 / self.target).ceil();
        let most = (-10..=10).map(|m| need(s + m * 60)).fold(1.0, f64::max);
        (most as u32).clamp(2, self.max)
    }

    fn grid(from: i64, value: impl Fn(i64) -> f64) -> Option<Series> {
        let values = (0..PAST).map(|i| value(from + i * STEP)).collect();
        Series::new(at(from), Duration::from_secs(STEP as u64), values).ok()
    }

    fn forecast(&self, origin: i64) -> Option<Forecast> {
        let levels = vec![0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
        let z = [-1.64, -0.67, 0.0, 0.67, 1.64, 2.33];
        let rows = (0..AHEAD)
            .map(|i| {
                let s = origin + i * STEP;
                let spread = self.noise * (0.7 + (i as f64 / 60.0).sqrt() * 0.75);
                z.iter().map(|z| self.shape(s) * (1.0 + spread * z)).collect()
            })
            .collect();
        Forecast::new(at(origin), Duration::from_secs(STEP as u64), levels, rows, "seasonal blend").ok()
    }
}

/// Puts a new moment into the snapshot. Components are probed only every few rounds.
pub(crate) fn tell(sender: &watch::Sender<Snapshot>, now: Timestamp, probe: bool) {
    let rotation = (second(now) % 3) as usize;
    sender.send_modify(|snapshot| {
        for (i, w) in SHOP.iter().enumerate() {
            // Not all at once, as in life.
            if snapshot.policies.len() < SHOP.len() || i % 3 == rotation {
                snapshot.put(policy(w, now));
            }
        }
        if probe {
            snapshot.health = Arc::new(health(now));
            snapshot.alerts = share(&snapshot.alerts, alerts(now));
            snapshot.calendar = share(&snapshot.calendar, calendar(now));
        }
    });
}

fn policy(w: &Workload, now: Timestamp) -> PolicySnapshot {
    let s = second(now);
    let minute = s - s.rem_euclid(STEP);
    let from = minute - (PAST - 1) * STEP;
    let blind = w.trait_ == Trait::Blind;
    let ready_at = |s: i64| w.wanted(s - 90).min(w.wanted(s).max(2));
    let load = w.load(s);
    let replicas =
        Replicas { current: w.wanted(s - 20), ready: ready_at(s), desired: w.wanted(s), min: 2, max: w.max };
    let need = load / w.target;
    let predicted = (0..=10).map(|m| w.shape(s + m * 60)).fold(0.0, f64::max) * 1.12 / w.target;
    let leads = if w.trait_ == Trait::Queue { "backlog" } else { "predictive" };
    let trusted = !matches!(w.trait_, Trait::Learning | Trait::Blind);
    let next = next_change(w, s, replicas.desired);
    let driver = match w.trait_ {
        Trait::Blind => String::new(),
        Trait::Learning => format!("{} (reactive)", w.metric),
        _ => format!("{} ({leads})", w.metric),
    };
    PolicySnapshot {
        namespace: w.namespace.into(),
        name: w.name.into(),
        target: Target { api_version: "apps/v1".into(), kind: w.kind.into(), name: w.name.into() },
        mode: if w.trait_ == Trait::Recommend { Mode::Recommend } else { Mode::Auto },
        paused: (w.trait_ == Trait::Paused).then(|| Pause {
            until: Some(at(s - s.rem_euclid(3600) + 7200)),
            reason: "model rollout, ask Kim".into(),
        }),
        replicas,
        need: (!blind).then_some(need),
        reason: reason(w, &replicas, need, predicted, next.as_ref(), s),
        driver,
        conditions: conditions(w, s, need),
        metrics: vec![MetricSnapshot {
            name: w.metric.into(),
            query: if w.trait_ == Trait::Queue {
                format!("kafka://events/{} lag of group {}", w.name, w.name)
            } else {
                format!("sum(rate(http_requests_total{{app=\"{}\"}}[2m]))", w.name)
            },
            unit: w.unit.into(),
            target: w.target,
            value: (!blind).then_some(load),
            age_seconds: (!blind).then_some((s % 15) as f64),
            absence: blind.then(|| {
                Absence::new(
                    AbsenceReason::Empty,
                    "the query is right and nothing matched it; is the exporter scraped?",
                )
            }),
            candidates: candidates(w, need, predicted, trusted, leads),
            recent: Workload::grid(from, |t| if blind && t > s - 2400 { f64::NAN } else { w.load(t) }),
            capacity: Workload::grid(from, |t| f64::from(ready_at(t)) * w.target),
            hindcast: if trusted {
                Workload::grid(from, |t| w.shape(t) * (1.0 + 0.02 * noise(3, t / 900)))
            } else {
                None
            },
            forecast: if trusted { w.forecast(minute + STEP) } else { None },
            standing: Some(standing(w, trusted)),
        }],
        ready_replicas: Workload::grid(from, |t| f64::from(ready_at(t))),
        desired_replicas: Workload::grid(from, |t| f64::from(w.wanted(t))),
        decisions: decisions(w, s),
        next_change: if trusted { next } else { None },
        startup: Some(Startup { p95_seconds: 48.0 + (w.seed() % 60) as f64, samples: 214 }),
        lead_time_seconds: 95 + (w.seed() % 60) as u32,
        saved: trusted.then(|| Saved {
            replica_hours: f64::from(w.max) * 11.4 + (s % 86_400) as f64 / 900.0,
            against: format!("{} replicas all day", w.max * 4 / 5),
            since: at(s - 9 * 86_400),
        }),
        backtest: trusted.then(|| backtest(w, s)),
        updated: now,
        trace_id: Some(format!("{:032x}", w.seed().wrapping_mul(0x9E37_79B9_7F4A_7C15))),
    }
}

fn next_change(w: &Workload, s: i64, desired: u32) -> Option<NextChange> {
    (1..AHEAD).map(|m| s + m * 60).find(|t| w.wanted(*t) != desired).map(|t| NextChange {
        at: at(t),
        replicas: w.wanted(t),
        reason: if w.wanted(t) > desired { "daily ramp" } else { "load falls off" }.into(),
    })
}

fn reason(
    w: &Workload,
    r: &Replicas,
    need: f64,
    predicted: f64,
    next: Option<&NextChange>,
    s: i64,
) -> String {
    match w.trait_ {
        Trait::Blind => format!(
            "Holding {} replicas: no data for 40 minutes, and only fresh data may lower them.",
            r.current
        ),
        Trait::AtMax if need * 1.12 > f64::from(w.max) => {
            format!("At the maximum of {}: the load would need {:.1} replicas.", w.max, predicted)
        }
        Trait::Learning => {
            format!("Holding {} replicas by the load as it is; the forecast is still learning.", r.current)
        }
        Trait::Recommend => {
            format!("Would hold {} replicas: {predicted:.1} are needed within the lead time.", r.desired)
        }
        Trait::Queue => format!(
            "{} consumers work off the backlog and what is expected to arrive within two minutes.",
            r.desired
        ),
        _ => match next {
            Some(n) if n.replicas > r.desired => format!(
                "Holding {} replicas, which is enough for now; {} in {} minutes, ahead of the daily ramp.",
                r.desired,
                n.replicas,
                (second(n.at) - s) / 60
            ),
            _ => format!(
                "Holding {} replicas: {predicted:.1} are needed within the lead time, at most {:.1} now.",
                r.desired, need
            ),
        },
    }
}

fn candidates(w: &Workload, need: f64, predicted: f64, trusted: bool, leads: &str) -> Vec<Candidate> {
    if w.trait_ == Trait::Blind {
        return vec![];
    }
    let entry = |kind: &str, replicas: f64, message: String, wins: bool| Candidate {
        kind: kind.into(),
        replicas,
        message,
        wins,
    };
    let mut all = vec![entry(
        "reactive",
        need,
        format!("{:.0} {} now, {} per replica", need * w.target, w.unit, w.target),
        !trusted,
    )];
    if trusted {
        let message =
            format!("99 % sure to stay below {:.0} {} within the lead time", predicted * w.target, w.unit);
        all.insert(0, entry(leads, predicted, message, true));
    }
    if w.namespace == "shop" {
        all.push(entry("calendar", 2.0, "nothing special today".into(), false));
    }
    all
}

fn standing(w: &Workload, trusted: bool) -> Standing {
    let active = trusted;
    Standing {
        active,
        reason: if active { "Active" } else { "Learning" }.into(),
        message: if active {
            "Beats last value and yesterday on this workload's own last two weeks.".into()
        } else {
            "4 of 14 days of history so far.".into()
        },
        model: if active {
            "ridge on Fourier terms 62 %, seasonal decomposition 38 %".into()
        } else {
            String::new()
        },
        error_ratio: active.then_some(0.31 + (w.seed() % 22) as f64 / 100.0),
        coverage: active.then_some(0.981 + (w.seed() % 9) as f64 / 1000.0),
        coverage_target: active.then_some(0.99),
        seasons_seconds: if active { vec![86_400, 604_800] } else { vec![86_400] },
        history_seconds: if active { 14 * 86_400 } else { 4 * 86_400 },
    }
}

fn conditions(w: &Workload, s: i64, need: f64) -> Vec<ConditionSnapshot> {
    let entry = |kind: &str, yes: bool, reason: &str, message: String| ConditionSnapshot {
        kind: kind.into(),
        status: if yes { ConditionStatus::True } else { ConditionStatus::False },
        reason: reason.into(),
        message,
        since: at(s - s.rem_euclid(3600) - 7200),
    };
    let blind = w.trait_ == Trait::Blind;
    let full = w.trait_ == Trait::AtMax && need * 1.12 > f64::from(w.max);
    let learning = w.trait_ == Trait::Learning;
    vec![
        entry(
            "Ready",
            !blind,
            if blind { "DataAbsent" } else { "Scaling" },
            if blind {
                "requests: the query is right and nothing matched it; replicas are held".into()
            } else {
                "scaling as the policy asks".into()
            },
        ),
        entry("AbleToScale", true, "ReadyForNewScale", "the target's scale can be read and written".into()),
        entry(
            "ScalingActive",
            !blind,
            if blind { "Empty" } else { "ValidMetricFound" },
            "decisions follow the policy's metrics".into(),
        ),
        entry(
            "ScalingLimited",
            full,
            if full { "TooManyReplicas" } else { "DesiredWithinRange" },
            if full {
                format!("the load needs {:.1} replicas, the maximum is {}", need * 1.12, w.max)
            } else {
                "the wanted number is within the limits".into()
            },
        ),
        entry(
            "ForecastActive",
            !learning && !blind,
            if learning || blind { "Learning" } else { "Active" },
            "see the forecast's standing".into(),
        ),
        entry(
            "DataFresh",
            !blind,
            if blind { "Empty" } else { "Fresh" },
            if blind { "no sample for 40 minutes".into() } else { "newest sample 4 s old".into() },
        ),
    ]
}

fn decisions(w: &Workload, s: i64) -> Vec<DecisionEntry> {
    if w.trait_ == Trait::Blind {
        return vec![];
    }
    let minute = s - s.rem_euclid(60);
    let mut all = Vec::new();
    for m in 0..1440 {
        let t = minute - m * 60;
        let (from, to) = (w.wanted(t - 60), w.wanted(t));
        if from == to || all.len() >= 40 {
            continue;
        }
        let up = to > from;
        let minutes = 2 + w.seed() % 4;
        all.push(DecisionEntry {
            at: at(t),
            outcome: if w.trait_ == Trait::Recommend { Outcome::Suggested } else { Outcome::Scaled },
            from,
            to,
            driver: format!(
                "{} ({})",
                w.metric,
                if w.trait_ == Trait::Queue { "backlog" } else { "predictive" }
            ),
            message: if up {
                format!(
                    "{:.0} {} are expected in {minutes} minutes, {:.0} now.",
                    w.shape(t + 600),
                    w.unit,
                    w.load(t)
                )
            } else {
                format!(
                    "No more than {:.0} {} are expected for the next {} minutes.",
                    w.shape(t),
                    w.unit,
                    minutes + 8
                )
            },
            limits: if !up && w.seed().is_multiple_of(3) {
                vec![LimitEntry {
                    reason: "ScaleDownStabilized".into(),
                    message: format!("{} was wanted within the last 5 minutes", to + 1),
                }]
            } else if to == w.max {
                vec![LimitEntry {
                    reason: "TooManyReplicas".into(),
                    message: format!("the maximum is {}", w.max),
                }]
            } else {
                vec![]
            },
            trace_id: (m < 30).then(|| format!("{:016x}{:016x}", w.seed(), t)),
        });
    }
    all
}

fn backtest(w: &Workload, s: i64) -> BacktestSummary {
    let hours = 14.0 * 24.0;
    let mean = f64::from(w.max) * 0.31;
    let row = |name: &str, unserved: f64, short: f64, factor: f64, scales: u32| BacktestRow {
        name: name.into(),
        unserved_ratio: unserved,
        short_ratio: short,
        replica_hours: mean * hours * factor,
        scales,
    };
    let to = s - s.rem_euclid(86_400);
    BacktestSummary {
        from: at(to - 14 * 86_400),
        to: at(to),
        rows: vec![
            row("Foresail", 0.00002, 0.0006, 1.0, 412),
            row("HPA as configured", 0.0031, 0.021, 1.06, 538),
            row("HPA, tuned in hindsight", 0.0012, 0.011, 1.17, 391),
            row("Cron, four windows", 0.0007, 0.009, 1.41, 112),
            row("Static peak", 0.0, 0.0, 2.83, 0),
            row("Clairvoyant", 0.0, 0.0, 0.91, 402),
        ],
    }
}

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

fn health(now: Timestamp) -> HealthSnapshot {
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
                    "p95 of card authorisations is 840 ms, warns above 600 ms".into()
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

fn alerts(now: Timestamp) -> Vec<AlertSnapshot> {
    let s = second(now);
    let down = s.rem_euclid(1200) < 600;
    let began = s - s.rem_euclid(1200);
    let sent = |to: &[(&str, bool, &str)]| {
        to.iter()
            .map(|(r, ok, m)| Delivery { receiver: (*r).into(), delivered: *ok, message: (*m).into() })
            .collect()
    };
    let entry = |alert: &str, severity, state, subject: &str, summary: &str, since: i64| AlertSnapshot {
        id: format!("{alert}/{subject}"),
        alert: alert.into(),
        severity,
        state,
        subject: subject.into(),
        summary: summary.into(),
        description: String::new(),
        runbook_url: format!("https://foresail.dev/runbooks/{alert}"),
        since: at(since),
        resolved: None,
        consequences: vec![],
        deliveries: vec![],
        trace_id: None,
    };
    let mut all = vec![
        AlertSnapshot {
            consequences: vec!["orders".into(), "checkout".into()],
            deliveries: sent(&[
                ("oncall-pagerduty", true, "202"),
                ("ops-feishu", true, "code 0"),
                ("ops-dingtalk", false, "130101 send too fast, again in 48 s"),
            ]),
            resolved: (!down).then(|| at(began + 600)),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            ..entry(
                "ComponentDown",
                Severity::Critical,
                if down { AlertPhase::Firing } else { AlertPhase::Resolved },
                "component shop/orders-db",
                "orders-db is down: connection refused by 10.0.14.7:5432.",
                began,
            )
        },
        AlertSnapshot {
            description: "Replicas are held at the last known number. Only fresh data may lower them.".into(),
            deliveries: sent(&[("ops-feishu", true, "code 0")]),
            ..entry(
                "PolicyDataAbsent",
                Severity::Warning,
                AlertPhase::Firing,
                "policy platform/reports",
                "reports has had no data for 40 minutes: the query is right and nothing matched it.",
                began - 2400,
            )
        },
        entry(
            "ComponentDegraded",
            Severity::Warning,
            AlertPhase::Pending,
            "component shop/card-network",
            "card-network answers slowly: p95 840 ms, warns above 600 ms.",
            s - s.rem_euclid(300),
        ),
    ];
    all.push(AlertSnapshot {
        resolved: Some(at(began - 4000)),
        deliveries: sent(&[("ops-feishu", true, "code 0")]),
        ..entry(
            "PolicyAtMaxReplicas",
            Severity::Warning,
            AlertPhase::Resolved,
            "policy shop/search",
            "search was at its maximum of 18 replicas and needed 20.4.",
            began - 9000,
        )
    });
    all
}

fn calendar(now: Timestamp) -> Vec<CalendarWindow> {
    let midnight = now.round(Unit::Hour).map_or(0, second).div_euclid(86_400) * 86_400;
    let entry = |day: i64, hour: i64, hours: i64, name: &str, kind, effect: &str| CalendarWindow {
        calendar: "shop/campaigns".into(),
        name: name.into(),
        kind,
        start: at(midnight + day * 86_400 + hour * 3600),
        end: at(midnight + day * 86_400 + (hour + hours) * 3600),
        effect: effect.into(),
    };
    vec![
        entry(
            0,
            0,
            24,
            "Database upgrade night",
            CalendarKind::Maintenance,
            "alerts of group data muted, scale-downs held",
        ),
        entry(0, 18, 5, "Evening flash sale", CalendarKind::Scaling, "at least 24 replicas of shop/checkout"),
        entry(2, 9, 3, "Newsletter", CalendarKind::Scaling, "at least 30 replicas of shop/storefront"),
        entry(5, 0, 24, "Thanksgiving", CalendarKind::Holiday, "forecast as a holiday"),
        entry(
            6,
            0,
            24,
            "Black Friday",
            CalendarKind::Scaling,
            "at least 40 replicas of shop/checkout, load expected ×2.5",
        ),
        entry(9, 2, 2, "Kernel patches", CalendarKind::Maintenance, "alerts muted, scale-downs held"),
    ]
}
