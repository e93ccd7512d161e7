//! HealthChecks: each becomes a probe, all together the system; what is found goes to the page, to the other instances,
//! and to the status of each check.

mod make;
mod spec;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::v1alpha1::{HealthCheck, HealthCheckStatus};
use health::calendar::Calendar;
use health::snapshot::HealthSnapshot;
use health::{ComponentId, ComponentView, Overview, Reason, Status};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use probes::{Definition, Inputs, Outputs, Watch};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::make::Maker;
use crate::status::{condition, write};
use crate::store::{Kept, id};
use crate::{Shared, share};

/// Secrets that were rotated are in use after this time.
const REMAKE: Duration = Duration::from_secs(60);
/// The page and statuses follow at once where something changed, and numbers alone this often.
const NUMBERS: Duration = Duration::from_secs(5);

pub(crate) async fn run(
    shared: Shared,
    calendars: watch::Receiver<Arc<Vec<Calendar>>>,
    out: watch::Sender<Arc<Overview>>,
    stop: CancellationToken,
) {
    let kept: Arc<Kept<HealthCheck>> = Arc::new(Kept::follow(&shared.client, &shared.settings.namespaces));
    let (definitions_sender, definitions) = watch::channel(Arc::new(Vec::new()));
    let (others_sender, others) = watch::channel(Arc::new(Vec::new()));
    let inputs = Inputs {
        definitions,
        others,
        calendars,
        prober: shared.settings.instance.clone(),
        limits: probes::Limits::default(),
    };
    let (watch, outputs) = Watch::start(inputs, shared.metrics.clone());
    let mut tasks = tokio::task::JoinSet::new();
    if shared.settings.share {
        tasks.spawn(share::tell(shared.clone(), outputs.own.clone(), stop.clone()));
        tasks.spawn(share::hear(shared.clone(), others_sender, stop.clone()));
    }
    tasks.spawn(define(shared.clone(), kept.clone(), definitions_sender, stop.clone()));
    tasks.spawn(publish(shared, kept, outputs, out, stop.clone()));
    stop.cancelled().await;
    // Probing ends first: a network that is being taken down isn't an outage of the system.
    drop(watch);
    while tasks.join_next().await.is_some() {}
}

/// Keeps the definitions up to date.
async fn define(
    shared: Shared,
    kept: Arc<Kept<HealthCheck>>,
    out: watch::Sender<Arc<Vec<Definition>>>,
    stop: CancellationToken,
) {
    let maker = Maker::new(shared.clone());
    let mut made: HashMap<String, (Instant, Option<i64>, Definition)> = HashMap::new();
    let mut first = true;
    loop {
        let (objects, unreadable) = kept.all();
        for name in unreadable {
            tracing::warn!(check = name, "a HealthCheck can't be read");
        }
        let mut next = Vec::with_capacity(objects.len());
        let mut changed = first || objects.len() != made.len();
        first = false;
        let mut seen = HashMap::with_capacity(objects.len());
        for object in &objects {
            let key = id(&**object);
            let uid = object.uid().unwrap_or_default();
            let known = made.remove(&key).filter(|(at, generation, d)| {
                at.elapsed() < REMAKE
                    && *generation == object.metadata.generation
                    && d.revision.starts_with(&uid)
            });
            let entry = if let Some(entry) = known {
                entry
            } else {
                changed = true;
                (Instant::now(), object.metadata.generation, maker.definition(object).await)
            };
            next.push(entry.2.clone());
            seen.insert(key, entry);
        }
        made = seen;
        if changed {
            out.send_replace(Arc::new(next));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = kept.changed.notified() => tokio::time::sleep(Duration::from_millis(50)).await,
            () = tokio::time::sleep(REMAKE) => {}
        }
    }
}

/// Hands the overview on: to `/health` at once, to the page and the statuses when something changed.
async fn publish(
    shared: Shared,
    kept: Arc<Kept<HealthCheck>>,
    mut outputs: Outputs,
    out: watch::Sender<Arc<Overview>>,
    stop: CancellationToken,
) {
    let mut last = Instant::now();
    let mut words = Vec::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = outputs.overview.changed() => if changed.is_err() { return },
        }
        let overview = outputs.overview.borrow_and_update().clone();
        out.send_replace(overview.clone());
        let now_words: Vec<(Status, bool, bool)> = overview
            .components
            .iter()
            .map(|c| (c.status, c.view.flapping, c.view.pending.is_some()))
            .collect();
        if now_words == words && last.elapsed() < NUMBERS {
            continue;
        }
        words = now_words;
        last = Instant::now();
        shared.snapshot.send_modify(|s| s.health = Arc::new(HealthSnapshot::of(&overview)));
        if shared.leads() {
            for object in kept.all().0 {
                let id = ComponentId::new(
                    object.metadata.namespace.as_deref().unwrap_or_default(),
                    object.metadata.name.as_deref().unwrap_or_default(),
                );
                if let Some(view) = overview.component(&id) {
                    let next = status(&object, view, overview.at);
                    write(&shared.client, &*object, object.status.as_ref(), &next).await;
                }
            }
        }
    }
}

/// Whether two outputs differ in numbers only, which move with every probe: a latency, an age. Other words are news: a
/// container that was missing is found to crash.
fn same_words(before: &str, now: &str) -> bool {
    let words = |text: &str| -> String { text.chars().filter(|c| !c.is_ascii_digit()).collect() };
    words(before) == words(now)
}

/// What moves with every probe stays out: a status is written when it says something new.
fn status(object: &HealthCheck, view: &ComponentView, now: Timestamp) -> HealthCheckStatus {
    let previous = object.status.clone().unwrap_or_default();
    let same = previous.status.as_deref() == Some(view.status.as_str());
    let generation = object.metadata.generation;
    let last = view.view.last.as_ref();
    let invalid = last.filter(|o| matches!(o.reason, Reason::InvalidCheck | Reason::SecretMissing));
    let own = Some(view.own.to_string());
    let votes = Some(format!("{}/{}", view.agreement.down, view.agreement.voters));
    let causes: Vec<String> = view.causes.iter().map(|c| c.id.to_string()).collect();
    // The same status may come to mean something else: degraded in the eyes of one instance, then above a bound.
    let same_story = same && previous.own == own && previous.votes == votes && previous.causes == causes;
    let told = view.output();
    let output = previous.output.filter(|before| same_story && same_words(before, &told)).or(Some(told));
    let (ready, why) = match invalid {
        Some(outcome) => (false, (outcome.reason.as_str(), outcome.output.clone())),
        None => (true, ("Probing", "the check is valid and runs".to_owned())),
    };
    let healthy = matches!(view.status, Status::Pass | Status::Warn);
    let reason = match view.status {
        Status::Pass => "Pass",
        Status::Warn => "Degraded",
        Status::Fail => "Down",
        Status::Unknown => "Unknown",
        Status::Maintenance => "Maintenance",
    };
    HealthCheckStatus {
        observed_generation: generation,
        kind: Some(view.component.kind.clone()),
        status: Some(view.status.to_string()),
        since: if same { previous.since.clone().or(Some(Time(view.since))) } else { Some(Time(view.since)) },
        own,
        flapping: view.view.flapping,
        output: output.clone(),
        causes,
        consequences: view.consequences.iter().take(50).map(ToString::to_string).collect(),
        votes,
        conditions: vec![
            condition(&previous.conditions, "Ready", ready, why.0, &why.1, generation, now),
            condition(
                &previous.conditions,
                "Healthy",
                healthy,
                reason,
                output.as_deref().unwrap_or_default(),
                generation,
                now,
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_numbers_are_no_news_and_other_words_are() {
        assert!(same_words("answers after 12 ms", "answers after 134 ms"));
        assert!(!same_words(
            "0 of 2 replicas are available",
            "0 of 2 replicas are available; web-1/main (CrashLoopBackOff) crashes again and again"
        ));
    }
}
