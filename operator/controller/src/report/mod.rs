//! The report step: status, events, metrics and the page, all from what really came of a decision.
//!
//! What comes in: an outcome. What goes out: a status patch where something changed, an event where somebody would
//! want to know, series, and a snapshot. A failure to report is logged and counted, and never stops scaling.

pub(crate) mod capacity;
pub(crate) mod charts;
pub mod conditions;
mod entry;
pub mod outcome;
pub mod page;
pub mod recent;
pub mod series;
pub(crate) mod status;

use std::time::Instant;

use api::v1alpha1::{AutoscalePolicy, AutoscalePolicyStatus};
use autoscaler::ForecastState;
use health::snapshot::{NextChange, PolicySnapshot};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource as _};
use telemetry::metrics::Step;

use crate::actuate::{Actuation, FIELD_MANAGER, Skip};
use crate::context::Context;
use crate::error::{is_not_found, say};
use crate::memory::PolicyMemory;
use crate::report::outcome::{Decided, Note, Outcome};
use crate::report::page::Shown;
use crate::report::series::Counted;
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
    let next_change = match outcome {
        Outcome::Decided(decided) => page::next_change(decided),
        Outcome::Refused(_) => None,
    };
    let next = make_status(memory, subject, outcome, next_change.as_ref(), trace_id.clone(), now);
    if let Outcome::Decided(decided) = outcome {
        memory.recent.take(decided, trace_id.clone());
    }
    let counted = Counted {
        recent: &memory.recent,
        savings: memory.autoscaler.as_ref().map(|a| a.savings()),
        selection: memory.autoscaler.as_ref().map(|a| a.selection()),
        seconds: subject.begun.elapsed().as_secs_f64(),
    };
    series::conditions(&memory.metrics, &next.conditions);
    if let Some(intent) = subject.intent {
        series::outcome(&memory.metrics, intent, &counted, outcome, trace_id.clone());
    }
    if let Some(policy) = shown(memory, subject, outcome, &next, next_change.as_ref(), trace_id) {
        context.snapshot.send_modify(|snapshot| snapshot.put(policy));
    }
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
            let known = |state: &ForecastState| state.accuracy.is_some();
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
        selection: autoscaler.map(|a| selection(a, subject.intent.map(|i| &i.policy), now)),
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

/// What the page shows now; nothing where the spec can't be read.
fn shown(
    memory: &PolicyMemory,
    subject: &Subject<'_>,
    outcome: &Outcome,
    next: &AutoscalePolicyStatus,
    next_change: Option<&NextChange>,
    trace_id: Option<String>,
) -> Option<PolicySnapshot> {
    let intent = subject.intent?;
    let savings = memory.autoscaler.as_ref().map(|a| a.savings());
    let shown = Shown { key: &memory.key, intent, recent: &memory.recent, savings };
    Some(match outcome {
        Outcome::Decided(decided) => page::decided(&shown, decided, &next.conditions, next_change, trace_id),
        Outcome::Refused(_) => page::bare(&shown, &next.conditions, Timestamp::now()),
    })
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
