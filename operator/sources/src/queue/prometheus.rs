//! A queue that Prometheus knows: the backlog is one query, the age of the oldest message may be another.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use series::{Absence, Sample};

use super::{QueueReading, QueueSource};
use crate::Source as _;
use crate::http::Pool;
use crate::prometheus::{self, Prometheus};

/// The queries of one queue.
pub struct Queries {
    backlog: Prometheus,
    oldest_age: Option<Prometheus>,
}

impl fmt::Debug for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queries").field(&self.backlog).finish()
    }
}

impl Queries {
    /// `server` says where to ask and its query how much waits; `oldest_age` gives seconds.
    pub fn new(pool: &Pool, server: prometheus::Config, oldest_age: Option<String>) -> Result<Self, Absence> {
        let oldest_age = oldest_age
            .map(|query| Prometheus::new(pool, prometheus::Config { query, ..server.clone() }))
            .transpose()?;
        Ok(Self { backlog: Prometheus::new(pool, server)?, oldest_age })
    }
}

#[async_trait]
impl QueueSource for Queries {
    async fn read(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        let (backlog, oldest_age) =
            futures::try_join!(self.backlog.read(now), optional(self.oldest_age.as_ref(), now))?;
        Ok(QueueReading {
            oldest_age: oldest_age.and_then(|sample| Duration::try_from_secs_f64(sample.value()).ok()),
            ..QueueReading::of_waiting(backlog.time(), backlog.value().round() as u64)
        })
    }
}

async fn optional(source: Option<&Prometheus>, now: Timestamp) -> Result<Option<Sample>, Absence> {
    match source {
        Some(source) => source.read(now).await.map(Some),
        None => Ok(None),
    }
}
