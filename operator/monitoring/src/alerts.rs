//! The alert loop of the instance that leads: what is wrong now, found in the overview of the system and in the snapshot
//! of the policies, goes through the one state machine and stands before every receiver. What was told is kept in a
//! ConfigMap, so that the next leader neither repeats nor forgets. An instance that doesn't lead has the receivers as
//! well, with nothing between: they carry what Alertmanager's webhook brings to it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::v1alpha1::{AlertReceiver, AlertReceiverStatus};
use health::Overview;
use health::alert::{self, Alert, Alerts};
use health::calendar::Calendar;
use health::snapshot::{AlertSnapshot, Delivery};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use notify::{Receiver, Transport, TransportSettings};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::receivers::{ReceiverError, settings};
use crate::status::{condition, write};
use crate::store::{Kept, id};
use crate::{FIELD_MANAGER, Receivers, Shared};

const STEP: Duration = Duration::from_secs(1);
/// Receivers are made anew so often, for rotated Secrets; and their statuses written.
const REMAKE: Duration = Duration::from_secs(60);
const STATUS: Duration = Duration::from_secs(2);
/// After a change of leaders, what was told and isn't found again counts as resolved after this time.
const RESTORE_GRACE: Duration = Duration::from_secs(90);
const MEMORY: &str = "foresail-alerts";
const MEMORY_KEY: &str = "state.json";
/// A ConfigMap may have 1 MiB.
const MEMORY_ALERTS_MAX: usize = 500;

/// What survives a change of leaders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Memory {
    /// What fires.
    firing: Vec<Alert>,
    /// For each receiver, the ids of what it was notified of.
    #[serde(alias = "told")]
    notified: BTreeMap<String, Vec<String>>,
}

pub(crate) async fn run(
    shared: Shared,
    calendars: watch::Receiver<Arc<Vec<Calendar>>>,
    mut overview: watch::Receiver<Arc<Overview>>,
    receivers: Receivers,
    stop: CancellationToken,
) {
    let kept: Kept<AlertReceiver> = Kept::follow(&shared.client, &shared.settings.namespaces);
    let mut leads = shared.leads.clone();
    while !stop.is_cancelled() {
        if !*leads.borrow() {
            let mut idle = Term::new(&shared, &receivers, &kept, Memory::default());
            tokio::select! {
                () = stop.cancelled() => return,
                led = until(&mut leads, true) => if !led { return },
                () = idle.relay_only() => {}
            }
            // Those of a leader are made anew, with what it has told.
            receivers.lock().await.clear();
        }
        let memory = recall(&shared).await;
        tracing::info!(firing = memory.firing.len(), "this instance tells of alerts");
        let mut term = Term::new(&shared, &receivers, &kept, memory);
        loop {
            term.step(&calendars, &overview).await;
            tokio::select! {
                () = stop.cancelled() => return term.end().await,
                _ = until(&mut leads, false) => break,
                changed = overview.changed() => if changed.is_err() { return },
                () = kept.changed.notified() => term.remake_at = Instant::now(),
                () = tokio::time::sleep(STEP) => {}
            }
        }
        receivers.lock().await.clear();
        shared.snapshot.send_modify(|s| s.alerts = Arc::default());
    }
}

/// Waits until leadership is so. Gives `false` where nobody tells any more.
async fn until(leads: &mut watch::Receiver<bool>, wanted: bool) -> bool {
    leads.wait_for(|ours| *ours == wanted).await.is_ok()
}

/// The time in which this instance leads.
struct Term<'a> {
    shared: &'a Shared,
    receivers: &'a Receivers,
    kept: &'a Kept<AlertReceiver>,
    alerts: Alerts,
    to_notify: watch::Sender<Arc<Vec<Alert>>>,
    memory: Memory,
    made: HashMap<String, Made>,
    remake_at: Instant,
    status_at: Instant,
    /// Levels of the gauges that were set, so that they go back to 0.
    counted: HashSet<(&'static str, &'static str)>,
}

/// What a receiver was made from.
struct Made {
    fingerprint: String,
    error: Option<ReceiverError>,
}

impl<'a> Term<'a> {
    fn new(
        shared: &'a Shared,
        receivers: &'a Receivers,
        kept: &'a Kept<AlertReceiver>,
        memory: Memory,
    ) -> Self {
        let mut alerts = Alerts::new(&shared.settings.runbooks);
        alerts.restore(memory.firing.clone(), Timestamp::now(), RESTORE_GRACE);
        let (to_notify, _) = watch::channel(Arc::new(alerts.to_notify()));
        Self {
            shared,
            receivers,
            kept,
            alerts,
            to_notify,
            memory,
            made: HashMap::new(),
            remake_at: Instant::now(),
            status_at: Instant::now(),
            counted: HashSet::new(),
        }
    }

    /// Keeps the receivers as the resources say, for as long as it is awaited, and tells nothing by itself.
    async fn relay_only(&mut self) {
        loop {
            self.remake().await;
            tokio::select! {
                () = self.kept.changed.notified() => {}
                () = tokio::time::sleep(REMAKE) => {}
            }
        }
    }

    async fn step(
        &mut self,
        calendars: &watch::Receiver<Arc<Vec<Calendar>>>,
        overview: &watch::Receiver<Arc<Overview>>,
    ) {
        let now = Timestamp::now();
        let mut conditions = alert::components(&overview.borrow());
        conditions.extend(self.of_policies(&calendars.borrow(), now));
        for change in self.alerts.step(conditions, now) {
            let alert = change.alert();
            tracing::info!(
                alert = alert.name, id = alert.id, phase = ?alert.phase, trace = alert.evidence.trace_id,
                "{}", alert.summary
            );
        }
        let to_notify = self.alerts.to_notify();
        self.to_notify.send_if_modified(|last| {
            let changed = **last != to_notify;
            if changed {
                *last = Arc::new(to_notify);
            }
            changed
        });
        if self.remake_at <= Instant::now() {
            self.remake().await;
            self.remake_at = Instant::now() + REMAKE;
        }
        if self.status_at <= Instant::now() {
            self.report(now).await;
            self.status_at = Instant::now() + STATUS;
        }
    }

    fn of_policies(&self, calendars: &[Calendar], now: Timestamp) -> Vec<alert::Condition> {
        let snapshot = self.shared.snapshot.borrow();
        snapshot
            .policies
            .values()
            .flat_map(|policy| {
                let name = format!("{}/{}", policy.namespace, policy.name);
                let muted =
                    calendars.iter().any(|c| c.effect(&name, now, Duration::ZERO).maintenance.is_some());
                alert::policy(&alert::facts(policy, muted, now))
            })
            .collect()
    }

    /// Makes receivers as the resources say: one that hasn't changed isn't disturbed.
    async fn remake(&mut self) {
        let (objects, unreadable) = self.kept.all();
        for name in unreadable {
            tracing::warn!(receiver = name, "an AlertReceiver can't be read");
        }
        let mut receivers = self.receivers.lock().await;
        let wanted: HashSet<String> = objects.iter().map(|o| id(&**o)).collect();
        receivers.retain(|name, _| wanted.contains(name));
        self.made.retain(|name, _| wanted.contains(name));
        for object in &objects {
            let name = id(&**object);
            let namespace = object.namespace().unwrap_or_default();
            let made = settings(&self.shared.secrets, &namespace, &object.name_any(), &object.spec).await;
            // Secrets are part of it, and only their hash is kept.
            let fingerprint = match &made {
                Ok(settings) => settings_fingerprint(object, settings),
                Err(error) => error.to_string(),
            };
            if self.made.get(&name).is_some_and(|m| m.fingerprint == fingerprint) {
                continue;
            }
            let notified = self.notified(receivers.remove(&name).as_ref(), &name);
            let started = made.and_then(|settings| self.start(object, settings, notified));
            let error = match started {
                Ok(receiver) => {
                    receivers.insert(name.clone(), receiver);
                    None
                }
                Err(error) => {
                    tracing::warn!(receiver = name, reason = error.reason, "{}", error.message);
                    Some(error)
                }
            };
            self.made.insert(name, Made { fingerprint, error });
        }
    }

    /// What a receiver was notified of: as the one before it knows, or as the last leader left it.
    fn notified(&self, before: Option<&Receiver>, name: &str) -> Vec<Alert> {
        if let Some(before) = before {
            return before.status().notified;
        }
        let ids = self.memory.notified.get(name).map_or(&[][..], Vec::as_slice);
        self.memory.firing.iter().filter(|a| ids.contains(&a.id)).cloned().collect()
    }

    fn start(
        &self,
        object: &AlertReceiver,
        settings: notify::Settings,
        notified: Vec<Alert>,
    ) -> Result<Receiver, ReceiverError> {
        let failed = |reason, message: String| ReceiverError { reason, message };
        let transport = Transport::new(TransportSettings {
            allow_insecure: object.spec.allow_insecure || object.spec.alertmanager.is_some(),
            ..TransportSettings::default()
        })
        .map_err(|e| failed("NoClient", e.to_string()))?;
        Receiver::start(settings, transport, self.to_notify.subscribe(), notified, &self.shared.metrics)
            .map_err(|e| failed("InvalidTemplate", e.to_string()))
    }

    async fn report(&mut self, now: Timestamp) {
        let receivers = self.receivers.lock().await;
        for object in self.kept.all().0 {
            let name = id(&*object);
            let Some(made) = self.made.get(&name) else { continue };
            let next = status(&object, receivers.get(&name), made.error.as_ref(), now);
            write(&self.shared.client, &*object, object.status.as_ref(), &next).await;
        }
        let statuses: BTreeMap<String, notify::Status> =
            receivers.iter().map(|(name, r)| (name.clone(), r.status())).collect();
        drop(receivers);
        self.show(&statuses);
        self.count();
        self.keep(&statuses).await;
    }

    fn show(&self, statuses: &BTreeMap<String, notify::Status>) {
        let shown: Vec<_> = self
            .alerts
            .all()
            .into_iter()
            .map(|a| {
                let deliveries = statuses
                    .iter()
                    .filter(|(_, s)| s.notified.iter().any(|t| t.id == a.id))
                    .map(|(name, s)| Delivery {
                        receiver: name.clone(),
                        delivered: true,
                        message: s.last.as_ref().map(|l| l.message.clone()).unwrap_or_default(),
                    })
                    .collect();
                AlertSnapshot::of(a, deliveries)
            })
            .collect();
        self.shared.snapshot.send_if_modified(|s| {
            let changed = *s.alerts != shown;
            if changed {
                s.alerts = Arc::new(shown);
            }
            changed
        });
    }

    fn count(&mut self) {
        let mut counts: HashMap<(&'static str, &'static str), usize> =
            self.counted.iter().map(|key| (*key, 0)).collect();
        for a in self.alerts.firing() {
            if let Some(rule) = alert::BuiltIn::ALL.into_iter().find(|b| b.as_str() == a.name) {
                *counts.entry((rule.as_str(), a.severity.as_str())).or_default() += 1;
            }
        }
        for ((rule, severity), count) in counts {
            self.shared.metrics.alerts_firing(rule, severity, count);
            self.counted.insert((rule, severity));
        }
    }

    /// Keeps what the next leader must know, where it changed.
    async fn keep(&mut self, statuses: &BTreeMap<String, notify::Status>) {
        let mut firing: Vec<Alert> = self.alerts.to_notify();
        firing.retain(|a| a.phase == health::alert::AlertPhase::Firing);
        firing.truncate(MEMORY_ALERTS_MAX);
        let notified = statuses
            .iter()
            .map(|(name, s)| (name.clone(), s.notified.iter().map(|a| a.id.clone()).collect()))
            .collect();
        let next = Memory { firing, notified };
        let ids = |m: &Memory| m.firing.iter().map(|a| a.id.clone()).collect::<Vec<_>>();
        if ids(&next) == ids(&self.memory) && next.notified == self.memory.notified {
            return;
        }
        let text = serde_json::to_string(&next).unwrap_or_default();
        let api: Api<ConfigMap> =
            Api::namespaced(self.shared.client.clone(), &self.shared.settings.own_namespace);
        let patch = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": MEMORY}, "data": {MEMORY_KEY: text},
        });
        match api.patch(MEMORY, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&patch)).await {
            Ok(_) => self.memory = next,
            Err(error) => {
                tracing::warn!(%error, "can't keep which alerts were sent; after a restart they may be sent again");
            }
        }
    }

    async fn end(mut self) {
        self.report(Timestamp::now()).await;
    }
}

async fn recall(shared: &Shared) -> Memory {
    let api: Api<ConfigMap> = Api::namespaced(shared.client.clone(), &shared.settings.own_namespace);
    match api.get_opt(MEMORY).await {
        Ok(map) => map
            .and_then(|m| m.data)
            .and_then(|mut d| d.remove(MEMORY_KEY))
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "can't read which alerts were sent before; they may be sent again");
            Memory::default()
        }
    }
}

/// As the API server keeps it: a status that differs in milliseconds only isn't another one.
fn whole_second(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

fn settings_fingerprint(object: &AlertReceiver, settings: &notify::Settings) -> String {
    let spec = serde_json::to_string(&object.spec).unwrap_or_default();
    format!("{spec} {}", settings.target.fingerprint())
}

fn status(
    object: &AlertReceiver,
    receiver: Option<&Receiver>,
    error: Option<&ReceiverError>,
    now: Timestamp,
) -> AlertReceiverStatus {
    let previous = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let delivery = receiver.map(Receiver::status).unwrap_or_default();
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let ready = match error {
        Some(e) => condition(&previous.conditions, "Ready", false, e.reason, &e.message, generation, now),
        None => {
            condition(&previous.conditions, "Ready", true, "Valid", "the receiver is valid", generation, now)
        }
    };
    let mut conditions = vec![ready];
    if let Some(last) = &delivery.last {
        let reason = last.reason.map_or("Delivered", notify::FailureReason::as_condition);
        conditions.push(condition(
            &previous.conditions,
            "Delivering",
            last.delivered,
            reason,
            &last.message,
            generation,
            now,
        ));
    } else {
        conditions.extend(previous.conditions.iter().find(|c| c.type_ == "Delivering").cloned());
    }
    AlertReceiverStatus {
        observed_generation: generation,
        format: if delivery.format.is_empty() { previous.format } else { Some(delivery.format.to_owned()) },
        delivered: count(delivery.delivered),
        failed_attempts: count(delivery.failed_attempts),
        dead_letters: count(delivery.dead_letters),
        waiting: count(delivery.waiting as u64),
        last_delivery: delivery.last_delivery.map(whole_second).or(previous.last_delivery),
        last_answer: delivery.last.map(|l| l.message).or(previous.last_answer),
        conditions,
    }
}
