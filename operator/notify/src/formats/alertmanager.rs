//! Alertmanager, API v2: firing alerts are told again every minute with an end a few minutes ahead, resolved ones for a
//! quarter of an hour, each to every member of the cluster, as Prometheus does it. Grouping, repetition and silences
//! are Alertmanager's.

use std::collections::BTreeMap;
use std::time::Duration;

use health::alert::{Alert, AlertPhase, RESOLVED_KEPT, Severity};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use series::time::after;

use super::Format;
use crate::limit::Quota;
use crate::message::{Answer, Message, Request, Verdict};
use crate::outbox::Grouping;
use crate::template::Renderer;

const BATCH_MAX: usize = 256;
const RESEND: Duration = Duration::from_secs(60);
/// Four missed repetitions, and Alertmanager counts the alert as over.
const ENDS_AHEAD: Duration = Duration::from_secs(240);

/// A cluster.
pub struct Alertmanager {
    /// Every member of it.
    pub urls: Vec<String>,
    /// A bearer token.
    pub token: Option<SecretString>,
}

impl Format for Alertmanager {
    fn name(&self) -> &'static str {
        "alertmanager"
    }

    fn quota(&self) -> Quota {
        Quota::unlimited()
    }

    fn grouping(&self, _wanted: Grouping) -> Grouping {
        Grouping {
            by: vec!["...".into()],
            wait: Duration::ZERO,
            interval: Duration::from_secs(1),
            repeat: RESEND,
            keep_resolved: RESOLVED_KEPT,
        }
    }

    fn any_is_enough(&self) -> bool {
        true
    }

    fn requests(&self, message: &Message, words: &Renderer, now: Timestamp) -> Result<Vec<Request>, Verdict> {
        let alerts: Vec<Value> = message.alerts().into_iter().map(|a| alert(a, words, now)).collect();
        let mut requests = Vec::new();
        for batch in alerts.chunks(BATCH_MAX) {
            for url in &self.urls {
                let url = format!("{}/api/v2/alerts", url.trim_end_matches('/'));
                let request = Request::json(url, &Value::Array(batch.to_vec()));
                requests.push(match &self.token {
                    Some(token) => {
                        request.header("authorization", format!("Bearer {}", token.expose_secret()))
                    }
                    None => request,
                });
            }
        }
        Ok(requests)
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        Verdict::of_status(answer)
    }
}

fn alert(alert: &Alert, words: &Renderer, now: Timestamp) -> Value {
    let mut labels: BTreeMap<String, String> =
        alert.labels.iter().map(|(name, value)| (label_name(name), value.clone())).collect();
    labels.insert("alertname".into(), alert.name.clone());
    let severity = match alert.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    labels.insert("severity".into(), severity.into());
    let mut annotations = BTreeMap::from([
        ("summary".to_owned(), words.sentence(alert)),
        ("runbook_url".to_owned(), alert.runbook_url.clone()),
    ]);
    annotations.extend(alert.facts.iter().map(|(name, value)| (label_name(name), value.clone())));
    if let Some(trace) = &alert.evidence.trace_id {
        annotations.insert("trace_id".into(), trace.clone());
    }
    let ends = match alert.phase {
        AlertPhase::Resolved => alert.resolved.unwrap_or(now),
        AlertPhase::Firing | AlertPhase::Pending => after(now, ENDS_AHEAD),
    };
    json!({"labels": labels, "annotations": annotations, "startsAt": alert.since.to_string(), "endsAt": ends.to_string()})
}

/// Alertmanager's label names are letters, digits and underscores.
fn label_name(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if clean.starts_with(|c: char| c.is_ascii_digit()) { format!("_{clean}") } else { clean }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{body, message};
    use super::*;
    use crate::message::Language;

    #[test]
    fn every_member_is_told_in_batches() {
        let cluster =
            Alertmanager { urls: vec!["http://a:9093/".into(), "http://b:9093".into()], token: None };
        let requests =
            cluster.requests(&message(300), &Renderer::plain(Language::En), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(requests.len(), 4);
        assert_eq!(requests[0].address(), "http://a:9093/api/v2/alerts");
        let body = body(&requests[0]);
        assert_eq!(body.as_array().unwrap().len(), 256);
        assert_eq!(body[0]["labels"]["alertname"], "ComponentDown");
        assert_eq!(body[0]["endsAt"], "1970-01-01T00:04:00Z");
    }
}
