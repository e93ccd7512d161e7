//! A cluster as one user sees it: a connection per broker, who coordinates which group, who leads which partition.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestTopic};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DescribeGroupsRequest, GroupId, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use rustls::ClientConfig;
use series::{Absence, AbsenceReason};

use super::lag::{Bounds, Committed};
use super::sasl::Sasl;
use super::wire::{Connection, error_name, reason};
use super::{Group, Member};
use crate::http::lock;
use crate::queue::link::Link;

const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// Where a partition is led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) leader: String,
}

pub(super) struct Cluster {
    pub(super) name: String,
    bootstrap: Vec<String>,
    tls: Option<Arc<ClientConfig>>,
    sasl: Option<Sasl>,
    brokers: Mutex<HashMap<String, Arc<Link<Arc<Connection>>>>>,
    coordinators: Mutex<HashMap<String, String>>,
}

impl Cluster {
    pub(super) fn new(bootstrap: Vec<String>, tls: Option<Arc<ClientConfig>>, sasl: Option<Sasl>) -> Self {
        Self {
            name: format!("kafka://{}", bootstrap.join(",")),
            bootstrap,
            tls,
            sasl,
            brokers: Mutex::default(),
            coordinators: Mutex::default(),
        }
    }

    /// The leader of every partition of the topics. A topic that isn't there, or a partition without a leader, makes
    /// the whole answer absent: a sum over the rest would look like less work.
    pub(super) async fn places(&self, topics: &[String]) -> Result<Vec<Place>, Absence> {
        let connection = self.any().await?;
        let metadata = connection
            // From version 4 on asking doesn't create topics; before version 10 topics go by name only.
            .request(4..=9, |_| {
                let topics = topics.iter().map(|t| MetadataRequestTopic::default().with_name(Some(topic(t))));
                MetadataRequest::default()
                    .with_topics(Some(topics.collect()))
                    .with_allow_auto_topic_creation(false)
            })
            .await?;
        self.places_in(&metadata, topics)
    }

    fn places_in(&self, metadata: &MetadataResponse, topics: &[String]) -> Result<Vec<Place>, Absence> {
        let addresses: BTreeMap<i32, String> =
            metadata.brokers.iter().map(|b| (b.node_id.0, address(b.host.as_str(), b.port))).collect();
        let mut places = Vec::new();
        let mut leaderless = Vec::new();
        for name in topics {
            let found =
                metadata.topics.iter().find(|t| t.name.as_ref().is_some_and(|n| n.0.as_str() == name));
            let Some(found) = found.filter(|t| t.error_code == 0) else {
                let code = found.map_or(ResponseError::UnknownTopicOrPartition.code(), |t| t.error_code);
                return Err(self.refused(code, &format!("topic {name}")));
            };
            for partition in &found.partitions {
                let leader = addresses.get(&partition.leader_id.0).filter(|_| partition.leader_id.0 >= 0);
                match leader {
                    Some(leader) => places.push(Place {
                        topic: name.clone(),
                        partition: partition.partition_index,
                        leader: leader.clone(),
                    }),
                    None => leaderless.push(format!("{name}/{}", partition.partition_index)),
                }
            }
        }
        if leaderless.is_empty() {
            return Ok(places);
        }
        Err(self.absent(
            AbsenceReason::Partial,
            format!("no leader for {}; is a broker down?", leaderless.join(", ")),
        ))
    }

    /// The offsets a group has committed on these partitions.
    pub(super) async fn committed(&self, group: &str, places: &[Place]) -> Result<Committed, Absence> {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for place in places {
            topics.entry(&place.topic).or_default().push(place.partition);
        }
        let topics: Vec<_> = topics
            .into_iter()
            .map(|(name, partitions)| {
                OffsetFetchRequestTopic::default().with_name(topic(name)).with_partition_indexes(partitions)
            })
            .collect();
        self.at_coordinator(group, |connection| async move {
            let request =
                OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(Some(topics));
            let answer = connection.request(1..=7, |_| request).await?;
            self.check(answer.error_code, &format!("consumer group {group}"))?;
            let mut committed = Committed::new();
            for topic in &answer.topics {
                for partition in &topic.partitions {
                    let name = topic.name.0.as_str();
                    self.check(partition.error_code, &format!("{name}/{}", partition.partition_index))?;
                    if partition.committed_offset >= 0 {
                        committed
                            .insert((name.to_owned(), partition.partition_index), partition.committed_offset);
                    }
                }
            }
            Ok(committed)
        })
        .await
    }

    /// The group's state and members; `None` where there is no such group or the broker can't describe one.
    pub(super) async fn describe_group(&self, group: &str) -> Result<Option<Group>, Absence> {
        self.at_coordinator(group, |connection| async move {
            if !connection.speaks::<DescribeGroupsRequest>(&(0..=5)) {
                return Ok(None);
            }
            let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
            let answer = connection.request(0..=5, |_| request).await?;
            let Some(found) = answer.groups.into_iter().next() else { return Ok(None) };
            if found.error_code == ResponseError::GroupIdNotFound.code()
                || found.group_state.as_str() == "Dead"
            {
                return self.describe_new_group(&connection, group).await;
            }
            self.check(found.error_code, &format!("consumer group {group}"))?;
            let members = found.members.iter().map(|member| Member {
                id: member.member_id.as_str().to_owned(),
                instance: member.group_instance_id.as_ref().map(|id| id.as_str().to_owned()),
                host: member.client_host.as_str().to_owned(),
            });
            Ok(Some(Group { state: found.group_state.as_str().to_owned(), members: members.collect() }))
        })
        .await
    }

    /// Groups of the newer rebalance protocol (KIP-848) answer to a request of their own.
    async fn describe_new_group(
        &self,
        connection: &Connection,
        group: &str,
    ) -> Result<Option<Group>, Absence> {
        if !connection.speaks::<ConsumerGroupDescribeRequest>(&(0..=0)) {
            return Ok(None);
        }
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
        let answer = connection.request(0..=0, |_| request).await?;
        let Some(found) = answer.groups.into_iter().next().filter(|found| found.error_code == 0) else {
            return Ok(None);
        };
        let members = found.members.iter().map(|member| Member {
            id: member.member_id.as_str().to_owned(),
            instance: member.instance_id.as_ref().map(|id| id.as_str().to_owned()),
            host: member.client_host.as_str().to_owned(),
        });
        Ok(Some(Group { state: found.group_state.as_str().to_owned(), members: members.collect() }))
    }

    /// First and last offsets of the partitions that one broker leads.
    pub(super) async fn bounds(&self, leader: &str, places: &[Place]) -> Result<Vec<Bounds>, Absence> {
        let connection = self.at(leader).await?;
        let begins = self.offsets(&connection, places, EARLIEST).await?;
        let ends = self.offsets(&connection, places, LATEST).await?;
        places
            .iter()
            .map(|place| {
                let key = (place.topic.clone(), place.partition);
                let offset = |offsets: &Committed| {
                    offsets.get(&key).copied().ok_or_else(|| {
                        let message =
                            format!("{} said nothing about {}/{}", leader, place.topic, place.partition);
                        self.absent(AbsenceReason::Partial, message)
                    })
                };
                let (begin, end) = (offset(&begins)?, offset(&ends)?);
                Ok(Bounds { topic: place.topic.clone(), partition: place.partition, begin, end })
            })
            .collect()
    }

    async fn offsets(
        &self,
        connection: &Connection,
        places: &[Place],
        at: i64,
    ) -> Result<Committed, Absence> {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for place in places {
            topics.entry(&place.topic).or_default().push(
                ListOffsetsPartition::default()
                    .with_partition_index(place.partition)
                    .with_current_leader_epoch(-1)
                    .with_timestamp(at),
            );
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            ListOffsetsTopic::default().with_name(topic(name)).with_partitions(partitions)
        });
        let request =
            ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(topics.collect());
        let answer = connection.request(1..=6, |_| request).await?;
        let mut offsets = Committed::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let name = topic.name.0.as_str();
                self.check(partition.error_code, &format!("{name}/{}", partition.partition_index))?;
                offsets.insert((name.to_owned(), partition.partition_index), partition.offset);
            }
        }
        Ok(offsets)
    }

    /// Asks the group's coordinator; forgets who that is where it says it isn't, or isn't there.
    async fn at_coordinator<T, F, Fut>(&self, group: &str, ask: F) -> Result<T, Absence>
    where
        F: FnOnce(Arc<Connection>) -> Fut,
        Fut: Future<Output = Result<T, Absence>>,
    {
        let coordinator = self.coordinator(group).await?;
        let answer = match self.at(&coordinator).await {
            Ok(connection) => ask(connection).await,
            Err(absence) => Err(absence),
        };
        if answer.as_ref().is_err_and(|a| {
            matches!(
                a.reason,
                AbsenceReason::ServerError | AbsenceReason::Unreachable | AbsenceReason::Timeout
            )
        }) {
            lock(&self.coordinators).remove(group);
        }
        answer
    }

    async fn coordinator(&self, group: &str) -> Result<String, Absence> {
        if let Some(known) = lock(&self.coordinators).get(group) {
            return Ok(known.clone());
        }
        let request = FindCoordinatorRequest::default().with_key(text(group)).with_key_type(0);
        let answer = self.any().await?.request(0..=3, |_| request).await?;
        self.check(answer.error_code, &format!("coordinator of consumer group {group}"))?;
        let found = address(answer.host.as_str(), answer.port);
        lock(&self.coordinators).insert(group.to_owned(), found.clone());
        Ok(found)
    }

    /// A connection to any broker: one that is there already, or else the first bootstrap server that answers.
    async fn any(&self) -> Result<Arc<Connection>, Absence> {
        let mut last = None;
        for server in &self.bootstrap {
            match self.at(server).await {
                Ok(connection) => return Ok(connection),
                Err(absence) if absence.reason == AbsenceReason::Unauthorized => return Err(absence),
                Err(absence) => last = Some(absence),
            }
        }
        Err(last
            .unwrap_or_else(|| self.absent(AbsenceReason::InvalidQuery, "no bootstrap server".to_owned())))
    }

    async fn at(&self, address: &str) -> Result<Arc<Connection>, Absence> {
        let link = Arc::clone(lock(&self.brokers).entry(address.to_owned()).or_default());
        let open =
            async { Connection::open(address, self.tls.as_ref(), self.sasl.as_ref()).await.map(Arc::new) };
        link.get(|connection| connection.usable(), open).await
    }

    fn check(&self, code: i16, what: &str) -> Result<(), Absence> {
        if code == 0 { Ok(()) } else { Err(self.refused(code, what)) }
    }

    fn refused(&self, code: i16, what: &str) -> Absence {
        let reason = reason(code);
        let remedy = match reason {
            AbsenceReason::NotFound => "; is the name right?",
            AbsenceReason::Unauthorized => "; the user needs DESCRIBE on topics and group",
            _ => "",
        };
        self.absent(reason, format!("{what}: {}{remedy}", error_name(code)))
    }

    fn absent(&self, reason: AbsenceReason, message: String) -> Absence {
        Absence::new(reason, format!("{}: {message}", self.name))
    }
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };

    use super::*;

    fn metadata(leaders: &[i32]) -> MetadataResponse {
        let partitions = leaders.iter().enumerate().map(|(i, leader)| {
            MetadataResponsePartition::default()
                .with_partition_index(i as i32)
                .with_leader_id((*leader).into())
        });
        MetadataResponse::default()
            .with_brokers(vec![
                MetadataResponseBroker::default()
                    .with_node_id(1.into())
                    .with_host(text("b1"))
                    .with_port(9092),
            ])
            .with_topics(vec![
                MetadataResponseTopic::default()
                    .with_name(Some(topic("orders")))
                    .with_partitions(partitions.collect()),
            ])
    }

    fn cluster() -> Cluster {
        Cluster::new(vec!["b1:9092".into()], None, None)
    }

    #[test]
    fn every_partition_goes_to_its_leader() {
        let places = cluster().places_in(&metadata(&[1, 1]), &["orders".into()]).unwrap();
        assert_eq!(places.len(), 2);
        assert_eq!(places[1].leader, "b1:9092");
    }

    #[test]
    fn a_partition_without_leader_makes_the_answer_partial_and_is_named() {
        let absence = cluster().places_in(&metadata(&[1, -1]), &["orders".into()]).unwrap_err();
        assert_eq!(absence.reason, AbsenceReason::Partial);
        assert!(absence.message.contains("orders/1"), "{absence}");
    }

    #[test]
    fn a_topic_that_is_not_there_is_not_found() {
        let absence = cluster().places_in(&metadata(&[1]), &["order".into()]).unwrap_err();
        assert_eq!(absence.reason, AbsenceReason::NotFound);
        assert!(absence.message.contains("topic order"), "{absence}");
    }

    #[test]
    fn addresses_of_ipv6_hosts_stand_in_brackets() {
        assert_eq!(address("::1", 9092), "[::1]:9092");
        assert_eq!(address("kafka-0.kafka", 9092), "kafka-0.kafka:9092");
    }
}
