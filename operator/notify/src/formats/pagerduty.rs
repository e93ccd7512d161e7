//! PagerDuty Events v2: one event for each group, whose key is the group's, so that what is resolved closes what was
//! opened. A 429 was not ingested.

use std::time::Duration;

use health::alert::{Alert, AlertPhase, Severity};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::Format;
use crate::limit::Quota;
use crate::message::{Answer, Group, Message, Request, Verdict};
use crate::sign;
use crate::template::{Markup, Renderer, subject};
use crate::text;

const SUMMARY_MAX: usize = 1_024;
/// Of 512 KB, the rest is for what is around.
const DETAILS_MAX: usize = 200;

/// An integration.
pub struct Pagerduty {
    /// Its routing key.
    pub routing_key: SecretString,
    /// Another server than events.pagerduty.com.
    pub api_url: Option<String>,
}

impl Format for Pagerduty {
    fn name(&self) -> &'static str {
        "pagerduty"
    }

    fn quota(&self) -> Quota {
        Quota::unlimited().and(120, Duration::from_secs(60))
    }

    fn requests(
        &self,
        message: &Message,
        words: &Renderer,
        _now: Timestamp,
    ) -> Result<Vec<Request>, Verdict> {
        let base = self.api_url.as_deref().unwrap_or("https://events.pagerduty.com").trim_end_matches('/');
        let url = format!("{base}/v2/enqueue");
        Ok(message.groups.iter().map(|g| Request::json(&*url, &self.event(message, g, words))).collect())
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        Verdict::of_status(answer)
    }
}

impl Pagerduty {
    fn event(&self, message: &Message, group: &Group, words: &Renderer) -> Value {
        let key = sign::hash(&group.key);
        let firing: Vec<&Alert> = group.alerts.iter().filter(|a| a.phase == AlertPhase::Firing).collect();
        if firing.is_empty() {
            return json!({
                "routing_key": self.routing_key.expose_secret(), "event_action": "resolve", "dedup_key": key,
            });
        }
        let alone = Message { groups: vec![group.clone()], ..message.clone() };
        let rendered = words.render(&alone, Markup::Plain);
        let severity = match alone.severity() {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        let details: Vec<Value> = firing
            .iter()
            .take(DETAILS_MAX)
            .map(|a| json!({"summary": words.sentence(a), "labels": a.labels, "facts": a.facts, "since": a.since}))
            .collect();
        let first = firing[0];
        let links: Vec<Value> = [&first.runbook_url]
            .into_iter()
            .filter(|u| u.starts_with("http"))
            .map(|u| json!({"href": u, "text": rendered.words.runbook}))
            .collect();
        json!({
            "routing_key": self.routing_key.expose_secret(),
            "event_action": "trigger",
            "dedup_key": key,
            "payload": {
                "summary": text::truncate_chars(&rendered.title, SUMMARY_MAX),
                "source": text::truncate_chars(&subject(first), 255),
                "severity": severity,
                "timestamp": first.since.to_string(),
                "component": first.labels.get("component").or_else(|| first.labels.get("policy")),
                "group": first.labels.get("namespace"),
                "class": first.name,
                "custom_details": {"alerts": details, "firing": firing.len()},
            },
            "links": links,
            "client": "Foresail",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, body, is_retry, message};
    use super::*;
    use crate::message::{FailureReason, Language};

    #[test]
    fn what_is_resolved_closes_what_was_opened() {
        let service = Pagerduty { routing_key: "r".repeat(32).into(), api_url: None };
        let words = Renderer::plain(Language::En);
        let opened = body(&service.requests(&message(3), &words, Timestamp::UNIX_EPOCH).unwrap()[0]);
        assert_eq!(
            (&opened["event_action"], &opened["payload"]["severity"]),
            (&json!("trigger"), &json!("critical"))
        );
        let mut over = message(3);
        for alert in &mut over.groups[0].alerts {
            alert.phase = AlertPhase::Resolved;
        }
        let closed = body(&service.requests(&over, &words, Timestamp::UNIX_EPOCH).unwrap()[0]);
        assert_eq!(closed["event_action"], "resolve");
        assert_eq!(opened["dedup_key"], closed["dedup_key"]);
        assert!(opened["dedup_key"].as_str().unwrap().len() <= 255);
        assert_eq!(service.judge(&answer(202, "")), Verdict::Delivered);
        assert!(is_retry(&service.judge(&answer(429, "")), FailureReason::RateLimited));
    }
}
