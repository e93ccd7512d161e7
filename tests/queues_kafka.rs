//! Consumer-group lag against librdkafka's broker, which speaks Kafka's protocol over real sockets: a producer writes,
//! a consumer commits, and Foresail's lag is what librdkafka itself works out.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use series::AbsenceReason;
use sources::queue::Position;
use sources::queue::kafka::{Config, Kafka, OffsetReset};
use sources::{Pool, QueueSource};
use testbed::prepare;

const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(10);

struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Broker {
    fn start(brokers: i32, topics: &[&str]) -> Result<Self> {
        prepare();
        let cluster = MockCluster::new(brokers)?;
        for topic in topics {
            cluster.create_topic(topic, PARTITIONS, 1)?;
        }
        Ok(Self { cluster })
    }

    fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Writes `count` messages to one partition.
    fn produce(&self, topic: &str, partition: i32, count: usize) -> Result<()> {
        let producer: ThreadedProducer<_> =
            ClientConfig::new().set("bootstrap.servers", self.address()).create()?;
        for _ in 0..count {
            let record = BaseRecord::<(), str>::to(topic).partition(partition).payload("message");
            producer.send(record).map_err(|(error, _)| error)?;
        }
        Ok(producer.flush(PATIENCE)?)
    }

    fn consumer(&self, group: &str) -> Result<BaseConsumer> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address()).set("group.id", group);
        config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        Ok(config.create()?)
    }

    /// Commits as a consumer of the group would after so many messages.
    fn commit(&self, group: &str, offsets: &[(&str, i32, i64)]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (topic, partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
        }
        let consumer = self.consumer(group)?;
        consumer.assign(&list)?;
        Ok(consumer.commit(&list, CommitMode::Sync)?)
    }

    /// The lag as librdkafka works it out: watermarks less committed offsets, from the start where there is none.
    fn lag(&self, group: &str, topics: &[&str]) -> Result<u64> {
        let consumer = self.consumer(group)?;
        let mut list = TopicPartitionList::new();
        for topic in topics {
            list.add_partition_range(topic, 0, PARTITIONS - 1);
        }
        let mut lag = 0;
        for element in consumer.committed_offsets(list, PATIENCE)?.elements() {
            let (low, high) = consumer.fetch_watermarks(element.topic(), element.partition(), PATIENCE)?;
            lag += match element.offset() {
                Offset::Offset(offset) => high - offset,
                _ => high - low,
            };
        }
        Ok(u64::try_from(lag)?)
    }

    fn source(&self, pool: &Pool, group: &str, topics: &[&str]) -> Result<Kafka> {
        Ok(Kafka::new(pool, self.config(group, topics))?)
    }

    fn config(&self, group: &str, topics: &[&str]) -> Config {
        Config {
            bootstrap_servers: self.address().split(',').map(ToOwned::to_owned).collect(),
            group: group.to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            offset_reset: OffsetReset::Earliest,
            sasl: None,
            tls: None,
        }
    }
}

#[tokio::test]
async fn the_lag_is_what_librdkafka_says_over_several_topics_and_brokers() -> Result<()> {
    let broker = Broker::start(3, &["orders", "refunds"])?;
    for partition in 0..PARTITIONS {
        broker.produce("orders", partition, 30)?;
    }
    broker.produce("refunds", 0, 7)?;
    broker.commit("shop", &[("orders", 0, 25), ("orders", 1, 15)])?;

    let pool = Pool::default();
    let source = broker.source(&pool, "shop", &["orders", "refunds"])?;
    let reading = source.read(Timestamp::now()).await?;
    ensure!(reading.backlog() == 5 + 15 + 30 + 7, "{reading:?}");
    ensure!(reading.backlog() == broker.lag("shop", &["orders", "refunds"])?, "{reading:?}");
    ensure!(reading.most_consumers() == Some(6), "{reading:?}");
    let position = |topic: &str, partition: i32| {
        let found = reading.partitions.iter().find(|p| p.topic == topic && p.partition == partition);
        found.map(|found| found.position)
    };
    ensure!(position("orders", 0) == Some(Position::Committed(25)));
    ensure!(position("orders", 2) == Some(Position::Uncommitted), "never committed, so all of it waits");

    broker.commit("shop", &[("orders", 0, 30), ("orders", 1, 30), ("orders", 2, 30), ("refunds", 0, 7)])?;
    let reading = source.read(Timestamp::now()).await?;
    ensure!(reading.backlog() == 0, "{reading:?}");
    Ok(())
}

#[tokio::test]
async fn an_offset_that_the_topic_does_not_have_begins_where_the_reset_policy_says() -> Result<()> {
    let broker = Broker::start(1, &["orders"])?;
    broker.produce("orders", 0, 10)?;
    broker.commit("shop", &[("orders", 0, 500), ("orders", 1, 0), ("orders", 2, 0)])?;
    let pool = Pool::default();
    let earliest = broker.source(&pool, "shop", &["orders"])?.read(Timestamp::now()).await?;
    ensure!(earliest.backlog() == 10, "{earliest:?}");
    ensure!(earliest.partitions[0].position == Position::OutOfRange(500), "{earliest:?}");
    let latest = Config { offset_reset: OffsetReset::Latest, ..broker.config("shop", &["orders"]) };
    let latest = Kafka::new(&pool, latest)?.read(Timestamp::now()).await?;
    ensure!(latest.backlog() == 0, "{latest:?}");
    Ok(())
}

#[tokio::test]
async fn unknown_topics_and_groups_are_not_found_and_never_zero() -> Result<()> {
    let broker = Broker::start(1, &["orders"])?;
    broker.produce("orders", 0, 10)?;
    broker.commit("shop", &[("orders", 0, 1)])?;
    let pool = Pool::default();
    let reason = |source: Kafka| async move { source.read(Timestamp::now()).await.map_err(|a| a.reason) };
    let group = reason(broker.source(&pool, "nobody", &["orders"])?).await;
    ensure!(group == Err(AbsenceReason::NotFound), "{group:?}");
    // The broker may create topics by itself; asking for the lag must not.
    broker.cluster.topic_error("missing", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)?;
    let topic = reason(broker.source(&pool, "shop", &["missing"])?).await;
    ensure!(topic == Err(AbsenceReason::NotFound), "{topic:?}");
    let watched = broker.source(&pool, "shop", &["orders"])?;
    ensure!(watched.read(Timestamp::now()).await?.backlog() == 9);
    broker.cluster.topic_error("orders", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)?;
    let deleted = reason(watched).await;
    ensure!(deleted == Err(AbsenceReason::NotFound), "deleted while watched: {deleted:?}");
    Ok(())
}

#[tokio::test]
async fn a_partition_without_leader_is_partial_until_it_has_one_again() -> Result<()> {
    let broker = Broker::start(2, &["orders"])?;
    broker.produce("orders", 0, 10)?;
    broker.commit("shop", &[("orders", 0, 4)])?;
    let pool = Pool::default();
    let source = broker.source(&pool, "shop", &["orders"])?;
    ensure!(source.read(Timestamp::now()).await?.backlog() == 6);
    broker.cluster.partition_leader("orders", 0, None)?;
    let absence = source.read(Timestamp::now()).await.err().context("a sum over what is left")?;
    ensure!(absence.reason == AbsenceReason::Partial && absence.message.contains("orders/0"), "{absence}");
    broker.cluster.partition_leader("orders", 0, Some(1))?;
    ensure!(source.read(Timestamp::now()).await?.backlog() == 6);
    Ok(())
}

#[tokio::test]
async fn a_broker_that_goes_down_is_unreachable_and_comes_back_by_itself() -> Result<()> {
    let broker = Broker::start(1, &["orders"])?;
    broker.produce("orders", 0, 10)?;
    broker.commit("shop", &[("orders", 0, 4)])?;
    let pool = Pool::default();
    let source = broker.source(&pool, "shop", &["orders"])?;
    ensure!(source.read(Timestamp::now()).await?.backlog() == 6);
    broker.cluster.broker_down(1)?;
    let absence = source.read(Timestamp::now()).await.err().context("a reading from nowhere")?;
    ensure!(absence.reason == AbsenceReason::Unreachable, "{absence}");
    broker.cluster.broker_up(1)?;
    let again = testbed::wait::until("the lag", PATIENCE, || source.read(Timestamp::now())).await?;
    ensure!(again.backlog() == 6, "{again:?}");
    Ok(())
}

#[tokio::test]
async fn many_groups_share_one_connection_per_broker() -> Result<()> {
    let broker = Broker::start(1, &["orders"])?;
    broker.produce("orders", 0, 10)?;
    let pool = Pool::default();
    let mut sources = Vec::new();
    for group in 0..20 {
        let name = format!("group-{group}");
        broker.commit(&name, &[("orders", 0, group)])?;
        sources.push(broker.source(&pool, &name, &["orders"])?);
    }
    let now = Timestamp::now();
    let readings = futures::future::try_join_all(sources.iter().map(|source| source.read(now))).await?;
    for (group, reading) in readings.iter().enumerate() {
        ensure!(reading.backlog() == 10u64.saturating_sub(group as u64) || group > 10, "{reading:?}");
    }
    let port: u16 = broker.address().rsplit(':').next().context("a port")?.parse()?;
    ensure!(pool.census().brokers == 1);
    // librdkafka's own clients are gone; what is left to the broker's port is ours.
    ensure!(testbed::net::connections_to(port)? == 1, "{} connections", testbed::net::connections_to(port)?);
    Ok(())
}
