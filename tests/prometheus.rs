//! Foresail's Prometheus source against a real Prometheus: values, back-fill, and every reason why there is none.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use series::{AbsenceReason, Reading};
use sources::prometheus::{Auth, Config, Prometheus as Source};
use sources::{Pool, Source as _};
use testbed::exporter::Counter;
use testbed::{LoadExporter, Prometheus, Shape, prepare, wait};

const PATIENCE: Duration = Duration::from_secs(30);

fn source(server: &Prometheus, query: &str) -> Result<Source> {
    Ok(Source::new(&Pool::default(), Config::new(server.url(), query))?)
}

async fn absence(server: &Prometheus, query: &str) -> Result<series::Absence> {
    let read = source(server, query)?.read(Timestamp::now()).await;
    read.err().with_context(|| format!("{query} gave a sample"))
}

#[tokio::test]
async fn each_odd_answer_has_its_own_reason() -> Result<()> {
    prepare();
    let server = Prometheus::setup().start().await?;
    for (query, reason) in [
        ("sum(nothing)", AbsenceReason::Empty),
        ("vector(0) / 0", AbsenceReason::NotANumber),
        ("vector(1) / 0", AbsenceReason::Infinite),
        ("vector(-1)", AbsenceReason::Negative),
        ("label_replace(vector(1), \"a\", \"1\", \"\", \"\") or vector(2)", AbsenceReason::SeveralSeries),
        ("sum(rate(x[5m])", AbsenceReason::InvalidQuery),
        ("up[5m]", AbsenceReason::InvalidQuery),
        ("\"text\"", AbsenceReason::InvalidQuery),
    ] {
        let found = absence(&server, query).await?;
        ensure!(found.reason == reason, "{query}: {found}");
    }
    let sample = source(&server, "scalar(vector(7))")?.read(Timestamp::now()).await?;
    ensure!(sample.value() == 7.0);
    Ok(())
}

#[tokio::test]
async fn two_weeks_of_minutes_are_filled_back_in_chunks() -> Result<()> {
    prepare();
    let to = series::time::align(Timestamp::now(), Duration::from_secs(60));
    let from = to - SignedDuration::from_hours(14 * 24);
    let mut samples = Vec::new();
    let mut at = from;
    while at <= to {
        samples.push((at, (at.as_second() / 60) as f64));
        at += SignedDuration::from_mins(1);
    }
    let server = Prometheus::setup().back_fill_samples("load{app=\"web\"}", &samples).start().await?;
    let source = source(&server, "sum(load)")?;
    let history = source.history(from, to, Duration::from_secs(60)).await?;
    ensure!(history.len() == 14 * 24 * 60 + 1, "{} samples", history.len());
    ensure!(history.iter().all(|s| s.value() == (s.time().as_second() / 60) as f64));
    let nothing = source.history(
        from - SignedDuration::from_hours(48),
        from - SignedDuration::from_hours(24),
        Duration::from_secs(60),
    );
    ensure!(nothing.await.is_err_and(|a| a.reason == AbsenceReason::Empty));
    Ok(())
}

#[tokio::test]
async fn samples_that_ended_are_stale_though_the_query_still_answers() -> Result<()> {
    prepare();
    let end = Timestamp::now() - SignedDuration::from_secs(200);
    let samples: Vec<_> = (0..80).rev().map(|i| (end - SignedDuration::from_secs(i * 15), 5.0)).collect();
    let server = Prometheus::setup().back_fill_samples("load", &samples).start().await?;
    ensure!(server.value("sum(load)").await? == 5.0, "Prometheus itself still answers");
    let reading = source(&server, "sum(load)")?.measure(Timestamp::now()).await.reading;
    ensure!(matches!(reading, Reading::Stale { age, .. } if age.as_secs() >= 199), "{reading:?}");
    Ok(())
}

#[tokio::test]
async fn a_window_that_an_outage_left_half_empty_is_absent() -> Result<()> {
    prepare();
    let now = Timestamp::now();
    let counter =
        |seconds_ago: i64| (now - SignedDuration::from_secs(seconds_ago), (10_000 - seconds_ago) as f64);
    // Measured every 15 s, but for the four minutes before the last 45 s.
    let samples: Vec<_> =
        (0..60).rev().map(|i| i * 15).filter(|ago| !(45..285).contains(ago)).map(counter).collect();
    let server = Prometheus::setup().back_fill_samples("requests_total", &samples).start().await?;
    let found = absence(&server, "sum(avg_over_time(requests_total[5m]))").await?;
    ensure!(found.reason == AbsenceReason::HalfFilled, "{found}");
    // Of a longer window more was measured: the value counts, and says of how much it is.
    let longer = source(&server, "sum(rate(requests_total[15m]))")?.measure(Timestamp::now()).await;
    ensure!(longer.reading.fresh().is_some_and(|rate| rate > 0.9), "{longer:?}");
    ensure!((0.65..0.85).contains(&longer.coverage), "{longer:?}");
    let shorter = source(&server, "sum(avg_over_time(requests_total[20s]))")?.measure(Timestamp::now()).await;
    ensure!(shorter.coverage >= 1.0, "{shorter:?}");
    Ok(())
}

#[tokio::test]
async fn series_that_vanish_with_their_value_are_noticed_and_a_scaled_down_workload_is_not_suspected()
-> Result<()> {
    prepare();
    let now = Timestamp::now();
    let mut setup = Prometheus::setup();
    for pod in 0..10 {
        // Seven of ten targets were lost seven minutes ago, and their load with them.
        let lost = pod >= 3;
        let times = (0..40i64).rev().map(|i| i * 15).filter(|ago| !lost || *ago > 420);
        let samples: Vec<_> = times.map(|ago| (now - SignedDuration::from_secs(ago), 10.0)).collect();
        setup = setup.back_fill_samples(&format!("lost{{pod=\"{pod}\"}}"), &samples);
        // The same, but the rest took the load over.
        let times = (0..40i64).rev().map(|i| i * 15).filter(|ago| !lost || *ago > 420);
        let value = |ago: i64| if ago > 420 { 10.0 } else { 100.0 / 3.0 };
        let samples: Vec<_> = times.map(|ago| (now - SignedDuration::from_secs(ago), value(ago))).collect();
        setup = setup.back_fill_samples(&format!("moved{{pod=\"{pod}\"}}"), &samples);
    }
    let server = setup.start().await?;
    let found = absence(&server, "sum(lost)").await?;
    ensure!(found.reason == AbsenceReason::SeriesVanished, "{found}");
    let moved = source(&server, "sum(moved)")?.read(Timestamp::now()).await?;
    ensure!((moved.value() - 100.0).abs() < 1e-6, "{moved:?}");
    Ok(())
}

#[tokio::test]
async fn a_live_counter_is_fresh_and_an_outage_is_unreachable_until_it_is_over() -> Result<()> {
    prepare();
    let exporter =
        LoadExporter::start(vec![Counter::new("requests_total", Shape::constant(50.0), Timestamp::now())])
            .await?;
    let mut server = Prometheus::setup().scrape("web", &[exporter.target()]).start().await?;
    let source = source(&server, "sum(rate(requests_total[10s]))")?;
    wait::until("the rate", PATIENCE, || async {
        let sample = source.read(Timestamp::now()).await?;
        ensure!((sample.value() - 50.0).abs() < 5.0, "{sample:?}");
        Ok(())
    })
    .await?;
    server.stop();
    let gone = source.read(Timestamp::now()).await.err().context("a reading from nowhere")?;
    ensure!(gone.reason == AbsenceReason::Unreachable, "{gone}");
    server.start().await?;
    wait::until("the rate again", PATIENCE, || source.read(Timestamp::now())).await?;
    Ok(())
}

#[tokio::test]
async fn a_password_is_sent_and_a_wrong_one_is_unauthorized() -> Result<()> {
    prepare();
    // "right-one", hashed with bcrypt.
    let users =
        "basic_auth_users: {foresail: '$2b$04$QmNeg0qz1Tz5Gpx.1Yl5SOwAlhmilhESX/KO94uB8nHusjpbwkoPy'}\n";
    let server = Prometheus::setup().web_config(users).start().await?;
    let with = |password: &str| {
        let mut config = Config::new(server.url(), "vector(1)");
        config.auth = Auth::Basic { username: "foresail".into(), password: password.to_owned().into() };
        Source::new(&Pool::default(), config)
    };
    ensure!(with("right-one")?.read(Timestamp::now()).await?.value() == 1.0);
    let wrong = with("wrong-one")?.read(Timestamp::now()).await.err().context("let in")?;
    ensure!(wrong.reason == AbsenceReason::Unauthorized && !wrong.message.contains("wrong-one"), "{wrong}");
    Ok(())
}
