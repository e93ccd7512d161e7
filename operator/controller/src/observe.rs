//! The observe step: everything that is read for one decision, and nothing that is decided.
//!
//! What comes in: the intent, the target's scale, what is remembered. What goes out: an `Observation` in the decision's
//! words, and the forecasts as they are shown. All metrics are read at the same time; one that hangs holds up nothing
//! but itself, for at most its deadline.

use std::time::Duration;

use decide::{
    Capacity, ForecastUse, ForeignWrite, Health, MetricKind, MetricObservation, Observation, Outlook,
    QueueObservation, Rehearsal, Replicas, Stage, Utilization,
};
use futures::future::join_all;
use health::snapshot::{HealthSnapshot, HealthStatus};
use jiff::Timestamp;
use kube::Api;
use kube::api::DynamicObject;
use series::{Absence, AbsenceReason, Reading, Sample};
use sources::queue::{Count, Flow};
use sources::{QueueReading, QueueSource, Source};
use telemetry::metrics::Step;

use crate::actuate::FIELD_MANAGER;
use crate::capacity;
use crate::context::Context;
use crate::foresee::{Foresight, View};
use crate::memory::{PolicyMemory, SignalMemory};
use crate::outcome::Note;
use crate::pods::{PodCount, selector};
use crate::signals::{Asked, Sources};
use crate::startups::Startups;
use crate::target::Scale;
use crate::validate::{Intent, Target};

/// How long after somebody else's write it is still mentioned.
const FOREIGN_FOR: Duration = Duration::from_mins(10);

/// How often the rehearsed stances are scored.
const SCORES_EVERY: Duration = Duration::from_hours(1);

/// What was observed, and what belongs to it on the page.
pub(crate) struct Observed {
    pub(crate) observation: Observation,
    pub(crate) pods: PodCount,
    pub(crate) views: Vec<View>,
    /// What a person should know though nothing fails.
    pub(crate) notes: Vec<Note>,
}

/// Reads everything.
pub(crate) async fn observe(
    context: &Context,
    memory: &mut PolicyMemory,
    intent: &Intent,
    scale: &Scale,
    now: Timestamp,
) -> Observed {
    let namespace = memory.key.namespace.to_string();
    let pods = count_pods(context, memory, &namespace, scale);
    let readings = read(context, memory, intent, now).await;
    let begun = std::time::Instant::now();
    let startup = memory.startups.get_or_insert_default().observed();
    let lead = startup.p95.unwrap_or(Duration::from_mins(2));
    let replicas = replicas(scale, &pods);
    let (mut metrics, mut views, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for ((signal, taken), policy) in intent.signals.iter().zip(readings).zip(&intent.policy.metrics) {
        let asked = memory.sources.as_ref().and_then(|s| s.all.get(metrics.len())?.as_ref().ok().cloned());
        let kept = kept(memory, intent, &signal.name);
        let Taken { reading, forecast, queue, used } = taken;
        kept.note(now, &reading);
        let queue = queue.map(|queue| (queue.time, moving(&kept.meter.observe(&queue), &queue)));
        // Arrivals that no query tells are those that the broker counts.
        let forecast = forecast.or_else(|| queue.and_then(|(at, q)| Sample::new(at, q.arrivals?)));
        let view = if policy.forecast {
            look_ahead(context, &signal.name, &kept.foresight, asked.as_ref(), forecast, now);
            kept.foresight.view(now, lead).await
        } else {
            View::off()
        };
        // The past of a queue is that of its arrivals; what it held then isn't known.
        if let Some(history) = kept.foresight.new_history()
            && matches!(asked, Some(Asked::Load { .. }))
        {
            kept.chart.seed(&history);
            seed_ledger(memory, policy.target, &history, intent);
        }
        let kept = self::kept(memory, intent, &signal.name);
        let (short, long) = kept.short_and_long();
        if let Some(Err(absence)) = &used {
            // Without the absence's own words: ages in them would be news at every look.
            let message = format!(
                "{}: how busy replicas are can't be told ({}); ask Prometheus what capacity.utilization asks",
                signal.name, absence.reason
            );
            notes.push(Note::new("UtilizationMissing", message));
        }
        metrics.push(MetricObservation {
            short,
            long,
            outlook: view.outlook.clone(),
            standing: view.standing,
            utilization: used.and_then(Result::ok).and_then(|used| carried(&reading, &replicas, used)),
            queue: queue.map(|(_, queue)| queue),
            ..MetricObservation::fresh(signal.name.clone(), reading)
        });
        views.push(view);
    }
    context.metrics.step(Step::Forecast, begun.elapsed().as_secs_f64());
    let health = gate(&context.snapshot.borrow().health, &namespace, intent);
    let foreign_writer = foreign(context, memory, &intent.target, scale, now).await;
    let mut observation = Observation {
        replicas,
        rollout: pods.rollout,
        health,
        metrics,
        startup,
        foreign_writer,
        pod_budget: context.budget.left(now),
        ..Observation::of(scale.replicas)
    };
    rehearse(memory, intent, &mut observation, now);
    Observed { observation, pods, views, notes }
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

/// Gives a forecaster what was measured, and starts what it is due for.
fn look_ahead(
    context: &Context,
    name: &str,
    foresight: &Foresight,
    asked: Option<&Asked>,
    measured: Option<Sample>,
    now: Timestamp,
) {
    if let Some(sample) = measured {
        foresight.observe(sample);
    }
    let phase = context.phase(name);
    match asked.map(Asked::forecastable) {
        Some(Some(source)) => foresight.tend(now, source, &context.workshop, phase),
        Some(None) => foresight.tend_watched(now, &context.workshop, phase),
        None => {}
    }
}

/// How busy replicas were that carried how much. While replicas come and go, load and use are of different ones.
fn carried(reading: &Reading, replicas: &Replicas, used: f64) -> Option<Utilization> {
    let settled = replicas.ready > 0 && replicas.ready == replicas.spec && replicas.pending == 0;
    let load = reading.fresh().filter(|_| settled)?;
    Some(Utilization { load: load / f64::from(replicas.ready), used })
}

/// Carries every stance through the load as it came, and hands the decision what came of it. A policy with one metric
/// that replicas share is rehearsed; with several, no single load says how many replicas there should be.
fn rehearse(memory: &mut PolicyMemory, intent: &Intent, observation: &mut Observation, now: Timestamp) {
    let ([policy], [metric]) = (intent.policy.metrics.as_slice(), observation.metrics.as_slice()) else {
        return;
    };
    if policy.kind != MetricKind::AverageValue || intent.policy.forecast == ForecastUse::Off {
        return;
    }
    let learnt = memory.history.as_ref().and_then(|h| h.metric(&policy.name)).and_then(capacity::learnt);
    let (startup, lag) = (observation.startup, observation.lag);
    let expected = startup.p95.unwrap_or(Duration::from_mins(2));
    let mean = startup.mean.unwrap_or(expected);
    let stage = Stage {
        per_replica: match policy.capacity {
            Capacity::Declared(capacity) => capacity,
            Capacity::Learnt => learnt.unwrap_or(policy.target),
            Capacity::Target => policy.target,
        },
        min_replicas: intent.policy.min_replicas.max(1),
        max_replicas: intent.policy.max_replicas,
        lead: expected + lag + intent.policy.timing.interval,
        startup: mean,
        keep: mean + intent.policy.timing.keep,
    };
    let load = match &metric.reading {
        Reading::Fresh(sample) => Some(*sample),
        Reading::Stale { .. } | Reading::Absent(_) => None,
    };
    let forecast = match &metric.outlook {
        Outlook::Forecast(forecast) => Some(forecast),
        Outlook::Unknown { .. } => None,
    };
    // Without any forecast there is nothing to choose between, and memory to save.
    if memory.rehearsal.is_none() && forecast.is_none() {
        return;
    }
    let rehearsal = memory.rehearsal.get_or_insert_with(|| Rehearsal::new(decide::portfolio()));
    rehearsal.tick(now, load, forecast, &stage);
    if series::time::since(now, memory.scores.0) >= SCORES_EVERY {
        let current = memory.history.as_ref().and_then(|h| h.gate.stance);
        let shortlist = decide::shortlist(&rehearsal.scores(), intent.policy.protection, current);
        memory.scores = (now, shortlist);
    }
    observation.scores.clone_from(&memory.scores.1);
}

fn kept<'a>(memory: &'a mut PolicyMemory, intent: &Intent, name: &str) -> &'a mut SignalMemory {
    // A forecaster learns for one query and one set of settings; others begin anew.
    let source = intent.signals.iter().find(|s| s.name == name).map(|s| format!("{:?}", s.source));
    let made_for = format!("{source:?} {:?}", intent.forecast);
    let stale = memory.signals.get(name).is_some_and(|kept| kept.made_for != made_for);
    if stale {
        memory.signals.remove(name);
    }
    memory.signals.entry(name.to_owned()).or_insert_with(|| SignalMemory::new(&intent.forecast, made_for))
}

/// The peaks of past days, from history, so that savings are counted from the first hour on.
fn seed_ledger(memory: &mut PolicyMemory, target: f64, history: &series::Series, intent: &Intent) {
    for (at, value) in history.iter() {
        if let Some(value) = value {
            let replicas = (value / target).ceil().clamp(0.0, f64::from(u32::MAX)) as u32;
            memory.ledger.needed(at, replicas.clamp(intent.policy.min_replicas, intent.policy.max_replicas));
        }
    }
}

fn count_pods(context: &Context, memory: &mut PolicyMemory, namespace: &str, scale: &Scale) -> PodCount {
    let Some(selector) = selector(&scale.selector) else { return PodCount::default() };
    let pods = context.pods.count(namespace, &selector);
    if let Some(startups) = &mut memory.startups {
        startups.note(&pods.startups);
    } else {
        let mut startups = Startups::restore(memory.written.as_ref().and_then(|(s, _)| s.startup.as_ref()));
        // With measurements from before, the pods that are here already are in them.
        if startups.is_empty() {
            startups.note(&pods.startups);
        } else {
            startups.skip(&pods.startups);
        }
        memory.startups = Some(startups);
    }
    pods
}

/// What was read of one signal.
struct Taken {
    reading: Reading,
    /// What the forecaster learns from: the load, or a queue's arrivals per second.
    forecast: Option<Sample>,
    /// The queue as the broker told it.
    queue: Option<QueueReading>,
    /// How busy the replicas are, where that is asked.
    used: Option<Result<f64, Absence>>,
}

impl Taken {
    fn absent(absence: Absence) -> Self {
        Self { reading: Reading::Absent(absence), forecast: None, queue: None, used: None }
    }
}

async fn read(context: &Context, memory: &mut PolicyMemory, intent: &Intent, now: Timestamp) -> Vec<Taken> {
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
    let (reading, used) = futures::join!(load.reading(now), used);
    let forecast = if let Reading::Fresh(sample) = &reading { Some(*sample) } else { None };
    Taken { reading, forecast, queue: None, used }
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
            Taken { reading: Reading::Fresh(sample), forecast: arrivals, queue: Some(queue), used: None }
        }
        None => Taken::absent(Absence::new(AbsenceReason::InvalidAnswer, "the backlog is no number")),
    }
}

fn moving(flow: &Flow, queue: &QueueReading) -> QueueObservation {
    QueueObservation {
        arrivals: flow.arrivals,
        served: flow.served,
        partitions: queue.most_consumers(),
        oldest: flow.oldest_age,
    }
}

/// What the health checks that the policy names say. A check that isn't there, or wasn't run yet, is no blessing.
fn gate(health: &HealthSnapshot, namespace: &str, intent: &Intent) -> Health {
    if intent.checks.is_empty() && intent.groups.is_empty() {
        return Health::Unchecked;
    }
    let mut troubles = Vec::new();
    let mut since = Timestamp::MIN;
    for name in &intent.checks {
        let id = format!("{namespace}/{name}");
        match health.nodes.iter().find(|n| n.id == id) {
            Some(node) if matches!(node.status, HealthStatus::Pass | HealthStatus::Warn) => {
                since = since.max(node.since.unwrap_or(Timestamp::MIN));
            }
            Some(node) => {
                troubles.push(format!("HealthCheck {name} says {}: {}", node.status.as_str(), node.output));
            }
            None => troubles.push(format!("there is no HealthCheck {name}")),
        }
    }
    for name in &intent.groups {
        let members: Vec<_> = health
            .nodes
            .iter()
            .filter(|n| n.id.starts_with(&format!("{namespace}/")) && n.groups.contains(name))
            .collect();
        if members.is_empty() {
            troubles.push(format!("no HealthCheck is in group {name}"));
        }
        for node in members {
            if matches!(node.status, HealthStatus::Pass | HealthStatus::Warn) {
                since = since.max(node.since.unwrap_or(Timestamp::MIN));
            } else {
                troubles.push(format!("{} of group {name} says {}", node.title, node.status.as_str()));
            }
        }
    }
    if troubles.is_empty() {
        Health::Healthy { since }
    } else {
        Health::Unhealthy { what: troubles.join("; ") }
    }
}

/// Whether somebody else changed the replicas since the last look, and who.
async fn foreign(
    context: &Context,
    memory: &mut PolicyMemory,
    target: &Target,
    scale: &Scale,
    now: Timestamp,
) -> Option<ForeignWrite> {
    if memory.expected.is_some_and(|expected| expected != scale.replicas) {
        let who = writer(context, &memory.key.namespace, target, scale).await;
        memory.foreign = Some(ForeignWrite { at: now, who, replicas: scale.replicas });
    }
    memory.foreign.clone().filter(|f| series::time::since(now, f.at) < FOREIGN_FOR)
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

impl View {
    /// Of a metric that isn't forecast.
    fn off() -> Self {
        Self {
            outlook: decide::Outlook::Unknown {
                reason: "Off".to_owned(),
                message: "this metric isn't forecast".to_owned(),
            },
            standing: None,
            record: None,
            drawn: None,
        }
    }
}
