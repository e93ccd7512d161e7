//! Handles for what comes and goes: a policy, a component, a receiver. A handle remembers which series it made and
//! takes them away when it is dropped.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::family::{Family, MetricConstructor};

use super::families::Families;
#[allow(clippy::wildcard_imports, reason = "the families name nearly every label set there is")]
use super::labels::*;

type Removal = Box<dyn FnOnce(&Families) + Send + Sync>;

/// The series that one handle made.
struct Owned {
    families: Arc<Families>,
    made: Mutex<HashMap<(&'static str, u64), Removal>>,
}

impl Owned {
    fn new(families: Arc<Families>) -> Self {
        Self { families, made: Mutex::new(HashMap::new()) }
    }

    /// The metric of `labels`, remembered under `name` for removal.
    fn get<L, M, C>(&self, name: &'static str, family: fn(&Families) -> &Family<L, M, C>, labels: L) -> M
    where
        L: Clone + Hash + Eq + Send + Sync + 'static,
        M: Clone + 'static,
        C: MetricConstructor<M> + 'static,
    {
        let metric = family(&self.families).get_or_create_owned(&labels);
        let key = (name, hash(&labels));
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(key).or_insert_with(|| {
            Box::new(move |families| {
                family(families).remove(&labels);
            })
        });
        metric
    }

    /// Takes one series away.
    fn forget<L: Hash>(&self, name: &'static str, labels: &L) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(removal) = made.remove(&(name, hash(labels))) {
            removal(&self.families);
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for removal in made.into_values() {
            removal(&self.families);
        }
    }
}

fn hash<L: Hash>(labels: &L) -> u64 {
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    hasher.finish()
}

/// Gets the metric of a family by the family's field name.
macro_rules! series {
    ($self:ident, $field:ident, $labels:expr) => {
        $self.owned.get(stringify!($field), |f| &f.$field, $labels)
    };
}

/// Replicas of one policy at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplicaFigures {
    /// As the target's scale says.
    pub current: u32,
    /// Ready to serve.
    pub ready: u32,
    /// As the last decision wants.
    pub desired: u32,
    /// The lower limit in force.
    pub min: u32,
    /// The upper limit in force.
    pub max: u32,
    /// What would be wanted without limits; `None` while blind.
    pub unlimited: Option<f64>,
}

/// What the forecast of one metric says and how good it has been; `None` leaves a figure out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForecastFigures {
    /// Whether it is in use.
    pub active: bool,
    /// The median one lead time from now.
    pub mid: Option<f64>,
    /// The protected upper bound one lead time from now.
    pub upper: Option<f64>,
    /// What had been the median for now, one lead time ago.
    pub hindcast_mid: Option<f64>,
    /// What had been the upper bound for now.
    pub hindcast_upper: Option<f64>,
    /// Loss of the .95 quantile against the better of last value and yesterday, each with its own.
    pub error_ratio: Option<f64>,
    /// Share of values below the upper bound.
    pub coverage: Option<f64>,
    /// What that share should be.
    pub coverage_target: Option<f64>,
    /// Seconds of history learned from.
    pub history_seconds: Option<f64>,
}

/// A queue at one moment; `None` leaves a figure out.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueFigures {
    /// Messages waiting.
    pub backlog: Option<f64>,
    /// Messages arriving each second.
    pub arrivals: Option<f64>,
    /// Messages one consumer works off each second.
    pub throughput: Option<f64>,
    /// Seconds until the backlog is worked off.
    pub drain_seconds: Option<f64>,
}

/// The series of one policy. Dropping it takes them away.
pub struct PolicyMetrics {
    owned: Owned,
    labels: PolicyLabels,
    wanted: bool,
}

impl PolicyMetrics {
    pub(super) fn new(families: Arc<Families>, labels: PolicyLabels, wanted: bool) -> Self {
        Self { owned: Owned::new(families), labels, wanted }
    }

    fn metric(&self, metric: &Arc<str>) -> MetricLabels {
        let PolicyLabels { namespace, policy } = self.labels.clone();
        MetricLabels { namespace, policy, metric: Arc::clone(metric) }
    }

    /// What the policy scales and whether it acts; replaces what was said before.
    pub fn info(&self, mode: &str, target_kind: &str, target_name: &str) {
        if !self.wanted {
            return;
        }
        let PolicyLabels { namespace, policy } = self.labels.clone();
        let labels = InfoLabels {
            namespace,
            policy,
            mode: mode.into(),
            target_kind: target_kind.into(),
            target_name: target_name.into(),
        };
        let mut made = self.owned.made.lock().unwrap_or_else(PoisonError::into_inner);
        let old: Vec<_> =
            made.keys().filter(|(n, h)| *n == "policy_info" && *h != hash(&labels)).copied().collect();
        for key in old {
            if let Some(removal) = made.remove(&key) {
                removal(&self.owned.families);
            }
        }
        drop(made);
        series!(self, policy_info, labels).set(1);
    }

    /// The present status of a condition.
    pub fn condition(&self, r#type: &'static str, truth: Truth) {
        if !self.wanted {
            return;
        }
        let labels = |status| {
            let PolicyLabels { namespace, policy } = self.labels.clone();
            ConditionLabels { namespace, policy, r#type, status }
        };
        for other in Truth::ALL.iter().filter(|t| **t != truth) {
            self.owned.forget("policy_condition", &labels(*other));
        }
        series!(self, policy_condition, labels(truth)).set(1);
    }

    /// Replicas as they are and as they should be.
    pub fn replicas(&self, figures: ReplicaFigures) {
        if !self.wanted {
            return;
        }
        let p = || self.labels.clone();
        series!(self, policy_current, p()).set(figures.current.into());
        series!(self, policy_ready, p()).set(figures.ready.into());
        series!(self, policy_desired, p()).set(figures.desired.into());
        series!(self, policy_min, p()).set(figures.min.into());
        series!(self, policy_max, p()).set(figures.max.into());
        match figures.unlimited {
            Some(value) => {
                series!(self, policy_unlimited, p()).set(value);
            }
            None => self.owned.forget("policy_unlimited", &p()),
        }
    }

    /// What one way of reckoning asks for; `None` takes its series away.
    pub fn candidate(&self, metric: impl Into<Arc<str>>, candidate: CandidateKind, replicas: Option<f64>) {
        if !self.wanted {
            return;
        }
        let PolicyLabels { namespace, policy } = self.labels.clone();
        let labels = CandidateLabels { namespace, policy, metric: metric.into(), candidate };
        match replicas {
            Some(value) => {
                series!(self, policy_candidate, labels).set(value);
            }
            None => self.owned.forget("policy_candidate", &labels),
        }
    }

    /// A limit changed a decision.
    pub fn limited(&self, reason: &'static str) {
        if self.wanted {
            let PolicyLabels { namespace, policy } = self.labels.clone();
            series!(self, policy_limits, ReasonLabels { namespace, policy, reason }).inc();
        }
    }

    /// A decision was made, and took `seconds` from first read to report.
    pub fn decided(&self, outcome: DecisionOutcome, seconds: f64, trace_id: Option<String>) {
        let exemplar = trace_id.map(|trace_id| TraceLabels { trace_id });
        self.owned.families.decision_duration.observe(seconds, exemplar, None);
        if self.wanted {
            for each in DecisionOutcome::ALL {
                let PolicyLabels { namespace, policy } = self.labels.clone();
                let counter =
                    series!(self, policy_decisions, OutcomeLabels { namespace, policy, outcome: *each });
                if *each == outcome {
                    counter.inc();
                }
            }
        }
    }

    /// When the last decision was made, in seconds since 1970.
    pub fn decided_at(&self, second: f64) {
        if self.wanted {
            series!(self, policy_last_decision, self.labels.clone()).set(second);
        }
    }

    /// Replicas were changed at `second` since 1970.
    pub fn scaled(&self, direction: Direction, candidate: CandidateKind, second: f64) {
        if self.wanted {
            let PolicyLabels { namespace, policy } = self.labels.clone();
            series!(self, policy_scales, ScaleLabels { namespace, policy, direction, candidate }).inc();
            series!(self, policy_last_scale, self.labels.clone()).set(second);
        }
    }

    /// Something failed while deciding or acting.
    pub fn failed(&self, reason: &'static str) {
        if self.wanted {
            let PolicyLabels { namespace, policy } = self.labels.clone();
            series!(self, policy_errors, ReasonLabels { namespace, policy, reason }).inc();
        }
    }

    /// Whether scaling is paused by hand.
    pub fn paused(&self, paused: bool) {
        if self.wanted {
            series!(self, policy_paused, self.labels.clone()).set(paused.into());
        }
    }

    /// How long pods take, and how far ahead decisions look, in seconds.
    pub fn timing(&self, startup_p95: Option<f64>, lead_time: f64) {
        if self.wanted {
            if let Some(seconds) = startup_p95 {
                series!(self, policy_startup, self.labels.clone()).set(seconds);
            }
            series!(self, policy_lead_time, self.labels.clone()).set(lead_time);
        }
    }

    /// Days of the past on which the strategy was selected.
    pub fn simulated(&self, days: f64) {
        if self.wanted {
            series!(self, policy_simulated, self.labels.clone()).set(days);
        }
    }

    /// Replica-seconds saved so far.
    pub fn saved(&self, replica_seconds: f64) {
        if self.wanted {
            series!(self, policy_saved, self.labels.clone()).set(replica_seconds);
        }
    }

    /// The newest value of a metric, what a replica should carry, what ready replicas can carry, and the value's age.
    pub fn signal(
        &self,
        metric: impl Into<Arc<str>>,
        value: Option<f64>,
        target: f64,
        capacity: Option<f64>,
        age_seconds: Option<f64>,
    ) {
        if !self.wanted {
            return;
        }
        let metric = metric.into();
        let m = || self.metric(&metric);
        series!(self, metric_target, m()).set(target);
        match value {
            Some(value) => {
                series!(self, metric_value, m()).set(value);
            }
            None => self.owned.forget("metric_value", &m()),
        }
        if let Some(capacity) = capacity {
            series!(self, metric_capacity, m()).set(capacity);
        }
        if let Some(age) = age_seconds {
            series!(self, metric_age, m()).set(age);
        }
    }

    /// A metric gave no fresh value for a decision.
    pub fn absent(&self, metric: impl Into<Arc<str>>, reason: &'static str) {
        if self.wanted {
            let PolicyLabels { namespace, policy } = self.labels.clone();
            let labels = AbsenceLabels { namespace, policy, metric: metric.into(), reason };
            series!(self, metric_absences, labels).inc();
        }
    }

    /// What the forecast of a metric says and how good it has been.
    pub fn forecast(&self, metric: impl Into<Arc<str>>, figures: ForecastFigures) {
        if !self.wanted {
            return;
        }
        let metric = metric.into();
        let m = || self.metric(&metric);
        let bound = |bound| {
            let MetricLabels { namespace, policy, metric } = m();
            BoundLabels { namespace, policy, metric, bound }
        };
        series!(self, forecast_active, m()).set(figures.active.into());
        for (which, value) in [(Bound::Mid, figures.mid), (Bound::Upper, figures.upper)] {
            match value {
                Some(value) => {
                    series!(self, forecast_value, bound(which)).set(value);
                }
                None => self.owned.forget("forecast_value", &bound(which)),
            }
        }
        for (which, value) in [(Bound::Mid, figures.hindcast_mid), (Bound::Upper, figures.hindcast_upper)] {
            if let Some(value) = value {
                series!(self, forecast_hindcast, bound(which)).set(value);
            }
        }
        if let Some(value) = figures.error_ratio {
            series!(self, forecast_error, m()).set(value);
        }
        if let Some(value) = figures.coverage {
            series!(self, forecast_coverage, m()).set(value);
        }
        if let Some(value) = figures.coverage_target {
            series!(self, forecast_coverage_target, m()).set(value);
        }
        if let Some(value) = figures.history_seconds {
            series!(self, forecast_history, m()).set(value);
        }
    }

    /// A queue and how it is worked off.
    pub fn queue(&self, metric: impl Into<Arc<str>>, figures: QueueFigures) {
        if !self.wanted {
            return;
        }
        let metric = metric.into();
        let m = || self.metric(&metric);
        if let Some(value) = figures.backlog {
            series!(self, queue_backlog, m()).set(value);
        }
        if let Some(value) = figures.arrivals {
            series!(self, queue_arrivals, m()).set(value);
        }
        if let Some(value) = figures.throughput {
            series!(self, queue_throughput, m()).set(value);
        }
        if let Some(value) = figures.drain_seconds {
            series!(self, queue_drain, m()).set(value);
        }
    }

    /// Takes the series away; the same as dropping.
    pub fn remove(self) {
        drop(self);
    }
}

/// The series of one probed component. Dropping it takes them away.
pub struct ComponentMetrics {
    owned: Owned,
    labels: ComponentLabels,
}

impl ComponentMetrics {
    pub(super) fn new(families: Arc<Families>, labels: ComponentLabels) -> Self {
        Self { owned: Owned::new(families), labels }
    }

    /// One probe was made.
    pub fn checked(&self, kind: &'static str, result: Outcome, seconds: f64) {
        for each in Outcome::ALL {
            let ComponentLabels { namespace, component } = self.labels.clone();
            let counter = series!(self, health_checks, CheckLabels { namespace, component, result: *each });
            if *each == result {
                counter.inc();
            }
        }
        self.owned.families.health_duration.get_or_create(&KindLabels { kind }).observe(seconds);
    }

    /// The component's status now; `changed_at`, in seconds since 1970, is set where it has just changed.
    pub fn status(&self, status: &'static str, flapping: bool, changed_at: Option<f64>) {
        let labels = |status| {
            let ComponentLabels { namespace, component } = self.labels.clone();
            StatusLabels { namespace, component, status }
        };
        for other in ["pass", "warn", "fail", "maintenance", "unknown"] {
            if other != status {
                self.owned.forget("health_status", &labels(other));
            }
        }
        series!(self, health_status, labels(status)).set(1);
        series!(self, health_flapping, self.labels.clone()).set(flapping.into());
        if let Some(second) = changed_at {
            series!(self, health_transitions, labels(status)).inc();
            series!(self, health_last_transition, self.labels.clone()).set(second);
        }
    }
}

/// The series of one receiver of alerts. Dropping it takes them away.
pub struct ReceiverMetrics {
    owned: Owned,
    labels: ReceiverLabels,
}

impl ReceiverMetrics {
    pub(super) fn new(families: Arc<Families>, labels: ReceiverLabels) -> Self {
        let receiver = Self { owned: Owned::new(families), labels };
        series!(receiver, notifications, receiver.labels.clone());
        series!(receiver, notifications_dead, receiver.labels.clone());
        series!(receiver, notification_queue, receiver.labels.clone());
        receiver
    }

    /// The service took a message.
    pub fn delivered(&self, seconds: f64) {
        series!(self, notifications, self.labels.clone()).inc();
        series!(self, notification_duration, self.labels.clone()).observe(seconds);
    }

    /// An attempt failed, and `dead` says whether it was the last.
    pub fn failed(&self, reason: &'static str, seconds: f64, dead: bool) {
        let ReceiverLabels { receiver, r#type } = self.labels.clone();
        series!(self, notifications_failed, DeliveryFailureLabels { receiver, r#type, reason }).inc();
        series!(self, notification_duration, self.labels.clone()).observe(seconds);
        if dead {
            self.dead();
        }
    }

    /// A message was given up on.
    pub fn dead(&self) {
        series!(self, notifications_dead, self.labels.clone()).inc();
    }

    /// Messages waiting now.
    pub fn queue(&self, length: usize) {
        let gauge = series!(self, notification_queue, self.labels.clone());
        gauge.set(i64::try_from(length).unwrap_or(i64::MAX));
    }
}

impl std::fmt::Debug for PolicyMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyMetrics").field("labels", &self.labels).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ComponentMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComponentMetrics").field("labels", &self.labels).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ReceiverMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiverMetrics").field("labels", &self.labels).finish_non_exhaustive()
    }
}
