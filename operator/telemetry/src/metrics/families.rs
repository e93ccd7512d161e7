//! The families themselves: one field each, registered under its name with its help text.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::catalog::Catalog;
use super::entry::Kind;
#[allow(clippy::wildcard_imports, reason = "the families name nearly every label set there is")]
use super::labels::*;

/// A gauge of real numbers.
pub type Real = Gauge<f64, AtomicU64>;
/// Histograms by label.
pub type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Answers of servers: 1 ms to 10 s.
fn answers() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

/// Steps of a decision: 10 µs to 1 s.
fn steps() -> Histogram {
    Histogram::new([0.00001, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0])
}

macro_rules! families {
    ($($(#[doc = $doc:literal])* $field:ident: $type:ty = $kind:ident $name:literal [$($label:literal),*] $help:literal $(with $make:expr)?;)+) => {
        /// Every family. Fields are named after the family, without the unit.
        pub struct Families { $(#[doc = $help] pub $field: $type),+ }

        impl Families {
            pub(super) fn register(catalog: &mut Catalog) -> Self {
                Self { $($field: catalog.add($name, Kind::$kind, &[$($label),*], $help, families!(@make $type $(, $make)?))),+ }
            }
        }
    };
    (@make $type:ty) => { <$type>::default() };
    (@make $type:ty, $make:expr) => { $make };
}

families! {
    build_info: Family<BuildLabels, Gauge> = Gauge "build_info" ["version", "revision", "rustc"]
        "Always 1; the labels say which build runs.";
    leader: Gauge = Gauge "leader" []
        "1 while this replica of Foresail is the one that acts, else 0.";
    shard_policies: Gauge = Gauge "shard_policies" []
        "Policies this replica decides for.";

    policy_info: Family<InfoLabels, Gauge> = Gauge "policy_info" ["namespace", "policy", "mode", "target_kind", "target_name"]
        "Always 1; the labels say what the policy scales and whether it acts.";
    policy_condition: Family<ConditionLabels, Gauge> = Gauge "policy_condition" ["namespace", "policy", "type", "status"]
        "1 for the present status of each condition; other statuses have no series.";
    policy_current: Family<PolicyLabels, Gauge> = Gauge "policy_current_replicas" ["namespace", "policy"]
        "Replicas as the target's scale says.";
    policy_ready: Family<PolicyLabels, Gauge> = Gauge "policy_ready_replicas" ["namespace", "policy"]
        "Replicas that are ready to serve.";
    policy_desired: Family<PolicyLabels, Gauge> = Gauge "policy_desired_replicas" ["namespace", "policy"]
        "Replicas the last decision wants, after every limit.";
    policy_unlimited: Family<PolicyLabels, Real> = Gauge "policy_unlimited_replicas" ["namespace", "policy"]
        "Replicas the last decision would want without limits; may be fractional.";
    policy_min: Family<PolicyLabels, Gauge> = Gauge "policy_min_replicas" ["namespace", "policy"]
        "The lower limit in force now, calendars included.";
    policy_max: Family<PolicyLabels, Gauge> = Gauge "policy_max_replicas" ["namespace", "policy"]
        "The upper limit in force now, calendars included.";
    policy_candidate: Family<CandidateLabels, Real> = Gauge "policy_candidate_replicas" ["namespace", "policy", "metric", "candidate"]
        "Replicas each way of reckoning asks for (reactive, predictive, calendar, backlog, fallback), before limits.";
    policy_limits: Family<ReasonLabels, Counter> = Counter "policy_limits_total" ["namespace", "policy", "reason"]
        "Decisions that a limit changed, by the limit's reason.";
    policy_decisions: Family<OutcomeLabels, Counter> = Counter "policy_decisions_total" ["namespace", "policy", "outcome"]
        "Decisions made, by what came of them (hold, scale, suggest, refused).";
    policy_scales: Family<ScaleLabels, Counter> = Counter "policy_scales_total" ["namespace", "policy", "direction", "candidate"]
        "Changes of the number of replicas that were carried out, by direction and by what they followed.";
    policy_errors: Family<ReasonLabels, Counter> = Counter "policy_errors_total" ["namespace", "policy", "reason"]
        "Failures while deciding or acting for the policy, by reason.";
    policy_last_scale: Family<PolicyLabels, Real> = Gauge "policy_last_scale_timestamp_seconds" ["namespace", "policy"]
        "When replicas were last changed, as seconds since 1970; no series before the first change.";
    policy_last_decision: Family<PolicyLabels, Real> = Gauge "policy_last_decision_timestamp_seconds" ["namespace", "policy"]
        "When the last decision was made, as seconds since 1970.";
    policy_paused: Family<PolicyLabels, Gauge> = Gauge "policy_paused" ["namespace", "policy"]
        "1 while scaling is paused by hand, else 0.";
    policy_startup: Family<PolicyLabels, Real> = Gauge "policy_startup_seconds" ["namespace", "policy"]
        "Within this time 95 % of the target's pods became ready after their creation.";
    policy_lead_time: Family<PolicyLabels, Real> = Gauge "policy_lead_time_seconds" ["namespace", "policy"]
        "How far ahead decisions look.";
    policy_simulated: Family<PolicyLabels, Real> = Gauge "policy_simulated_days" ["namespace", "policy"]
        "Days of the workload's own past on which its strategy was selected; 0 until then.";
    policy_saved: Family<PolicyLabels, Real> = Gauge "policy_saved_replica_seconds" ["namespace", "policy"]
        "Replica-seconds not spent so far, against running the peak number all day; below 0 if more was spent.";

    metric_value: Family<MetricLabels, Real> = Gauge "metric_value" ["namespace", "policy", "metric"]
        "The newest value of the policy's metric, in the metric's own unit.";
    metric_target: Family<MetricLabels, Real> = Gauge "metric_target" ["namespace", "policy", "metric"]
        "What one replica should carry, in the metric's own unit.";
    metric_capacity: Family<MetricLabels, Real> = Gauge "metric_capacity" ["namespace", "policy", "metric"]
        "What the ready replicas can carry together, in the metric's own unit.";
    metric_age: Family<MetricLabels, Real> = Gauge "metric_age_seconds" ["namespace", "policy", "metric"]
        "How old the newest value was when it was last looked at.";
    metric_absences: Family<AbsenceLabels, Counter> = Counter "metric_absences_total" ["namespace", "policy", "metric", "reason"]
        "Decisions for which the metric gave no fresh value, by reason.";

    forecast_value: Family<BoundLabels, Real> = Gauge "forecast_value" ["namespace", "policy", "metric", "bound"]
        "What is expected one lead time from now: the median and the protected upper bound, in the metric's own unit.";
    forecast_hindcast: Family<BoundLabels, Real> = Gauge "forecast_hindcast_value" ["namespace", "policy", "metric", "bound"]
        "What had been expected for now one lead time ago, to lay over the actual value.";
    forecast_active: Family<MetricLabels, Gauge> = Gauge "forecast_active" ["namespace", "policy", "metric"]
        "1 while the forecast is trusted and in use, else 0.";
    forecast_error: Family<MetricLabels, Real> = Gauge "forecast_error_ratio" ["namespace", "policy", "metric"]
        "Loss of the forecast's .95 quantile against the better of last value and yesterday, each with its own; below 1 is better than those.";
    forecast_coverage: Family<MetricLabels, Real> = Gauge "forecast_coverage_ratio" ["namespace", "policy", "metric"]
        "Share of values that stayed below the protected upper bound.";
    forecast_coverage_target: Family<MetricLabels, Real> = Gauge "forecast_coverage_target_ratio" ["namespace", "policy", "metric"]
        "What the coverage should be, as the policy's protection asks.";
    forecast_history: Family<MetricLabels, Real> = Gauge "forecast_history_seconds" ["namespace", "policy", "metric"]
        "How much history the forecast learned from.";
    forecast_refits: Family<ResultLabels, Counter> = Counter "forecast_refits_total" ["result"]
        "Models fitted anew, by result.";
    forecast_fit: Histogram = Histogram "forecast_fit_duration_seconds" []
        "Time to choose and fit a model." with Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]);

    queue_backlog: Family<MetricLabels, Real> = Gauge "queue_backlog_messages" ["namespace", "policy", "metric"]
        "Messages waiting in the queue (lag of the consumer group, depth, pending entries).";
    queue_arrivals: Family<MetricLabels, Real> = Gauge "queue_arrivals_per_second" ["namespace", "policy", "metric"]
        "Messages arriving each second.";
    queue_throughput: Family<MetricLabels, Real> = Gauge "queue_throughput_per_second" ["namespace", "policy", "metric"]
        "Messages one consumer works off each second, as measured.";
    queue_drain: Family<MetricLabels, Real> = Gauge "queue_drain_seconds" ["namespace", "policy", "metric"]
        "Time until the backlog is worked off at the present number of consumers; +Inf if it grows.";

    decision_duration: HistogramWithExemplars<TraceLabels> = Histogram "decision_duration_seconds" []
        "Time of one decision from the first read to the report; exemplars name traces." with HistogramWithExemplars::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0].into_iter());
    decision_delay: Histogram = Histogram "decision_delay_seconds" []
        "How much later than planned a policy was looked at." with Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0]);
    decision_step: Histograms<StepLabels> = Histogram "decision_step_duration_seconds" ["step"]
        "Time of each step of a decision (observe, read, forecast, decide, actuate, report)." with Histograms::new_with_constructor(steps);

    reconciles: Family<ReconcileLabels, Counter> = Counter "reconciles_total" ["kind", "result"]
        "Resources looked at, by kind and result.";
    reconcile_duration: Histograms<ResourceLabels> = Histogram "reconcile_duration_seconds" ["kind"]
        "Time to look at a resource, by kind." with Histograms::new_with_constructor(answers);
    api_requests: Family<ApiLabels, Counter> = Counter "api_requests_total" ["verb", "resource", "code"]
        "Calls to the Kubernetes API, by verb, resource and class of answer (2xx, 4xx, 5xx, error).";
    api_duration: Histograms<VerbLabels> = Histogram "api_request_duration_seconds" ["verb"]
        "Time of calls to the Kubernetes API, watches excluded." with Histograms::new_with_constructor(answers);

    source_requests: Family<SourceLabels, Counter> = Counter "source_requests_total" ["source", "result"]
        "Calls to sources of metrics (prometheus, kafka, rabbitmq, ...), by result: success, or the reason of the absence.";
    source_duration: Histograms<SourceKindLabels> = Histogram "source_request_duration_seconds" ["source"]
        "Time of calls to sources of metrics." with Histograms::new_with_constructor(answers);
    source_retries: Family<SourceKindLabels, Counter> = Counter "source_retries_total" ["source"]
        "Calls to sources of metrics that were tried again.";
    source_circuits: Family<SourceKindLabels, Gauge> = Gauge "source_open_circuits" ["source"]
        "Servers that aren't asked for a while because they kept failing.";

    health_status: Family<StatusLabels, Gauge> = Gauge "health_status" ["namespace", "component", "status"]
        "1 for the present status of each component (pass, warn, fail, maintenance, unknown); other statuses have no series.";
    health_checks: Family<CheckLabels, Counter> = Counter "health_checks_total" ["namespace", "component", "result"]
        "Probes of each component, by result.";
    health_duration: Histograms<KindLabels> = Histogram "health_check_duration_seconds" ["kind"]
        "Time of probes, by kind." with Histograms::new_with_constructor(answers);
    health_transitions: Family<StatusLabels, Counter> = Counter "health_transitions_total" ["namespace", "component", "status"]
        "Changes of a component's status, by the status it changed to.";
    health_last_transition: Family<ComponentLabels, Real> = Gauge "health_last_transition_timestamp_seconds" ["namespace", "component"]
        "When the component's status last changed, as seconds since 1970.";
    health_flapping: Family<ComponentLabels, Gauge> = Gauge "health_flapping" ["namespace", "component"]
        "1 while the component changes so often that messages are held, else 0.";
    health_delay: Histogram = Histogram "health_check_delay_seconds" []
        "How much later than planned a probe began." with Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0]);

    alerts: Family<AlertLabels, Gauge> = Gauge "alerts_firing" ["alert", "severity"]
        "Alerts of Foresail's own that fire now, by rule and severity.";
    notifications: Family<ReceiverLabels, Counter> = Counter "notifications_total" ["receiver", "type"]
        "Messages that the receiver's service took.";
    notifications_failed: Family<DeliveryFailureLabels, Counter> = Counter "notifications_failed_total" ["receiver", "type", "reason"]
        "Attempts to deliver that failed, by reason; most are tried again.";
    notifications_dead: Family<ReceiverLabels, Counter> = Counter "notifications_dead_total" ["receiver", "type"]
        "Messages given up on: refused for good, or too old.";
    notification_queue: Family<ReceiverLabels, Gauge> = Gauge "notification_queue_length" ["receiver", "type"]
        "Messages waiting to be delivered.";
    notification_duration: Histograms<ReceiverLabels> = Histogram "notification_duration_seconds" ["receiver", "type"]
        "Time of attempts to deliver a message." with Histograms::new_with_constructor(answers);

    http_requests: Family<RouteLabels, Counter> = Counter "http_requests_total" ["route", "code"]
        "Requests that the web server answered, by route and class of answer.";
    event_streams: Gauge = Gauge "event_streams" []
        "Open event streams.";
    event_streams_behind: Counter = Counter "event_streams_behind_total" []
        "Times a reader of the event stream was too slow and had to start over with a full picture.";
    events_sent: Counter = Counter "events_published_total" []
        "Events put on the stream, counted once however many read them.";

    telemetry_dropped: Family<SignalLabels, Counter> = Counter "telemetry_dropped_total" ["signal"]
        "Spans, metric points and log records thrown away because the receiver was down or too slow.";
    telemetry_exports: Family<SignalLabels, Counter> = Counter "telemetry_exported_total" ["signal"]
        "Spans, metric points and log records that the receiver took.";
}

impl Families {
    /// Counters without resource labels exist from the start, so that a rate over them never misses the first event.
    pub(super) fn start_at_zero(&self) {
        for result in Outcome::ALL {
            let _ = self.forecast_refits.get_or_create(&ResultLabels { result: *result });
        }
        for signal in Signal::ALL {
            let _ = self.telemetry_dropped.get_or_create(&SignalLabels { signal: *signal });
            let _ = self.telemetry_exports.get_or_create(&SignalLabels { signal: *signal });
        }
        for step in Step::ALL {
            let _ = self.decision_step.get_or_create(&StepLabels { step: *step });
        }
    }

    /// Says which build runs.
    pub fn build(&self, version: &str, revision: &str, rustc: &str) {
        let labels = BuildLabels { version: version.into(), revision: revision.into(), rustc: rustc.into() };
        self.build_info.get_or_create(&labels).set(1);
    }

    /// Counts one call to the Kubernetes API. `code` is an HTTP status, or `None` where no answer came.
    pub fn api_request(&self, verb: &'static str, resource: &'static str, code: Option<u16>, seconds: f64) {
        let code = code.map_or("error", code_class);
        self.api_requests.get_or_create(&ApiLabels { verb, resource, code }).inc();
        if verb != "watch" {
            self.api_duration.get_or_create(&VerbLabels { verb }).observe(seconds);
        }
    }

    /// Counts one call to a source. `result` is `success` or the word of the absence.
    pub fn source_request(&self, source: &'static str, result: &'static str, seconds: f64) {
        self.source_requests.get_or_create(&SourceLabels { source, result }).inc();
        self.source_duration.get_or_create(&SourceKindLabels { source }).observe(seconds);
    }

    /// Counts a call to a source that is tried again.
    pub fn source_retried(&self, source: &'static str) {
        self.source_retries.get_or_create(&SourceKindLabels { source }).inc();
    }

    /// Counts a server that isn't asked for a while (`open`), or is asked again.
    pub fn source_circuit(&self, source: &'static str, open: bool) {
        self.source_circuits.get_or_create(&SourceKindLabels { source }).inc_by(if open { 1 } else { -1 });
    }

    /// Counts one look at a resource.
    pub fn reconciled(&self, kind: &'static str, result: Outcome, seconds: f64) {
        self.reconciles.get_or_create(&ReconcileLabels { kind, result }).inc();
        self.reconcile_duration.get_or_create(&ResourceLabels { kind }).observe(seconds);
    }

    /// Counts one fit of a model.
    pub fn refitted(&self, result: Outcome, seconds: f64) {
        self.forecast_refits.get_or_create(&ResultLabels { result }).inc();
        self.forecast_fit.observe(seconds);
    }

    /// Adds one step of a decision.
    pub fn step(&self, step: Step, seconds: f64) {
        self.decision_step.get_or_create(&StepLabels { step }).observe(seconds);
    }

    /// Counts one answer of the web server.
    pub fn http_request(&self, route: &'static str, status: u16) {
        self.http_requests.get_or_create(&RouteLabels { route, code: code_class(status) }).inc();
    }

    /// Says how many alerts of a rule fire now.
    pub fn alerts_firing(&self, alert: &'static str, severity: &'static str, count: usize) {
        let gauge = self.alerts.get_or_create_owned(&AlertLabels { alert, severity });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// The class of an HTTP status.
fn code_class(code: u16) -> &'static str {
    match code {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
