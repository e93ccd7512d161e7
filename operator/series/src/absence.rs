//! Why there is no number. Absence is a value with a reason, and never zero.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Sample;

/// Why a source gave no usable sample: one word for machines, one sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// The word to search for; also a metric label and a condition reason.
    pub reason: AbsenceReason,
    /// What was found where, and the remedy. Never contains a secret.
    pub message: String,
}

impl Absence {
    /// An absence with its sentence.
    pub fn new(reason: AbsenceReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Absence {}

/// The kinds of absence. The set is closed, so it can label metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AbsenceReason {
    /// The query is right and nothing matched it.
    Empty,
    /// The value is NaN.
    NotANumber,
    /// The value is infinite, or larger than any load is.
    Infinite,
    /// The value is below zero where load can't be.
    Negative,
    /// Several series came where one was wanted.
    SeveralSeries,
    /// The newest sample is too old.
    Stale,
    /// The newest sample lies in the future.
    Future,
    /// Too little of the window was measured, as after an outage.
    HalfFilled,
    /// Far fewer series feed the number than a while ago.
    SeriesVanished,
    /// Far from everything expected, and not yet confirmed by a second look.
    Implausible,
    /// The server can't be reached.
    Unreachable,
    /// The server didn't answer within the deadline.
    Timeout,
    /// The credentials were refused.
    Unauthorized,
    /// The server doesn't accept the query.
    InvalidQuery,
    /// The server answered with an error of its own.
    ServerError,
    /// The answer isn't what the protocol says.
    InvalidAnswer,
    /// Too many failures in a row; the server isn't asked again for a while.
    CircuitOpen,
    /// A Secret or a key in it isn't there.
    SecretMissing,
    /// The queue, topic, stream or consumer group isn't there.
    NotFound,
    /// Part of the answer is missing: a partition has no leader, for example.
    Partial,
    /// Nothing was asked yet.
    NotYetRead,
}

impl AbsenceReason {
    /// The word itself, in PascalCase.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::NotANumber => "NotANumber",
            Self::Infinite => "Infinite",
            Self::Negative => "Negative",
            Self::SeveralSeries => "SeveralSeries",
            Self::Stale => "Stale",
            Self::Future => "Future",
            Self::HalfFilled => "HalfFilled",
            Self::SeriesVanished => "SeriesVanished",
            Self::Implausible => "Implausible",
            Self::Unreachable => "Unreachable",
            Self::Timeout => "Timeout",
            Self::Unauthorized => "Unauthorized",
            Self::InvalidQuery => "InvalidQuery",
            Self::ServerError => "ServerError",
            Self::InvalidAnswer => "InvalidAnswer",
            Self::CircuitOpen => "CircuitOpen",
            Self::SecretMissing => "SecretMissing",
            Self::NotFound => "NotFound",
            Self::Partial => "Partial",
            Self::NotYetRead => "NotYetRead",
        }
    }

    /// Whether asking again may help without anybody changing anything.
    pub fn is_transient(self) -> bool {
        !matches!(
            self,
            Self::SeveralSeries
                | Self::Unauthorized
                | Self::InvalidQuery
                | Self::SecretMissing
                | Self::Negative
        )
    }
}

impl fmt::Display for AbsenceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a source knows right now. Only [`Reading::Fresh`] may lower replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reading {
    /// Measured recently enough.
    Fresh(Sample),
    /// Measured, but too long ago: it may hold or raise, never lower.
    Stale {
        /// The last sample there was.
        sample: Sample,
        /// How old it is.
        age: Duration,
    },
    /// Nothing usable.
    Absent(Absence),
}

impl Reading {
    /// Sorts a sample into fresh, stale or absent at `now`: older than `max_age` is stale, more than `max_skew` in
    /// the future is absent with [`AbsenceReason::Future`].
    pub fn judge(sample: Sample, now: jiff::Timestamp, max_age: Duration, max_skew: Duration) -> Self {
        let ahead = crate::time::since(sample.time(), now);
        if ahead > max_skew {
            return Self::Absent(Absence::new(
                AbsenceReason::Future,
                format!(
                    "the newest sample is {}s ahead of now; check the clocks of the server and of Foresail",
                    ahead.as_secs()
                ),
            ));
        }
        let age = crate::time::since(now, sample.time());
        if age > max_age { Self::Stale { sample, age } } else { Self::Fresh(sample) }
    }

    /// The fresh value, if there is one.
    pub fn fresh(&self) -> Option<f64> {
        match self {
            Self::Fresh(sample) => Some(sample.value()),
            Self::Stale { .. } | Self::Absent(_) => None,
        }
    }

    /// Why the reading isn't fresh, if it isn't.
    pub fn absence(&self) -> Option<Absence> {
        match self {
            Self::Fresh(_) => None,
            Self::Stale { age, .. } => Some(Absence::new(
                AbsenceReason::Stale,
                format!("the newest sample is {}s old", age.as_secs()),
            )),
            Self::Absent(absence) => Some(absence.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn sample(second: i64) -> Sample {
        Sample::new(Timestamp::from_second(second).unwrap(), 7.0).unwrap()
    }

    #[test]
    fn a_reading_is_fresh_stale_or_from_the_future() {
        let now = Timestamp::from_second(1_000).unwrap();
        let judge =
            |second| Reading::judge(sample(second), now, Duration::from_secs(60), Duration::from_secs(5));
        assert_eq!(judge(940), Reading::Fresh(sample(940)));
        assert!(matches!(judge(939), Reading::Stale { age, .. } if age == Duration::from_secs(61)));
        assert_eq!(judge(1_005), Reading::Fresh(sample(1_005)));
        assert_eq!(judge(1_006).absence().map(|a| a.reason), Some(AbsenceReason::Future));
    }

    #[test]
    fn only_fresh_gives_a_value() {
        let stale = Reading::Stale { sample: sample(1), age: Duration::from_secs(99) };
        assert_eq!(stale.fresh(), None);
        assert_eq!(stale.absence().map(|a| a.reason), Some(AbsenceReason::Stale));
    }

    #[test]
    fn reasons_serialize_as_their_word() {
        let json = serde_json::to_string(&AbsenceReason::HalfFilled).unwrap();
        assert_eq!(json, format!("\"{}\"", AbsenceReason::HalfFilled));
    }
}
