//! What the controller is connected to.

use std::sync::Arc;

use health::Overview;
use health::calendar::Calendar;
use health::snapshot::Snapshot;
use kube::Client;
use telemetry::metrics::Metrics;
use tokio::sync::watch;

use crate::lease::{Leadership, LeaseSettings};

/// How far the controller got, for readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not ready yet: what is being waited for.
    Waiting(String),
    /// Caches are warm; policies are looked at as soon as this instance leads.
    Ready,
}

/// What the controller is connected to.
pub struct Wiring {
    /// The API server.
    pub client: Client,
    /// The registry.
    pub metrics: Metrics,
    /// What the page shows; the controller puts policies in.
    pub snapshot: watch::Sender<Snapshot>,
    /// The health of the system, which policies may be gated by.
    pub overview: watch::Receiver<Arc<Overview>>,
    /// The calendars that policies may name.
    pub calendars: watch::Receiver<Arc<Vec<Calendar>>>,
    /// How far it got.
    pub progress: watch::Sender<Progress>,
    /// Who leads, for others to read.
    pub leadership: watch::Sender<Leadership>,
    /// The election; `None` for a single instance that always leads.
    pub lease: Option<LeaseSettings>,
    /// Called at every sign of life, for liveness.
    pub beat: Arc<dyn Fn() + Send + Sync>,
}
