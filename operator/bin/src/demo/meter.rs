//! The demo in the metrics of production: `/metrics` says of the simulated policy what the operator says of a real one.
//! What comes in: each moment, and now and then the state that the page shows. What goes out: series.

use controller::report::policy_metrics::{candidate_kind, recommended};
use decide::Record;
use health::snapshot::{AlertPhase, AlertSnapshot, ConditionStatus, HealthSnapshot, PolicySnapshot};
use jiff::Timestamp;
use series::time;
use telemetry::metrics::{
    ComponentMetrics, DecisionOutcome, Direction, ForecastFigures, Metrics, PolicyMetrics, ReplicaFigures,
    Step, Truth,
};

use super::stage::{Moment, protected_level};

/// Counts and shows.
pub(super) struct Meter {
    metrics: Metrics,
    policy: PolicyMetrics,
    components: Vec<(String, ComponentMetrics, &'static str)>,
}

impl Meter {
    pub(super) fn new(metrics: Metrics) -> Self {
        metrics.build(env!("CARGO_PKG_VERSION"), "demo", env!("CARGO_PKG_RUST_VERSION"));
        metrics.leader.set(1);
        metrics.shard_policies.set(1);
        let policy = metrics.policy("shop", "checkout");
        policy.info("Auto", "Deployment", "checkout");
        policy.paused(false);
        Self { metrics, policy, components: Vec::new() }
    }

    /// Takes a decision in: what is counted, and the figures of the moment.
    pub(super) fn take(&self, moment: &Moment) {
        let Some(record) = &moment.record else { return };
        let r = &record.recommendation;
        let now = record.now.as_millisecond() as f64 / 1_000.0;
        let seconds = moment.took.as_secs_f64();
        let scaled = r.target != r.current;
        self.metrics.step(Step::Decide, seconds);
        self.policy.decided_at(now);
        self.policy.decided(
            if scaled { DecisionOutcome::Scale } else { DecisionOutcome::Hold },
            seconds,
            None,
        );
        if scaled {
            let direction = if r.target > r.current { Direction::Up } else { Direction::Down };
            self.policy.scaled(direction, candidate_kind(r.driver.source), now);
        }
        recommended(&self.policy, r);
        if let Some(absence) = record.observation.metrics.first().and_then(|m| m.reading.absence()) {
            self.policy.absent("requests", absence.reason.as_str());
        }
        self.forecast(moment, record);
    }

    fn forecast(&self, moment: &Moment, record: &Record) {
        let due = time::after(record.now, record.recommendation.lead);
        let at = |level| moment.forecast.as_ref().and_then(|f| f.at(due, level));
        self.policy.forecast(
            "requests",
            ForecastFigures {
                active: record.recommendation.is_forecast_active(),
                mid: at(0.5),
                upper: at(protected_level(record)),
                hindcast_mid: moment.foreseen.0,
                hindcast_upper: moment.foreseen.1,
                ..ForecastFigures::default()
            },
        );
    }

    /// What the page shows, as figures.
    pub(super) fn show(&mut self, policy: &PolicySnapshot, health: &HealthSnapshot, now: Timestamp) {
        let r = policy.replicas;
        self.policy.replicas(ReplicaFigures {
            current: r.current,
            ready: r.ready,
            desired: r.desired,
            min: r.min,
            max: r.max,
            unlimited: policy.need,
        });
        for condition in &policy.conditions {
            let truth = match condition.status {
                ConditionStatus::True => Truth::True,
                ConditionStatus::False => Truth::False,
                ConditionStatus::Unknown => Truth::Unknown,
            };
            if let Some(kind) = api::condition::ALL.iter().find(|kind| **kind == condition.kind) {
                self.policy.condition(kind, truth);
            }
        }
        self.policy.timing(policy.startup.map(|s| s.p95_seconds), f64::from(policy.lead_time_seconds));
        self.policy.saved(policy.saved.as_ref().map_or(0.0, |s| s.replica_hours * 3_600.0));
        for metric in &policy.metrics {
            let capacity = f64::from(r.ready) * metric.target;
            let name = metric.name.clone();
            self.policy.signal(name, metric.value, metric.target, Some(capacity), metric.age_seconds);
        }
        self.components(health, now);
    }

    /// How many alerts of each rule fire.
    pub(super) fn alerts(&self, alerts: &[AlertSnapshot]) {
        for (name, severity) in [("MetricAbsent", "warning"), ("PodsNotStarting", "warning")] {
            let firing = alerts.iter().filter(|a| a.alert == name && a.state == AlertPhase::Firing);
            self.metrics.alerts_firing(name, severity, firing.count());
        }
    }

    fn components(&mut self, health: &HealthSnapshot, now: Timestamp) {
        for node in &health.nodes {
            let known = self.components.iter().position(|(id, ..)| *id == node.id);
            let at = known.unwrap_or_else(|| {
                let handle = self.metrics.component("shop", node.id.trim_start_matches("shop/"));
                self.components.push((node.id.clone(), handle, node.status.as_str()));
                self.components.len() - 1
            });
            let (_, handle, before) = &mut self.components[at];
            let status = node.status.as_str();
            let changed = (*before != status).then(|| now.as_second() as f64);
            *before = status;
            handle.status(status, node.flapping, changed);
        }
    }
}
