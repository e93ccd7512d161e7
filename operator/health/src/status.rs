//! The words of health: a status, the verdict of one probe, and why a probe failed.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How a component, a group or the system is. The order is the order of severity, so the worst of several is `max`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Well.
    Pass,
    /// Out of service on purpose; failures are recorded and not told.
    Maintenance,
    /// Degraded: it works, but not as it should. Degraded is not down.
    Warn,
    /// Never checked yet, or nobody's view of it is recent.
    #[default]
    Unknown,
    /// Down.
    Fail,
}

impl Status {
    /// Every status, from the best to the worst.
    pub const ALL: [Self; 5] = [Self::Pass, Self::Maintenance, Self::Warn, Self::Unknown, Self::Fail];

    /// The word as health JSON writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Maintenance => "maintenance",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }

    /// Degraded or down: something a person may want to know of.
    pub fn is_trouble(self) -> bool {
        matches!(self, Self::Warn | Self::Fail)
    }

    /// Whether an HTTP answer about this status is 200 (`true`) or 503.
    pub fn is_serving(self) -> bool {
        !matches!(self, Self::Fail | Self::Unknown)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything asked for is so.
    Pass,
    /// It answered, but beyond a bound that was set for warnings.
    Warn,
    /// It didn't answer, or not as asked.
    Fail,
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Warn => Self::Warn,
            Verdict::Fail => Self::Fail,
        }
    }
}

/// Why a probe didn't pass. The set is closed, so it can label metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// It passed.
    Ok,
    /// No answer within the timeout.
    Timeout,
    /// Nothing listens there.
    Refused,
    /// The name doesn't resolve.
    NameNotFound,
    /// The connection broke.
    ConnectionLost,
    /// The TLS handshake failed or the certificate isn't trusted.
    Tls,
    /// The certificate expires soon, or has expired.
    CertificateExpiring,
    /// An HTTP status that wasn't asked for.
    UnexpectedStatus,
    /// The body isn't as asked.
    UnexpectedBody,
    /// Slower than the bound.
    TooSlow,
    /// The measured value is beyond a bound.
    OutOfBounds,
    /// The credentials were refused.
    Unauthorized,
    /// The service says of itself that it doesn't serve.
    NotServing,
    /// The answer isn't what the protocol says.
    InvalidAnswer,
    /// The object, series or service isn't there.
    NotFound,
    /// Fewer replicas are available than wanted.
    Unavailable,
    /// A container restarts again and again.
    CrashLoop,
    /// A rollout doesn't get on.
    RolloutStuck,
    /// There was no number to compare.
    NoData,
    /// A Secret or a key in it isn't there.
    SecretMissing,
    /// The check itself is not valid.
    InvalidCheck,
}

impl Reason {
    /// The word itself, in PascalCase.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "Ok",
            Self::Timeout => "Timeout",
            Self::Refused => "Refused",
            Self::NameNotFound => "NameNotFound",
            Self::ConnectionLost => "ConnectionLost",
            Self::Tls => "Tls",
            Self::CertificateExpiring => "CertificateExpiring",
            Self::UnexpectedStatus => "UnexpectedStatus",
            Self::UnexpectedBody => "UnexpectedBody",
            Self::TooSlow => "TooSlow",
            Self::OutOfBounds => "OutOfBounds",
            Self::Unauthorized => "Unauthorized",
            Self::NotServing => "NotServing",
            Self::InvalidAnswer => "InvalidAnswer",
            Self::NotFound => "NotFound",
            Self::Unavailable => "Unavailable",
            Self::CrashLoop => "CrashLoop",
            Self::RolloutStuck => "RolloutStuck",
            Self::NoData => "NoData",
            Self::SecretMissing => "SecretMissing",
            Self::InvalidCheck => "InvalidCheck",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which component: `namespace/name` of its `HealthCheck`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ComponentId(Arc<str>);

impl ComponentId {
    /// The component that the check `name` in `namespace` watches.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// `namespace/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the slash.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The part after the slash.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
