//! The event stream: one publisher, any number of readers, bounded memory.
//!
//! Events are numbered and kept in a ring. A reader that comes back with the id of the last event it saw (header
//! `Last-Event-ID`, or `lastEventId` in the query) gets what it missed; one whose gap is too old, or who saw another
//! life of this process, is told to start over with a full picture (`hello` with `resumed: false`). A reader that is
//! too slow loses events rather than growing a queue, and is told to start over (`resync`). Heartbeats (`beat`) let a
//! reader notice a dead connection. At the end everybody is told when to come back (`bye`), each at another moment.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event as Frame, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use health::snapshot::Snapshot;
use serde::{Deserialize, Serialize};
use serde_json::json;
use telemetry::metrics::Metrics;
use tokio::sync::{broadcast, watch};
use tokio::time::Interval;

use crate::{ROUND, Web, api, diff};

/// Bounds on the streams.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open streams; more are answered with 503.
    pub streams: usize,
    /// Events that a slow reader may be behind.
    pub behind: usize,
    /// Events that are kept for readers who come back.
    pub kept: usize,
    /// Bytes that kept events may take.
    pub kept_bytes: usize,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// Readers are asked to come back after this time at the earliest.
    pub retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 1000,
            behind: 256,
            kept: 2048,
            kept_bytes: 4 << 20,
            heartbeat: Duration::from_secs(10),
            retry: Duration::from_millis(200),
        }
    }
}

struct Event {
    number: u64,
    kind: &'static str,
    data: String,
}

#[derive(Default)]
struct Ring {
    last: u64,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

struct Inner {
    /// Names this life of the process, so that numbers of another life mean nothing.
    life: String,
    ring: Mutex<Ring>,
    live: broadcast::Sender<Arc<Event>>,
    closed: watch::Sender<bool>,
    turn: AtomicU64,
    limits: Limits,
    metrics: Metrics,
}

/// The publisher's side.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

impl Hub {
    pub(crate) fn new(metrics: Metrics, limits: Limits) -> Self {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
        Self(Arc::new(Inner {
            life: format!("{micros:x}"),
            ring: Mutex::default(),
            live: broadcast::Sender::new(limits.behind.max(1)),
            closed: watch::Sender::new(false),
            turn: AtomicU64::new(0),
            limits,
            metrics,
        }))
    }

    pub(crate) fn publish(&self, kind: &'static str, data: &impl Serialize) {
        let Ok(data) = serde_json::to_string(data) else { return };
        let mut ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last += 1;
        let event = Arc::new(Event { number: ring.last, kind, data });
        ring.bytes += event.data.len();
        ring.events.push_back(Arc::clone(&event));
        while ring.events.len() > self.0.limits.kept || ring.bytes > self.0.limits.kept_bytes {
            let Some(old) = ring.events.pop_front() else { break };
            ring.bytes -= old.data.len();
        }
        // Sent under the lock, so that a new reader sees each event either in the ring or live, never in neither.
        let _ = self.0.live.send(event);
        self.0.metrics.events_sent.inc();
    }

    pub(crate) fn close(&self) {
        self.0.closed.send_replace(true);
    }

    /// A new reader who last saw `seen`; `None` where there are too many already.
    fn subscribe(&self, seen: Option<&str>) -> Option<Reader> {
        if self.0.live.receiver_count() >= self.0.limits.streams {
            return None;
        }
        let ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.0.live.subscribe();
        let missed = seen.and_then(|id| self.missed(&ring, id));
        let mut waiting = VecDeque::new();
        let hello = json!({
            "resumed": missed.is_some(),
            "heartbeatMs": self.0.limits.heartbeat.as_millis() as u64,
        });
        waiting.push_back(self.frame(ring.last, "hello", &hello.to_string()).retry(self.0.limits.retry));
        waiting.extend(missed.iter().flatten().map(|e| self.frame(e.number, e.kind, &e.data)));
        let last = ring.last;
        drop(ring);
        let mut beat = tokio::time::interval(self.0.limits.heartbeat);
        beat.reset();
        self.0.metrics.event_streams.inc();
        Some(Reader {
            hub: self.clone(),
            live,
            closed: self.0.closed.subscribe(),
            beat,
            waiting,
            last,
            over: false,
        })
    }

    /// What somebody missed who last saw `id`; `None` where that can't be told.
    fn missed(&self, ring: &Ring, id: &str) -> Option<Vec<Arc<Event>>> {
        let (life, number) = id.split_once('-')?;
        let number: u64 = number.parse().ok()?;
        let oldest = ring.events.front().map_or(ring.last + 1, |e| e.number);
        (life == self.0.life && number <= ring.last && number + 1 >= oldest)
            .then(|| ring.events.iter().filter(|e| e.number > number).cloned().collect())
    }

    fn frame(&self, number: u64, kind: &str, data: &str) -> Frame {
        Frame::default().id(format!("{}-{number}", self.0.life)).event(kind).data(data)
    }

    /// Spread over half a second, so that a thousand readers don't come back in the same moment.
    fn come_back_in(&self) -> Duration {
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed);
        self.0.limits.retry + Duration::from_millis(turn.wrapping_mul(137) % 500)
    }
}

/// One reader's place in the stream.
struct Reader {
    hub: Hub,
    live: broadcast::Receiver<Arc<Event>>,
    closed: watch::Receiver<bool>,
    beat: Interval,
    waiting: VecDeque<Frame>,
    last: u64,
    over: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Some(frame);
            }
            if self.over {
                return None;
            }
            tokio::select! {
                biased;
                _ = self.closed.wait_for(|closed| *closed) => {
                    self.over = true;
                    let wait = self.hub.come_back_in();
                    let data = json!({"retryMs": wait.as_millis() as u64});
                    return Some(self.hub.frame(self.last, "bye", &data.to_string()).retry(wait));
                }
                event = self.live.recv() => match event {
                    Ok(event) if event.number <= self.last => {} // told from the ring
                    Ok(event) => {
                        self.last = event.number;
                        return Some(self.hub.frame(event.number, event.kind, &event.data));
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.hub.0.metrics.event_streams_behind.inc();
                        return Some(Frame::default().event("resync").data("{}"));
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                _ = self.beat.tick() => return Some(Frame::default().event("beat").data("{}")),
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.hub.0.metrics.event_streams.dec();
    }
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "lastEventId")]
    last_event_id: Option<String>,
}

pub(crate) async fn stream(
    State(web): State<Web>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Response {
    let header = headers.get("last-event-id").and_then(|v| v.to_str().ok());
    let seen = header.or(params.last_event_id.as_deref());
    let Some(reader) = web.hub.subscribe(seen) else {
        let mut response = api::problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "TooManyStreams",
            "too many event streams are open; come back later".to_owned(),
        );
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        return response;
    };
    // Proxies of the nginx family hold streams back unless told otherwise.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    (unbuffered, Sse::new(frames(reader))).into_response()
}

fn frames(reader: Reader) -> impl Stream<Item = Result<Frame, Infallible>> {
    stream::unfold(reader, |mut reader| async move { Some((Ok(reader.next().await?), reader)) })
}

/// Publishes what changes in `snapshot`, in rounds, until its sender is gone.
pub(crate) async fn publish(mut snapshot: watch::Receiver<Snapshot>, hub: &Hub) {
    let mut before = snapshot.borrow_and_update().clone();
    while snapshot.changed().await.is_ok() {
        let now = snapshot.borrow_and_update().clone();
        for (kind, data) in diff::changes(&before, &now) {
            hub.publish(kind, &data);
        }
        before = now;
        tokio::time::sleep(ROUND).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(limits: Limits) -> Hub {
        Hub::new(Metrics::new(), limits)
    }

    async fn text(reader: &mut Reader) -> String {
        let frame = tokio::time::timeout(Duration::from_secs(5), reader.next()).await.unwrap();
        format!("{:?}", frame.unwrap())
    }

    #[tokio::test]
    async fn a_reader_who_comes_back_gets_what_it_missed() {
        let hub = hub(Limits::default());
        for n in 1..=3 {
            hub.publish("policy", &json!({"n": n}));
        }
        let id = format!("{}-1", hub.0.life);
        let mut reader = hub.subscribe(Some(&id)).unwrap();
        assert!(text(&mut reader).await.contains(r#"\"resumed\":true"#));
        assert!(text(&mut reader).await.contains(r#"\"n\":2"#));
        assert!(text(&mut reader).await.contains(r#"\"n\":3"#));
        hub.publish("policy", &json!({"n": 4}));
        assert!(text(&mut reader).await.contains(r#"\"n\":4"#));
    }

    #[tokio::test]
    async fn a_gap_that_is_too_old_or_of_another_life_starts_over() {
        let hub = hub(Limits { kept: 2, ..Limits::default() });
        for n in 1..=9 {
            hub.publish("policy", &json!({"n": n}));
        }
        for id in [format!("{}-3", hub.0.life), "abc-9".to_owned(), "nonsense".to_owned()] {
            let mut reader = hub.subscribe(Some(&id)).unwrap();
            assert!(text(&mut reader).await.contains(r#"\"resumed\":false"#), "{id}");
        }
        let id = format!("{}-7", hub.0.life);
        assert!(text(&mut hub.subscribe(Some(&id)).unwrap()).await.contains(r#"\"resumed\":true"#));
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_to_start_over_and_memory_stays_bounded() {
        let hub = hub(Limits { behind: 4, kept: 8, ..Limits::default() });
        let mut reader = hub.subscribe(None).unwrap();
        for n in 0..1000 {
            hub.publish("policy", &json!({"n": n}));
        }
        assert!(text(&mut reader).await.contains("hello"));
        assert!(text(&mut reader).await.contains("resync"));
        assert!(text(&mut reader).await.contains(r#"\"n\":996"#));
        assert_eq!(hub.0.ring.lock().unwrap().events.len(), 8);
        assert_eq!(hub.0.metrics.event_streams_behind.get(), 1);
    }

    #[tokio::test]
    async fn at_the_end_readers_are_told_to_come_back_at_different_moments() {
        let hub = hub(Limits::default());
        let mut readers = [hub.subscribe(None).unwrap(), hub.subscribe(None).unwrap()];
        hub.close();
        let mut words = Vec::new();
        for reader in &mut readers {
            assert!(text(reader).await.contains("hello"));
            words.push(text(reader).await);
            assert!(reader.next().await.is_none());
        }
        assert!(words.iter().all(|w| w.contains("bye")));
        assert_ne!(words[0], words[1]);
        drop(readers);
        assert_eq!(hub.0.metrics.event_streams.get(), 0);
    }

    #[tokio::test]
    async fn silence_is_broken_by_heartbeats() {
        let hub = hub(Limits { heartbeat: Duration::from_millis(20), ..Limits::default() });
        let mut reader = hub.subscribe(None).unwrap();
        assert!(text(&mut reader).await.contains("hello"));
        assert!(text(&mut reader).await.contains("beat"));
        assert!(text(&mut reader).await.contains("beat"));
    }

    #[tokio::test]
    async fn more_streams_than_allowed_are_refused() {
        let hub = hub(Limits { streams: 1, ..Limits::default() });
        let first = hub.subscribe(None);
        assert!(first.is_some() && hub.subscribe(None).is_none());
    }
}
