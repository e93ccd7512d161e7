//! What came of an evaluation, as series. Pure but for the counters: the operator counts with it, and so does the demo;
//! what is on a dashboard means the same in both.

use autoscaler::{ForecastState, Savings, score_at};
use decide::{
    Capacity, HoldReason, MetricObservation, MetricPolicy, Mode, Plan, Recommendation, Record, Selection,
    Source,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use series::{Reading, time};
use telemetry::metrics::{
    CandidateKind, DecisionOutcome, Direction, ForecastFigures, PolicyMetrics, QueueFigures, ReplicaFigures,
    Truth,
};

use super::outcome::{Decided, Outcome};
use super::recent::{PendingForecast, Recent};
use crate::actuate::{Actuation, Skip};
use crate::validate::Intent;

/// What is counted besides the outcome.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// The last day.
    pub recent: &'a Recent,
    /// Replica-hours that were saved, where any were counted.
    pub savings: Option<&'a Savings>,
    /// Which strategy is selected, where one is.
    pub selection: Option<&'a Selection>,
    /// How long the evaluation took, in seconds.
    pub seconds: f64,
}

/// The conditions of the resource.
pub fn conditions(metrics: &PolicyMetrics, conditions: &[Condition]) {
    for kind in api::condition::ALL {
        let truth = match conditions.iter().find(|c| c.type_ == kind).map(|c| c.status.as_str()) {
            Some("True") => Truth::True,
            Some("False") => Truth::False,
            _ => Truth::Unknown,
        };
        metrics.condition(kind, truth);
    }
}

/// An outcome, and the figures of its decision.
pub fn outcome(
    metrics: &PolicyMetrics,
    intent: &Intent,
    counted: &Counted<'_>,
    outcome: &Outcome,
    trace_id: Option<String>,
) {
    let mode = if intent.policy.mode == Mode::Auto { "Auto" } else { "Recommend" };
    metrics.info(mode, &intent.target.kind, &intent.target.name);
    match outcome {
        Outcome::Refused(refusal) => metrics.failed(refusal.reason),
        Outcome::Decided(decided) => {
            decided_series(metrics, counted, decided);
            let result = match &decided.actuation {
                Actuation::Applied(_) => DecisionOutcome::Scale,
                Actuation::Refused(_) => DecisionOutcome::Refused,
                Actuation::Skipped(Skip::Suggested(_)) => DecisionOutcome::Suggest,
                Actuation::Skipped(_) => DecisionOutcome::Hold,
            };
            metrics.decided(result, counted.seconds, trace_id);
        }
    }
}

/// The label of what a candidate, or the winner, came from.
fn candidate_kind(source: Source) -> CandidateKind {
    match source {
        Source::Predictive | Source::Keep => CandidateKind::Predictive,
        Source::Calendar => CandidateKind::Calendar,
        Source::Backlog => CandidateKind::Backlog,
        Source::Fallback => CandidateKind::Fallback,
        _ => CandidateKind::Reactive,
    }
}

/// Counts the limits that bit, and sets the replicas of every candidate.
fn recommended(metrics: &PolicyMetrics, recommendation: &Recommendation) {
    for limit in recommendation.limits.iter().filter(|l| l.from != l.to) {
        metrics.limited(limit.reason.as_str());
    }
    for candidate in &recommendation.candidates {
        let name = candidate.metric.clone().unwrap_or_else(|| "policy".to_owned());
        metrics.candidate(name, candidate_kind(candidate.source), candidate.replicas.map(f64::from));
    }
}

fn decided_series(metrics: &PolicyMetrics, counted: &Counted<'_>, decided: &Decided) {
    let evidence = counted.selection.and_then(|selection| selection.evidence);
    metrics.simulated(evidence.map_or(0.0, |e| e.score.days));
    let record = &decided.record;
    let recommendation = &record.recommendation;
    let now = record.now.as_millisecond() as f64 / 1_000.0;
    metrics.decided_at(now);
    metrics.replicas(ReplicaFigures {
        current: decided.replicas(),
        ready: record.observation.replicas.ready,
        desired: recommendation.target,
        min: recommendation.effective_min,
        max: recommendation.effective_max,
        unlimited: recommendation.data_fresh.then(|| f64::from(recommendation.uncapped)),
    });
    metrics.paused(matches!(decided.plan, Plan::Hold { reason: HoldReason::Paused, .. }));
    metrics
        .timing(record.observation.startup.p95.map(|d| d.as_secs_f64()), recommendation.lead.as_secs_f64());
    metrics.saved(counted.savings.map_or(0.0, |s| s.seconds));
    recommended(metrics, recommendation);
    match &decided.actuation {
        Actuation::Applied(applied) => {
            let direction = if applied.to() > applied.from() { Direction::Up } else { Direction::Down };
            metrics.scaled(direction, candidate_kind(recommendation.driver.source), now);
        }
        Actuation::Refused(refusal) => metrics.failed(refusal.reason),
        Actuation::Skipped(_) => {}
    }
    for (index, policy) in record.policy.metrics.iter().enumerate() {
        let name = policy.name.as_str();
        if let Some(metric) = record.observation.metric(name) {
            signal_series(metrics, record, metric, policy);
            queue_series(metrics, record, metric, policy);
        }
        if let Some(state) = decided.forecasts.get(index) {
            let foreseen = counted.recent.metrics.get(name).and_then(|metric| metric.due);
            forecast_series(metrics, record, state, name, foreseen);
        }
    }
}

fn signal_series(
    metrics: &PolicyMetrics,
    record: &Record,
    metric: &MetricObservation,
    policy: &MetricPolicy,
) {
    let name = policy.name.as_str();
    let capacity = f64::from(record.observation.replicas.ready) * policy.target;
    let (value, age) = match &metric.reading {
        Reading::Fresh(sample) => (Some(sample.value()), Some(sample.time())),
        Reading::Stale { sample, .. } => (None, Some(sample.time())),
        Reading::Absent(_) => (None, None),
    };
    let age = age.map(|at| time::since(record.now, at).as_secs_f64());
    metrics.signal(name, value, policy.target, Some(capacity), age);
    if let Some(absence) = metric.reading.absence() {
        metrics.absent(name, absence.reason.as_str());
    }
}

fn queue_series(metrics: &PolicyMetrics, record: &Record, metric: &MetricObservation, policy: &MetricPolicy) {
    let (name, Some(queue)) = (policy.name.as_str(), metric.queue) else { return };
    let throughput = match policy.capacity {
        Capacity::Declared(each) => Some(each),
        Capacity::Target => Some(policy.target),
        Capacity::Learned => record.history.metrics.get(name).and_then(|m| m.throughput.per_consumer()),
    };
    let backlog = metric.reading.fresh();
    let ready = f64::from(record.observation.replicas.ready);
    let surplus = throughput.map(|each| each * ready - queue.arrivals.unwrap_or(0.0));
    metrics.queue(
        name,
        QueueFigures {
            backlog,
            arrivals: queue.arrivals,
            throughput,
            drain_seconds: backlog.zip(surplus).filter(|(_, s)| *s > 0.0).map(|(waiting, s)| waiting / s),
        },
    );
}

fn forecast_series(
    metrics: &PolicyMetrics,
    record: &Record,
    state: &ForecastState,
    name: &str,
    foreseen: Option<PendingForecast>,
) {
    let recommendation = &record.recommendation;
    let level = record.forecast_level();
    let due = time::after(record.now, recommendation.lead);
    let at = |level| state.forecast.as_ref().ok().and_then(|f| f.at(due, level));
    let score = state.accuracy.as_deref().and_then(|s| score_at(s, recommendation.lead));
    metrics.forecast(
        name,
        ForecastFigures {
            active: recommendation.is_forecast_active() && state.forecast.is_ok(),
            mid: at(0.5),
            upper: at(level),
            hindcast_mid: foreseen.map(|f| f.median),
            hindcast_upper: foreseen.and_then(|f| f.upper),
            error_ratio: score.map(|s| s.versus_last_value.max(s.versus_yesterday)),
            coverage: score.map(|s| s.coverage_95),
            coverage_target: score.map(|_| 0.95),
            history_seconds: state.accuracy.as_ref().map(|s| s.history.as_secs_f64()),
        },
    );
}
