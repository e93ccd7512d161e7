//! Lists and streams of a real Redis: producers and consumers really work, and the backlog is what Redis' own commands
//! say.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use redis::aio::MultiplexedConnection;
use redis::{Client, cmd};
use series::AbsenceReason;
use sources::queue::Count;
use sources::queue::redis::{Config, Queue, Redis};
use sources::{Pool, QueueSource};
use testbed::{prepare, servers, wait};

const PATIENCE: Duration = Duration::from_secs(10);

async fn connection(server: &servers::Redis) -> Result<MultiplexedConnection> {
    Ok(Client::open(server.url())?.get_multiplexed_async_connection().await?)
}

fn config(server: &servers::Redis, queue: Queue) -> Config {
    Config {
        address: format!("127.0.0.1:{}", server.port()),
        database: 0,
        username: None,
        password: None,
        tls: None,
        queue,
    }
}

fn stream(key: &str, group: &str) -> Queue {
    Queue::Stream { key: key.into(), group: group.into() }
}

#[tokio::test]
async fn a_list_waits_as_llen_says_and_shrinks_as_it_is_consumed() -> Result<()> {
    prepare();
    let server = servers::Redis::start().await?;
    let mut redis = connection(&server).await?;
    let source = Redis::new(&Pool::default(), config(&server, Queue::List("jobs".into())))?;
    for job in 0..25 {
        cmd("RPUSH").arg("jobs").arg(job).exec_async(&mut redis).await?;
    }
    for left in [25u64, 24, 23] {
        let told: u64 = cmd("LLEN").arg("jobs").query_async(&mut redis).await?;
        let reading = source.read(Timestamp::now()).await?;
        ensure!(reading.backlog() == told && told == left, "{reading:?}");
        cmd("LPOP").arg("jobs").exec_async(&mut redis).await?;
    }
    cmd("DEL").arg("jobs").exec_async(&mut redis).await?;
    ensure!(source.read(Timestamp::now()).await?.backlog() == 0, "Redis drops a list with its last element");
    Ok(())
}

#[tokio::test]
async fn a_stream_tells_lag_pending_counters_and_age() -> Result<()> {
    prepare();
    let server = servers::Redis::start().await?;
    let mut redis = connection(&server).await?;
    cmd("XGROUP").arg(&["CREATE", "events", "shop", "$", "MKSTREAM"]).exec_async(&mut redis).await?;
    for event in 0..40 {
        cmd("XADD").arg("events").arg("*").arg("n").arg(event).exec_async(&mut redis).await?;
    }
    let read = ["GROUP", "shop", "one", "COUNT", "15", "STREAMS", "events", ">"];
    let _: redis::Value = cmd("XREADGROUP").arg(&read).query_async(&mut redis).await?;
    let (pending, first, ..): (u64, String, String, redis::Value) =
        cmd("XPENDING").arg(&["events", "shop"]).query_async(&mut redis).await?;
    cmd("XACK").arg(&["events", "shop", &first]).exec_async(&mut redis).await?;

    let source = Redis::new(&Pool::default(), config(&server, stream("events", "shop")))?;
    let reading = source.read(Timestamp::now()).await?;
    ensure!((reading.waiting, reading.in_flight) == (25, Some(pending - 1)), "{reading:?}");
    ensure!(
        reading.arrivals == Some(Count::Total(40)) && reading.served == Some(Count::Total(1)),
        "{reading:?}"
    );
    ensure!(reading.consumers == Some(1), "{reading:?}");
    ensure!(reading.oldest_age.is_some_and(|age| age < PATIENCE), "{reading:?}");

    // Deleted entries make Redis forget the lag, as Redis before 7 never knows it: then entries are counted.
    let (_, _, last, _): (u64, String, String, redis::Value) =
        cmd("XPENDING").arg(&["events", "shop"]).query_async(&mut redis).await?;
    let next: redis::streams::StreamRangeReply = cmd("XRANGE")
        .arg(&["events", &format!("({last}"), "+", "COUNT", "2"])
        .query_async(&mut redis)
        .await?;
    cmd("XDEL").arg("events").arg(&next.ids[1].id).exec_async(&mut redis).await?;
    let reading = source.read(Timestamp::now()).await?;
    ensure!((reading.waiting, reading.in_flight) == (24, Some(14)), "{reading:?}");
    Ok(())
}

#[tokio::test]
async fn a_stream_counts_what_came_and_what_was_worked_off() -> Result<()> {
    prepare();
    let server = servers::Redis::start().await?;
    let mut redis = connection(&server).await?;
    cmd("XGROUP").arg(&["CREATE", "events", "shop", "$", "MKSTREAM"]).exec_async(&mut redis).await?;
    let source = Redis::new(&Pool::default(), config(&server, stream("events", "shop")))?;
    let begin = Timestamp::from_second(1_000_000)?;
    let total = |count: Option<Count>| match count {
        Some(Count::Total(total)) => Ok(total),
        other => Err(anyhow::anyhow!("{other:?}")),
    };
    let before = source.read(begin).await?;
    for event in 0..30 {
        cmd("XADD").arg("events").arg("*").arg("n").arg(event).exec_async(&mut redis).await?;
    }
    let after = source.read(begin + Duration::from_secs(15)).await?;
    ensure!(total(after.arrivals)? == total(before.arrivals)? + 30, "{before:?} {after:?}");
    ensure!(total(after.served)? == total(before.served)?, "{before:?} {after:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_wrong_kinds_are_refused() -> Result<()> {
    prepare();
    let server = servers::Redis::start().await?;
    let mut redis = connection(&server).await?;
    cmd("XGROUP").arg(&["CREATE", "events", "shop", "$", "MKSTREAM"]).exec_async(&mut redis).await?;
    let pool = Pool::default();
    let reason = |queue| {
        let source = Redis::new(&pool, config(&server, queue));
        async move { Ok::<_, anyhow::Error>(source?.read(Timestamp::now()).await.map_err(|a| a.reason)) }
    };
    ensure!(reason(stream("events", "shop")).await?.is_ok());
    ensure!(reason(stream("events", "nobody")).await? == Err(AbsenceReason::NotFound));
    ensure!(reason(stream("nothing", "shop")).await? == Err(AbsenceReason::NotFound));
    ensure!(reason(Queue::List("events".into())).await? == Err(AbsenceReason::InvalidQuery));
    cmd("DEL").arg("events").exec_async(&mut redis).await?;
    ensure!(reason(stream("events", "shop")).await? == Err(AbsenceReason::NotFound), "deleted while watched");
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_unauthorized_and_not_shown() -> Result<()> {
    prepare();
    let server = servers::Redis::with(&["--requirepass", "right-one"]).await?;
    let pool = Pool::default();
    let with = |password: Option<&str>| Config {
        password: password.map(|p| p.to_owned().into()),
        ..config(&server, Queue::List("jobs".into()))
    };
    ensure!(Redis::new(&pool, with(Some("right-one")))?.read(Timestamp::now()).await?.backlog() == 0);
    for password in [Some("wrong-one"), None] {
        let absence =
            Redis::new(&pool, with(password))?.read(Timestamp::now()).await.err().context("let in")?;
        ensure!(absence.reason == AbsenceReason::Unauthorized, "{absence}");
        ensure!(!absence.message.contains("wrong-one"), "{absence}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stopped_server_is_unreachable_and_its_return_is_noticed() -> Result<()> {
    prepare();
    let mut server = servers::Redis::start().await?;
    let source = Redis::new(&Pool::default(), config(&server, Queue::List("jobs".into())))?;
    ensure!(source.read(Timestamp::now()).await?.backlog() == 0);
    server.stop();
    let absence = source.read(Timestamp::now()).await.err().context("a reading from nowhere")?;
    ensure!(absence.reason == AbsenceReason::Unreachable, "{absence}");
    server.restart().await?;
    cmd("RPUSH").arg("jobs").arg(1).exec_async(&mut connection(&server).await?).await?;
    let reading = wait::until("the list", PATIENCE, || source.read(Timestamp::now())).await?;
    ensure!(reading.backlog() == 1, "{reading:?}");
    Ok(())
}

#[tokio::test]
async fn five_hundred_queues_share_one_connection() -> Result<()> {
    prepare();
    let server = servers::Redis::start().await?;
    let pool = Pool::default();
    let sources: Vec<Redis> = (0..500)
        .map(|i| Redis::new(&pool, config(&server, Queue::List(format!("jobs-{i}")))))
        .collect::<Result<_, _>>()?;
    let now = Timestamp::now();
    let began = std::time::Instant::now();
    let readings = futures::future::try_join_all(sources.iter().map(|source| source.read(now))).await?;
    println!("500 lists read in {:?}", began.elapsed());
    ensure!(readings.len() == 500 && pool.census().brokers == 1);
    let connections = testbed::net::connections_to(server.port())?;
    ensure!(connections == 1, "{connections} connections");
    Ok(())
}
