//! A scrape target whose counter follows a [`Shape`], continuing the history that was back-filled with the same
//! shape.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::shape::Shape;

/// What one series of the exporter is.
#[derive(Debug, Clone)]
pub struct Counter {
    /// Name and labels as in the exposition format: `http_requests_total{app="web"}`.
    pub series: String,
    /// Its growth per second.
    pub shape: Shape,
    /// When it stood at 0.
    pub since: Timestamp,
}

impl Counter {
    /// A counter that stood at 0 at `since`.
    pub fn new(series: &str, shape: Shape, since: Timestamp) -> Self {
        Self { series: series.to_owned(), shape, since }
    }

    /// Its value at a time.
    pub fn value(&self, at: Timestamp) -> f64 {
        self.shape.total(self.since, at)
    }
}

/// An HTTP server on loopback that answers every request with its counters in the text format of Prometheus.
#[derive(Debug)]
pub struct LoadExporter {
    port: u16,
    silent: Arc<AtomicBool>,
    server: JoinHandle<()>,
}

impl LoadExporter {
    /// Starts serving `counters`.
    ///
    /// # Errors
    /// Fails when no loopback port can be bound.
    pub async fn start(counters: Vec<Counter>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let silent = Arc::new(AtomicBool::new(false));
        let (quiet, counters) = (Arc::clone(&silent), Arc::new(counters));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if quiet.load(Ordering::Relaxed) {
                    continue;
                }
                tokio::spawn(answer(stream, Arc::clone(&counters)));
            }
        });
        Ok(Self { port, silent, server })
    }

    /// `127.0.0.1:PORT`, as a scrape target.
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Closes every connection unanswered, as a crashed exporter would, or answers again.
    pub fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }
}

impl Drop for LoadExporter {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(mut stream: TcpStream, counters: Arc<Vec<Counter>>) {
    let mut request = [0_u8; 4096];
    if stream.read(&mut request).await.is_err() {
        return;
    }
    let now = Timestamp::now();
    let lines: Vec<String> =
        counters.iter().map(|counter| format!("{} {}\n", counter.series, counter.value(now))).collect();
    let body = lines.concat();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // A scraper that hung up already has no use for the rest.
    if stream.write_all(head.as_bytes()).await.is_ok() {
        drop(stream.write_all(body.as_bytes()).await);
    }
}
