//! Any HTTP service, signed as Standard Webhooks 1.0 says. The id is the same over all attempts at a message, so the
//! receiver can tell a repetition; 410 is "never again".

use std::collections::BTreeMap;

use health::alert::{Alert, AlertPhase};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::Format;
use crate::limit::Quota;
use crate::message::{Answer, FailureReason, Message, Request, Verdict};
use crate::sign;
use crate::template::{Markup, Renderer};
use crate::text;

/// Standard Webhooks advises less than 20 KB; beyond so many alerts or bytes the rest is counted.
const ALERTS_MAX: usize = 25;
const ALERTS_BYTES_MAX: usize = 14_000;
const TEXT_MAX: usize = 500;

/// A service.
pub struct Webhook {
    /// Its address.
    pub url: SecretString,
    /// Signing secrets, separated by spaces.
    pub secret: Option<SecretString>,
}

impl Format for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn quota(&self) -> Quota {
        Quota::unlimited()
    }

    fn requests(&self, message: &Message, words: &Renderer, now: Timestamp) -> Result<Vec<Request>, Verdict> {
        let rendered = words.render(message, Markup::Plain);
        let alerts = message.alerts();
        let status = if message.is_firing() { "firing" } else { "resolved" };
        let mut bytes = 0;
        let listed: Vec<Value> = alerts
            .iter()
            .take(ALERTS_MAX)
            .map(|a| alert(a, words))
            .take_while(|v| {
                bytes += v.to_string().len();
                bytes <= ALERTS_BYTES_MAX
            })
            .collect();
        let left = alerts.len() - listed.len();
        let body = json!({
            "type": format!("alerts.{status}"),
            "timestamp": message.at.to_string(),
            "data": {
                "status": status,
                "title": rendered.title,
                "groups": message.groups.iter().take(ALERTS_MAX).map(|g| &g.labels).collect::<Vec<_>>(),
                "alerts": listed,
                "truncatedAlerts": left,
            },
        });
        let request = Request::json(self.url.expose_secret(), &body);
        let seconds = now.as_second();
        let signature = match &self.secret {
            None => None,
            Some(secret) => Some(
                sign::standard_webhook(secret.expose_secret(), &message.id, seconds, &request.body)
                    .map_err(|e| Verdict::refused(FailureReason::AuthError, e.to_string()))?,
            ),
        };
        let request =
            request.header("webhook-id", message.id.clone()).header("webhook-timestamp", seconds.to_string());
        Ok(vec![match signature {
            Some(signature) => request.header("webhook-signature", signature),
            None => request,
        }])
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        match answer.status {
            410 => Verdict::refused(FailureReason::ClientError, "the receiver wants no more (HTTP 410)"),
            _ => Verdict::of_status(answer),
        }
    }
}

fn alert(alert: &Alert, words: &Renderer) -> Value {
    let facts: BTreeMap<&String, String> =
        alert.facts.iter().map(|(name, value)| (name, text::truncate_bytes(value, TEXT_MAX))).collect();
    json!({
        "id": alert.id,
        "alert": alert.name,
        "severity": alert.severity,
        "status": if alert.phase == AlertPhase::Resolved { "resolved" } else { "firing" },
        "labels": alert.labels,
        "summary": text::truncate_bytes(&words.sentence(alert), TEXT_MAX),
        "facts": facts,
        "evidence": alert.evidence,
        "runbookUrl": alert.runbook_url,
        "startsAt": alert.since.to_string(),
        "endsAt": alert.resolved.map(|t| t.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, is_refused, message};
    use super::*;
    use crate::message::Language;

    #[test]
    fn the_signature_is_over_exactly_the_bytes_sent() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let service = Webhook { url: "https://example.com/x".into(), secret: Some(secret.into()) };
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let request = &service.requests(&message(2), &Renderer::plain(Language::En), now).unwrap()[0];
        let header = |name: &str| {
            request
                .headers
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| v.expose_secret().to_owned())
                .unwrap()
        };
        let again =
            sign::standard_webhook(secret, &header("webhook-id"), 1_614_265_330, &request.body).unwrap();
        assert_eq!(header("webhook-signature"), again);
        assert!(request.body.len() < 20_000);
    }

    #[test]
    fn a_bad_secret_and_a_gone_receiver_are_refusals() {
        let service = Webhook { url: "https://example.com/x".into(), secret: Some("whsec_x".into()) };
        let verdict = service.requests(&message(1), &Renderer::plain(Language::En), Timestamp::UNIX_EPOCH);
        assert!(matches!(verdict, Err(Verdict::Refused { reason: FailureReason::AuthError, .. })));
        assert!(is_refused(&service.judge(&answer(410, "")), FailureReason::ClientError));
        assert!(is_refused(&service.judge(&answer(302, "")), FailureReason::ClientError));
    }
}
