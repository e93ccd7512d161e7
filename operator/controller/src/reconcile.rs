//! One look at one policy: observe, validate, forecast, decide, actuate, report.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::condition::reason;
use api::v1alpha1::{AutoscalePolicy, AutoscalePolicyStatus};
use health::snapshot::PolicyKey;
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};
use telemetry::metrics::{Outcome as Ended, Step};
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::actuate::{Actuation, actuate};
use crate::calendars;
use crate::context::Context;
use crate::error::Refusal;
use crate::foresee::View;
use crate::memory::{Ledger, PolicyMemory, Promise};
use crate::observe::{Observed, observe};
use crate::outcome::{Decided, Note, Outcome, driver, sentence};
use crate::owners::Claim;
use crate::protect::protect;
use crate::report::{Subject, report};
use crate::signals::Maker;
use crate::target::Scale;
use crate::validate::{Intent, Invalid, NO_MAXIMUM, Target, unknown_fields, validate};

/// A policy as it was read: one whose spec can't be read at all must not stop the others.
pub(crate) type Guarded = DeserializeGuard<AutoscalePolicy>;

/// What `kubectl apply` leaves on an object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Looks at one policy, and says when to look again.
pub(crate) async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Infallible> {
    if !context.leads() || object.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let begun = Instant::now();
    let uid = object.uid().unwrap_or_default();
    let key = PolicyKey::new(object.namespace().unwrap_or_default(), object.name_any());
    let span = tracing::info_span!(
        "decision",
        policy = %key,
        outcome = Empty,
        reason = Empty,
        driver = Empty,
        limit = Empty,
        lead_seconds = Empty,
        data_fresh = Empty,
        replicas.current = Empty,
        replicas.ready = Empty,
        replicas.wanted = Empty,
    );
    let memory = context.memory.of(&uid, &key, &context.metrics);
    async {
        let mut memory = memory.lock().await;
        look(&context, &mut memory, &object, &uid, begun).await;
    }
    .instrument(span)
    .await;
    context.metrics.reconciled("AutoscalePolicy", Ended::Success, begun.elapsed().as_secs_f64());
    Ok(Action::requeue(context.until_next(&uid, Timestamp::now())))
}

async fn look(context: &Context, memory: &mut PolicyMemory, object: &Guarded, uid: &str, begun: Instant) {
    let now = Timestamp::now();
    restore(context, memory, object, uid);
    let generation = object.meta().generation;
    let intent = check(context, memory, object);
    let (outcome, views) = match &intent {
        Err(refusal) => (Outcome::Refused(refusal.clone()), Vec::new()),
        Ok(intent) => {
            let claim = claim(object);
            context.claims.note(uid, &memory.key.namespace, &intent.target, claim.clone());
            memory.target = Some(intent.target.clone());
            let notes = notes(object);
            match evaluate(context, memory, intent, generation, &claim, notes, now).await {
                Ok((decided, views)) => (Outcome::Decided(Box::new(decided)), views),
                Err(refusal) => (Outcome::Refused(refusal), Vec::new()),
            }
        }
    };
    if let Outcome::Refused(refusal) = &outcome {
        if memory.is_news("logged", &refusal.message) {
            tracing::info!(policy = %memory.key, reason = refusal.reason, "{}", refusal.message);
        }
        memory.expected = None;
    }
    mark(&outcome);
    let subject = Subject {
        reference: object.object_ref(&()),
        generation,
        intent: intent.as_deref().ok(),
        views: &views,
        begun,
    };
    report(context, memory, &subject, &outcome, now).instrument(tracing::info_span!("report")).await;
}

/// What came of the decision, as attributes of its span.
fn mark(outcome: &Outcome) {
    let span = tracing::Span::current();
    match outcome {
        Outcome::Refused(refusal) => {
            span.record("outcome", "undecided").record("reason", refusal.reason);
        }
        Outcome::Decided(decided) => {
            let recommendation = &decided.record.recommendation;
            span.record(
                "outcome",
                match &decided.actuation {
                    Actuation::Applied(_) => "scaled",
                    Actuation::Skipped(_) => "held",
                    Actuation::Refused(_) => "refused",
                },
            );
            span.record("driver", driver(&recommendation.driver))
                .record("lead_seconds", recommendation.lead.as_secs())
                .record("data_fresh", recommendation.data_fresh)
                .record("replicas.current", recommendation.current)
                .record("replicas.ready", decided.record.observation.replicas.ready)
                .record("replicas.wanted", recommendation.target);
            if let Some(limit) = recommendation.last_limit() {
                span.record("limit", limit.reason.as_str());
            }
        }
    }
}

fn claim(object: &Guarded) -> Claim {
    Claim {
        created: object.meta().creation_timestamp.as_ref().map_or(i64::MAX, |t| t.0.as_second()),
        name: object.name_any(),
    }
}

/// Notes a policy's claim as soon as it is seen: of two policies that are listed together, none may act before the
/// claim of the other is known.
pub(crate) fn note_claim(context: &Context, object: &Guarded) {
    let (Ok(policy), Some(uid), Some(namespace)) = (&object.0, object.uid(), object.namespace()) else {
        return;
    };
    let written = &policy.spec.scale_target_ref;
    let target = Target { api_version: None, kind: written.kind.clone(), name: written.name.clone() };
    context.claims.note(&uid, &namespace, &target, claim(object));
}

/// The first look takes over what an earlier life left in the status.
fn restore(context: &Context, memory: &mut PolicyMemory, object: &Guarded, uid: &str) {
    let found = context.memory.take_found(uid);
    if memory.written.is_some() {
        return;
    }
    let mut status = object.0.as_ref().ok().and_then(|p| p.status.clone()).unwrap_or_default();
    if let Some(decision) = &mut status.decision {
        decision.record = found;
    }
    memory.ledger = Ledger::restore(status.saved.as_ref());
    for (subject, kind) in [("ready", api::condition::READY), ("forecast", api::condition::FORECAST_ACTIVE)] {
        if let Some(c) = status.conditions.iter().find(|c| c.type_ == kind) {
            memory.told.insert(subject, format!("{} {}", c.status, c.reason));
        }
    }
    // Written long ago: the next status is compared with it, and due as soon as it differs.
    memory.written = Some((status, Timestamp::UNIX_EPOCH));
}

/// The validate step, once per generation.
fn check(context: &Context, memory: &mut PolicyMemory, object: &Guarded) -> Result<Arc<Intent>, Refusal> {
    let policy = object.0.as_ref().map_err(|invalid| {
        Refusal::new(
            reason::INVALID_SPEC,
            format!("the spec can't be read: {}; correct the field, or update the CRD", invalid.error),
        )
    })?;
    let generation = policy.metadata.generation;
    let known = memory.checked.as_ref().filter(|(of, _)| *of == generation && generation.is_some());
    let checked = if let Some((_, checked)) = known {
        checked.clone()
    } else {
        let checked = validate(&policy.spec, context.settings.interval).map(Arc::new);
        memory.checked = Some((generation, checked.clone()));
        checked
    };
    checked.map_err(|invalid| Refusal::new(reason::INVALID_SPEC, say(&invalid)))
}

fn say(invalid: &[Invalid]) -> String {
    invalid.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What a person should know though nothing fails: fields that don't exist.
fn notes(object: &Guarded) -> Vec<Note> {
    let Some(applied) = object.annotations().get(LAST_APPLIED) else { return Vec::new() };
    unknown_fields(applied)
        .into_iter()
        .map(|path| format!("{path} is no field of an AutoscalePolicy and was dropped; `kubectl explain asp.spec` lists them"))
        .map(|message| Note::new("UnknownField", message))
        .collect()
}

/// From a checked policy to a decision that was carried out, or a refusal.
async fn evaluate(
    context: &Context,
    memory: &mut PolicyMemory,
    intent: &Intent,
    generation: Option<i64>,
    claim: &Claim,
    mut notes: Vec<Note>,
    now: Timestamp,
) -> Result<(Decided, Vec<View>), Refusal> {
    let namespace = memory.key.namespace.to_string();
    let target = &intent.target;
    if let Some(refusal) = context.claims.better_than(claim, &namespace, target) {
        return Err(refusal);
    }
    if !target.is_hpa()
        && let Some(refusal) = context.hpas.owner(&namespace, target)
    {
        return Err(refusal);
    }
    let reading = Instant::now();
    let scale = context.targets.read(&namespace, target).instrument(tracing::info_span!("observe")).await?;
    context.metrics.step(Step::Observe, reading.elapsed().as_secs_f64());
    let mut policy = bounded(intent, &scale)?;
    let calendars = context.calendars.borrow().clone();
    let said = calendars::ask(&calendars, &namespace, &memory.key.name, &intent.calendars, now);
    policy.calendar = said.windows;
    let missing = |name: &String| Note::new("CalendarMissing", format!("there is no ScalingCalendar {name}"));
    notes.extend(said.missing.iter().map(missing));
    let maker = Maker {
        pool: &context.pool,
        secrets: &context.secrets,
        default_address: context.settings.prometheus_url.as_deref(),
        deadline: context.settings.deadline,
    };
    memory.sources = Some(maker.make(&namespace, intent, generation, memory.sources.take()).await);
    let Observed { mut observation, pods, views, notes: seen } =
        observe(context, memory, intent, &scale, now).instrument(tracing::info_span!("read")).await;
    notes.extend(seen);
    if let Some(what) = said.hold {
        observation.health = decide::Health::Unhealthy { what };
    }
    let deciding = Instant::now();
    let history = history(memory, &observation, now);
    let (record, mut history) =
        tracing::info_span!("decide").in_scope(|| decide::Record::make(&policy, &observation, &history, now));
    let plan = decide::plan(policy.mode, intent.pause.as_ref(), &record.recommendation, now);
    context.metrics.step(Step::Decide, deciding.elapsed().as_secs_f64());
    expect(memory, intent, &record, &views);

    let acting = Instant::now();
    let carry_out = async {
        if context.leads() {
            protect(&context.client, &namespace, memory.sources.as_ref(), &scale, &plan, now).await?;
        }
        Ok(actuate(&context.client, &namespace, target, &scale, &plan, &|| context.leads()).await)
    };
    let actuation =
        carry_out.instrument(tracing::info_span!("actuate")).await.unwrap_or_else(Actuation::Refused);
    context.metrics.step(Step::Actuate, acting.elapsed().as_secs_f64());
    let sentence = sentence(&record.recommendation);
    if let Actuation::Applied(applied) = &actuation {
        history.scaled(now, applied.from(), applied.to());
        context.budget.take(now, applied.to().saturating_sub(applied.from()));
        tracing::info!(policy = %memory.key, from = applied.from(), to = applied.to(), "scaled: {sentence}");
    }
    memory.history = Some(history);
    let decided = Decided { record, plan, actuation, pods, sentence, notes };
    memory.expected = Some(decided.replicas());
    Ok((decided, views))
}

/// The policy with the bounds that its target adds: an HPA has a maximum, and a floor of its owner's.
fn bounded(intent: &Intent, scale: &Scale) -> Result<decide::Policy, Refusal> {
    let mut policy = intent.policy.clone();
    let Some(hpa) = scale.hpa else { return Ok(policy) };
    policy.max_replicas = policy.max_replicas.min(hpa.max_replicas);
    policy.min_replicas = policy.min_replicas.max(hpa.original_floor);
    if policy.min_replicas > policy.max_replicas {
        let max =
            if intent.policy.max_replicas == NO_MAXIMUM { hpa.max_replicas } else { policy.max_replicas };
        return Err(Refusal::new(
            reason::INVALID_SPEC,
            format!(
                "a floor of {} is above the maximum of {max}; lower spec.minReplicas or the HPA's minReplicas, or raise \
                 the maximum",
                policy.min_replicas
            ),
        ));
    }
    Ok(policy)
}

/// What earlier decisions left: from memory, or from the status of an earlier life. Whoever starts anew takes the
/// replicas that are there for the last recommendation, so that nothing jumps because of a restart.
fn history(memory: &mut PolicyMemory, observation: &decide::Observation, now: Timestamp) -> decide::History {
    if let Some(history) = memory.history.take() {
        return history;
    }
    let status = memory.written.as_mut().map(|(status, _)| status);
    let mut history = status.and_then(recorded).unwrap_or_default();
    let spec = observation.replicas.spec;
    history.recommendations.push(decide::Run { from: now, to: now, replicas: spec });
    history.supplied.push(decide::Run { from: now, to: now, replicas: spec });
    history
}

/// The history after the decision that the status records.
fn recorded(status: &mut AutoscalePolicyStatus) -> Option<decide::History> {
    let record: decide::Record = serde_json::from_value(status.decision.as_mut()?.record.take()?).ok()?;
    let next = decide::recommend(&record.policy, &record.observation, &record.history, record.now);
    let mut history = next.history;
    if let Some(scaled) =
        status.last_scale_time.as_ref().filter(|t| t.0.as_second() >= record.now.as_second())
    {
        history.scaled(scaled.0, record.recommendation.current, record.recommendation.target);
    }
    Some(history)
}

/// Keeps what is forecast for one lead time from now, to be shown beside what comes.
fn expect(memory: &mut PolicyMemory, intent: &Intent, record: &decide::Record, views: &[View]) {
    let due = series::time::after(record.now, record.recommendation.lead.max(Duration::from_mins(1)));
    for (signal, view) in intent.signals.iter().zip(views) {
        let at = |level| view.drawn.as_ref().and_then(|f| f.at(due, level));
        let level = record.recommendation.stance.foresight.map_or(record.policy.protection, |f| f.level);
        let promise = at(0.5).map(|median| Promise { median, upper: at(level) });
        if let Some(kept) = memory.signals.get_mut(&signal.name) {
            kept.promise(record.now, due, promise);
        }
    }
}

/// Whether `target` was driven through an HPA's floor, which is given back when its policy goes.
pub(crate) fn drives_floor(target: Option<&Target>) -> Option<&str> {
    target.filter(|t| t.is_hpa()).map(|t| t.name.as_str())
}
