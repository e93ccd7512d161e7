//! The metrics of a policy: where each is measured, and what one replica should carry of it.

use std::collections::BTreeMap;
use std::time::Duration;

use api::units;
use api::v1alpha1::{AutoscalePolicySpec, Metric, PrometheusQuery, Queue, Switch, TargetType};

use super::finding::Findings;
use super::{Signal, SignalSource};

pub(super) fn metrics(
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
    name(metric, path, findings);
    let fallback = fallback(metric, path, max, findings);
    let (source, kind, target, capacity) = match (&metric.prometheus, &metric.queue) {
        (Some(prometheus), None) => {
            let target = load_target(prometheus, metric, path, findings);
            let kind = match metric.target_type {
                TargetType::AverageValue => decide::MetricKind::AverageValue,
                TargetType::Value => decide::MetricKind::Value,
            };
            let capacity = learned(metric, path, findings);
            let utilization = metric.capacity.as_ref().map(|c| c.utilization.clone());
            let source = SignalSource::Prometheus { query: prometheus.query.clone(), utilization };
            (source, kind, target, capacity)
        }
        (None, Some(queue)) => {
            let (backlog, capacity) = backlog(queue, metric, path, findings);
            busy(spec, queue, path, findings);
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
    let policy = decide::MetricPolicy {
        name: metric.name.clone(),
        forecast: is_forecast(spec, metric, &kind),
        kind,
        target,
        capacity,
        spare: spare(metric, path, findings),
        fallback,
    };
    Some((Signal { name: metric.name.clone(), source }, policy))
}

fn name(metric: &Metric, path: &str, findings: &mut Findings) {
    let fits = !metric.name.is_empty()
        && metric.name.len() <= 63
        && metric.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !fits {
        let remedy = "write up to 63 lower-case letters, digits and dashes";
        findings.add(format!("{path}.name"), format!("{:?}", metric.name), remedy);
    }
}

/// A ratio such as latency says nothing about how much load is to come. What comes into a queue can be forecast where a
/// query knows its past, or the broker counts it.
fn is_forecast(spec: &AutoscalePolicySpec, metric: &Metric, kind: &decide::MetricKind) -> bool {
    let wanted = spec.forecast.mode == Switch::Auto && metric.forecast == Switch::Auto;
    let possible = match kind {
        decide::MetricKind::AverageValue => true,
        decide::MetricKind::Value => false,
        decide::MetricKind::Backlog(_) => {
            metric.queue.as_ref().is_some_and(|q| q.arrivals.is_some() || q.counts_arrivals())
        }
    };
    wanted && possible
}

/// What is kept free of what the replicas carry, until a simulation has shown what is needed.
fn spare(metric: &Metric, path: &str, findings: &mut Findings) -> f64 {
    /// An HPA at 70 %.
    const USUAL: f64 = 0.3;
    let is_load = metric.prometheus.is_some() && metric.target_type == TargetType::AverageValue;
    let Some(written) = &metric.spare else { return if is_load { USUAL } else { 0.0 } };
    let field = format!("{path}.spare");
    if !is_load {
        findings.add(
            field,
            written,
            "leave it out: it is for a prometheus metric with targetType AverageValue",
        );
        return 0.0;
    }
    match units::percent(written) {
        Ok(spare) if (0.0..=0.9).contains(&spare) => spare,
        _ => {
            findings.add(field, written, "write a percentage from 0% to 90%");
            USUAL
        }
    }
}

/// What starts a workload that rests without replicas: work that shows without them.
pub(super) fn sleep(spec: &AutoscalePolicySpec, min: u32, findings: &mut Findings) {
    let shows = |m: &Metric| m.queue.is_some() || m.target_type == TargetType::AverageValue;
    if min == 0 && !spec.metrics.is_empty() && !spec.metrics.iter().any(shows) {
        let remedy =
            "write 1 or more, or add a queue or a load: a ratio can't be measured while no replica runs";
        findings.add("minReplicas", 0, remedy);
    }
}

/// Whether the capacity of a replica is learned, or taken from the target.
fn learned(metric: &Metric, path: &str, findings: &mut Findings) -> decide::Capacity {
    let Some(capacity) = &metric.capacity else { return decide::Capacity::Target };
    if metric.target_type == TargetType::Value {
        findings.add(format!("{path}.capacity"), "set", "leave it out: a ratio isn't shared by replicas");
    }
    if capacity.utilization.trim().is_empty() {
        findings.add(
            format!("{path}.capacity.utilization"),
            "empty",
            "write a PromQL query for the share of the scarcest resource in use, from 0 to 1",
        );
    }
    decide::Capacity::Learned
}

/// Pods are only chosen by their deletion cost where a ReplicaSet chooses.
fn busy(spec: &AutoscalePolicySpec, queue: &Queue, path: &str, findings: &mut Findings) {
    let Some(busy) = &queue.busy else { return };
    let kind = spec.scale_target_ref.kind.as_str();
    if matches!(kind, "StatefulSet" | super::HPA) {
        let remedy =
            "leave it out: only what runs in a ReplicaSet, such as a Deployment, removes idle pods first";
        findings.add(format!("{path}.queue.busy"), format!("set for a {kind}"), remedy);
    }
    if busy.query.trim().is_empty() {
        let remedy = "write a PromQL query with one value for each pod";
        findings.add(format!("{path}.queue.busy.query"), "empty", remedy);
    }
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
    if metric.capacity.is_some() {
        findings.add(
            format!("{path}.capacity"),
            "set",
            "leave it out: what consumers do is learned by itself",
        );
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
        None => decide::Capacity::Learned,
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
