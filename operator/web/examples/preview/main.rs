//! Serves the page over made-up data that moves: `cargo run -p web --example preview -- 127.0.0.1:8123`.
//!
//! Everything shown is a function of time and of fixed constants, so that two runs at the same moment show the same. A
//! second argument is how many times faster than the clock the data moves. The browser test uses it as its server.

mod world;

use std::sync::Arc;
use std::time::Duration;

use health::snapshot::{Meta, Snapshot};
use jiff::Timestamp;
use tokio::sync::watch;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:8123".to_owned());
    let speed: f64 = args.next().and_then(|s| s.parse().ok()).unwrap_or(1.0);
    // A fixed moment to show, for pictures that stay the same.
    let frozen: Option<Timestamp> = args.next().and_then(|s| s.parse().ok());

    let started = Timestamp::now();
    let mut meta = Meta::new(env!("CARGO_PKG_VERSION"), "foresail-7c9d5-x2x4k", frozen.unwrap_or(started));
    meta.leader = true;
    "preview, made-up data".clone_into(&mut meta.source);
    meta.speed = if frozen.is_some() { 0.0 } else { speed };
    let time = move || {
        frozen.unwrap_or_else(|| {
            let passed = Timestamp::now().duration_since(started).as_secs_f64() * speed;
            series::time::after(started, Duration::from_secs_f64(passed.max(0.0)))
        })
    };
    let (sender, receiver) = watch::channel(Snapshot::new(meta));
    world::tell(&sender, time(), true);

    // Tests want to see a dead connection noticed sooner than people need to.
    let heartbeat = std::env::var("PREVIEW_HEARTBEAT_MS").ok().and_then(|ms| ms.parse().ok());
    let limits = web::Limits {
        heartbeat: heartbeat.map_or(web::Limits::default().heartbeat, Duration::from_millis),
        ..web::Limits::default()
    };
    let web = web::Web::with_limits(receiver, telemetry::metrics::Metrics::new(), limits);
    web.probes().check("preview").pass();
    let listener = tokio::net::TcpListener::bind(&listen).await?;
    println!("http://{}", listener.local_addr()?);
    let every = std::env::var("PREVIEW_EVERY_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(1000);
    tokio::spawn(async move {
        let mut round = 0_u32;
        loop {
            tokio::time::sleep(Duration::from_millis(every)).await;
            round += 1;
            world::tell(&sender, time(), round.is_multiple_of(5));
        }
    });
    let ending = web.clone();
    web.serve(listener, async move {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = async { match &mut term { Some(t) => { t.recv().await; } None => std::future::pending().await } } => {}
        }
        let now = Timestamp::now();
        ending.announce(
            health::snapshot::Maintenance {
                scheduled: false,
                shutdown_time: now,
                grace_period_seconds: 1,
                end_time: None,
                reason: "the preview ends".to_owned(),
            },
            true,
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    })
    .await
}

/// Shares a part behind a pointer only where it changed.
fn share<T: PartialEq>(old: &Arc<T>, new: T) -> Arc<T> {
    if **old == new { Arc::clone(old) } else { Arc::new(new) }
}
