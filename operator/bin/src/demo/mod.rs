//! The whole product in one process: the forecaster, the shadow, the decision and the page of production on a
//! simulated cluster, faster than real time. What comes in: a speed and an address for the page. What goes out: a live
//! view, and the comparison with the HPA at the end. Knows no Kubernetes, and no network but the page's own port.

mod page;
mod reckoning;
mod screen;
mod script;
mod stage;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use backtest::report::{Paint, table};
use backtest::{Comparison, Outcome};
use health::snapshot::Snapshot;
use indicatif::ProgressBar;
use telemetry::metrics::Metrics;
use tokio::sync::watch;

use self::page::Page;
use self::reckoning::Reckoning;
use self::screen::Screen;
use self::script::Script;
use self::stage::{Moment, Stage};
use crate::cli;

/// What the user asked for.
pub(crate) struct Wishes {
    /// Times faster than the clock; 0 for as fast as it goes.
    pub(crate) speed: f64,
    /// Where the page is served; `None` for nowhere.
    pub(crate) page: Option<SocketAddr>,
    /// The page's address was asked for, so another one won't do.
    pub(crate) insist: bool,
    /// Everything that happens by chance follows from it.
    pub(crate) seed: u64,
}

/// A screen is drawn anew, and the page told, at most this often.
const FRAME: Duration = Duration::from_millis(150);

/// Plays the script from beginning to end, or until Ctrl-C.
pub(crate) fn play(wishes: &Wishes) -> anyhow::Result<ExitCode> {
    let runtime = cli::runtime().context("can't start")?;
    let stop = Arc::new(AtomicBool::new(false));
    let (ended, end) = watch::channel(false);
    watch_for_ctrl_c(&runtime, Arc::clone(&stop), ended.clone());

    let script = Script::new(wishes.seed).context("can't write the demo's script")?;
    let bar = ProgressBar::new_spinner().with_message("learning two weeks of a shop's traffic");
    bar.enable_steady_tick(Duration::from_millis(120));
    let stage = Stage::build(&script).context("can't set the demo's stage")?;
    bar.finish_and_clear();

    let (sender, receiver) = watch::channel(Snapshot::new(page::meta(&stage, wishes.speed)));
    let metrics = Metrics::new();
    let served = match wishes.page {
        Some(address) => Some(serve(&runtime, address, wishes.insist, receiver, &metrics, end)?),
        None => None,
    };
    let url = served.as_ref().map(|(address, _)| format!("http://{address}/"));
    let audience = Audience { sender: &sender, metrics, url: url.as_deref(), stop: &stop };
    if let Some(outcome) = perform(wishes, &script, &stage, audience) {
        let comparison = stage.comparison();
        sender.send_modify(|snapshot| page::conclude(snapshot, &comparison));
        let reckoning = Reckoning::new(&script, &outcome, stage.hpa());
        epilogue(&comparison, &reckoning.text(stage.protection()), url.as_deref(), &stop);
    }
    ended.send_replace(true);
    if let Some((_, task)) = served {
        // Streams are told and closed; a browser that doesn't let go isn't waited for.
        let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(2), task).await });
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

/// Who watches, and how.
struct Audience<'a> {
    sender: &'a watch::Sender<Snapshot>,
    metrics: Metrics,
    url: Option<&'a str>,
    stop: &'a AtomicBool,
}

/// The script itself: one moment after the other, at the speed asked for. What came of it, unless somebody left early.
fn perform(wishes: &Wishes, script: &Script, stage: &Stage, audience: Audience<'_>) -> Option<Outcome> {
    let Audience { sender, metrics, url, stop } = audience;
    let terminal = std::io::stdout().is_terminal();
    let mut screen = Screen::new(terminal, wishes.speed, url);
    let mut page = Page::new(stage, script, metrics);
    let began = Instant::now();
    let mut drawn: Option<Instant> = None;
    let show = |page: &Page, screen: &mut Screen| {
        draw(screen);
        sender.send_modify(|snapshot| page.show(snapshot));
    };
    let outcome = stage.run(&mut |moment: &Moment| {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        screen.take(moment, script);
        page.take(moment, script);
        if drawn.is_none_or(|at| at.elapsed() >= FRAME) {
            show(&page, &mut screen);
            drawn = Some(Instant::now());
        }
        pause(wishes.speed, began, moment.elapsed, stop);
        true
    });
    show(&page, &mut screen);
    screen.leave();
    outcome
}

fn draw(screen: &mut Screen) {
    let text = screen.frame();
    let mut out = std::io::stdout().lock();
    // A closed pipe isn't an error of ours, and the script goes on for the page.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Waits until the clock has come as far as the script, in short naps so that Ctrl-C is heard.
fn pause(speed: f64, began: Instant, elapsed: Duration, stop: &AtomicBool) {
    if speed <= 0.0 {
        return;
    }
    let due = began + elapsed.div_f64(speed);
    while !stop.load(Ordering::Relaxed) {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// The final comparison; with a page and a terminal, the page stays up until Ctrl-C.
fn epilogue(comparison: &Comparison, reckoning: &str, url: Option<&str>, stop: &AtomicBool) {
    let terminal = std::io::stdout().is_terminal();
    let color = terminal && std::env::var_os("NO_COLOR").is_none();
    println!("\nThe day is over. The same day under each way of scaling:\n");
    print!("{}", table(comparison, Paint { color, price: None }));
    print!("\n{reckoning}");
    println!("\nYour own history instead of this one: foresail backtest --help");
    if let Some(url) = url.filter(|_| terminal) {
        println!("The page stays at {url} until Ctrl-C.");
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

type Served = (SocketAddr, tokio::task::JoinHandle<std::io::Result<()>>);

/// Serves the page; where the usual port is taken and nobody insisted on it, on a free one.
fn serve(
    runtime: &tokio::runtime::Runtime,
    address: SocketAddr,
    insist: bool,
    receiver: watch::Receiver<Snapshot>,
    metrics: &Metrics,
    mut end: watch::Receiver<bool>,
) -> anyhow::Result<Served> {
    let listener = runtime.block_on(async {
        match tokio::net::TcpListener::bind(address).await {
            Err(_) if !insist => tokio::net::TcpListener::bind(SocketAddr::new(address.ip(), 0)).await,
            other => other,
        }
    });
    let listener = listener.with_context(|| format!("can't serve the page on {address}"))?;
    let bound = listener.local_addr().context("the page's address is unknown")?;
    let web = web::Web::new(receiver, metrics.clone());
    web.probes().check("demo").pass();
    let task = runtime.spawn(web.serve(listener, async move {
        let _ = end.wait_for(|ended| *ended).await;
    }));
    Ok((bound, task))
}

/// The first Ctrl-C ends the demo in good order, the second at once.
fn watch_for_ctrl_c(runtime: &tokio::runtime::Runtime, stop: Arc<AtomicBool>, ended: watch::Sender<bool>) {
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.store(true, Ordering::Relaxed);
            ended.send_replace(true);
            let _ = tokio::signal::ctrl_c().await;
            std::process::exit(130);
        }
    });
}
