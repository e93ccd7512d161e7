//! Kafka: how far a consumer group is behind on its topics. Asks with Metadata, FindCoordinator, OffsetFetch,
//! ListOffsets and DescribeGroups over one connection per broker; joins no group and commits nothing.

mod cluster;
mod lag;
mod sasl;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use jiff::Timestamp;
use series::{Absence, AbsenceReason};

use super::{Count, DEADLINE, QueueReading, QueueSource};
use crate::Tls;
use crate::fingerprint::Fingerprint;
use crate::http::Pool;
use cluster::{Cluster, Place};
use lag::Bounds;
pub use lag::OffsetReset;
pub use sasl::{Mechanism, Sasl};

/// Which group on which topics of which cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to begin with, as `host:port`.
    pub bootstrap_servers: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// The topics whose lag counts.
    pub topics: Vec<String>,
    /// Where the group begins where it has committed nothing.
    pub offset_reset: OffsetReset,
    /// User and password.
    pub sasl: Option<Sasl>,
    /// TLS, where wanted.
    pub tls: Option<Tls>,
}

/// The lag of one group; connections are shared by all groups of that cluster and user.
pub struct Kafka {
    pool: Pool,
    cluster: Arc<Cluster>,
    group: String,
    topics: Vec<String>,
    offset_reset: OffsetReset,
}

/// A consumer group as its coordinator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `Stable`, `Empty`, `PreparingRebalance`, ...
    pub state: String,
    /// Its members.
    pub members: Vec<Member>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The id the coordinator gave it.
    pub id: String,
    /// `group.instance.id` of a static member, which keeps its partitions over a restart.
    pub instance: Option<String>,
    /// Where it is connected from.
    pub host: String,
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("cluster", &self.cluster.name)
            .field("group", &self.group)
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

impl Kafka {
    /// Makes the source; nothing is asked yet. Refused without a server or a topic, or where a certificate can't be
    /// used.
    pub fn new(pool: &Pool, config: Config) -> Result<Self, Absence> {
        if config.bootstrap_servers.is_empty() || config.topics.is_empty() {
            return Err(Absence::new(
                AbsenceReason::InvalidQuery,
                "name at least one bootstrap server and one topic",
            ));
        }
        let mut fingerprint = Fingerprint::new("kafka");
        let mut servers = config.bootstrap_servers;
        servers.sort();
        servers.dedup();
        for server in &servers {
            fingerprint.add(server);
        }
        if let Some(sasl) = &config.sasl {
            sasl.feed(&mut fingerprint);
        }
        let tls = match &config.tls {
            None => None,
            Some(tls) => {
                tls.feed(&mut fingerprint);
                Some(Arc::new(tls.client_config()?))
            }
        };
        let cluster = pool.shared(fingerprint.key(), || Cluster::new(servers, tls, config.sasl));
        Ok(Self {
            pool: pool.clone(),
            cluster,
            group: config.group,
            topics: config.topics,
            offset_reset: config.offset_reset,
        })
    }

    /// The group's state and members. `None` where there is no such group.
    pub async fn group(&self, now: Timestamp) -> Result<Option<Group>, Absence> {
        self.pool
            .ask("kafka", &self.cluster.name, now, DEADLINE, || self.cluster.describe_group(&self.group))
            .await
    }

    async fn once(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        let places = self.cluster.places(&self.topics).await?;
        let (committed, group, bounds) = futures::try_join!(
            self.cluster.committed(&self.group, &places),
            self.cluster.describe_group(&self.group),
            self.bounds(&places)
        )?;
        if group.is_none() && committed.is_empty() {
            return Err(Absence::new(
                AbsenceReason::NotFound,
                format!("{}: there is no consumer group {}", self.cluster.name, self.group),
            ));
        }
        let partitions = lag::assemble(&bounds, &committed, self.offset_reset);
        let waiting = partitions.iter().map(|p| p.lag).sum();
        let arrived: u64 = bounds.iter().map(|b| b.end.max(0) as u64).sum();
        Ok(QueueReading {
            arrivals: Some(Count::Total(arrived)),
            served: Some(Count::Total(arrived.saturating_sub(waiting))),
            consumers: group.and_then(|group| u32::try_from(group.members.len()).ok()),
            partitions,
            ..QueueReading::of_waiting(now, waiting)
        })
    }

    /// First and last offset of every partition, from the broker that leads it.
    async fn bounds(&self, places: &[Place]) -> Result<Vec<Bounds>, Absence> {
        let mut by_leader: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        for place in places {
            by_leader.entry(place.leader.clone()).or_default().push(place.clone());
        }
        let asked = by_leader.iter().map(|(leader, places)| self.cluster.bounds(leader, places));
        Ok(try_join_all(asked).await?.into_iter().flatten().collect())
    }
}

#[async_trait]
impl QueueSource for Kafka {
    async fn read(&self, now: Timestamp) -> Result<QueueReading, Absence> {
        self.pool.ask("kafka", &self.cluster.name, now, DEADLINE, || self.once(now)).await
    }
}
