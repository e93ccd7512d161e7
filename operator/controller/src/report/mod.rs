//! The report step: status, events, metrics and the page, all from what really came of a decision.
//!
//! What comes in: an outcome. What goes out: a status patch where something changed, an event where somebody would
//! want to know, series, and a snapshot. A failure to report is logged and counted, and never stops scaling.

pub(crate) mod capacity;
pub(crate) mod charts;
pub mod conditions;
pub mod outcome;
pub(crate) mod page;
pub mod policy_metrics;
pub(crate) mod status;

use std::time::Instant;

use api::v1alpha1::{AutoscalePolicy, AutoscalePolicyStatus};
use autoscaler::{ForecastState, score_at};
use health::snapshot::NextChange;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource as _};
use telemetry::metrics::{
    DecisionOutcome, Direction, ForecastFigures, QueueFigures, ReplicaFigures, Step, Truth,
};

use crate::actuate::{Actuation, FIELD_MANAGER, Skip};
use crate::context::Context;
use crate::error::{is_not_found, say};
use crate::memory::PolicyMemory;
use crate::report::outcome::{Decided, Note, Outcome};
use crate::report::status::{Inputs, is_due, selection, status};
use crate::validate::Intent;

/// What is reported on.
pub(crate) struct Subject<'a> {
    /// The policy's name, namespace and UID as events refer to them.
    pub(crate) reference: ObjectReference,
    /// The generation that was looked at.
    pub(crate) generation: Option<i64>,
    /// What the spec means, where it could be read.
    pub(crate) intent: Option<&'a Intent>,
    /// When the evaluation began.
    pub(crate) begun: Instant,
}

/// Reports an outcome.
pub(crate) async fn report(
    context: &Context,
    memory: &mut PolicyMemory,
    subject: &Subject<'_>,
    outcome: &Outcome,
    now: Timestamp,
) {
    let begun = Instant::now();
    let trace_id = telemetry::tracing::trace_id();
    let next_change = match (outcome, subject.intent) {
        (Outcome::Decided(decided), Some(intent)) => page::next_change(decided, intent),
        _ => None,
    };
    let next = make_status(memory, subject, outcome, next_change.as_ref(), trace_id.clone(), now);
    remember(memory, outcome, trace_id.clone(), now);
    series(memory, subject, outcome, &next, trace_id.clone());
    show(context, memory, subject, outcome, &next, next_change.as_ref(), trace_id);
    tell(context, memory, subject, outcome, &next).await;
    write(context, memory, next, now).await;
    context.metrics.step(Step::Report, begun.elapsed().as_secs_f64());
}

fn make_status(
    memory: &PolicyMemory,
    subject: &Subject<'_>,
    outcome: &Outcome,
    next_change: Option<&NextChange>,
    trace_id: Option<String>,
    now: Timestamp,
) -> AutoscalePolicyStatus {
    let empty = AutoscalePolicyStatus::default();
    // The forecast of the driving metric, or of the first that is forecast.
    let forecast = match (subject.intent, outcome) {
        (Some(intent), Outcome::Decided(decided)) => {
            let names = || intent.signals.iter().map(|s| s.name.as_str()).zip(&decided.forecasts);
            let driving = decided.record.recommendation.driver.metric.as_deref();
            let known = |state: &ForecastState| state.standing.is_some();
            names()
                .find(|(n, s)| Some(*n) == driving && known(s))
                .or_else(|| names().find(|(_, s)| known(s)))
                .or_else(|| {
                    names().zip(&intent.policy.metrics).find(|(_, m)| m.forecast).map(|(pair, _)| pair)
                })
        }
        _ => None,
    };
    let autoscaler = memory.autoscaler.as_ref();
    let inputs = Inputs {
        previous: memory.written.as_ref().map_or(&empty, |(status, _)| status),
        generation: subject.generation,
        target: subject.intent.map(|i| i.target.to_string()),
        startup: autoscaler.map(|a| a.startups()).and_then(startup),
        capacity: subject
            .intent
            .map(|intent| capacity::status(&intent.policy, autoscaler.map(|a| a.history())))
            .unwrap_or_default(),
        forecast,
        selection: autoscaler.map(|a| selection(a, now)),
        next_change: next_change.map(|c| (c.at, c.replicas)),
        saved: autoscaler.map(|a| a.savings()).and_then(|s| Some((s.seconds / 3_600.0, s.since?))),
        trace_id,
    };
    status(&inputs, outcome, now)
}

fn startup(startups: &autoscaler::StartUps) -> Option<api::v1alpha1::Startup> {
    let samples: Vec<i32> = startups.seconds().map(|s| i32::try_from(s).unwrap_or(i32::MAX)).collect();
    let p95 = startups.observed().p95.map(|p95| p95.as_secs() as i32);
    (!samples.is_empty()).then_some(api::v1alpha1::Startup { p95_seconds: p95, samples })
}

fn remember(memory: &mut PolicyMemory, outcome: &Outcome, trace_id: Option<String>, now: Timestamp) {
    let Outcome::Decided(decided) = outcome else { return };
    let recommendation = &decided.record.recommendation;
    memory.ready_chart.note(now, f64::from(decided.record.observation.replicas.ready));
    memory.desired_chart.note(now, f64::from(recommendation.target));
    for metric in &decided.record.policy.metrics {
        let ready = f64::from(decided.record.observation.replicas.ready);
        if let Some(kept) = memory.signals.get_mut(&metric.name) {
            kept.capacity.note(now, ready * metric.target);
        }
    }
    if let Some(entry) = page::entry(decided, memory.decisions.front(), trace_id) {
        memory.remember(entry);
    }
}

fn show(
    context: &Context,
    memory: &PolicyMemory,
    subject: &Subject<'_>,
    outcome: &Outcome,
    next: &AutoscalePolicyStatus,
    next_change: Option<&NextChange>,
    trace_id: Option<String>,
) {
    let Some(intent) = subject.intent else { return };
    let shown = match outcome {
        Outcome::Decided(decided) => {
            page::decided(memory, intent, decided, &next.conditions, next_change, trace_id)
        }
        Outcome::Refused(_) => page::bare(memory, intent, &next.conditions, Timestamp::now()),
    };
    context.snapshot.send_modify(|snapshot| snapshot.put(shown));
}

fn series(
    memory: &PolicyMemory,
    subject: &Subject<'_>,
    outcome: &Outcome,
    next: &AutoscalePolicyStatus,
    trace_id: Option<String>,
) {
    let metrics = &memory.metrics;
    for kind in api::condition::ALL {
        let found = next.conditions.iter().find(|c| c.type_ == kind).map(|c| c.status.as_str());
        metrics.condition(
            kind,
            match found {
                Some("True") => Truth::True,
                Some("False") => Truth::False,
                _ => Truth::Unknown,
            },
        );
    }
    let seconds = subject.begun.elapsed().as_secs_f64();
    let Some(intent) = subject.intent else { return };
    let mode = if intent.policy.mode == decide::Mode::Auto { "Auto" } else { "Recommend" };
    metrics.info(mode, &intent.target.kind, &intent.target.name);
    match outcome {
        Outcome::Refused(refusal) => metrics.failed(refusal.reason),
        Outcome::Decided(decided) => {
            decided_series(memory, intent, decided);
            let result = match &decided.actuation {
                Actuation::Applied(_) => DecisionOutcome::Scale,
                Actuation::Refused(_) => DecisionOutcome::Refused,
                Actuation::Skipped(Skip::Suggested(_)) => DecisionOutcome::Suggest,
                Actuation::Skipped(_) => DecisionOutcome::Hold,
            };
            metrics.decided(result, seconds, trace_id);
        }
    }
}

fn decided_series(memory: &PolicyMemory, intent: &Intent, decided: &Decided) {
    let metrics = &memory.metrics;
    let evidence = memory.autoscaler.as_ref().and_then(|a| a.selection().evidence);
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
    metrics.paused(matches!(decided.plan, decide::Plan::Hold { reason: decide::HoldReason::Paused, .. }));
    metrics
        .timing(record.observation.startup.p95.map(|d| d.as_secs_f64()), recommendation.lead.as_secs_f64());
    metrics.saved(memory.autoscaler.as_ref().map_or(0.0, |a| a.savings().seconds));
    policy_metrics::recommended(metrics, recommendation);
    match &decided.actuation {
        Actuation::Applied(applied) => {
            let direction = if applied.to() > applied.from() { Direction::Up } else { Direction::Down };
            metrics.scaled(direction, policy_metrics::candidate_kind(recommendation.driver.source), now);
        }
        Actuation::Refused(refusal) => metrics.failed(refusal.reason),
        Actuation::Skipped(_) => {}
    }
    for (index, signal) in intent.signals.iter().enumerate() {
        let name = signal.name.as_str();
        if let Some(metric) = record.observation.metric(name) {
            signal_series(memory, record, metric, name);
            queue_series(memory, record, metric, name);
        }
        if let Some(state) = decided.forecasts.get(index) {
            forecast_series(memory, record, state, name);
        }
    }
}

fn signal_series(
    memory: &PolicyMemory,
    record: &decide::Record,
    metric: &decide::MetricObservation,
    name: &str,
) {
    use series::Reading;
    let target = record.policy.metric(name).map_or(0.0, |m| m.target);
    let capacity = f64::from(record.observation.replicas.ready) * target;
    let (value, age) = match &metric.reading {
        Reading::Fresh(sample) => (Some(sample.value()), Some(sample.time())),
        Reading::Stale { sample, .. } => (None, Some(sample.time())),
        Reading::Absent(_) => (None, None),
    };
    let age = age.map(|at| series::time::since(record.now, at).as_secs_f64());
    memory.metrics.signal(name, value, target, Some(capacity), age);
    if let Some(absence) = metric.reading.absence() {
        memory.metrics.absent(name, absence.reason.as_str());
    }
}

fn queue_series(
    memory: &PolicyMemory,
    record: &decide::Record,
    metric: &decide::MetricObservation,
    name: &str,
) {
    let (Some(policy), Some(queue)) = (record.policy.metric(name), metric.queue) else { return };
    let throughput = match policy.capacity {
        decide::Capacity::Declared(each) => Some(each),
        decide::Capacity::Target => Some(policy.target),
        decide::Capacity::Learned => {
            record.history.metrics.get(name).and_then(|m| m.throughput.per_consumer())
        }
    };
    let backlog = metric.reading.fresh();
    let ready = f64::from(record.observation.replicas.ready);
    let surplus = throughput.map(|each| each * ready - queue.arrivals.unwrap_or(0.0));
    memory.metrics.queue(
        name,
        QueueFigures {
            backlog,
            arrivals: queue.arrivals,
            throughput,
            drain_seconds: backlog.zip(surplus).filter(|(_, s)| *s > 0.0).map(|(waiting, s)| waiting / s),
        },
    );
}

fn forecast_series(memory: &PolicyMemory, record: &decide::Record, state: &ForecastState, name: &str) {
    let recommendation = &record.recommendation;
    let level = recommendation.strategy.forecast.map_or(record.policy.protection, |f| f.quantile);
    let due = series::time::after(record.now, recommendation.lead);
    let at = |level| state.forecast.as_ref().ok().and_then(|f| f.at(due, level));
    let score = state.standing.as_deref().and_then(|s| score_at(s, recommendation.lead));
    let foreseen = memory.signals.get(name).and_then(|k| k.due);
    memory.metrics.forecast(
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
            history_seconds: state.standing.as_ref().map(|s| s.history.as_secs_f64()),
        },
    );
}

/// Events: each thing once when it begins, not at every look.
async fn tell(
    context: &Context,
    memory: &mut PolicyMemory,
    subject: &Subject<'_>,
    outcome: &Outcome,
    next: &AutoscalePolicyStatus,
) {
    let mut events = match outcome {
        Outcome::Decided(decided) => news(memory, decided),
        Outcome::Refused(_) => Vec::new(),
    };
    let find = |kind: &str| next.conditions.iter().find(|c| c.type_ == kind);
    if let Some(ready) = find(api::condition::READY)
        && memory.is_news("ready", &format!("{} {}", ready.status, ready.reason))
    {
        let kind = if ready.status == "True" { EventType::Normal } else { EventType::Warning };
        events.push(event(kind, &ready.reason, "Evaluate", ready.message.clone()));
    }
    if let Some(forecast) = find(api::condition::FORECAST_ACTIVE)
        && forecast.status != "Unknown"
        && memory.is_news("forecast", &format!("{} {}", forecast.status, forecast.reason))
    {
        let reason = if forecast.status == "True" { "ForecastActive" } else { "ForecastInactive" };
        let note = format!("{}: {}", forecast.reason, forecast.message);
        events.push(event(EventType::Normal, reason, "Forecast", note));
    }
    for event in events {
        if let Err(error) = context.recorder.publish(&event, &subject.reference).await {
            tracing::warn!(policy = %memory.key, reason = event.reason, error = %say(&error), "can't send an event");
        }
    }
}

/// What of a decision somebody would want to know who wasn't told yet.
fn news(memory: &mut PolicyMemory, decided: &Decided) -> Vec<Event> {
    let mut events = Vec::new();
    match &decided.actuation {
        Actuation::Applied(applied) => {
            // The trace is that of this very decision; without tracing there is none to name.
            let trace =
                telemetry::tracing::trace_id().map_or_else(String::new, |id| format!(" [trace {id}]"));
            let note =
                format!("scaled from {} to {}: {}{trace}", applied.from(), applied.to(), decided.sentence);
            events.push(event(EventType::Normal, "Scaled", "Scale", note));
        }
        Actuation::Refused(refusal) if memory.is_news("refused", &refusal.message) => {
            events.push(event(EventType::Warning, refusal.reason, "Scale", refusal.message.clone()));
        }
        Actuation::Skipped(Skip::Suggested(to)) if memory.is_news("suggested", &to.to_string()) => {
            let note = format!("{to} replicas would be right: {}", decided.sentence);
            events.push(event(EventType::Normal, "Suggested", "Recommend", note));
        }
        _ => {}
    }
    if let Some(foreign) = &decided.record.observation.foreign_writer
        && memory.is_news("foreign", &foreign.at.to_string())
    {
        let note = format!(
            "{} set {} replicas; give the target one owner, or pause this policy while working on it",
            foreign.who, foreign.replicas
        );
        events.push(event(EventType::Warning, "ForeignWriter", "Observe", note));
    }
    if memory.is_news("notes", &format!("{:?}", decided.notes)) {
        let told = |note: &Note| event(EventType::Warning, note.reason, "Validate", note.message.clone());
        events.extend(decided.notes.iter().map(told));
    }
    let limits = &decided.record.recommendation.limits;
    let no_benefit = limits.iter().find(|limit| limit.reason == decide::LimitReason::NoBenefit);
    let note = no_benefit.map_or("", |limit| limit.message.as_str());
    if memory.is_news("benefit", note) && !note.is_empty() {
        events.push(event(EventType::Warning, "NoBenefit", "Scale", note.to_owned()));
    }
    events
}

fn event(type_: EventType, reason: &str, action: &str, mut note: String) -> Event {
    if note.len() > 1_000 {
        let end = (0..=996).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
        note.truncate(end);
        note.push_str("...");
    }
    Event { type_, reason: reason.to_owned(), note: Some(note), action: action.to_owned(), secondary: None }
}

async fn write(context: &Context, memory: &mut PolicyMemory, next: AutoscalePolicyStatus, now: Timestamp) {
    if !is_due(memory.written.as_ref(), &next, now) {
        return;
    }
    let mut next = next;
    // Made where it is written only: it's the largest part, and others change with it.
    next.learned = memory.autoscaler.as_ref().and_then(|a| serde_json::to_value(a.saved()).ok());
    let api: Api<AutoscalePolicy> = Api::namespaced(context.client.clone(), &memory.key.namespace);
    // Server-side apply, so that what isn't said any more goes away.
    let patch = serde_json::json!({
        "apiVersion": AutoscalePolicy::api_version(&()),
        "kind": AutoscalePolicy::kind(&()),
        "metadata": {"name": &*memory.key.name},
        "status": &next,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(&memory.key.name, &params, &Patch::Apply(&patch)).await {
        Ok(_) => {
            let mut kept = next;
            // The API server has it; here it would only take room.
            if let Some(decision) = &mut kept.decision {
                decision.record = None;
            }
            kept.learned = None;
            memory.written = Some((kept, now));
        }
        Err(error) if is_not_found(&error) => {}
        Err(error) => {
            memory.metrics.failed("StatusNotWritten");
            tracing::warn!(policy = %memory.key, error = %say(&error), "can't write the status");
        }
    }
}
