//! What one replica carries, as far as it was learned: for the status. Pure.

use api::v1alpha1::CapacityStatus;
use decide::capacity::{Gap, Learned};
use decide::{Capacity, History, MetricHistory, MetricKind, Policy};

/// What is known of each metric that something is learned for.
pub(crate) fn status(policy: &Policy, history: Option<&History>) -> Vec<CapacityStatus> {
    let unknown = MetricHistory::default();
    let learns = |m: &&decide::MetricPolicy| m.capacity == Capacity::Learned;
    policy
        .metrics
        .iter()
        .filter(learns)
        .map(|metric| {
            let history = history.and_then(|h| h.metric(&metric.name)).unwrap_or(&unknown);
            match metric.kind {
                MetricKind::Backlog(_) => throughput(&metric.name, history),
                MetricKind::AverageValue | MetricKind::Value => load(metric, history),
            }
        })
        .collect()
}

fn throughput(metric: &str, history: &MetricHistory) -> CapacityStatus {
    let each = history.throughput.per_consumer();
    let message = if each.is_some() {
        "messages per second that one replica works off"
    } else {
        "no consumer was seen busy for long enough yet"
    };
    one(metric, each.is_some(), each, message.to_owned())
}

fn load(metric: &decide::MetricPolicy, history: &MetricHistory) -> CapacityStatus {
    match history.capacity.learned() {
        Learned::Known { per_replica, fit, .. } => {
            let message = format!("load explains {:.0} % of how busy replicas are", fit * 100.0);
            one(&metric.name, true, Some(per_replica), message)
        }
        Learned::Learning { why } => {
            let why = match why {
                Gap::FewLooks => "too few looks yet; the target counts meanwhile",
                Gap::NarrowRange => {
                    "the load of a replica was always about the same; the target counts meanwhile"
                }
                Gap::PoorFit => {
                    "how busy replicas are doesn't follow their load; the target counts meanwhile"
                }
            };
            one(&metric.name, false, Some(metric.target), why.to_owned())
        }
    }
}

fn one(metric: &str, known: bool, each: Option<f64>, message: String) -> CapacityStatus {
    CapacityStatus {
        metric: metric.to_owned(),
        source: if known { "Learned" } else { "Learning" }.to_owned(),
        per_replica: each.map(three_digits),
        message,
    }
}

/// Three digits that count: more would be news with every look.
fn three_digits(value: f64) -> String {
    if value <= 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let digits = 2 - value.log10().floor() as i32;
    let unit = 10f64.powi(digits);
    let rounded = (value * unit).round() / unit;
    let text = format!("{rounded:.*}", digits.clamp(0, 12) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn three_digits_count() {
        for (value, text) in [
            (0.0, "0"),
            (0.012_34, "0.0123"),
            (1.0, "1"),
            (99.96, "100"),
            (123.4, "123"),
            (123_456.0, "123000"),
        ] {
            assert_eq!(three_digits(value), text);
        }
    }

    #[test]
    fn what_is_not_known_yet_says_what_is_missing_and_what_counts_meanwhile() {
        let learning = decide::MetricPolicy {
            capacity: Capacity::Learned,
            ..decide::MetricPolicy::average("requests", 200.0)
        };
        let queue = decide::MetricPolicy::backlog("orders", Duration::from_secs(120));
        let plain = decide::MetricPolicy::average("plain", 5.0);
        let policy = Policy { metrics: vec![learning, queue, plain], ..Policy::simple(1, 9, 1.0) };
        let status = status(&policy, None);
        let words: Vec<_> =
            status.iter().map(|s| (s.metric.as_str(), s.source.as_str(), s.per_replica.as_deref())).collect();
        assert_eq!(words, [("requests", "Learning", Some("200")), ("orders", "Learning", None)]);
    }
}
