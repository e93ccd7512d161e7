//! The registry's text as OTLP points: gauges, cumulative sums, and histograms with their exemplars. Names stay as
//! they are in Prometheus, so that a query means the same wherever the figures end up.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::metrics::{Entry, Kind, Metrics};

/// One line of the text: a series, its value, and perhaps the trace of an exemplar with the exemplar's value.
struct Line<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
    exemplar: Option<(String, f64)>,
}

/// Everything in the registry as one request.
pub(super) fn request(
    metrics: &Metrics,
    resource: &[(&'static str, String)],
    started: SystemTime,
    now: SystemTime,
) -> ExportMetricsServiceRequest {
    let text = metrics.text();
    let mut by_name: BTreeMap<&str, Vec<Line<'_>>> = BTreeMap::new();
    for line in text.lines().filter(|l| !l.starts_with('#')).filter_map(parse) {
        by_name.entry(line.name).or_default().push(line);
    }
    let times = (nanos(started), nanos(now));
    let converted = metrics.entries().iter().filter_map(|e| convert(e, &by_name, times)).collect();
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: resource.iter().map(|(k, v)| attribute(k, v)).collect(),
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope {
                    name: "foresail".into(),
                    ..InstrumentationScope::default()
                }),
                metrics: converted,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

/// How many points a request holds.
pub(super) fn count(request: &ExportMetricsServiceRequest) -> usize {
    let metrics = request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
    metrics
        .map(|m| match &m.data {
            Some(metric::Data::Gauge(g)) => g.data_points.len(),
            Some(metric::Data::Sum(s)) => s.data_points.len(),
            Some(metric::Data::Histogram(h)) => h.data_points.len(),
            _ => 0,
        })
        .sum()
}

fn convert(entry: &Entry, by_name: &BTreeMap<&str, Vec<Line<'_>>>, times: (u64, u64)) -> Option<Metric> {
    let data = match entry.kind {
        Kind::Gauge => {
            metric::Data::Gauge(Gauge { data_points: numbers(by_name.get(entry.name.as_str())?, times) })
        }
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers(by_name.get(entry.name.as_str())?, times),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: histograms(&entry.name, by_name, times),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        }),
    };
    Some(Metric {
        name: entry.name.clone(),
        description: entry.help.to_owned(),
        unit: unit(&entry.name).to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

/// The unit in UCUM, as OTLP has it.
fn unit(name: &str) -> &'static str {
    let stem = name.trim_end_matches("_total");
    match stem.rsplit('_').next() {
        Some("seconds") if stem.ends_with("replica_seconds") => "{replica}.s",
        Some("seconds") => "s",
        Some("bytes") => "By",
        Some("ratio") => "1",
        Some("replicas") => "{replica}",
        Some("messages") => "{message}",
        _ => "",
    }
}

fn numbers(lines: &[Line<'_>], (started, now): (u64, u64)) -> Vec<NumberDataPoint> {
    let point = |line: &Line<'_>| NumberDataPoint {
        attributes: line.labels.iter().map(|(k, v)| attribute(k, v)).collect(),
        start_time_unix_nano: started,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(line.value)),
        ..NumberDataPoint::default()
    };
    lines.iter().map(point).collect()
}

fn histograms(
    name: &str,
    by_name: &BTreeMap<&str, Vec<Line<'_>>>,
    (started, now): (u64, u64),
) -> Vec<HistogramDataPoint> {
    let mut points: BTreeMap<Vec<(&str, &str)>, HistogramDataPoint> = BTreeMap::new();
    for suffix in ["sum", "count", "bucket"] {
        for line in by_name.get(format!("{name}_{suffix}").as_str()).into_iter().flatten() {
            let labels = line.labels.iter().filter(|(k, _)| *k != "le");
            let key: Vec<(&str, &str)> = labels.map(|(k, v)| (*k, v.as_str())).collect();
            let point = points.entry(key).or_insert_with_key(|key| HistogramDataPoint {
                attributes: key.iter().map(|(k, v)| attribute(k, v)).collect(),
                start_time_unix_nano: started,
                time_unix_nano: now,
                ..HistogramDataPoint::default()
            });
            match suffix {
                "sum" => point.sum = Some(line.value),
                "count" => point.count = line.value as u64,
                _ => add_bucket(point, line, now),
            }
        }
    }
    points.into_values().collect()
}

/// The text counts up to each bound, OTLP within each bucket.
fn add_bucket(point: &mut HistogramDataPoint, line: &Line<'_>, now: u64) {
    let below: u64 = point.bucket_counts.iter().sum();
    point.bucket_counts.push((line.value as u64).saturating_sub(below));
    let bound = line.labels.iter().find(|(k, _)| *k == "le").and_then(|(_, v)| v.parse::<f64>().ok());
    point.explicit_bounds.extend(bound.filter(|b| b.is_finite()));
    if let Some((trace, value)) = &line.exemplar {
        point.exemplars.push(Exemplar {
            time_unix_nano: now,
            trace_id: hex(trace),
            value: Some(exemplar::Value::AsDouble(*value)),
            ..Exemplar::default()
        });
    }
}

/// `name{a="b"} 1.5 # {trace_id="..."} 0.2`
fn parse(line: &str) -> Option<Line<'_>> {
    let (sample, exemplar) = match line.split_once(" # ") {
        Some((sample, rest)) => (sample, parse_exemplar(rest)),
        None => (line, None),
    };
    let (series, value) = sample.rsplit_once(' ')?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().ok()?,
    };
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, parse_labels(labels.strip_suffix('}')?)),
        None => (series, Vec::new()),
    };
    Some(Line { name, labels, value, exemplar })
}

fn parse_labels(mut text: &str) -> Vec<(&str, String)> {
    let mut labels = Vec::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => {}
                },
                other => value.push(other),
            }
        }
        labels.push((name, value));
        text = rest[end..].trim_start_matches(',');
    }
    labels
}

fn parse_exemplar(text: &str) -> Option<(String, f64)> {
    let (labels, value) = text.strip_prefix('{')?.split_once('}')?;
    let trace = parse_labels(labels).into_iter().find(|(k, _)| *k == "trace_id")?.1;
    Some((trace, value.split_ascii_whitespace().next()?.parse().ok()?))
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2).filter_map(|i| u8::from_str_radix(digits.get(2 * i..2 * i + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{DecisionOutcome, ReplicaFigures};

    #[test]
    fn the_registry_becomes_points_with_the_same_names() {
        let metrics = Metrics::new();
        let policy = metrics.policy("shop", "a\"b");
        policy.replicas(ReplicaFigures { current: 3, ..ReplicaFigures::default() });
        policy.decided(DecisionOutcome::Hold, 0.02, Some("0af7651916cd43dd8448eb211c80319c".into()));
        let request =
            request(&metrics, &[("service.name", "foresail".into())], UNIX_EPOCH, SystemTime::now());
        let all = &request.resource_metrics[0].scope_metrics[0].metrics;
        let find = |name: &str| all.iter().find(|m| m.name == name).unwrap().data.clone().unwrap();
        let metric::Data::Gauge(current) = find("foresail_policy_current_replicas") else { panic!() };
        assert_eq!(current.data_points[0].value, Some(number_data_point::Value::AsDouble(3.0)));
        assert_eq!(current.data_points[0].attributes[1], attribute("policy", "a\"b"));
        let metric::Data::Sum(decisions) = find("foresail_policy_decisions_total") else { panic!() };
        assert_eq!(decisions.data_points.len(), 4);
        let metric::Data::Histogram(durations) = find("foresail_decision_duration_seconds") else { panic!() };
        let point = &durations.data_points[0];
        assert_eq!((point.count, point.bucket_counts.iter().sum::<u64>()), (1, 1));
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.exemplars[0].trace_id.len(), 16);
        assert!(count(&request) > 10);
    }
}
