//! A queue that Prometheus knows: the backlog is one query, arrivals and age are others where there are any.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use series::{Absence, Sample};

use super::{Count, QueueReading, QueueSource};
use crate::Source as _;
use crate::http::Pool;
use crate::prometheus::{self, Prometheus};

/// The queries of one queue.
pub struct Queries {
    backlog: Prometheus,
    arrivals: Option<Prometheus>,
    oldest_age: Option<Prometheus>,
}

impl fmt::Debug for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queries").field(&self.backlog).finish()
    }
}

impl Queries {
    /// `server` says where to ask and its query how much waits; `arrivals` gives messages per second, `oldest_age`
    /// seconds.
    pub fn new(
        pool: &Pool,
        server: prometheus::Config,
        arrivals: Option<String>,
        oldest_age: Option<String>,
    ) -> Result<Self, Absence> {
        let source = |query: Option<String>| {
            query
                .map(|query| Prometheus::new(pool, prometheus::Config { query, ..server.clone() }))
                .transpose()
        };
        let (arrivals, oldest_age) = (source(arrivals)?, source(oldest_age)?);
        Ok(Self { backlog: Prometheus::new(pool, server)?, arrivals, oldest_age })
    }
}

#[async_trait]
impl QueueSource for Queries {
    async fn read(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        // Sizing on a backlog without its arrivals would be a guess, so one missing answer makes the reading absent.
        let (backlog, arrivals, oldest_age) = futures::try_join!(
            self.backlog.read(now),
            optional(self.arrivals.as_ref(), now),
            optional(self.oldest_age.as_ref(), now)
        )?;
        Ok(QueueReading {
            arrivals: arrivals.map(|sample| Count::PerSecond(sample.value())),
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
