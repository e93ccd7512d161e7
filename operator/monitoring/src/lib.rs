//! The kinds around a policy: HealthChecks are probed and rolled up, ScalingCalendars are read, AlertReceivers are told.
//!
//! What comes in: those resources, their Secrets and ConfigMaps, other instances' views, and the snapshot of policies.
//! What goes out: calendars for the policy controller, health and alerts for the page, messages, and the status of each
//! resource. What this crate refuses to know: how replicas are decided; the policy controller waits for nothing here.

mod alerts;
mod calendars;
mod checks;
mod receivers;
mod secrets;
mod share;
mod status;
mod store;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use health::Overview;
use health::calendar::Calendar;
use health::snapshot::Snapshot;
use jiff::Timestamp;
use kube::Client;
use notify::Receiver;
use telemetry::metrics::Metrics;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use receivers::{ReceiverError, settings as receiver_settings};
pub use secrets::Secrets;

/// The name under which this crate writes.
const FIELD_MANAGER: &str = "foresail";

/// How it is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This instance's name; unique among instances.
    pub instance: String,
    /// The namespaces to look after; all where empty.
    pub namespaces: Vec<String>,
    /// The namespace of what instances share.
    pub own_namespace: String,
    /// The Prometheus for checks that name none.
    pub prometheus_url: Option<String>,
    /// Where runbooks are; a rule's name and `.md` are appended.
    pub runbooks: String,
    /// Whether other instances are asked what they see.
    pub share: bool,
}

/// What others use of it.
#[derive(Clone)]
pub struct Handles {
    /// Every calendar, for decisions.
    pub calendars: watch::Receiver<Arc<Vec<Calendar>>>,
    /// The system as it is, for `/health`.
    pub overview: watch::Receiver<Arc<Overview>>,
    receivers: Receivers,
}

/// The receivers at work, by `namespace/name`.
type Receivers = Arc<Mutex<HashMap<String, Receiver>>>;

/// What came of a relayed message: the HTTP status to answer with, and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// 200, 400, 404, 422 or 503.
    pub status: u16,
    /// For people.
    pub message: String,
}

impl Handles {
    /// Hands Alertmanager's webhook on to the receiver `namespace/name`.
    pub async fn relay(&self, receiver: &str, body: &[u8]) -> Relayed {
        let answer = |status, message: &str| Relayed { status, message: message.to_owned() };
        let (message, key) = match notify::relay::read(body, Timestamp::now()) {
            Ok(read) => read,
            Err(error) => return answer(400, &error.to_string()),
        };
        // The lock is held while the message is on its way: one at a time is what the chats allow anyway.
        let receivers = self.receivers.lock().await;
        if receivers.is_empty() {
            return answer(503, "no AlertReceiver was read yet; try again");
        }
        let Some(receiver) = receivers.get(receiver) else {
            return answer(404, "there is no such AlertReceiver, or it isn't ready");
        };
        let verdict = receiver.relay(message, key).await;
        let words = match &verdict {
            notify::Verdict::Delivered => "delivered",
            notify::Verdict::Retry { message, .. } | notify::Verdict::Refused { message, .. } => message,
        };
        answer(notify::relay::status(&verdict), words)
    }
}

/// Everything the parts share.
#[derive(Clone)]
struct Shared {
    client: Client,
    settings: Arc<Settings>,
    metrics: Metrics,
    snapshot: watch::Sender<Snapshot>,
    leads: watch::Receiver<bool>,
    secrets: Arc<Secrets>,
}

impl Shared {
    fn leads(&self) -> bool {
        *self.leads.borrow()
    }
}

/// Starts it. The task ends after `stop`, when receivers have sent what was due, or after `flush`.
pub fn start(
    client: Client,
    settings: Settings,
    metrics: Metrics,
    snapshot: watch::Sender<Snapshot>,
    leads: watch::Receiver<bool>,
    stop: CancellationToken,
    flush: Duration,
) -> (Handles, tokio::task::JoinHandle<()>) {
    let shared = Shared {
        secrets: Arc::new(Secrets::new(client.clone())),
        client,
        settings: Arc::new(settings),
        metrics,
        snapshot,
        leads,
    };
    let (calendars_sender, calendars) = watch::channel(Arc::new(Vec::new()));
    let (overview_sender, overview) = watch::channel(Arc::new(Overview::empty(Timestamp::now())));
    let receivers: Receivers = Arc::default();
    let handles =
        Handles { calendars: calendars.clone(), overview: overview.clone(), receivers: receivers.clone() };
    let task = tokio::spawn(async move {
        let mut tasks = JoinSet::new();
        tasks.spawn(calendars::run(shared.clone(), calendars_sender, stop.clone()));
        tasks.spawn(checks::run(shared.clone(), calendars.clone(), overview_sender, stop.clone()));
        tasks.spawn(alerts::run(shared, calendars, overview, receivers.clone(), stop.clone()));
        while tasks.join_next().await.is_some() {}
        let until = Instant::now() + flush;
        let all: Vec<Receiver> = receivers.lock().await.drain().map(|(_, r)| r).collect();
        futures::future::join_all(all.into_iter().map(|r| r.finish(until))).await;
        tracing::info!("probes ended, notifications flushed");
    });
    (handles, task)
}
