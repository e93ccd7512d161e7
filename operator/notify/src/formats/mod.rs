//! One file for each service: it writes the requests of a message within the service's limits, and reads from an answer
//! whether the service really took it. Everything here is a pure function; sending is the transport's.
//!
//! A new format is a file with one implementation of [`Format`], a line in [`crate::Target`], golden requests in
//! `tests/golden/`, and a branch in the test server that checks what the service would check.

pub mod alertmanager;
pub mod dingtalk;
pub mod discord;
pub mod feishu;
pub mod pagerduty;
pub mod slack;
pub mod teams;
pub mod telegram;
pub mod webhook;
pub mod wecom;

use std::time::Duration;

use health::alert::Severity;
use jiff::Timestamp;

use crate::limit::Quota;
use crate::message::{Answer, Message, Request, Verdict};
use crate::outbox::Grouping;
use crate::template::Renderer;

/// How one service is spoken to.
pub trait Format: Send + Sync {
    /// Its name, as in the resource and in metrics.
    fn name(&self) -> &'static str;

    /// How often it may be asked.
    fn quota(&self) -> Quota;

    /// The requests that tell `message`, at least one. The same message gives the same number in the same order each
    /// time, so that a retry can go on where it stopped. An error is a verdict: the secret isn't valid, for example.
    fn requests(&self, message: &Message, words: &Renderer, now: Timestamp) -> Result<Vec<Request>, Verdict>;

    /// How the service's answer counts: delivered, to be tried again, or refused for good.
    fn judge(&self, answer: &Answer) -> Verdict;

    /// Grouping that the service needs instead of the user's.
    fn grouping(&self, wanted: Grouping) -> Grouping {
        wanted
    }

    /// Whether one taken request is enough: they go to the members of one cluster.
    fn any_is_enough(&self) -> bool {
        false
    }

    /// How far a message may be moved away from a full or half hour, when all the world sends; zero for most.
    fn rush_jitter(&self) -> Duration {
        Duration::ZERO
    }
}

/// Red, orange, blue, green, as `0xRRGGBB`.
pub(crate) fn color(message: &Message) -> u32 {
    if !message.is_firing() {
        return 0x002e_a043;
    }
    match message.severity() {
        Severity::Critical => 0x00d1_242f,
        Severity::Warning => 0x00e1_6f24,
        Severity::Info => 0x0009_69da,
    }
}

/// Whether people are to be called: something critical fires.
pub(crate) fn calls_people(message: &Message) -> bool {
    message.is_firing() && message.severity() == Severity::Critical
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::message::{FailureReason, Group};
    use crate::outbox::tests::{alert, at};

    pub(crate) fn message(n: usize) -> Message {
        let alerts = (0..n).map(|i| alert("ComponentDown", "shop", &format!("数据库-{i}"))).collect();
        let labels = BTreeMap::from([("alertname".to_owned(), "ComponentDown".to_owned())]);
        Message {
            id: "msg_0123456789abcdef01234567".into(),
            at: at(30_000),
            groups: vec![Group { key: "{alertname=\"ComponentDown\"}".into(), labels, alerts }],
        }
    }

    pub(crate) fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
    }

    pub(crate) fn is_retry(verdict: &Verdict, wanted: FailureReason) -> bool {
        matches!(verdict, Verdict::Retry { reason, .. } if *reason == wanted)
    }

    pub(crate) fn is_refused(verdict: &Verdict, wanted: FailureReason) -> bool {
        matches!(verdict, Verdict::Refused { reason, .. } if *reason == wanted)
    }

    pub(crate) fn body(request: &Request) -> serde_json::Value {
        serde_json::from_slice(&request.body).unwrap()
    }
}
