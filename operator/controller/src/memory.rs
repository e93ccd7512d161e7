//! What is remembered of each policy between two looks at it. Bounded per policy; lost when the process ends, and then
//! rebuilt from the resource's status and from Prometheus.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use api::v1alpha1::AutoscalePolicyStatus;
use autoscaler::Recorded;
use health::snapshot::PolicyKey;
use jiff::Timestamp;
use telemetry::metrics::Metrics;

use crate::decide::inbox::{Inbox, MetricId};
use crate::observe::signals::Sources;
use crate::report::recent::Recent;
use crate::validate::{Intent, Invalid, Target};

/// What the spec of a generation means, or all that is wrong with it.
pub(crate) type Checked = (Option<i64>, Result<Arc<Intent>, Vec<Invalid>>);

/// One policy between two looks.
pub(crate) struct PolicyMemory {
    pub(crate) key: PolicyKey,
    pub(crate) uid: String,
    /// What the spec of a generation means.
    pub(crate) checked: Option<Checked>,
    pub(crate) sources: Option<Sources>,
    /// When the next look is planned.
    pub(crate) planned: Option<Instant>,
    /// The generation that the autoscaler was set up for.
    pub(crate) set_up_for: Option<i64>,
    /// The workload over time.
    pub(crate) autoscaler: Option<Recorded>,
    /// What came of work in the background, until the next look.
    pub(crate) inbox: Inbox,
    /// The metrics whose history is being read.
    pub(crate) reading: Vec<MetricId>,
    /// The slot in which the histories that no source keeps were written last.
    pub(crate) profile_written: Option<Timestamp>,
    /// The status as the API server has it from us, and when that was written.
    pub(crate) written: Option<(AutoscalePolicyStatus, Timestamp)>,
    /// The word of the last Ready event, so that each change is announced once.
    pub(crate) announced: HashMap<&'static str, String>,
    pub(crate) metrics: telemetry::metrics::PolicyMetrics,
    /// What people are shown of the last day.
    pub(crate) recent: Recent,
    pub(crate) target: Option<Target>,
}

impl PolicyMemory {
    fn new(uid: String, key: PolicyKey, metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.policy(key.namespace.clone(), key.name.clone()),
            key,
            uid,
            checked: None,
            sources: None,
            planned: None,
            set_up_for: None,
            autoscaler: None,
            inbox: Inbox::default(),
            reading: Vec::new(),
            profile_written: None,
            written: None,
            announced: HashMap::new(),
            recent: Recent::default(),
            target: None,
        }
    }

    /// Whether `text` is new on its `subject`; from now on it isn't.
    pub(crate) fn is_news(&mut self, subject: &'static str, text: &str) -> bool {
        if self.announced.get(subject).is_some_and(|announced| announced == text) {
            return false;
        }
        self.announced.insert(subject, text.to_owned());
        true
    }
}

type Shared = Arc<tokio::sync::Mutex<PolicyMemory>>;

/// All policies, by UID.
#[derive(Default)]
pub(crate) struct Memory {
    all: RwLock<HashMap<String, Shared>>,
    /// What was learned before, as it was found in the status of policies that weren't looked at yet, by UID.
    learned: Mutex<HashMap<String, serde_json::Value>>,
}

impl Memory {
    /// The memory of one policy, empty at first. A policy is looked at by one task at a time.
    pub(crate) fn of(&self, uid: &str, key: &PolicyKey, metrics: &Metrics) -> Shared {
        if let Some(known) = self.all.read().unwrap_or_else(PoisonError::into_inner).get(uid) {
            return Arc::clone(known);
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let fresh =
            || Arc::new(tokio::sync::Mutex::new(PolicyMemory::new(uid.to_owned(), key.clone(), metrics)));
        Arc::clone(all.entry(uid.to_owned()).or_insert_with(fresh))
    }

    /// All that were looked at.
    pub(crate) fn all(&self) -> Vec<Shared> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// Whether a policy was looked at.
    pub(crate) fn knows(&self, uid: &str) -> bool {
        self.all.read().unwrap_or_else(PoisonError::into_inner).contains_key(uid)
    }

    /// Keeps what was learned of a policy for the next look at it.
    pub(crate) fn found(&self, uid: String, learned: serde_json::Value) {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, learned);
    }

    /// Forgets what was found in policies that are gone.
    pub(crate) fn retain_found(&self, alive: &HashSet<String>) {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive.contains(uid));
    }

    /// What was learned before, for the first look.
    pub(crate) fn take_learned(&self, uid: &str) -> Option<serde_json::Value> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).remove(uid)
    }

    /// Takes out the policies that are gone: those for whose UID `alive` says no.
    pub(crate) fn sweep(&self, alive: impl Fn(&str) -> bool) -> Vec<Shared> {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<String> = all.keys().filter(|uid| !alive(uid)).cloned().collect();
        gone.iter().filter_map(|uid| all.remove(uid)).collect()
    }
}
