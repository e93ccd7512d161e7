//! Alertmanager's webhook, handed on to the chats that Alertmanager doesn't speak to: its payload (version 4) comes in, a
//! [`Message`] and a key that tells repetitions goes out. Unknown fields are left alone, because each release adds some.

use std::collections::BTreeMap;

use health::alert::{Alert, AlertPhase, Evidence, Severity, fingerprint};
use jiff::Timestamp;
use serde::Deserialize;

use crate::message::{Group, Message, Verdict};
use crate::sign;

/// Alertmanager's payload, as far as it is used here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// `4`, since 2016.
    #[serde(default)]
    pub version: String,
    /// The group.
    #[serde(default)]
    pub group_key: String,
    /// The labels that the group's alerts share by definition.
    #[serde(default)]
    pub group_labels: BTreeMap<String, String>,
    /// The alerts.
    #[serde(default)]
    pub alerts: Vec<Incoming>,
}

/// One of its alerts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incoming {
    /// `firing` or `resolved`.
    pub status: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// When the alert began to fire, as Alertmanager says.
    pub starts_at: Timestamp,
    /// Until when; the year 1 while it fires.
    #[serde(default)]
    pub ends_at: Option<String>,
    /// Alertmanager's id of the alert.
    #[serde(default)]
    pub fingerprint: String,
}

/// A payload that can't be handed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// Not Alertmanager's JSON.
    #[error("this is not Alertmanager's webhook payload: {0}")]
    NotJson(String),
    /// No alerts in it.
    #[error("the payload has no alerts")]
    Empty,
}

/// Reads a payload: the message to hand on, and a key that is the same for a repetition.
pub fn read(body: &[u8], now: Timestamp) -> Result<(Message, String), RelayError> {
    let payload: Payload = serde_json::from_slice(body).map_err(|e| RelayError::NotJson(e.to_string()))?;
    if payload.alerts.is_empty() {
        return Err(RelayError::Empty);
    }
    let alerts: Vec<Alert> = payload.alerts.into_iter().map(alert).collect();
    let mut parts: Vec<String> = alerts.iter().map(|a| format!("{}{:?}", a.id, a.phase)).collect();
    parts.sort_unstable();
    let key = sign::hash(&format!("{}|{}", payload.group_key, parts.join(",")));
    let id = format!("msg_{}", &sign::hash(&format!("{key}{}", now.as_second() / 60))[..24]);
    let group = Group { key: payload.group_key, labels: payload.group_labels, alerts };
    Ok((Message { id, at: now, groups: vec![group] }, key))
}

fn alert(incoming: Incoming) -> Alert {
    let Incoming { status, mut labels, annotations, starts_at, ends_at, fingerprint: given } = incoming;
    let name = labels.remove("alertname").unwrap_or_else(|| "Alert".into());
    let severity = match labels.get("severity").map(|s| s.to_ascii_lowercase()).as_deref() {
        Some("critical" | "page" | "error" | "emergency" | "fatal" | "p0" | "p1") => Severity::Critical,
        Some("warning" | "warn" | "p2") => Severity::Warning,
        _ => Severity::Info,
    };
    let said = |key: &str| annotations.get(key).filter(|t| !t.trim().is_empty()).cloned();
    let phase = if status == "resolved" { AlertPhase::Resolved } else { AlertPhase::Firing };
    let ended = ends_at.and_then(|t| t.parse::<Timestamp>().ok()).filter(|t| *t > starts_at);
    Alert {
        id: if given.is_empty() { fingerprint(&name, &labels) } else { given },
        severity,
        summary: said("summary")
            .or_else(|| said("description"))
            .or_else(|| said("message"))
            .unwrap_or_else(|| name.clone()),
        runbook_url: said("runbook_url").unwrap_or_default(),
        evidence: Evidence { trace_id: said("trace_id"), ..Evidence::default() },
        facts: annotations.clone(),
        labels,
        name,
        phase,
        since: starts_at,
        fired: Some(starts_at),
        resolved: if phase == AlertPhase::Resolved { ended } else { None },
        muted: false,
    }
}

/// The HTTP status to answer Alertmanager with. It retries 5xx within seconds and gives up on everything else until its
/// next `group_interval`, on a 429 too; so whatever may still be taken is a 503.
pub fn status(verdict: &Verdict) -> u16 {
    match verdict {
        Verdict::Delivered => 200,
        Verdict::Retry { .. } => 503,
        Verdict::Refused { .. } => 422,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::FailureReason;

    const PAYLOAD: &str = r#"{"version":"4","groupKey":"{}:{alertname=\"HighLatency\"}","truncatedAlerts":0,"status":"firing",
        "receiver":"foresail","groupLabels":{"alertname":"HighLatency"},"notification_reason":"new","routeLabels":{},
        "alerts":[{"status":"firing","labels":{"alertname":"HighLatency","severity":"critical","namespace":"shop"},
        "annotations":{"summary":"p99 above 1 s","runbook_url":"https://example.com/r"},"startsAt":"2026-11-20T10:00:00Z",
        "endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p","fingerprint":"abc"}]}"#;

    #[test]
    fn a_payload_becomes_a_message_and_a_repetition_is_known() {
        let now: Timestamp = "2026-11-20T10:00:30Z".parse().unwrap();
        let (message, key) = read(PAYLOAD.as_bytes(), now).unwrap();
        let alert = message.alerts()[0];
        assert_eq!(
            (alert.name.as_str(), alert.severity, alert.id.as_str()),
            ("HighLatency", Severity::Critical, "abc")
        );
        assert_eq!(alert.summary, "p99 above 1 s");
        assert_eq!(read(PAYLOAD.as_bytes(), now).unwrap().1, key);
        let over = PAYLOAD.replace("\"firing\"", "\"resolved\"");
        let (message, other) = read(over.as_bytes(), now).unwrap();
        assert_ne!(other, key);
        assert_eq!(message.alerts()[0].phase, AlertPhase::Resolved);
    }

    #[test]
    fn what_is_not_a_payload_is_told() {
        assert!(matches!(read(b"hello", Timestamp::UNIX_EPOCH), Err(RelayError::NotJson(_))));
        assert_eq!(read(b"{\"alerts\":[]}", Timestamp::UNIX_EPOCH), Err(RelayError::Empty));
    }

    #[test]
    fn what_may_still_be_taken_is_a_503() {
        assert_eq!(status(&Verdict::retry(FailureReason::RateLimited, None, "")), 503);
        assert_eq!(status(&Verdict::refused(FailureReason::AuthError, "")), 422);
    }
}
