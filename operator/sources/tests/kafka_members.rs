//! A group as its coordinator describes it: static and dynamic members, the older and the newer rebalance protocol, and
//! a group that is there without having committed anything.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod broker;

use broker::{answer, api, frame};
use jiff::Timestamp;
use kafka_protocol::messages::consumer_group_describe_response::{
    DescribedGroup as NewGroup, Member as NewMember,
};
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, OffsetFetchRequest,
    OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, StrBytes};
use series::AbsenceReason;
use sources::queue::Position;
use sources::queue::kafka::{Config, Kafka, OffsetReset};
use sources::{Pool, QueueSource};
use tokio::net::{TcpListener, TcpStream};

fn text(value: &'static str) -> StrBytes {
    StrBytes::from_static_str(value)
}

fn topic() -> TopicName {
    TopicName(text("orders"))
}

/// One broker, one topic of one partition with offsets 5 to 30, nothing committed. `classic` and `newer` are groups of
/// the two protocols; there is no other.
async fn converse(mut stream: TcpStream, port: i32) {
    while let Some((header, mut body)) = frame(&mut stream).await {
        let version = header.request_api_version;
        match ApiKey::try_from(header.request_api_key).unwrap() {
            ApiKey::ApiVersions => {
                let keys = vec![
                    api::<MetadataRequest>(12),
                    api::<FindCoordinatorRequest>(4),
                    api::<OffsetFetchRequest>(8),
                    api::<ListOffsetsRequest>(7),
                    api::<DescribeGroupsRequest>(5),
                    api::<ConsumerGroupDescribeRequest>(0),
                ];
                answer(&mut stream, &header, &ApiVersionsResponse::default().with_api_keys(keys)).await;
            }
            ApiKey::Metadata => {
                let partition = MetadataResponsePartition::default().with_leader_id(1.into());
                let response = MetadataResponse::default()
                    .with_brokers(vec![
                        MetadataResponseBroker::default()
                            .with_node_id(1.into())
                            .with_host(text("127.0.0.1"))
                            .with_port(port),
                    ])
                    .with_topics(vec![
                        MetadataResponseTopic::default()
                            .with_name(Some(topic()))
                            .with_partitions(vec![partition]),
                    ]);
                answer(&mut stream, &header, &response).await;
            }
            ApiKey::FindCoordinator => {
                let response =
                    FindCoordinatorResponse::default().with_host(text("127.0.0.1")).with_port(port);
                answer(&mut stream, &header, &response).await;
            }
            ApiKey::OffsetFetch => answer(&mut stream, &header, &OffsetFetchResponse::default()).await,
            ApiKey::ListOffsets => {
                let request = ListOffsetsRequest::decode(&mut body, version).unwrap();
                let offset = if request.topics[0].partitions[0].timestamp == -2 { 5 } else { 30 };
                let partition = ListOffsetsPartitionResponse::default().with_offset(offset);
                let topics = vec![
                    ListOffsetsTopicResponse::default().with_name(topic()).with_partitions(vec![partition]),
                ];
                answer(&mut stream, &header, &ListOffsetsResponse::default().with_topics(topics)).await;
            }
            ApiKey::DescribeGroups => {
                let request = DescribeGroupsRequest::decode(&mut body, version).unwrap();
                let group = DescribedGroup::default().with_group_id(request.groups[0].clone());
                let member = |id, instance: Option<&'static str>| {
                    DescribedGroupMember::default()
                        .with_member_id(text(id))
                        .with_group_instance_id(instance.map(text))
                        .with_client_host(text("/10.0.0.7"))
                };
                let group = if request.groups[0].0.as_str() == "classic" {
                    let members = vec![member("a-1", None), member("b-1", Some("pod-0"))];
                    group.with_group_state(text("Stable")).with_members(members)
                } else {
                    group.with_group_state(text("Dead"))
                };
                answer(&mut stream, &header, &DescribeGroupsResponse::default().with_groups(vec![group]))
                    .await;
            }
            ApiKey::ConsumerGroupDescribe => {
                let request = ConsumerGroupDescribeRequest::decode(&mut body, version).unwrap();
                let group = NewGroup::default().with_group_id(request.group_ids[0].clone());
                let group = if request.group_ids[0].0.as_str() == "newer" {
                    let member = NewMember::default()
                        .with_member_id(text("c-1"))
                        .with_instance_id(Some(text("pod-1")));
                    group.with_group_state(text("Stable")).with_members(vec![member])
                } else {
                    group.with_error_code(69)
                };
                let response = ConsumerGroupDescribeResponse::default().with_groups(vec![group]);
                answer(&mut stream, &header, &response).await;
            }
            other => panic!("nobody asks {other:?}"),
        }
    }
}

async fn source(group: &str) -> Kafka {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, i32::from(address.port())));
        }
    });
    let config = Config {
        bootstrap_servers: vec![address.to_string()],
        group: group.to_owned(),
        topics: vec!["orders".to_owned()],
        offset_reset: OffsetReset::Earliest,
        sasl: None,
        tls: None,
    };
    Kafka::new(&Pool::default(), config).unwrap()
}

#[tokio::test]
async fn static_and_dynamic_members_are_told_apart_and_counted_together() {
    let source = source("classic").await;
    let group = source.group(Timestamp::now()).await.unwrap().unwrap();
    let instances: Vec<_> = group.members.iter().map(|member| member.instance.as_deref()).collect();
    assert_eq!((group.state.as_str(), instances), ("Stable", vec![None, Some("pod-0")]));
    let reading = source.read(Timestamp::now()).await.unwrap();
    assert_eq!((reading.consumers, reading.most_consumers()), (Some(2), Some(1)));
}

#[tokio::test]
async fn a_group_that_has_committed_nothing_yet_has_everything_before_it() {
    let reading = source("classic").await.read(Timestamp::now()).await.unwrap();
    assert_eq!((reading.backlog(), reading.partitions[0].position), (25, Position::Uncommitted));
}

#[tokio::test]
async fn groups_of_the_newer_protocol_are_described_too() {
    let reading = source("newer").await.read(Timestamp::now()).await.unwrap();
    assert_eq!((reading.consumers, reading.backlog()), (Some(1), 25));
}

#[tokio::test]
async fn a_group_that_nobody_knows_is_not_found() {
    let absence = source("nobody").await.read(Timestamp::now()).await.unwrap_err();
    assert_eq!(absence.reason, AbsenceReason::NotFound, "{absence}");
}
