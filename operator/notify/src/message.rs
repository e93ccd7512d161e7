//! What is told, what is sent, and what came back: plain values between the outbox, the formats and the transport.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use health::alert::{Alert, AlertPhase, Severity};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// The language of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

/// Alerts that are told together because their grouping labels agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Stable for the life of the group, also over restarts.
    pub key: String,
    /// The labels that its alerts share by definition.
    pub labels: BTreeMap<String, String>,
    /// What fires, and what was resolved since the last message.
    pub alerts: Vec<Alert>,
}

impl Group {
    /// Whether anything in it still fires.
    pub fn is_firing(&self) -> bool {
        self.alerts.iter().any(|a| a.phase == AlertPhase::Firing)
    }
}

/// One message to one receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The same over all attempts at this message, so that a receiver can tell a repetition.
    pub id: String,
    /// When it was put together.
    pub at: Timestamp,
    /// One group, or all that are due where there are too many for one message each.
    pub groups: Vec<Group>,
}

impl Message {
    /// Every alert in it: what fires first, then by severity.
    pub fn alerts(&self) -> Vec<&Alert> {
        let mut alerts: Vec<&Alert> = self.groups.iter().flat_map(|g| &g.alerts).collect();
        alerts.sort_by_key(|a| (a.phase == AlertPhase::Resolved, std::cmp::Reverse(a.severity), a.since));
        alerts
    }

    /// Whether anything in it still fires.
    pub fn is_firing(&self) -> bool {
        self.groups.iter().any(Group::is_firing)
    }

    /// How many fire, and how many were resolved.
    pub fn counts(&self) -> (usize, usize) {
        let alerts = self.alerts();
        let firing = alerts.iter().filter(|a| a.phase == AlertPhase::Firing).count();
        (firing, alerts.len() - firing)
    }

    /// The worst severity among what fires, or among all where nothing does.
    pub fn severity(&self) -> Severity {
        let firing = self.is_firing();
        let counted = |a: &&&Alert| !firing || a.phase == AlertPhase::Firing;
        self.alerts().iter().filter(counted).map(|a| a.severity).max().unwrap_or(Severity::Info)
    }
}

/// One HTTP request (always POST). Its address may be a secret, and so it isn't shown.
pub struct Request {
    /// Where to.
    pub url: SecretString,
    /// Headers beside `Content-Type`.
    pub headers: Vec<(&'static str, SecretString)>,
    /// The body, JSON.
    pub body: Vec<u8>,
}

impl Request {
    /// A request with a JSON body.
    pub fn json(url: impl Into<String>, body: &serde_json::Value) -> Self {
        Self { url: url.into().into(), headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    /// With a header more.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into().into()));
        self
    }

    /// The address, for the transport and for tests.
    pub fn address(&self) -> &str {
        self.url.expose_secret()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// How long to wait, where the service says so.
    pub retry_after: Option<Duration>,
    /// The body, at most 64 KiB of it.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, null where it isn't.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The beginning of the body as text, for people.
    pub fn excerpt(&self) -> String {
        crate::text::truncate_chars(String::from_utf8_lossy(&self.body).trim(), 200)
    }
}

/// Why a message wasn't taken. The words are Alertmanager's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureReason {
    /// The service doesn't accept the request as it is.
    ClientError,
    /// The service has a problem of its own.
    ServerError,
    /// Token, key or signature were refused.
    AuthError,
    /// Too many messages.
    RateLimited,
    /// No answer in time.
    ContextDeadlineExceeded,
    /// No connection.
    NetworkError,
    /// The address isn't allowed: not https, or inside the network.
    AddressRefused,
    /// Anything else.
    Other,
}

impl FailureReason {
    /// The word in metrics and conditions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientError => "clientError",
            Self::ServerError => "serverError",
            Self::AuthError => "authError",
            Self::RateLimited => "rateLimited",
            Self::ContextDeadlineExceeded => "contextDeadlineExceeded",
            Self::NetworkError => "networkError",
            Self::AddressRefused => "addressRefused",
            Self::Other => "other",
        }
    }

    /// The word as a condition's reason.
    pub fn as_condition(self) -> &'static str {
        match self {
            Self::ClientError => "ClientError",
            Self::ServerError => "ServerError",
            Self::AuthError => "AuthError",
            Self::RateLimited => "RateLimited",
            Self::ContextDeadlineExceeded => "DeadlineExceeded",
            Self::NetworkError => "NetworkError",
            Self::AddressRefused => "AddressRefused",
            Self::Other => "Other",
        }
    }
}

/// How a service's answer to a message counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken.
    Delivered,
    /// Not taken; trying again may help.
    Retry {
        /// The word for it, as conditions and metrics have it.
        reason: FailureReason,
        /// Not before this much later, where the service says so.
        after: Option<Duration>,
        /// The service's answer in words, cut to a length for people.
        message: String,
    },
    /// Not taken, and the same again won't be either.
    Refused {
        /// The word for it, as conditions and metrics have it.
        reason: FailureReason,
        /// The service's answer in words, cut to a length for people.
        message: String,
    },
}

impl Verdict {
    /// Trying again may help.
    pub fn retry(reason: FailureReason, after: Option<Duration>, message: impl Into<String>) -> Self {
        Self::Retry { reason, after, message: message.into() }
    }

    /// The same again won't be taken.
    pub fn refused(reason: FailureReason, message: impl Into<String>) -> Self {
        Self::Refused { reason, message: message.into() }
    }

    /// What the HTTP status alone says, for services that use it honestly: 2xx is taken, 429 and 5xx may be tried
    /// again, 408 and 425 too, the rest is refused.
    pub fn of_status(answer: &Answer) -> Self {
        let message = format!("HTTP {}: {}", answer.status, answer.excerpt());
        match answer.status {
            200..=299 => Self::Delivered,
            429 => Self::retry(FailureReason::RateLimited, answer.retry_after, message),
            408 | 425 | 500..=599 => Self::retry(FailureReason::ServerError, answer.retry_after, message),
            401 | 403 => Self::refused(FailureReason::AuthError, message),
            _ => Self::refused(FailureReason::ClientError, message),
        }
    }
}
