//! What can fail at the API server, sorted by what follows from it. The names are metric labels and event reasons.

use std::fmt;

/// A refusal that ends an evaluation: what to say on the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The word to search for; one of `api::condition::reason`.
    pub reason: &'static str,
    /// What was found, and what to do.
    pub message: String,
    /// Trying again soon may help without anybody changing anything.
    pub transient: bool,
}

impl Refusal {
    /// A refusal that somebody has to do something about.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), transient: false }
    }

    /// A refusal that may pass.
    pub fn transient(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), transient: true }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

/// Whether the API server says that there is no such thing.
pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the API server says that somebody else was faster.
pub(crate) fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Whether the API server says that we may not.
pub(crate) fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// An error of the API server in one sentence, without the debug form that kube appends.
pub(crate) fn say(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} (HTTP {})", status.message, status.code),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                if !text.contains(&cause_text) {
                    text = format!("{text}: {cause_text}");
                }
                source = cause.source();
            }
            text
        }
    }
}
