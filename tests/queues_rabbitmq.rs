//! A queue of a real RabbitMQ, through the management API and through AMQP: messages are published, delivered and
//! acknowledged, and both ways tell what the broker itself says.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use jiff::Timestamp;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use series::AbsenceReason;
use sources::queue::Count;
use sources::queue::rabbitmq::{Config, RabbitMq};
use sources::{Pool, QueueSource};
use testbed::{prepare, servers, wait};

/// The management API counts every five seconds.
const PATIENCE: Duration = Duration::from_secs(30);

fn config(address: &str, queue: &str) -> Config {
    Config {
        address: address.to_owned(),
        vhost: "/".to_owned(),
        queue: queue.to_owned(),
        username: "guest".to_owned(),
        password: "guest".to_owned().into(),
        tls: None,
    }
}

fn amqp(server: &servers::RabbitMq) -> String {
    format!("amqp://127.0.0.1:{}", server.port())
}

async fn declare(server: &servers::RabbitMq, queue: &str) -> Result<(Connection, Channel)> {
    let connection = Connection::connect(&server.url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.queue_declare(queue.into(), QueueDeclareOptions::default(), FieldTable::default()).await?;
    Ok((connection, channel))
}

async fn publish(channel: &Channel, queue: &str, count: usize) -> Result<()> {
    for _ in 0..count {
        let publishing = channel.basic_publish(
            "".into(),
            queue.into(),
            BasicPublishOptions::default(),
            b"message",
            BasicProperties::default(),
        );
        publishing.await?.await?;
    }
    Ok(())
}

/// One broker for all scenes: it takes seconds to start.
#[tokio::test]
async fn rabbitmq_tells_what_waits_what_is_in_flight_and_why_it_cannot() -> Result<()> {
    prepare();
    let mut server = servers::RabbitMq::start().await?;
    both_ways_tell_what_the_broker_says(&server).await?;
    what_is_not_there_is_not_found(&server).await?;
    a_wrong_password_is_unauthorized(&server).await?;
    many_queues_share_one_connection(&server).await?;
    let pool = Pool::default();
    let by_api = RabbitMq::new(&pool, config(&server.management_url(), "orders"))?;
    let by_amqp = RabbitMq::new(&pool, config(&amqp(&server), "orders"))?;
    by_api.read(Timestamp::now()).await?;
    by_amqp.read(Timestamp::now()).await?;
    server.stop();
    for source in [by_api, by_amqp] {
        let gone = source.read(Timestamp::now()).await.err().context("a reading from nowhere")?;
        ensure!(matches!(gone.reason, AbsenceReason::Unreachable | AbsenceReason::Timeout), "{gone}");
    }
    Ok(())
}

async fn both_ways_tell_what_the_broker_says(server: &servers::RabbitMq) -> Result<()> {
    let (_connection, channel) = declare(server, "orders").await?;
    publish(&channel, "orders", 40).await?;
    channel.basic_qos(10, BasicQosOptions::default()).await?;
    let mut consumer = channel
        .basic_consume("orders".into(), "one".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    // Four are done; the next ten are taken and not done.
    let mut taken = Vec::new();
    while taken.len() < 14 {
        let delivery = consumer.next().await.context("the consumer ended")??;
        if taken.len() < 4 {
            delivery.ack(BasicAckOptions::default()).await?;
        }
        taken.push(delivery);
    }
    let pool = Pool::default();
    let by_amqp = RabbitMq::new(&pool, config(&amqp(server), "orders"))?;
    let reading = wait::until("AMQP", PATIENCE, || async {
        let reading = by_amqp.read(Timestamp::now()).await?;
        ensure!(reading.waiting == 26 && reading.consumers == Some(1), "{reading:?}");
        Ok(reading)
    })
    .await?;
    ensure!(reading.in_flight.is_none() && reading.arrivals.is_none(), "AMQP tells neither: {reading:?}");

    let by_api = RabbitMq::new(&pool, config(&server.management_url(), "orders"))?;
    wait::until("the management API", PATIENCE, || async {
        let reading = by_api.read(Timestamp::now()).await?;
        ensure!((reading.waiting, reading.in_flight) == (26, Some(10)), "{reading:?}");
        ensure!(reading.arrivals == Some(Count::Total(40)), "{reading:?}");
        ensure!(reading.served == Some(Count::Total(4)), "{reading:?}");
        ensure!(reading.consumers == Some(1), "{reading:?}");
        Ok(())
    })
    .await
}

async fn what_is_not_there_is_not_found(server: &servers::RabbitMq) -> Result<()> {
    let (_connection, channel) = declare(server, "brief").await?;
    let pool = Pool::default();
    for address in [server.management_url(), amqp(server)] {
        let brief = RabbitMq::new(&pool, config(&address, "brief"))?;
        let missing = RabbitMq::new(&pool, config(&address, "missing"))?;
        let vhost = Config { vhost: "nowhere".into(), ..config(&address, "brief") };
        for source in [missing, RabbitMq::new(&pool, vhost)?] {
            let absence = source.read(Timestamp::now()).await.err().context("a queue nobody made")?;
            ensure!(absence.reason == AbsenceReason::NotFound, "{absence}");
        }
        wait::until("the first count", PATIENCE, || brief.read(Timestamp::now())).await?;
    }
    channel.queue_delete("brief".into(), QueueDeleteOptions::default()).await?;
    for address in [server.management_url(), amqp(server)] {
        let brief = RabbitMq::new(&pool, config(&address, "brief"))?;
        match brief.read(Timestamp::now()).await {
            Err(absence) if absence.reason == AbsenceReason::NotFound => {}
            other => bail!("deleted while watched: {other:?}"),
        }
    }
    Ok(())
}

async fn a_wrong_password_is_unauthorized(server: &servers::RabbitMq) -> Result<()> {
    let pool = Pool::default();
    for address in [server.management_url(), amqp(server)] {
        let wrong = Config { password: "wrong-one".to_owned().into(), ..config(&address, "orders") };
        let absence = RabbitMq::new(&pool, wrong)?.read(Timestamp::now()).await.err().context("let in")?;
        ensure!(absence.reason == AbsenceReason::Unauthorized, "{absence}");
        ensure!(!absence.message.contains("wrong-one"), "{absence}");
    }
    Ok(())
}

async fn many_queues_share_one_connection(server: &servers::RabbitMq) -> Result<()> {
    let pool = Pool::default();
    let connections = |wanted: usize| {
        wait::until("connections to RabbitMQ", PATIENCE, move || async move {
            let connections = testbed::net::connections_to(server.port())?;
            ensure!(connections == wanted, "{connections} instead of {wanted}");
            Ok(())
        })
    };
    // Those of the scenes before end a moment after whoever held them.
    connections(0).await?;
    let sources: Vec<RabbitMq> =
        (0..50).map(|_| RabbitMq::new(&pool, config(&amqp(server), "orders"))).collect::<Result<_, _>>()?;
    let now = Timestamp::now();
    futures::future::try_join_all(sources.iter().map(|source| source.read(now))).await?;
    connections(1).await
}
