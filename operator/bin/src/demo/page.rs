//! The demo on the page and in the metrics of production: the simulated decisions go through the operator's own reports,
//! health checks and alerts. What comes in: one moment after the other. What goes out: a snapshot, and series.

use std::sync::Arc;
use std::time::Duration;

use backtest::{Comparison, Kind};
use controller::report::conditions::conditions;
use controller::report::outcome::Outcome;
use controller::report::page::{self, Shown};
use controller::report::recent::Recent;
use controller::report::series::{self, Counted};
use controller::validate::Intent;
use decide::Replicas;
use health::alert::{self, Alerts};
use health::check::{self, Settings};
use health::event::Event;
use health::snapshot::{
    AlertSnapshot, BacktestRow, BacktestSummary, CalendarKind, CalendarWindow, HealthSnapshot, Meta,
    PolicyKey, PolicySnapshot, Snapshot,
};
use health::{Component, ComponentId, Criticality, Overview, Reason, System};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use probes::{WorkloadState, judge_workload};
use telemetry::metrics::{ComponentMetrics, Metrics, PolicyMetrics, Step};

use super::script::{SceneKind, Script};
use super::stage::{Moment, Stage};
use crate::cmd::run::RUNBOOKS;

/// Fewer available replicas than this share is down, as a HealthCheck has it that says nothing.
const MIN_AVAILABLE: f64 = 0.5;

/// What the page shows of the demo.
pub(super) struct Page {
    key: PolicyKey,
    intent: Intent,
    recent: Recent,
    conditions: Vec<Condition>,
    system: System,
    overview: Arc<Overview>,
    alerts: Alerts,
    calendar: Arc<Vec<CalendarWindow>>,
    policy: Option<PolicySnapshot>,
    metrics: Metrics,
    policy_metrics: PolicyMetrics,
    component_metrics: Vec<(ComponentId, ComponentMetrics)>,
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

impl Page {
    pub(super) fn new(stage: &Stage, script: &Script, metrics: Metrics) -> Self {
        metrics.build(env!("CARGO_PKG_VERSION"), "demo", env!("CARGO_PKG_RUST_VERSION"));
        metrics.leader.set(1);
        metrics.shard_policies.set(1);
        let key = stage.key().clone();
        let calendar = script.calendar.iter().map(|w| CalendarWindow {
            calendar: "shop/sales".to_owned(),
            name: w.name.clone(),
            kind: CalendarKind::Scaling,
            start: w.from,
            end: w.to,
            effect: format!("at least {} replicas of {key}", w.min_replicas.unwrap_or(0)),
        });
        let mut system = System::new();
        let components = ["checkout", "prometheus"].map(component);
        let component_metrics = components.iter().map(|c| {
            let handle = metrics.component(c.id.namespace(), c.id.name());
            (c.id.clone(), handle)
        });
        let component_metrics = component_metrics.collect();
        system.define(components, stage.start());
        let mut recent = Recent::default();
        recent.seed(stage.metric(), &stage.yesterday());
        Self {
            calendar: Arc::new(calendar.collect()),
            policy_metrics: metrics.policy(key.namespace.clone(), key.name.clone()),
            key,
            intent: stage.intent().clone(),
            recent,
            conditions: Vec::new(),
            system,
            overview: Arc::new(Overview::empty(stage.start())),
            alerts: Alerts::new(RUNBOOKS),
            policy: None,
            metrics,
            component_metrics,
        }
    }

    /// Takes a moment in, as the operator reports a decision.
    pub(super) fn take(&mut self, moment: &Moment, script: &Script) {
        let decided = moment.reported();
        self.recent.take(&decided, None);
        let outcome = Outcome::Decided(Box::new(decided));
        self.conditions = conditions(&self.conditions, &outcome, None, moment.now);
        let counted = Counted {
            recent: &self.recent,
            savings: Some(&moment.savings),
            selection: Some(&moment.selection),
            seconds: moment.took.as_secs_f64(),
        };
        self.metrics.step(Step::Decide, moment.took.as_secs_f64());
        series::conditions(&self.policy_metrics, &self.conditions);
        series::outcome(&self.policy_metrics, &self.intent, &counted, &outcome, None);
        let Outcome::Decided(decided) = outcome else { return };
        let shown = Shown {
            key: &self.key,
            intent: &self.intent,
            recent: &self.recent,
            savings: Some(&moment.savings),
        };
        let next_change = page::next_change(&decided);
        let policy = page::decided(&shown, &decided, &self.conditions, next_change.as_ref(), None);
        self.probe(moment, script);
        let mut found = alert::components(&self.overview);
        found.extend(alert::policy(&alert::facts(&policy, false, moment.now)));
        self.alerts.step(found, moment.now);
        self.policy = Some(policy);
    }

    /// What the health checks of the shop find.
    fn probe(&mut self, moment: &Moment, script: &Script) {
        let workload =
            judge_workload(&state(moment.decided.record.observation.replicas), MIN_AVAILABLE, Duration::ZERO);
        let gone = script.at(moment.elapsed).any(|s| s.kind == SceneKind::Outage);
        let prometheus = if gone {
            check::Outcome::fail(Reason::Refused, "connection refused", Duration::ZERO)
        } else {
            check::Outcome::pass(Duration::ZERO)
        };
        for ((id, _), outcome) in self.component_metrics.iter().zip([workload, prometheus]) {
            self.system.observe(id, outcome, moment.now, false);
        }
        let (overview, events) = self.system.overview("demo", &[], |_| None, moment.now);
        for event in &events {
            let (Event::Transition { id, .. } | Event::Flapping { id, .. }) = event;
            let handle = self.component_metrics.iter().find(|(known, _)| known == id);
            if let (Some(view), Some((_, handle))) = (overview.component(id), handle) {
                let changed =
                    matches!(event, Event::Transition { .. }).then(|| moment.now.as_second() as f64);
                handle.status(view.status.as_str(), view.view.flapping, changed);
            }
        }
        self.overview = Arc::new(overview);
    }

    /// Writes the newest state into the snapshot that the page is served from.
    pub(super) fn show(&self, snapshot: &mut Snapshot) {
        let Some(policy) = &self.policy else { return };
        Arc::make_mut(&mut snapshot.meta).data_time = policy.updated;
        snapshot.health = Arc::new(HealthSnapshot::of(&self.overview));
        let alerts: Vec<AlertSnapshot> =
            self.alerts.all().into_iter().map(|a| AlertSnapshot::of(a, Vec::new())).collect();
        for rule in alert::BuiltIn::ALL {
            let firing = self.alerts.firing().filter(|a| a.name == rule.as_str()).count();
            self.metrics.alerts_firing(rule.as_str(), rule.defaults().0.as_str(), firing);
        }
        if *snapshot.alerts != alerts {
            snapshot.alerts = Arc::new(alerts);
        }
        if !Arc::ptr_eq(&snapshot.calendar, &self.calendar) {
            snapshot.calendar = Arc::clone(&self.calendar);
        }
        snapshot.put(policy.clone());
    }
}

fn component(name: &str) -> Component {
    Component {
        id: ComponentId::new("shop", name),
        kind: if name == "prometheus" { "http" } else { "workload" }.to_owned(),
        // A tick of the demo is 15 s.
        settings: Settings { interval: Duration::from_secs(15), ..Settings::default() },
        criticality: Criticality::Critical,
        depends_on: Vec::new(),
        groups: vec!["shop".to_owned()],
        labels: std::collections::BTreeMap::new(),
    }
}

/// The Deployment as a check of the kind `workload` sees it.
fn state(replicas: Replicas) -> WorkloadState {
    let crashing = (0..replicas.crash_looping).map(|i| format!("checkout-{i}/checkout (CrashLoopBackOff)"));
    WorkloadState {
        wanted: replicas.spec as i32,
        available: replicas.ready as i32,
        // What is on its way isn't missing: pods of one revision that start.
        updated: replicas.ready as i32,
        stuck: None,
        crashing: crashing.collect(),
    }
}
