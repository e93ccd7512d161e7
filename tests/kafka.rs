//! Lag on a real Apache Kafka, judged by Kafka's own tools.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this file is test code")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use series::{Absence, AbsenceReason};
use sources::queue::kafka::{Config, Kafka, OffsetReset};
use sources::{Pool, QueueReading, QueueSource};
use testbed::prepare;
use testbed::servers::{self, Protocol};

async fn read(
    broker: &servers::Kafka,
    pool: &Pool,
    group: &str,
    topic: &str,
) -> Result<QueueReading, Absence> {
    let config = Config {
        bootstrap_servers: vec![broker.address()],
        group: group.to_owned(),
        topics: vec![topic.to_owned()],
        offset_reset: OffsetReset::Earliest,
        sasl: None,
        tls: None,
    };
    Kafka::new(pool, config)?.read(Timestamp::now()).await
}

#[tokio::test]
async fn the_lag_of_every_kind_of_group_is_what_kafkas_own_tools_say() -> Result<()> {
    prepare();
    let broker = servers::Kafka::start().await?;
    let pool = Pool::default();
    broker.topic("orders", 3).await?;
    broker.produce("orders", 1_000, None).await?;

    for (group, protocol, taken) in [("classic", Protocol::Classic, 400), ("modern", Protocol::Consumer, 250)]
    {
        broker.consume("orders", group, protocol, taken).await?;
        let told = broker.lag(group).await?;
        ensure!(told == 1_000 - taken, "{group}: Kafka's own tool tells a lag of {told}");
        let reading = read(&broker, &pool, group, "orders").await?;
        ensure!(reading.backlog() == told, "{group}: {reading:?}");
        ensure!(reading.most_consumers() == Some(3), "{group}: {reading:?}");
    }
    // What a share group has left, Kafka's own tool tells; a reader of ours is judged by it. It tells nothing of a
    // partition that the group has not begun with, so there is one.
    broker.topic("refunds", 1).await?;
    broker.produce("refunds", 1_000, None).await?;
    broker.share("refunds", "shared", 300).await?;
    let told = broker.share_lag("shared").await?;
    ensure!(told == 700, "Kafka's own tool tells a lag of {told}");

    for (group, topic) in [("nobody", "orders"), ("classic", "nothing")] {
        let absence =
            read(&broker, &pool, group, topic).await.err().context("a group or topic nobody made")?;
        ensure!(absence.reason == AbsenceReason::NotFound, "{group} {topic}: {absence}");
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_leaves_markers_deleted_records_move_the_beginning_and_data_outlive_a_restart()
-> Result<()> {
    prepare();
    let mut broker = servers::Kafka::start().await?;
    broker.topic("paid", 1).await?;
    broker.produce("paid", 100, Some(Duration::from_millis(1))).await?;
    let (low, high) = watermarks(&broker, "paid").await?;
    ensure!(low == 0 && high > 100, "100 records and the markers of their transactions: {low} to {high}");
    broker.delete_records("paid", 0, 60).await?;
    ensure!(watermarks(&broker, "paid").await? == (60, high));
    broker.restart().await?;
    // A broker that was killed may have forgotten the deletion, and never a record.
    ensure!(watermarks(&broker, "paid").await?.1 == high);
    Ok(())
}

/// Beginning and end of partition 0, as librdkafka reads them.
async fn watermarks(broker: &servers::Kafka, topic: &str) -> Result<(i64, i64)> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", broker.address()).create()?;
    let topic = topic.to_owned();
    let read = move || consumer.fetch_watermarks(&topic, 0, Duration::from_secs(20));
    Ok(tokio::task::spawn_blocking(read).await??)
}
