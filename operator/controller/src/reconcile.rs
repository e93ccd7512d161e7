//! One look at one policy: validate, observe, decide, actuate, report.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use api::condition::reason;
use api::v1alpha1::AutoscalePolicy;
use autoscaler::Applied;
use health::snapshot::PolicyKey;
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};
use telemetry::metrics::{Outcome as Ended, Step};
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::actuate::owners::Claim;
use crate::actuate::protect::protect;
use crate::actuate::target::Scale;
use crate::actuate::{Actuation, Skip, actuate};
use crate::context::Context;
use crate::decide::{decide, set_up};
use crate::error::Refusal;
use crate::memory::PolicyMemory;
use crate::observe::calendars;
use crate::observe::signals::Maker;
use crate::observe::{Observed, observe};
use crate::report::outcome::{Decided, Note, Outcome, driver, sentence};
use crate::report::{Subject, report};
use crate::validate::{Intent, Invalid, Target, unknown_fields, validate};

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
    let next = async {
        let mut memory = memory.lock().await;
        // A look before its turn is one that a change asked for.
        if let Some(late) = memory.planned.take().and_then(|planned| begun.checked_duration_since(planned)) {
            context.metrics.decision_delay.observe(late.as_secs_f64());
        }
        look(&context, &mut memory, &object, &uid, begun).await;
        let next = context.until_next(&uid, Timestamp::now());
        memory.planned = Some(Instant::now() + next);
        next
    }
    .instrument(span)
    .await;
    context.metrics.reconciled("AutoscalePolicy", Ended::Success, begun.elapsed().as_secs_f64());
    Ok(Action::requeue(next))
}

async fn look(context: &Context, memory: &mut PolicyMemory, object: &Guarded, uid: &str, begun: Instant) {
    // What is stored of a moment are its milliseconds.
    let now = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap_or(Timestamp::UNIX_EPOCH);
    restore(memory, object);
    let generation = object.meta().generation;
    let intent = check(context, memory, object);
    let outcome = match &intent {
        Err(refusal) => Outcome::Refused(refusal.clone()),
        Ok(intent) => {
            let claim = claim(object);
            context.claims.note(uid, &memory.key.namespace, &intent.target, claim.clone());
            memory.target = Some(intent.target.clone());
            let notes = notes(object);
            let look = Look { generation, claim: &claim, now };
            match evaluate(context, memory, intent, &look, notes).await {
                Ok(decided) => Outcome::Decided(Box::new(decided)),
                Err(refusal) => Outcome::Refused(refusal),
            }
        }
    };
    if let Outcome::Refused(refusal) = &outcome {
        if memory.is_news("logged", &refusal.message) {
            tracing::info!(policy = %memory.key, reason = refusal.reason, "{}", refusal.message);
        }
        if let Some(autoscaler) = &mut memory.autoscaler {
            autoscaler.applied(now, Applied::Unknown);
        }
    }
    mark(&outcome);
    let subject =
        Subject { reference: object.object_ref(&()), generation, intent: intent.as_deref().ok(), begun };
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

/// The first look takes over what the status says of the time before.
fn restore(memory: &mut PolicyMemory, object: &Guarded) {
    if memory.written.is_some() {
        return;
    }
    let status = object.0.as_ref().ok().and_then(|p| p.status.clone()).unwrap_or_default();
    for (subject, kind) in [("ready", api::condition::READY), ("forecast", api::condition::FORECAST_ACTIVE)] {
        if let Some(c) = status.conditions.iter().find(|c| c.type_ == kind) {
            memory.announced.insert(subject, format!("{} {}", c.status, c.reason));
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

/// One look at a policy.
struct Look<'a> {
    generation: Option<i64>,
    claim: &'a Claim,
    now: Timestamp,
}

/// From a checked policy to a decision that was carried out, or a refusal.
async fn evaluate(
    context: &Context,
    memory: &mut PolicyMemory,
    intent: &Intent,
    look: &Look<'_>,
    mut notes: Vec<Note>,
) -> Result<Decided, Refusal> {
    let now = look.now;
    let namespace = memory.key.namespace.to_string();
    let scale = target(context, &namespace, intent, look.claim).await?;
    let bounds = bounds(intent, &scale)?;
    let maker = Maker {
        pool: &context.pool,
        secrets: &context.secrets,
        default_address: context.settings.prometheus_url.as_deref(),
        deadline: context.settings.deadline,
    };
    memory.sources = Some(maker.make(&namespace, intent, look.generation, memory.sources.take()).await);
    set_up(context, memory, intent, look.generation);
    let Observed { mut inputs, notes: seen } =
        observe(context, memory, intent, &scale, now).instrument(tracing::info_span!("read")).await;
    notes.extend(seen);
    let calendars = context.calendars.borrow().clone();
    let said = calendars::ask(&calendars, &namespace, &memory.key.name, &intent.calendars, now);
    let missing = |name: &String| Note::new("CalendarMissing", format!("there is no ScalingCalendar {name}"));
    notes.extend(said.missing.iter().map(missing));
    inputs.calendar = said.windows;
    inputs.bounds = bounds;
    if let Some(what) = said.hold {
        inputs.health = decide::Health::Unhealthy { what };
    }

    let deciding = Instant::now();
    let decided = decide(context, memory, &inputs, now)?;
    context.metrics.step(Step::Decide, deciding.elapsed().as_secs_f64());
    let actuation = carry_out(context, memory, intent, &scale, &decided, now).await;
    let autoscaler::Decided { record, plan, forecasts } = decided;
    let sentence = sentence(&record.recommendation);
    if let Actuation::Applied(applied) = &actuation {
        context.budget.take(now, applied.to().saturating_sub(applied.from()));
        tracing::info!(policy = %memory.key, from = applied.from(), to = applied.to(), "scaled: {sentence}");
    }
    Ok(Decided { record, plan, forecasts, actuation, sentence, notes })
}

/// The target's scale, where it is this policy's to drive.
async fn target(
    context: &Context,
    namespace: &str,
    intent: &Intent,
    claim: &Claim,
) -> Result<Scale, Refusal> {
    let target = &intent.target;
    if let Some(refusal) = context.claims.better_than(claim, namespace, target) {
        return Err(refusal);
    }
    if !target.is_hpa()
        && let Some(refusal) = context.hpas.owner(namespace, target)
    {
        return Err(refusal);
    }
    let reading = Instant::now();
    let scale = context.targets.read(namespace, target).instrument(tracing::info_span!("observe")).await?;
    context.metrics.step(Step::Observe, reading.elapsed().as_secs_f64());
    Ok(scale)
}

/// Carries the plan out, and tells the autoscaler what came of it.
async fn carry_out(
    context: &Context,
    memory: &mut PolicyMemory,
    intent: &Intent,
    scale: &Scale,
    decided: &autoscaler::Decided,
    now: Timestamp,
) -> Actuation {
    let acting = Instant::now();
    let namespace = memory.key.namespace.to_string();
    let plan = &decided.plan;
    let carry_out = async {
        if context.leads() {
            protect(&context.client, &namespace, memory.sources.as_ref(), scale, plan, now).await?;
        }
        let leads = || context.leads();
        Ok(actuate(&context.client, &namespace, &intent.target, scale, plan, &leads).await)
    };
    let actuation =
        carry_out.instrument(tracing::info_span!("actuate")).await.unwrap_or_else(Actuation::Refused);
    context.metrics.step(Step::Actuate, acting.elapsed().as_secs_f64());
    let applied = match &actuation {
        Actuation::Applied(applied) => Applied::Yes { from: applied.from(), to: applied.to() },
        Actuation::Skipped(Skip::Overtaken { now }) => Applied::No { replicas: *now },
        Actuation::Skipped(_) | Actuation::Refused(_) => {
            Applied::No { replicas: decided.record.recommendation.current }
        }
    };
    if let Some(autoscaler) = &mut memory.autoscaler {
        autoscaler.applied(now, applied);
    }
    actuation
}

/// The bounds where the target narrows the policy's: an HPA has a maximum, and a floor of its owner's.
fn bounds(intent: &Intent, scale: &Scale) -> Result<Option<(u32, u32)>, Refusal> {
    let Some(hpa) = scale.hpa else { return Ok(None) };
    let max = intent.policy.max_replicas.min(hpa.max_replicas);
    let min = intent.policy.min_replicas.max(hpa.original_floor);
    if min > max {
        return Err(Refusal::new(
            reason::INVALID_SPEC,
            format!(
                "a floor of {min} is above the maximum of {max}; lower spec.minReplicas or the HPA's minReplicas, or raise \
                 the maximum"
            ),
        ));
    }
    Ok(Some((min, max)))
}

/// Whether `target` was driven through an HPA's floor, which is given back when its policy goes.
pub(crate) fn drives_floor(target: Option<&Target>) -> Option<&str> {
    target.filter(|t| t.is_hpa()).map(|t| t.name.as_str())
}
