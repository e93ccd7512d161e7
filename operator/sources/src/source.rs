//! The trait every source of a load signal implements, and how old a number may be.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use series::{Absence, AbsenceReason, Reading, Sample};

/// How old or how far ahead of our clock a sample may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Older samples are stale: they may hold or raise replicas, never lower them. A source that sees that its
    /// series is measured less often than this allows two and a half of the measured intervals.
    pub max_age: Duration,
    /// Samples further in the future than this are absent with `Future`.
    pub max_skew: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(90), max_skew: Duration::from_secs(30) }
    }
}

/// What a look at a source found.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Fresh, stale or absent.
    pub reading: Reading,
    /// The share, 0 to 1, of what the value stands for that was measured: of a rate over five minutes, the share of
    /// those five minutes. 0 where the reading is absent.
    pub coverage: f64,
}

impl Measured {
    /// Nothing, and why.
    pub fn absent(absence: Absence) -> Self {
        Self { reading: Reading::Absent(absence), coverage: 0.0 }
    }
}

/// A signal that can be read now and over its past.
#[async_trait]
pub trait Source: Send + Sync {
    /// What is known at `now`: fresh, stale or absent. Never an error, and never a made-up zero.
    async fn measure(&self, now: Timestamp) -> Measured;

    /// The values in `[from, to]`, one per `step`, oldest first. Steps without a usable value are left out. When the
    /// whole window holds nothing, that is an absence.
    async fn history(&self, from: Timestamp, to: Timestamp, step: Duration) -> Result<Vec<Sample>, Absence>;

    /// The fresh sample at `now`, or why there is none.
    async fn read(&self, now: Timestamp) -> Result<Sample, Absence> {
        match self.measure(now).await.reading {
            Reading::Fresh(sample) => Ok(sample),
            other => Err(other
                .absence()
                .unwrap_or_else(|| Absence::new(AbsenceReason::NotYetRead, "the source gave no reading"))),
        }
    }
}
