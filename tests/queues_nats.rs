//! JetStream consumers of a real NATS server: messages are published, fetched and acknowledged, and the backlog is
//! what the server's own consumer info says.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use async_nats::jetstream::{self, consumer::PullConsumer, consumer::pull, stream};
use futures::StreamExt;
use jiff::Timestamp;
use series::AbsenceReason;
use sources::queue::Count;
use sources::queue::nats::{Auth, Config, Nats};
use sources::{Pool, QueueSource};
use testbed::{prepare, servers};

fn config(server: &servers::Nats, stream: &str, consumer: &str) -> Config {
    Config {
        address: server.url(),
        stream: stream.to_owned(),
        consumer: consumer.to_owned(),
        domain: None,
        auth: Auth::None,
        tls: None,
    }
}

async fn orders(server: &servers::Nats) -> Result<(jetstream::Context, PullConsumer)> {
    let context = jetstream::new(async_nats::connect(server.url()).await?);
    let orders = stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        ..stream::Config::default()
    };
    let orders = context.create_stream(orders).await?;
    let shop = pull::Config { durable_name: Some("shop".into()), ..pull::Config::default() };
    Ok((context, orders.create_consumer(shop).await?))
}

async fn publish(context: &jetstream::Context, count: usize) -> Result<()> {
    for _ in 0..count {
        context.publish("orders.new", "order".into()).await?.await?;
    }
    Ok(())
}

#[tokio::test]
async fn pending_and_unacknowledged_are_what_the_server_says() -> Result<()> {
    prepare();
    let server = servers::Nats::start().await?;
    let (context, mut consumer) = orders(&server).await?;
    let source = Nats::new(&Pool::default(), config(&server, "ORDERS", "shop"))?;
    let empty = source.read(Timestamp::now()).await?;
    ensure!(empty.backlog() == 0 && empty.oldest_age == Some(Duration::ZERO), "{empty:?}");

    publish(&context, 30).await?;
    let mut batch = consumer.fetch().max_messages(12).messages().await?;
    let mut taken = Vec::new();
    while let Some(message) = batch.next().await {
        taken.push(message.map_err(|e| anyhow!(e))?);
    }
    for message in taken.iter().take(5) {
        message.double_ack().await.map_err(|e| anyhow!(e))?;
    }
    let reading = source.read(Timestamp::now()).await?;
    let info = consumer.info().await?;
    ensure!((reading.waiting, reading.in_flight) == (18, Some(7)), "{reading:?}");
    ensure!(reading.waiting == info.num_pending, "{info:?}");
    ensure!(reading.in_flight == Some(info.num_ack_pending as u64), "{info:?}");
    ensure!(
        reading.arrivals == Some(Count::Total(30)) && reading.served == Some(Count::Total(5)),
        "{reading:?}"
    );
    ensure!(reading.oldest_age.is_some_and(|age| age < Duration::from_secs(30)), "{reading:?}");
    Ok(())
}

#[tokio::test]
async fn a_stream_or_consumer_that_is_not_there_is_not_found() -> Result<()> {
    prepare();
    let server = servers::Nats::start().await?;
    let (context, _) = orders(&server).await?;
    let pool = Pool::default();
    let reason = |stream: &str, consumer: &str| {
        let source = Nats::new(&pool, config(&server, stream, consumer));
        async move { Ok::<_, anyhow::Error>(source?.read(Timestamp::now()).await.map_err(|a| a.reason)) }
    };
    ensure!(reason("ORDERS", "shop").await?.is_ok());
    ensure!(reason("ORDERS", "nobody").await? == Err(AbsenceReason::NotFound));
    ensure!(reason("NOTHING", "shop").await? == Err(AbsenceReason::NotFound));
    context.delete_stream("ORDERS").await?;
    ensure!(reason("ORDERS", "shop").await? == Err(AbsenceReason::NotFound), "deleted while watched");
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_unauthorized_and_a_stopped_server_unreachable() -> Result<()> {
    prepare();
    let mut server = servers::Nats::with(&["--user", "foresail", "--pass", "right-one"]).await?;
    let pool = Pool::default();
    let with = |password: &str| Config {
        auth: Auth::User { username: "foresail".into(), password: password.to_owned().into() },
        ..config(&server, "ORDERS", "shop")
    };
    let right = Nats::new(&pool, with("right-one"))?;
    let found = right.read(Timestamp::now()).await.err().context("a stream that nobody made")?;
    ensure!(found.reason == AbsenceReason::NotFound, "{found}");
    let wrong = Nats::new(&pool, with("wrong-one"))?.read(Timestamp::now()).await.err().context("let in")?;
    ensure!(wrong.reason == AbsenceReason::Unauthorized && !wrong.message.contains("wrong-one"), "{wrong}");
    server.stop();
    let gone = right.read(Timestamp::now()).await.err().context("a reading from nowhere")?;
    ensure!(matches!(gone.reason, AbsenceReason::Unreachable | AbsenceReason::Timeout), "{gone}");
    Ok(())
}

#[tokio::test]
async fn many_consumers_share_one_connection() -> Result<()> {
    prepare();
    let server = servers::Nats::start().await?;
    let (context, _) = orders(&server).await?;
    let pool = Pool::default();
    let sources: Vec<Nats> =
        (0..100).map(|_| Nats::new(&pool, config(&server, "ORDERS", "shop"))).collect::<Result<_, _>>()?;
    let before = testbed::net::connections_to(server.port())?;
    let now = Timestamp::now();
    futures::future::try_join_all(sources.iter().map(|source| source.read(now))).await?;
    let connections = testbed::net::connections_to(server.port())? - before;
    ensure!(connections == 1, "{connections} connections");
    drop(context);
    Ok(())
}
