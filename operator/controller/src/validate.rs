//! The validate step: from the raw spec to an [`Intent`] in plain types, or to everything that is wrong with it.
//!
//! What comes in: an `AutoscalePolicySpec`, and nothing else. What goes out: what the other steps work with; none of
//! them looks at the raw spec again. The API server checks the same rules where it can (its schema, CEL); servers
//! before 1.25 can't, so everything is checked here too. What this step refuses to know: clients and the clock.

use std::collections::BTreeMap;
use std::time::Duration;

use api::units::{self, UnitError};
use api::v1alpha1::{
    AutoscalePolicySpec, Behavior, Metric, Mode, PolicyType, PrometheusQuery, PrometheusServer, Queue,
    ScalingRules, SelectPolicy, Switch, TargetType,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What the user wants, checked and in plain types.
#[derive(Clone, Debug)]
pub struct Intent {
    /// What is scaled.
    pub target: Target,
    /// The decision's part. For a HorizontalPodAutoscaler without `maxReplicas` of its own the maximum is
    /// [`NO_MAXIMUM`] until the HPA is read; calendars are put in when they are read.
    pub policy: decide::Policy,
    /// Scaling rests, with an end and a reason.
    pub pause: Option<decide::Pause>,
    /// Where each metric of the policy is measured, in the same order.
    pub signals: Vec<Signal>,
    /// How to forecast; shared by the signals.
    pub forecast: forecast::Settings,
    /// The Prometheus named in the policy; `None` for the one Foresail was started with.
    pub prometheus: Option<PrometheusServer>,
    /// ScalingCalendars by name.
    pub calendars: Vec<String>,
    /// HealthChecks by name that must pass before replicas go down.
    pub checks: Vec<String>,
    /// Groups of HealthChecks by name that must pass before replicas go down.
    pub groups: Vec<String>,
}

/// The maximum of a policy that leaves it to its HorizontalPodAutoscaler.
pub const NO_MAXIMUM: u32 = i32::MAX as u32;

/// The kind whose `minReplicas` is driven instead of a scale.
pub const HPA: &str = "HorizontalPodAutoscaler";

/// What is scaled, as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The API version, where it was written.
    pub api_version: Option<String>,
    /// The kind.
    pub kind: String,
    /// The name, in the policy's namespace.
    pub name: String,
}

impl Target {
    /// Whether the policy drives an HPA's floor.
    pub fn is_hpa(&self) -> bool {
        self.kind == HPA
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Where a metric is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The metric's name.
    pub name: String,
    /// How to measure it.
    pub source: SignalSource,
}

/// How a metric is measured.
#[derive(Clone, Debug, PartialEq)]
pub enum SignalSource {
    /// A PromQL query.
    Prometheus {
        /// The query.
        query: String,
    },
    /// A queue of a broker.
    Queue {
        /// Which one, as written.
        queue: Box<Queue>,
    },
}

/// One thing that is wrong: which field, what it says, what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.{field} is {value}: {remedy}")]
pub struct Invalid {
    /// The path below `spec`.
    pub field: String,
    /// What it says now.
    pub value: String,
    /// What would be right.
    pub remedy: String,
}

/// Collects what is wrong, so that one look shows everything.
#[derive(Default)]
struct Findings(Vec<Invalid>);

impl Findings {
    fn add(&mut self, field: impl Into<String>, value: impl std::fmt::Display, remedy: impl Into<String>) {
        self.0.push(Invalid { field: field.into(), value: value.to_string(), remedy: remedy.into() });
    }

    /// The value of a field that was parsed, or a note and the fallback, with which the check goes on.
    fn take<T>(&mut self, field: &str, written: &str, parsed: Result<T, UnitError>, otherwise: T) -> T {
        parsed.unwrap_or_else(|error| {
            // The unit errors begin with the value, which the finding names already.
            let text = error.to_string();
            let remedy = text.split_once(" is ").map_or(text.as_str(), |(_, rest)| rest);
            self.add(field, format!("{written:?}"), remedy);
            otherwise
        })
    }
}

/// Checks a spec. `interval` is the time between two decisions. Everything that is wrong is named at once.
pub fn validate(spec: &AutoscalePolicySpec, interval: Duration) -> Result<Intent, Vec<Invalid>> {
    let mut findings = Findings::default();
    let target = target(spec, &mut findings);
    let bounds = bounds(spec, &target, &mut findings);
    let metrics = metrics(spec, bounds.1, &mut findings);
    let outlook = outlook(spec, &mut findings);
    let behavior = spec.behavior.as_ref().map(|b| behavior(b, &mut findings));
    let pause = pause(spec, &mut findings);
    if let Some(server) = &spec.prometheus {
        prometheus(server, &mut findings);
    }
    let (signals, metrics) = metrics.into_iter().unzip();
    let policy = decide::Policy {
        mode: match spec.mode {
            Mode::Auto => decide::Mode::Auto,
            Mode::Recommend => decide::Mode::Recommend,
        },
        min_replicas: bounds.0,
        max_replicas: bounds.1,
        metrics,
        behavior,
        tolerance: 0.1,
        lead_time: outlook.lead_time,
        protection: outlook.protection,
        forecast: match spec.forecast.mode {
            Switch::Auto => decide::ForecastUse::Auto,
            Switch::Off => decide::ForecastUse::Off,
        },
        calendar: Vec::new(),
        health_gate: true,
        steps: decide::StepLimits::default(),
        timing: decide::Timing { interval, ..decide::Timing::default() },
    };
    if findings.0.is_empty()
        && let Err(error) = policy.check()
    {
        findings.add("metrics", "not possible", error.to_string());
    }
    if !findings.0.is_empty() {
        return Err(findings.0);
    }
    let gate = spec.health_gate.clone().unwrap_or_default();
    Ok(Intent {
        target,
        policy,
        pause,
        signals,
        forecast: outlook.settings,
        prometheus: spec.prometheus.clone(),
        calendars: spec.calendar_refs.iter().map(|c| c.name.clone()).collect(),
        checks: gate.checks,
        groups: gate.groups,
    })
}

fn target(spec: &AutoscalePolicySpec, findings: &mut Findings) -> Target {
    let written = &spec.scale_target_ref;
    if written.name.is_empty() {
        findings.add("scaleTargetRef.name", "empty", "write the name of the workload");
    }
    if written.kind.is_empty() {
        findings.add("scaleTargetRef.kind", "empty", "write the kind, such as Deployment, or leave it out");
    }
    Target {
        api_version: written.api_version.clone().filter(|v| !v.is_empty()),
        kind: written.kind.clone(),
        name: written.name.clone(),
    }
}

fn bounds(spec: &AutoscalePolicySpec, target: &Target, findings: &mut Findings) -> (u32, u32) {
    let min = u32::try_from(spec.min_replicas).unwrap_or_else(|_| {
        findings.add("minReplicas", spec.min_replicas, "write 0 or more");
        0
    });
    let max = match spec.max_replicas {
        Some(max) if max >= 1 => max as u32,
        Some(max) => {
            findings.add("maxReplicas", max, "write 1 or more");
            return (min, NO_MAXIMUM);
        }
        None if target.is_hpa() => NO_MAXIMUM,
        None => {
            findings.add("maxReplicas", "missing", "write the most replicas there may be");
            return (min, NO_MAXIMUM);
        }
    };
    if min > max {
        findings.add("maxReplicas", max, format!("write at least minReplicas, which is {min}"));
    }
    (min, max)
}

fn metrics(
    spec: &AutoscalePolicySpec,
    max: u32,
    findings: &mut Findings,
) -> Vec<(Signal, decide::MetricPolicy)> {
    if spec.metrics.is_empty() {
        findings.add("metrics", "empty", "write at least one metric with a query and a target");
    }
    if spec.metrics.len() > 10 {
        findings.add("metrics", format!("a list of {}", spec.metrics.len()), "write at most 10 metrics");
    }
    let mut seen = BTreeMap::new();
    for (index, metric) in spec.metrics.iter().enumerate() {
        if let Some(first) = seen.insert(metric.name.as_str(), index) {
            findings.add(
                format!("metrics[{index}].name"),
                &metric.name,
                format!("choose another name, metrics[{first}] has this one"),
            );
        }
    }
    spec.metrics
        .iter()
        .enumerate()
        .filter_map(|(index, metric)| one_metric(spec, metric, &format!("metrics[{index}]"), max, findings))
        .collect()
}

fn one_metric(
    spec: &AutoscalePolicySpec,
    metric: &Metric,
    path: &str,
    max: u32,
    findings: &mut Findings,
) -> Option<(Signal, decide::MetricPolicy)> {
    let name_ok = !metric.name.is_empty()
        && metric.name.len() <= 63
        && metric.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !name_ok {
        findings.add(
            format!("{path}.name"),
            format!("{:?}", metric.name),
            "write up to 63 lower-case letters, digits and dashes",
        );
    }
    let fallback = fallback(metric, path, max, findings);
    let (source, kind, target, capacity) = match (&metric.prometheus, &metric.queue) {
        (Some(prometheus), None) => {
            let target = load_target(prometheus, metric, path, findings);
            let kind = match metric.target_type {
                TargetType::AverageValue => decide::MetricKind::AverageValue,
                TargetType::Value => decide::MetricKind::Value,
            };
            let source = SignalSource::Prometheus { query: prometheus.query.clone() };
            (source, kind, target, decide::Capacity::Target)
        }
        (None, Some(queue)) => {
            let (backlog, capacity) = backlog(queue, metric, path, findings);
            let source = SignalSource::Queue { queue: Box::new(queue.clone()) };
            (source, decide::MetricKind::Backlog(backlog), 1.0, capacity)
        }
        (Some(_), Some(_)) => {
            findings.add(
                path,
                "with prometheus and queue",
                "write one of them, and the other as a metric of its own",
            );
            return None;
        }
        (None, None) => {
            findings.add(path, "without a source", "write prometheus.query or a queue");
            return None;
        }
    };
    let wanted = spec.forecast.mode == Switch::Auto && metric.forecast == Switch::Auto;
    let policy = decide::MetricPolicy {
        name: metric.name.clone(),
        // A ratio such as latency says nothing about how much load is to come. What comes into a queue can be
        // forecast where a query knows its past.
        forecast: wanted
            && match kind {
                decide::MetricKind::AverageValue => true,
                decide::MetricKind::Value => false,
                decide::MetricKind::Backlog(_) => metric.queue.as_ref().is_some_and(|q| q.arrivals.is_some()),
            },
        kind,
        target,
        capacity,
        fallback,
    };
    Some((Signal { name: metric.name.clone(), source }, policy))
}

fn load_target(prometheus: &PrometheusQuery, metric: &Metric, path: &str, findings: &mut Findings) -> f64 {
    if prometheus.query.trim().is_empty() {
        findings.add(
            format!("{path}.prometheus.query"),
            "empty",
            "write a PromQL query that answers with one value",
        );
    }
    if metric.drain_within.is_some() {
        findings.add(format!("{path}.drainWithin"), "set", "leave it out: it belongs to a queue");
    }
    match &metric.target {
        None => {
            findings.add(
                format!("{path}.target"),
                "missing",
                "write how much of the metric one replica carries, such as 200",
            );
            1.0
        }
        Some(quantity) => {
            let field = format!("{path}.target");
            let value = findings.take(&field, quantity.as_str(), quantity.value(), 1.0);
            if !(value > 0.0 && value.is_finite()) {
                findings.add(
                    field,
                    quantity.as_str(),
                    "write more than 0: how much of the metric one replica carries",
                );
            }
            value
        }
    }
}

/// The promise for a queue, and what is known of its consumers beforehand.
fn backlog(
    queue: &Queue,
    metric: &Metric,
    path: &str,
    findings: &mut Findings,
) -> (decide::BacklogPolicy, decide::Capacity) {
    let brokers = [
        queue.kafka.is_some(),
        queue.rabbitmq.is_some(),
        queue.redis.is_some(),
        queue.nats.is_some(),
        queue.sqs.is_some(),
        queue.prometheus.is_some(),
    ];
    let named = brokers.iter().filter(|named| **named).count();
    if named != 1 {
        let remedy = "write exactly one of kafka, rabbitmq, redis, nats, sqs and prometheus";
        findings.add(format!("{path}.queue"), format!("with {named} brokers"), remedy);
    }
    if metric.target.is_some() {
        findings.add(format!("{path}.target"), "set", "leave it out: a queue has drainWithin");
    }
    let field = format!("{path}.drainWithin");
    let promise = match &metric.drain_within {
        None => {
            findings.add(&field, "missing", "write how long a message may wait, such as 2m");
            Duration::from_mins(2)
        }
        Some(text) => findings.take(&field, text, units::duration(text), Duration::from_mins(2)),
    };
    if promise < Duration::from_secs(5) {
        findings.add(
            &field,
            format!("{}s", promise.as_secs()),
            "write at least 5s: queues are looked at every 15s",
        );
    }
    let capacity = match &queue.throughput_per_replica {
        None => decide::Capacity::Learnt,
        Some(quantity) => {
            let field = format!("{path}.queue.throughputPerReplica");
            let each = findings.take(&field, quantity.as_str(), quantity.value(), 1.0);
            if !(each > 0.0 && each.is_finite()) {
                findings.add(field, quantity.as_str(), "write more than 0: messages per second and replica");
            }
            decide::Capacity::Declared(each)
        }
    };
    let activation = queue.activation_backlog.unwrap_or(1);
    if activation < 1 {
        findings.add(format!("{path}.queue.activationBacklog"), activation, "write at least 1");
    }
    let activation = (activation - 1).max(0) as f64;
    (decide::BacklogPolicy { activation, ..decide::BacklogPolicy::within(promise) }, capacity)
}

fn fallback(metric: &Metric, path: &str, max: u32, findings: &mut Findings) -> Option<decide::Fallback> {
    metric.fallback.as_ref().map(|fallback| {
        let field = format!("{path}.fallback.after");
        let after = findings.take(&field, &fallback.after, units::duration(&fallback.after), Duration::ZERO);
        let least = u32::try_from(fallback.min_replicas).unwrap_or(0);
        if least == 0 || least > max {
            findings.add(
                format!("{path}.fallback.minReplicas"),
                fallback.min_replicas,
                format!("write a number from 1 to maxReplicas, which is {max}"),
            );
        }
        decide::Fallback { after, min_replicas: least }
    })
}

struct Outlook {
    lead_time: decide::LeadTime,
    protection: f64,
    settings: forecast::Settings,
}

fn outlook(spec: &AutoscalePolicySpec, findings: &mut Findings) -> Outlook {
    let written = &spec.forecast;
    let lead_time = if written.lead_time == "Auto" {
        decide::LeadTime::Measured { until_known: Duration::from_mins(2) }
    } else {
        let parsed = units::duration(&written.lead_time);
        let lead = findings.take("forecast.leadTime", &written.lead_time, parsed, Duration::from_mins(2));
        if !(15..=21_600).contains(&lead.as_secs()) {
            findings.add("forecast.leadTime", &written.lead_time, "write Auto, or a duration from 15s to 6h");
        }
        decide::LeadTime::Fixed(lead)
    };
    let two_weeks = Duration::from_hours(14 * 24);
    let history =
        findings.take("forecast.history", &written.history, units::duration(&written.history), two_weeks);
    if !(86_400..=90 * 86_400).contains(&history.as_secs()) {
        findings.add("forecast.history", &written.history, "write a duration from 1d to 90d");
    }
    let protection =
        findings.take("forecast.protection", &written.protection, units::percent(&written.protection), 0.99);
    if !(0.5..=0.9999).contains(&protection) {
        findings.add("forecast.protection", &written.protection, "write a percentage from 50% to 99.99%");
    }
    let time_zone = TimeZone::get(&written.time_zone).unwrap_or_else(|_| {
        findings.add(
            "forecast.timeZone",
            format!("{:?}", written.time_zone),
            "write a name of the IANA time zone database, such as Europe/Berlin",
        );
        TimeZone::UTC
    });
    let excluded = exclusions(spec, findings);
    let lead = match lead_time {
        decide::LeadTime::Fixed(lead) => lead,
        decide::LeadTime::Measured { until_known } => until_known,
    };
    let mut levels = forecast::Settings::default().levels;
    levels.push(protection);
    let settings = forecast::Settings {
        horizon: Duration::from_hours(4).max(lead * 2),
        levels,
        time_zone,
        history,
        excluded,
        ..forecast::Settings::default()
    };
    Outlook { lead_time, protection, settings: settings.in_range() }
}

fn exclusions(spec: &AutoscalePolicySpec, findings: &mut Findings) -> Vec<forecast::Window> {
    let mut windows = Vec::new();
    for (index, window) in spec.forecast.exclude.iter().enumerate() {
        let mut moment = |name: &str, written: &str| {
            written.parse::<Timestamp>().ok().or_else(|| {
                let field = format!("forecast.exclude[{index}].{name}");
                findings.add(field, format!("{written:?}"), "write a moment such as 2027-01-31T18:00:00Z");
                None
            })
        };
        if let (Some(from), Some(to)) = (moment("from", &window.from), moment("to", &window.to)) {
            windows.push(forecast::Window { from, to });
            if from >= to {
                let field = format!("forecast.exclude[{index}].to");
                findings.add(field, &window.to, format!("write a moment after {}", window.from));
            }
        }
    }
    windows
}

fn pause(spec: &AutoscalePolicySpec, findings: &mut Findings) -> Option<decide::Pause> {
    let paused = spec.paused.as_ref()?;
    if let Ok(until) = paused.until.parse::<Timestamp>() {
        return Some(decide::Pause { until: Some(until), reason: paused.reason.clone() });
    }
    findings.add(
        "paused.until",
        format!("{:?}", paused.until),
        "write a moment such as 2027-01-31T18:00:00Z, or use `foresail pause`",
    );
    None
}

fn prometheus(server: &PrometheusServer, findings: &mut Findings) {
    let address = server.address.trim();
    if !(address.starts_with("http://") || address.starts_with("https://")) {
        findings.add("prometheus.address", format!("{address:?}"), "begin with http:// or https://");
    }
    if server.bearer_token_secret_ref.is_some() && server.basic_auth.is_some() {
        findings.add("prometheus", "signed in twice", "write only one of bearerTokenSecretRef and basicAuth");
    }
    if let Some(tls) = &server.tls
        && tls.cert_secret_ref.is_some() != tls.key_secret_ref.is_some()
    {
        findings.add("prometheus.tls", "half a pair", "write certSecretRef and keySecretRef together");
    }
    for (index, header) in server.headers.iter().enumerate() {
        if header.value.is_some() == header.value_secret_ref.is_some() {
            findings.add(
                format!("prometheus.headers[{index}]"),
                &header.name,
                "write exactly one of value and valueSecretRef",
            );
        }
    }
}

fn behavior(written: &Behavior, findings: &mut Findings) -> decide::Behavior {
    let rules =
        |written: Option<&ScalingRules>, name: &str, defaults: decide::ScalingRules, f: &mut Findings| {
            written.map_or(defaults.clone(), |w| scaling_rules(w, &format!("behavior.{name}"), defaults, f))
        };
    decide::Behavior {
        scale_up: rules(written.scale_up.as_ref(), "scaleUp", decide::ScalingRules::up(), findings),
        scale_down: rules(written.scale_down.as_ref(), "scaleDown", decide::ScalingRules::down(), findings),
    }
}

fn scaling_rules(
    written: &ScalingRules,
    path: &str,
    defaults: decide::ScalingRules,
    findings: &mut Findings,
) -> decide::ScalingRules {
    let stabilization_window = match written.stabilization_window_seconds {
        None => defaults.stabilization_window,
        Some(seconds @ 0..=3_600) => Duration::from_secs(seconds as u64),
        Some(seconds) => {
            findings.add(format!("{path}.stabilizationWindowSeconds"), seconds, "write 0 to 3600");
            defaults.stabilization_window
        }
    };
    let tolerance = written.tolerance.as_ref().map(|quantity| {
        findings.take(&format!("{path}.tolerance"), quantity.as_str(), quantity.value(), 0.1)
    });
    // The HPA takes an empty list for "not set".
    let policies =
        written.policies.as_ref().filter(|p| !p.is_empty()).map_or(defaults.policies, |policies| {
            policies
                .iter()
                .enumerate()
                .map(|(index, policy)| {
                    let path = format!("{path}.policies[{index}]");
                    if policy.value < 1 {
                        findings.add(format!("{path}.value"), policy.value, "write 1 or more");
                    }
                    if !(1..=1_800).contains(&policy.period_seconds) {
                        findings.add(
                            format!("{path}.periodSeconds"),
                            policy.period_seconds,
                            "write 1 to 1800",
                        );
                    }
                    decide::RatePolicy {
                        kind: match policy.type_ {
                            PolicyType::Pods => decide::RateKind::Pods,
                            PolicyType::Percent => decide::RateKind::Percent,
                        },
                        value: policy.value.max(0) as u32,
                        period: Duration::from_secs(policy.period_seconds.max(1) as u64),
                    }
                })
                .collect()
        });
    decide::ScalingRules {
        stabilization_window,
        select_policy: match written.select_policy.unwrap_or_default() {
            SelectPolicy::Max => decide::SelectPolicy::Max,
            SelectPolicy::Min => decide::SelectPolicy::Min,
            SelectPolicy::Disabled => decide::SelectPolicy::Disabled,
        },
        policies,
        tolerance,
    }
}

/// Fields of a spec as it was applied that the resource doesn't have, such as a misspelt `maxReplica`. API servers
/// drop them silently unless asked to be strict; `kubectl apply` leaves what was written in an annotation.
pub fn unknown_fields(last_applied: &str) -> Vec<String> {
    let Ok(written) = serde_json::from_str::<serde_json::Value>(last_applied) else { return Vec::new() };
    let Some(spec) = written.get("spec") else { return Vec::new() };
    let Ok(known) = serde_json::from_value::<AutoscalePolicySpec>(spec.clone()) else { return Vec::new() };
    let Ok(known) = serde_json::to_value(known) else { return Vec::new() };
    let mut unknown = Vec::new();
    missing(spec, &known, "spec", &mut unknown);
    unknown
}

/// Paths in `written` that aren't in `known`. What is empty or null may be left out when written again.
fn missing(written: &serde_json::Value, known: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    use serde_json::Value;
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            for (key, value) in written {
                let path = format!("{path}.{key}");
                match known.get(key) {
                    Some(known) => missing(value, known, &path, found),
                    None if !empty(value) => found.push(path),
                    None => {}
                }
            }
        }
        (Value::Array(written), Value::Array(known)) => {
            for (index, (written, known)) in written.iter().zip(known).enumerate() {
                missing(written, known, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(patch: serde_json::Value) -> AutoscalePolicySpec {
        let mut value = json!({
            "scaleTargetRef": {"name": "web"},
            "maxReplicas": 20,
            "metrics": [{"name": "rps", "prometheus": {"query": "sum(rate(x[1m]))"}, "target": 200}],
        });
        for (key, new) in patch.as_object().unwrap() {
            if new.is_null() {
                value.as_object_mut().unwrap().remove(key);
            } else {
                value[key] = new.clone();
            }
        }
        serde_json::from_value(value).unwrap()
    }

    fn check(patch: serde_json::Value) -> Result<Intent, Vec<Invalid>> {
        validate(&spec(patch), Duration::from_secs(15))
    }

    #[test]
    fn the_shortest_policy_is_complete() {
        let intent = check(json!({})).unwrap();
        assert_eq!(intent.target.to_string(), "Deployment/web");
        assert_eq!((intent.policy.min_replicas, intent.policy.max_replicas), (1, 20));
        assert_eq!(intent.policy.metrics[0].target, 200.0);
        assert!(intent.policy.metrics[0].forecast);
        assert_eq!(intent.policy.behavior, None);
        assert_eq!(intent.forecast.history, Duration::from_hours(14 * 24));
    }

    #[test]
    fn an_hpa_needs_no_maximum() {
        let intent = check(
            json!({"scaleTargetRef": {"kind": "HorizontalPodAutoscaler", "name": "web"}, "maxReplicas": null}),
        );
        assert_eq!(intent.unwrap().policy.max_replicas, NO_MAXIMUM);
    }

    #[test]
    fn each_mistake_is_named_with_field_value_and_remedy() {
        let metric = |patch: serde_json::Value| {
            let mut metric = json!({"name": "rps", "prometheus": {"query": "up"}, "target": 200});
            for (key, new) in patch.as_object().unwrap() {
                metric[key] = new.clone();
            }
            json!({"metrics": [metric]})
        };
        for (patch, words) in [
            (json!({"maxReplicas": null}), "spec.maxReplicas is missing"),
            (json!({"minReplicas": 30}), "spec.maxReplicas is 20: write at least minReplicas, which is 30"),
            (metric(json!({"target": 0})), "spec.metrics[0].target is 0: write more than 0"),
            (metric(json!({"target": "lots"})), "spec.metrics[0].target is \"lots\": not a quantity"),
            (metric(json!({"prometheus": {"query": " "}})), "spec.metrics[0].prometheus.query is empty"),
            (
                json!({"forecast": {"leadTime": "5 minutes"}}),
                "spec.forecast.leadTime is \"5 minutes\": not a duration",
            ),
            (json!({"forecast": {"leadTime": "7h"}}), "spec.forecast.leadTime is 7h"),
            (json!({"forecast": {"protection": "12%"}}), "spec.forecast.protection is 12%"),
            (json!({"forecast": {"timeZone": "Mars/Olympus"}}), "spec.forecast.timeZone is \"Mars/Olympus\""),
            (json!({"paused": {"until": "soon"}}), "spec.paused.until is \"soon\""),
            (json!({"prometheus": {"address": "prom:9090"}}), "spec.prometheus.address is \"prom:9090\""),
            (
                json!({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 4000}}}),
                "spec.behavior.scaleUp.stabilizationWindowSeconds is 4000",
            ),
            (
                metric(json!({"fallback": {"minReplicas": 21}})),
                "spec.metrics[0].fallback.minReplicas is 21: write a number from 1 to maxReplicas, which is 20",
            ),
        ] {
            let found = check(patch.clone()).unwrap_err();
            assert!(found.iter().any(|i| i.to_string().contains(words)), "{patch}: {found:?}");
        }
    }

    #[test]
    fn several_mistakes_are_all_named() {
        let found =
            check(json!({"minReplicas": 30, "forecast": {"leadTime": "soon", "history": "x"}})).unwrap_err();
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn behavior_has_the_defaults_of_the_hpa_where_it_says_nothing() {
        let intent = check(json!({"behavior": {"scaleDown": {"policies": []}}})).unwrap();
        assert_eq!(intent.policy.behavior, Some(decide::Behavior::default()));
    }

    #[test]
    fn a_value_metric_is_never_forecast() {
        let intent = check(json!({"metrics": [
            {"name": "p99", "prometheus": {"query": "x"}, "target": "500m", "targetType": "Value"}]}))
        .unwrap();
        assert!(!intent.policy.metrics[0].forecast);
        assert_eq!(intent.policy.metrics[0].target, 0.5);
    }

    #[test]
    fn misspelt_fields_are_found_in_what_was_applied() {
        let written = json!({"spec": {
            "scaleTargetRef": {"name": "web", "nmae": "x"},
            "maxReplica": 3,
            "metrics": [{"name": "a", "prometheus": {"query": "x"}, "target": 1, "targett": 2}],
        }});
        let found = unknown_fields(&written.to_string());
        assert_eq!(found, ["spec.scaleTargetRef.nmae", "spec.maxReplica", "spec.metrics[0].targett"]);
        assert!(unknown_fields("{}").is_empty());
    }
}
