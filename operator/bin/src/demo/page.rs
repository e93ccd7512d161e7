//! The demo in the shapes of the page: the same snapshot the controller fills in a cluster.

use std::sync::Arc;

use backtest::{Comparison, Kind};
use decide::{LimitReason, Record, Source};
use health::snapshot::{
    AlertPhase, AlertSnapshot, BacktestRow, BacktestSummary, CalendarKind, CalendarWindow, Candidate,
    ConditionSnapshot, ConditionStatus, DecisionEntry, HealthNode, HealthSnapshot, HealthStatus, LimitEntry,
    Meta, MetricSnapshot, Mode, NextChange, Outcome, PolicySnapshot, Replicas, Saved, Severity, Snapshot,
    Standing, Startup, Target,
};
use jiff::Timestamp;
use series::{Reading, Series, time};

use super::meter::Meter;
use super::script::{PER_REPLICA, SceneKind, Script};
use super::stage::{Moment, Stage};

/// The charts show a day and a half.
const KEPT: usize = 36 * 60;
const DECISIONS: usize = 60;

/// What the page shows of the demo.
pub(super) struct Page<'a> {
    stage: &'a Stage,
    recent: Series,
    capacity: Series,
    hindcast: Series,
    ready: Series,
    desired: Series,
    decisions: Vec<DecisionEntry>,
    conditions: Vec<ConditionSnapshot>,
    alerts: Vec<AlertSnapshot>,
    calendar: Arc<Vec<CalendarWindow>>,
    saved: f64,
    last: Option<Seen>,
}

/// What is kept of the newest moment.
struct Seen {
    now: Timestamp,
    record: Record,
    forecast: Option<Arc<series::Forecast>>,
    replicas: Replicas,
    outage: bool,
    crash: bool,
}

/// About the process, as the page's head shows it.
pub(super) fn meta(stage: &Stage, speed: f64) -> Meta {
    let mut meta = Meta::new(env!("CARGO_PKG_VERSION"), "demo", stage.start());
    meta.leader = true;
    "demo, simulated".clone_into(&mut meta.source);
    meta.speed = speed;
    meta
}

/// Once the day is over, what it was like under each way of scaling.
pub(super) fn conclude(snapshot: &mut Snapshot, comparison: &Comparison) {
    let scored = (comparison.days * 86_400.0).max(1.0);
    let told = |row: &&backtest::Row| {
        matches!(row.kind, Kind::Foresail | Kind::Baseline) || row.name == backtest::USUAL_HPA
    };
    let rows = comparison.rows.iter().filter(told).map(|row| BacktestRow {
        name: row.name.clone(),
        unserved_ratio: row.score.requests_percent / 100.0,
        short_ratio: row.score.violation_seconds / scored,
        replica_hours: row.score.replica_hours,
        scales: (row.score.actions_per_day * comparison.days).round() as u32,
    });
    let summary = BacktestSummary { from: comparison.from, to: comparison.to, rows: rows.collect() };
    let policies: Vec<PolicySnapshot> = snapshot.policies.values().map(|p| (**p).clone()).collect();
    for mut policy in policies {
        policy.backtest = Some(summary.clone());
        snapshot.put(policy);
    }
}

impl<'a> Page<'a> {
    pub(super) fn new(stage: &'a Stage, script: &Script) -> Self {
        let calendar = script.calendar.iter().map(|w| CalendarWindow {
            calendar: "shop/sales".to_owned(),
            name: w.name.clone(),
            kind: CalendarKind::Scaling,
            start: w.from,
            end: w.to,
            effect: format!("at least {} replicas of shop/checkout", w.min_replicas.unwrap_or(0)),
        });
        let recent = stage.yesterday();
        let blank = || {
            let gaps = vec![f64::NAN; recent.len()];
            Series::new(recent.start(), recent.step(), gaps).unwrap_or_else(|_| recent.clone())
        };
        Self {
            stage,
            capacity: blank(),
            hindcast: blank(),
            ready: blank(),
            desired: blank(),
            recent,
            decisions: Vec::new(),
            conditions: Vec::new(),
            alerts: Vec::new(),
            calendar: Arc::new(calendar.collect()),
            saved: 0.0,
            last: None,
        }
    }

    /// Takes a moment in.
    pub(super) fn take(&mut self, moment: &Moment, script: &Script) {
        let Some(record) = moment.record.clone() else { return };
        // A slot for each whole minute; the chart's grid is the recording's.
        while self.recent.end() <= moment.now {
            let observed = moment.ours.observed;
            self.recent.push(observed);
            self.capacity.push(Some(f64::from(moment.ours.ready) * PER_REPLICA));
            self.hindcast.push(moment.foreseen.0);
            self.ready.push(Some(f64::from(moment.ours.ready)));
            self.desired.push(Some(f64::from(moment.ours.desired)));
        }
        for series in
            [&mut self.recent, &mut self.capacity, &mut self.hindcast, &mut self.ready, &mut self.desired]
        {
            series.keep_last(KEPT);
        }
        if moment.ours.scored {
            let fewer = f64::from(self.stage.peak()) - f64::from(moment.ours.current);
            self.saved += fewer * 15.0 / 3_600.0;
        }
        let going_on = |kind| script.at(moment.elapsed).any(|s| s.kind == kind);
        let (outage, crash) = (going_on(SceneKind::Outage), going_on(SceneKind::Crash));
        self.note(&record);
        self.judge(&record, moment.now);
        self.alert(moment.now, "MetricAbsent", outage, "requests has no fresh value; replicas are held");
        self.alert(moment.now, "PodsNotStarting", crash, "new pods crash-loop; no more of them are added");
        let r = &record.recommendation;
        let replicas = Replicas {
            current: moment.ours.desired,
            ready: moment.ours.ready,
            desired: r.target,
            min: r.effective_min,
            max: r.effective_max,
        };
        let forecast = moment.forecast.clone();
        self.last = Some(Seen { now: moment.now, record, forecast, replicas, outage, crash });
    }

    /// A line on the time line, where something was done, or held for a new reason.
    fn note(&mut self, record: &Record) {
        let r = &record.recommendation;
        let outcome = if r.target != r.current {
            Outcome::Scaled
        } else if r.uncapped != r.target {
            Outcome::Held
        } else {
            return;
        };
        let limits: Vec<LimitEntry> = r
            .limits
            .iter()
            .map(|l| LimitEntry { reason: l.reason.to_string(), message: l.message.clone() })
            .collect();
        // As in the controller: only a reason that wasn't told yet is news.
        let same = self.decisions.first().is_some_and(|last| {
            let told = |limit: &LimitEntry| last.limits.iter().any(|l| l.reason == limit.reason);
            last.outcome == outcome && last.to == r.target && limits.iter().all(told)
        });
        if same && outcome == Outcome::Held {
            return;
        }
        let entry = DecisionEntry {
            at: record.now,
            outcome,
            from: r.current,
            to: r.target,
            driver: driver(record),
            message: decide::line(record),
            limits,
            trace_id: None,
        };
        self.decisions.insert(0, entry);
        self.decisions.truncate(DECISIONS);
    }

    /// The conditions of the resource, each since it last changed.
    fn judge(&mut self, record: &Record, now: Timestamp) {
        let r = &record.recommendation;
        let held = r.limits.iter().find(|l| matches!(l.reason, LimitReason::PodsNotStarting));
        let missing = record.observation.metrics.iter().find_map(|m| m.reading.absence());
        let limited = r.limits.iter().find(|_| r.is_limited());
        let verdicts = [
            ("Ready", missing.is_none() && held.is_none(), "Scaling", "Decisions are made and carried out"),
            ("AbleToScale", held.is_none(), "ReadyForNewScale", "The target can be scaled"),
            ("ScalingActive", true, "ValidMetricFound", "Replicas follow the load"),
            ("ScalingLimited", limited.is_some(), "DesiredWithinRange", "Nothing is in the way"),
            ("ForecastActive", r.is_forecast_active(), "Trusted", "The forecast takes part"),
            ("DataFresh", missing.is_none(), "Fresh", "Every metric is fresh"),
        ];
        let before = std::mem::take(&mut self.conditions);
        for (kind, holds, reason, message) in verdicts {
            let (reason, message) = match kind {
                "DataFresh" | "Ready" if missing.is_some() => {
                    missing.as_ref().map(|m| (m.reason.to_string(), m.message.clone())).unwrap_or_default()
                }
                "AbleToScale" | "Ready" if held.is_some() => {
                    held.map(|l| (l.reason.to_string(), l.message.clone())).unwrap_or_default()
                }
                "ScalingLimited" if limited.is_some() => {
                    limited.map(|l| (l.reason.to_string(), l.message.clone())).unwrap_or_default()
                }
                "ForecastActive" if !holds => {
                    (r.strategy_reason.to_string(), "The forecast is left out".to_owned())
                }
                _ => (reason.to_owned(), message.to_owned()),
            };
            let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
            let since = before.iter().find(|c| c.kind == kind && c.status == status).map_or(now, |c| c.since);
            self.conditions.push(ConditionSnapshot { kind: kind.to_owned(), status, reason, message, since });
        }
    }

    fn alert(&mut self, now: Timestamp, name: &str, holds: bool, summary: &str) {
        let known = self.alerts.iter_mut().find(|a| a.alert == name && a.resolved.is_none());
        match (known, holds) {
            (Some(alert), false) => {
                alert.state = AlertPhase::Resolved;
                alert.resolved = Some(now);
            }
            (None, true) => self.alerts.insert(
                0,
                AlertSnapshot {
                    id: format!("{name}-{}", now.as_second()),
                    alert: name.to_owned(),
                    severity: Severity::Warning,
                    state: AlertPhase::Firing,
                    subject: "policy shop/checkout".to_owned(),
                    summary: summary.to_owned(),
                    description: String::new(),
                    runbook_url: String::new(),
                    since: now,
                    resolved: None,
                    consequences: Vec::new(),
                    deliveries: Vec::new(),
                    trace_id: None,
                },
            ),
            _ => {}
        }
    }

    /// Writes the newest state into the snapshot that the page is served from, and into the metrics.
    pub(super) fn show(&self, snapshot: &mut Snapshot, meter: &mut Meter) {
        let Some(seen) = &self.last else { return };
        Arc::make_mut(&mut snapshot.meta).data_time = seen.now;
        snapshot.health = Arc::new(self.health(seen));
        if *snapshot.alerts != self.alerts {
            snapshot.alerts = Arc::new(self.alerts.clone());
        }
        if !Arc::ptr_eq(&snapshot.calendar, &self.calendar) {
            snapshot.calendar = Arc::clone(&self.calendar);
        }
        let policy = self.policy(seen);
        meter.show(&policy, &snapshot.health, seen.now);
        meter.alerts(&self.alerts);
        snapshot.put(policy);
    }

    fn policy(&self, seen: &Seen) -> PolicySnapshot {
        let r = &seen.record.recommendation;
        let startup = seen.record.observation.startup;
        PolicySnapshot {
            namespace: Arc::from("shop"),
            name: Arc::from("checkout"),
            target: Target {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                name: "checkout".to_owned(),
            },
            mode: Mode::Auto,
            paused: None,
            replicas: seen.replicas,
            need: r.data_fresh.then(|| f64::from(r.uncapped)),
            driver: driver(&seen.record),
            reason: decide::line(&seen.record),
            conditions: self.conditions.clone(),
            metrics: vec![self.metric(seen)],
            ready_replicas: Some(self.ready.clone()),
            desired_replicas: Some(self.desired.clone()),
            decisions: self.decisions.clone(),
            next_change: next_change(seen),
            startup: startup
                .p95
                .map(|p95| Startup { p95_seconds: p95.as_secs_f64(), samples: startup.samples }),
            lead_time_seconds: r.lead.as_secs() as u32,
            saved: Some(Saved {
                replica_hours: self.saved,
                against: format!("{} replicas all day", self.stage.peak()),
                since: self.stage.start(),
            }),
            backtest: None,
            updated: seen.now,
            trace_id: None,
        }
    }

    fn metric(&self, seen: &Seen) -> MetricSnapshot {
        let record = &seen.record;
        let r = &record.recommendation;
        let reading = record.observation.metrics.first().map(|m| &m.reading);
        let sample = match reading {
            Some(Reading::Fresh(sample) | Reading::Stale { sample, .. }) => Some(*sample),
            _ => None,
        };
        MetricSnapshot {
            name: Arc::from("requests"),
            query: "sum(rate(http_requests_total{app=\"checkout\"}[1m]))".to_owned(),
            unit: "requests/s".to_owned(),
            target: PER_REPLICA,
            value: reading.and_then(Reading::fresh),
            age_seconds: sample.map(|s| time::since(seen.now, s.time()).as_secs_f64()),
            absence: reading.and_then(Reading::absence),
            candidates: r
                .candidates
                .iter()
                .filter_map(|c| {
                    Some(Candidate {
                        kind: kind(c.source).to_owned(),
                        replicas: f64::from(c.replicas?),
                        message: c.message.clone(),
                        wins: c.counts() && c.source == r.driver.source && c.metric == r.driver.metric,
                    })
                })
                .collect(),
            recent: Some(self.recent.clone()),
            capacity: Some(self.capacity.clone()),
            hindcast: Some(self.hindcast.clone()),
            forecast: seen.forecast.as_deref().cloned(),
            standing: self.standing(seen),
        }
    }

    fn standing(&self, seen: &Seen) -> Option<Standing> {
        let standing = self.stage.standing(seen.now)?;
        let r = &seen.record.recommendation;
        let score = autoscaler::score_at(&standing, r.lead);
        let active = r.is_forecast_active();
        Some(Standing {
            active,
            reason: if active { "Active".to_owned() } else { r.strategy_reason.to_string() },
            message: standing.chosen_because.clone(),
            model: standing.model.clone(),
            error_ratio: score.map(|s| s.versus_last_value.max(s.versus_yesterday)),
            coverage: score.map(|s| s.coverage_95),
            coverage_target: score.map(|_| 0.95),
            seasons_seconds: standing.seasons.iter().map(|s| s.period.as_secs()).collect(),
            history_seconds: standing.history.as_secs(),
            level_shift: standing.level_shift,
        })
    }

    fn health(&self, seen: &Seen) -> HealthSnapshot {
        let status = |bad: bool, how: HealthStatus| if bad { how } else { HealthStatus::Pass };
        let prometheus = status(seen.outage, HealthStatus::Fail);
        let checkout = status(seen.crash, HealthStatus::Warn);
        let alert = |name: &str| self.alerts.iter().find(|a| a.alert == name);
        let since =
            |name: &str| alert(name).map(|a| a.resolved.unwrap_or(a.since)).or(Some(self.stage.start()));
        let node =
            |id: &str, title: &str, kind: &str, status, since, output: &str, depends_on: Vec<String>| {
                HealthNode {
                    id: format!("shop/{id}"),
                    title: title.to_owned(),
                    groups: vec!["shop".to_owned()],
                    kind: kind.to_owned(),
                    status,
                    pending: false,
                    flapping: false,
                    since,
                    output: output.to_owned(),
                    critical: false,
                    depends_on,
                    causes: Vec::new(),
                    latency_ms: None,
                    latencies_ms: Vec::new(),
                    uptime: Vec::new(),
                    votes: None,
                    transitions: Vec::new(),
                }
            };
        HealthSnapshot {
            status: prometheus.max(checkout),
            nodes: vec![
                node(
                    "checkout",
                    "checkout",
                    "workload",
                    checkout,
                    since("PodsNotStarting"),
                    if seen.crash { "new pods crash-loop" } else { "all pods are ready or on their way" },
                    Vec::new(),
                ),
                node(
                    "prometheus",
                    "Prometheus",
                    "http",
                    prometheus,
                    since("MetricAbsent"),
                    if seen.outage { "connection refused" } else { "ready" },
                    Vec::new(),
                ),
            ],
            groups: Vec::new(),
        }
    }
}

fn driver(record: &Record) -> String {
    let driver = &record.recommendation.driver;
    match &driver.metric {
        Some(metric) => format!("{metric} ({})", kind(driver.source)),
        None => driver.source.to_string(),
    }
}

/// The page's word for a step of the decision.
fn kind(source: Source) -> &'static str {
    match source {
        Source::Predictive | Source::Keep => "predictive",
        Source::Calendar => "calendar",
        Source::Backlog => "backlog",
        Source::Fallback => "fallback",
        _ => "reactive",
    }
}

/// The first step of the forecast whose need is a twentieth away from the present target.
fn next_change(seen: &Seen) -> Option<NextChange> {
    let r = &seen.record.recommendation;
    let params = r.strategy.forecast?;
    let forecast = seen.forecast.as_ref()?;
    let (at, replicas) = forecast
        .path(params.quantile)
        .filter(|(at, _)| *at > seen.now)
        .map(|(at, load)| {
            let need = (load * params.margin / PER_REPLICA).ceil() as u32;
            (at, need.clamp(r.effective_min, r.effective_max))
        })
        .find(|(_, need)| need.abs_diff(r.target) > r.target / 20)?;
    let more = replicas > r.target;
    let at = if more { time::before(at, r.lead).max(seen.now) } else { at };
    let way = if more { "more" } else { "less" };
    Some(NextChange { at, replicas, reason: format!("requests are forecast to ask for {way}") })
}
