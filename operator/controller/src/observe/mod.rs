//! The observe step: everything that is read for one decision, and nothing that is decided.
//!
//! What comes in: the intent, the target's scale, what is remembered. What goes out: the autoscaler's `Inputs`. All metrics are read at the same time; one that hangs holds up nothing
//! but itself, for at most its deadline.

pub(crate) mod calendars;
pub mod pods;
pub(crate) mod queues;
pub mod secrets;
pub(crate) mod signals;

use autoscaler::{Inputs, MetricInput, QueueInput};
use decide::{Health, Replicas};
use futures::future::join_all;
use health::{Overview, Status};
use jiff::Timestamp;
use kube::Api;
use kube::api::DynamicObject;
use series::{Absence, AbsenceReason, Count, Reading, Sample};
use sources::{Measured, QueueSource, Source};
use telemetry::metrics::Step;

use crate::actuate::FIELD_MANAGER;
use crate::actuate::target::Scale;
use crate::context::Context;
use crate::memory::PolicyMemory;
use crate::observe::pods::{PodCount, selector};
use crate::observe::signals::{Asked, Sources};
use crate::report::outcome::Note;
use crate::validate::{Intent, Target};

/// What was observed, and what belongs to it.
pub(crate) struct Observed {
    pub(crate) inputs: Inputs,
    /// What a person should know though nothing fails.
    pub(crate) notes: Vec<Note>,
}

/// Reads everything.
pub(crate) async fn observe(
    context: &Context,
    memory: &PolicyMemory,
    intent: &Intent,
    scale: &Scale,
    now: Timestamp,
) -> Observed {
    let namespace = memory.key.namespace.to_string();
    let pods = selector(&scale.selector)
        .map_or_else(PodCount::default, |selector| context.pods.count(&namespace, &selector));
    let readings = read(context, memory, intent, now).await;
    let mut notes = Vec::new();
    let mut metrics = Vec::new();
    for (signal, taken) in intent.signals.iter().zip(readings) {
        if let Some(absence) = taken.utilization_missing {
            // Without the absence's own words: ages in them would be news at every look.
            let message = format!(
                "{}: how busy replicas are can't be told ({}); ask Prometheus what capacity.utilization asks",
                signal.name, absence.reason
            );
            notes.push(Note::new("UtilizationMissing", message));
        }
        metrics.push(taken.input);
    }
    let health = gate(&context.overview.borrow(), &namespace, intent);
    let inputs = Inputs {
        replicas: replicas(scale, &pods),
        rollout: pods.rollout,
        startups: pods.startups.clone(),
        metrics,
        health,
        writer: foreign_writer(context, memory, &intent.target, scale).await,
        pod_budget: context.budget.left(now),
        ..Inputs::of(scale.replicas)
    };
    Observed { inputs, notes }
}

fn replicas(scale: &Scale, pods: &PodCount) -> Replicas {
    Replicas {
        spec: scale.replicas,
        // A target that doesn't say which pods are its own is taken at its word.
        ready: if scale.selector.is_empty() { scale.replicas } else { pods.ready },
        pending: pods.pending,
        unschedulable: pods.unschedulable,
        crash_looping: pods.crash_looping,
    }
}

/// What was read of one signal.
struct Taken {
    input: MetricInput,
    /// Why nobody knows how busy the replicas are, where that is asked.
    utilization_missing: Option<Absence>,
}

impl Taken {
    fn absent(absence: Absence) -> Self {
        let input = MetricInput { coverage: 0.0, ..MetricInput::of(Reading::Absent(absence)) };
        Self { input, utilization_missing: None }
    }
}

async fn read(context: &Context, memory: &PolicyMemory, intent: &Intent, now: Timestamp) -> Vec<Taken> {
    let begun = std::time::Instant::now();
    let Some(Sources { all, .. }) = memory.sources.clone() else {
        let absence = || Absence::new(AbsenceReason::NotYetRead, "nothing was asked yet");
        return intent.signals.iter().map(|_| Taken::absent(absence())).collect();
    };
    let taken = all.into_iter().map(|asked| async move {
        match asked {
            Ok(Asked::Load { load, utilization }) => {
                read_load(load.as_ref(), utilization.as_deref(), now).await
            }
            Ok(Asked::Queue { queue, arrivals, .. }) => {
                read_queue(queue.as_ref(), arrivals.as_deref(), now).await
            }
            Err(absence) => Taken::absent(absence),
        }
    });
    let taken = join_all(taken).await;
    context.metrics.step(Step::Read, begun.elapsed().as_secs_f64());
    taken
}

async fn read_load(load: &dyn Source, utilization: Option<&dyn Source>, now: Timestamp) -> Taken {
    let used = async {
        match utilization {
            Some(source) => Some(source.read(now).await.map(|sample| sample.value())),
            None => None,
        }
    };
    let (Measured { reading, coverage }, used) = futures::join!(load.measure(now), used);
    let (used, utilization_missing) = match used {
        Some(Ok(used)) => (Some(used), None),
        Some(Err(absence)) => (None, Some(absence)),
        None => (None, None),
    };
    Taken { input: MetricInput { used, coverage, ..MetricInput::of(reading) }, utilization_missing }
}

/// The backlog, and the arrivals that a query tells. A queue is sized on both: without the arrivals that the policy
/// names it would be a guess, so that one missing makes the reading absent.
async fn read_queue(queue: &dyn QueueSource, arrivals: Option<&dyn Source>, now: Timestamp) -> Taken {
    let asked = async {
        match arrivals {
            Some(source) => source.read(now).await.map(Some),
            None => Ok(None),
        }
    };
    let (mut queue, arrivals) = match futures::try_join!(queue.read(now), asked) {
        Ok(both) => both,
        Err(absence) => return Taken::absent(absence),
    };
    if let Some(sample) = arrivals {
        queue.arrivals = Some(Count::PerSecond(sample.value()));
    }
    match Sample::new(queue.time, queue.backlog() as f64) {
        Some(sample) => {
            let told = QueueInput {
                time: queue.time,
                backlog: queue.backlog(),
                arrivals: queue.arrivals,
                served: queue.served,
                oldest: queue.oldest_age,
                partitions: queue.most_consumers(),
            };
            let input =
                MetricInput { arrivals, queue: Some(told), ..MetricInput::of(Reading::Fresh(sample)) };
            Taken { input, utilization_missing: None }
        }
        None => Taken::absent(Absence::new(AbsenceReason::InvalidAnswer, "the backlog is no number")),
    }
}

/// What the health checks that the policy names say. A check that isn't there, or wasn't run yet, holds the way down too.
fn gate(overview: &Overview, namespace: &str, intent: &Intent) -> Health {
    if intent.checks.is_empty() && intent.groups.is_empty() {
        return Health::Unchecked;
    }
    let gate = overview.gate(namespace, &intent.checks, &intent.groups);
    if gate.failures.is_empty() {
        return Health::Healthy { since: gate.since.unwrap_or(Timestamp::MIN) };
    }
    let told = gate.failures.iter().map(|failure| match &failure.cause {
        Some(cause) => format!("HealthCheck {} is {}, because of {cause}", failure.id, failure.status),
        None if failure.status == Status::Unknown => {
            format!("HealthCheck or group {} isn't there, or isn't known to work yet", failure.id)
        }
        None => format!("HealthCheck {} is {}", failure.id, failure.status),
    });
    Health::Unhealthy { what: told.collect::<Vec<_>>().join("; ") }
}

/// Who wrote the replicas, where they aren't those that were left behind.
async fn foreign_writer(
    context: &Context,
    memory: &PolicyMemory,
    target: &Target,
    scale: &Scale,
) -> Option<String> {
    let foreign = memory.autoscaler.as_ref().is_some_and(|a| a.is_foreign(scale.replicas));
    if !foreign {
        return None;
    }
    Some(writer(context, &memory.key.namespace, target, scale).await)
}

/// The last field manager but ours that wrote replicas, as far as the object tells.
async fn writer(context: &Context, namespace: &str, target: &Target, scale: &Scale) -> String {
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &scale.resource);
    let unknown = || "somebody".to_owned();
    let Ok(object) = api.get_metadata(&target.name).await else { return unknown() };
    let field = if scale.hpa.is_some() { "f:minReplicas" } else { "f:replicas" };
    let owns =
        |fields: &serde_json::Value| fields.get("f:spec").is_some_and(|spec| spec.get(field).is_some());
    object
        .metadata
        .managed_fields
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|f| owns(&f.0)))
        .filter(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER))
        .max_by_key(|entry| entry.time.as_ref().map(|t| t.0))
        .and_then(|entry| entry.manager)
        .unwrap_or_else(unknown)
}
