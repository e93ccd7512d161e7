//! One receiver at work: it watches the alerts that stand, asks the outbox what is due, sends it, and reports. The only
//! state that decides anything is the outbox's; the clock is read here and nowhere below.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use health::alert::{Alert, AlertPhase, Evidence, Severity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time::{after, since};
use telemetry::metrics::{Metrics, ReceiverMetrics};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::formats::Format;
use crate::message::{FailureReason, Group, Message, Request, Verdict};
use crate::outbox::{Attempt, Fate, Grouping, Outbox};
use crate::template::{BadTemplate, Custom, Renderer};
use crate::{Answer, Filter, Language, Target, Transport, catalog, sign};

/// A repetition of a relayed message within this time is taken for the same one.
const RELAY_REMEMBERED: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(30);

/// What a receiver is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `namespace/name`.
    pub name: String,
    /// The service.
    pub target: Target,
    /// The language of its messages.
    pub language: Language,
    /// Templates of the user.
    pub custom: Custom,
    /// Severities, labels and names of the alerts that it is notified of.
    pub filter: Filter,
    /// Which together, and how often.
    pub grouping: Grouping,
    /// Also when they are over.
    pub send_resolved: bool,
}

/// What came of one attempt, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// When the attempt ended.
    pub at: Timestamp,
    /// Whether the service took it.
    pub delivered: bool,
    /// The word for why it was not delivered; `None` where it was.
    pub reason: Option<FailureReason>,
    /// What the service said, without secrets.
    pub message: String,
}

/// How a receiver stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The format's name.
    pub format: &'static str,
    /// Messages that were taken.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Messages that were given up.
    pub dead_letters: u64,
    /// Groups that have something to tell.
    pub waiting: usize,
    /// The last message that was taken.
    pub last_delivery: Option<Timestamp>,
    /// The last attempt.
    pub last: Option<Delivery>,
    /// What the receiver believes to be firing; kept over restarts, so that nothing is told twice.
    pub notified: Vec<Alert>,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestReport {
    /// `firing`, then `resolved`: what came of each.
    pub steps: Vec<(&'static str, Delivery)>,
}

impl TestReport {
    /// Whether everything was taken.
    pub fn passed(&self) -> bool {
        self.steps.iter().all(|(_, d)| d.delivered)
    }
}

enum Command {
    Relay { message: Message, key: String, reply: oneshot::Sender<Verdict> },
    Finish { until: Instant },
}

/// A receiver at work. Dropping it stops it.
#[derive(Debug)]
pub struct Receiver {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Starts it. `alerts` holds what fires and what was lately resolved; `told` is what it believed before a restart.
    pub fn start(
        settings: Settings,
        transport: Transport,
        alerts: watch::Receiver<Arc<Vec<Alert>>>,
        notified: Vec<Alert>,
        metrics: &Metrics,
    ) -> Result<Self, BadTemplate> {
        let renderer = Renderer::new(settings.language, settings.custom.clone())?;
        let format = settings.target.format();
        let grouping = format.grouping(settings.grouping.clone());
        let mut outbox = Outbox::new(grouping, settings.send_resolved, format.quota(), &*settings.name);
        outbox.restore(notified, Timestamp::now());
        let first = Status { format: format.name(), ..Status::default() };
        let (status_sender, status) = watch::channel(first);
        let (commands, inbox) = mpsc::channel(64);
        let worker = Worker {
            metrics: metrics.receiver(settings.name.clone(), format.name()),
            sender: Sender { format, renderer, transport, target: settings.target },
            name: settings.name,
            filter: settings.filter,
            outbox,
            status: status_sender,
            relayed: HashMap::new(),
        };
        let task = tokio::spawn(worker.run(alerts, inbox));
        Ok(Self { commands, status, task })
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// How it stands, and when that changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Hands on a message that isn't about alerts of ours, once, and tells what came of it.
    pub async fn relay(&self, message: Message, key: String) -> Verdict {
        let gone = || Verdict::retry(FailureReason::Other, None, "the receiver is shutting down");
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Relay { message, key, reply }).await.is_err() {
            return gone();
        }
        answer.await.unwrap_or_else(|_| gone())
    }

    /// Sends what is due and ends, at the latest at `until`.
    pub async fn finish(mut self, until: Instant) {
        if self.commands.send(Command::Finish { until }).await.is_ok() {
            tokio::time::timeout_at(until.into(), &mut self.task).await.ok();
        }
    }

    /// Sends one made-up alert, firing and then resolved, outside of any pacing.
    pub async fn test(settings: &Settings, transport: &Transport) -> Result<TestReport, BadTemplate> {
        let sender = Sender {
            format: settings.target.format(),
            renderer: Renderer::new(settings.language, settings.custom.clone())?,
            transport: transport.clone(),
            target: settings.target.clone(),
        };
        let now = Timestamp::now();
        let mut steps = Vec::new();
        for phase in [AlertPhase::Firing, AlertPhase::Resolved] {
            let message = test_message(settings.language, phase, now);
            let (verdict, _, said) = sender.send(&message, 0, |_| Duration::ZERO).await;
            let word = if phase == AlertPhase::Firing { "firing" } else { "resolved" };
            steps.push((word, sender.delivery(&verdict, &said, Timestamp::now())));
        }
        Ok(TestReport { steps })
    }
}

fn test_message(language: Language, phase: AlertPhase, now: Timestamp) -> Message {
    let labels = BTreeMap::from([("namespace".to_owned(), "foresail".to_owned())]);
    let alert = Alert {
        id: "test".into(),
        name: "ForesailTest".into(),
        severity: Severity::Info,
        labels: labels.clone(),
        summary: catalog::words(language).test.into(),
        facts: BTreeMap::new(),
        evidence: Evidence::default(),
        runbook_url: String::new(),
        phase,
        since: now,
        fired: Some(now),
        resolved: (phase == AlertPhase::Resolved).then_some(now),
        muted: false,
    };
    let key = format!("foresail-test-{}", now.as_millisecond());
    let id = format!("msg_{}", &sign::hash(&format!("{key}{phase:?}"))[..24]);
    Message { id, at: now, groups: vec![Group { key, labels, alerts: vec![alert] }] }
}

/// Sends messages; knows the service, not the pace.
struct Sender {
    format: Arc<dyn Format>,
    renderer: Renderer,
    transport: Transport,
    target: Target,
}

impl Sender {
    /// Sends the requests of a message from the `done`th on, waiting before each as `pause` says. Gives what came of it,
    /// how many requests were taken, and what the service said last.
    async fn send(
        &self,
        message: &Message,
        done: usize,
        mut pause: impl FnMut(usize) -> Duration,
    ) -> (Verdict, usize, String) {
        let requests = match self.format.requests(message, &self.renderer, Timestamp::now()) {
            Ok(requests) => requests,
            Err(verdict) => return (verdict, done, String::new()),
        };
        if self.format.any_is_enough() {
            return self.send_to_any(&requests).await;
        }
        let (mut taken, mut said) = (done, String::new());
        for (i, request) in requests.iter().enumerate().skip(done) {
            tokio::time::sleep(pause(i)).await;
            let (verdict, text) = self.ask(request).await;
            said = text;
            if verdict != Verdict::Delivered {
                return (verdict, taken, said);
            }
            taken += 1;
        }
        (Verdict::Delivered, taken, said)
    }

    async fn send_to_any(&self, requests: &[Request]) -> (Verdict, usize, String) {
        let mut best: Option<(Verdict, String)> = None;
        for request in requests {
            let (verdict, text) = self.ask(request).await;
            if verdict == Verdict::Delivered || best.is_none() {
                let delivered = best.as_ref().is_some_and(|(v, _)| *v == Verdict::Delivered);
                if !delivered {
                    best = Some((verdict, text));
                }
            }
        }
        let nothing = || (Verdict::refused(FailureReason::ClientError, "there is no address"), String::new());
        let (verdict, text) = best.unwrap_or_else(nothing);
        (verdict, 0, text)
    }

    async fn ask(&self, request: &Request) -> (Verdict, String) {
        match self.transport.send(request).await {
            Ok(answer) => (self.format.judge(&answer), summary(&answer)),
            Err(verdict) => (verdict, String::new()),
        }
    }

    fn delivery(&self, verdict: &Verdict, said: &str, at: Timestamp) -> Delivery {
        let (delivered, reason, message) = match verdict {
            Verdict::Delivered => (true, None, said.to_owned()),
            Verdict::Retry { reason, message, .. } | Verdict::Refused { reason, message } => {
                (false, Some(*reason), message.clone())
            }
        };
        Delivery { at, delivered, reason, message: self.target.redact(&message) }
    }
}

fn summary(answer: &Answer) -> String {
    format!("HTTP {} {}", answer.status, answer.excerpt()).trim().to_owned()
}

struct Worker {
    name: String,
    filter: Filter,
    sender: Sender,
    outbox: Outbox,
    metrics: ReceiverMetrics,
    status: watch::Sender<Status>,
    relayed: HashMap<String, Timestamp>,
}

impl Worker {
    async fn run(mut self, mut alerts: watch::Receiver<Arc<Vec<Alert>>>, mut inbox: mpsc::Receiver<Command>) {
        let mut watching = true;
        loop {
            let to_notify = alerts.borrow_and_update().clone();
            let now = Timestamp::now();
            self.outbox.sync(to_notify.iter().filter(|a| self.filter.wants(a)), now);
            if self.deliver_one(now).await {
                continue;
            }
            self.report();
            let wake = self.outbox.next_wake(now).map_or(IDLE, |at| since(at, Timestamp::now()).min(IDLE));
            tokio::select! {
                changed = alerts.changed(), if watching => watching = changed.is_ok(),
                command = inbox.recv() => match command {
                    Some(Command::Relay { message, key, reply }) => {
                        let verdict = self.relay(&message, key).await;
                        reply.send(verdict).ok();
                    }
                    Some(Command::Finish { until }) => return self.finish(until).await,
                    None => return,
                },
                () = tokio::time::sleep(wake) => {}
            }
        }
    }

    /// Makes the attempt that is due, if one is. Gives whether there was one.
    async fn deliver_one(&mut self, now: Timestamp) -> bool {
        let Some(attempt) = self.outbox.due(now) else { return false };
        if attempt.number == 1 {
            tokio::time::sleep(rush_delay(now, self.sender.format.rush_jitter(), &attempt.message.id)).await;
        }
        let started = Instant::now();
        let (verdict, parts, said) = self.attempt(&attempt).await;
        let seconds = started.elapsed().as_secs_f64();
        let now = Timestamp::now();
        let fate = self.outbox.report(&verdict, parts, now);
        let delivery = self.sender.delivery(&verdict, &said, now);
        self.account(&delivery, fate, seconds);
        let (receiver, id, attempt) = (&self.name, &attempt.message.id, attempt.number);
        match fate {
            Fate::Delivered => {
                tracing::info!(receiver, id, attempt, "notification delivered");
            }
            Fate::Later(at) => {
                tracing::warn!(receiver, id, attempt, reason = delivery.reason.map(FailureReason::as_str), answer = delivery.message, retry_at = %at, "notification not taken");
            }
            Fate::Dead => tracing::error!(
                receiver,
                id,
                attempt,
                reason = delivery.reason.map(FailureReason::as_str),
                answer = delivery.message,
                "notification given up; its group is tried again later"
            ),
        }
        true
    }

    async fn attempt(&mut self, attempt: &Attempt) -> (Verdict, usize, String) {
        let outbox = &mut self.outbox;
        let first = attempt.parts_done;
        let pause = |part: usize| {
            // The first request's share was taken when the attempt became due.
            if part == first {
                return Duration::ZERO;
            }
            let now = Timestamp::now();
            since(outbox.another_part(now), now)
        };
        self.sender.send(&attempt.message, attempt.parts_done, pause).await
    }

    fn account(&mut self, delivery: &Delivery, fate: Fate, seconds: f64) {
        match delivery.reason {
            None => self.metrics.delivered(seconds),
            Some(reason) => self.metrics.failed(reason.as_str(), seconds, fate == Fate::Dead),
        }
        self.status.send_modify(|s| {
            if delivery.delivered {
                s.delivered += 1;
                s.last_delivery = Some(delivery.at);
            } else {
                s.failed_attempts += 1;
                s.dead_letters += u64::from(fate == Fate::Dead);
            }
            s.last = Some(delivery.clone());
        });
    }

    fn report(&mut self) {
        let waiting = self.outbox.waiting();
        self.metrics.queue(waiting);
        let notified: Vec<Alert> = self.outbox.notified_firing().into_iter().cloned().collect();
        self.status.send_if_modified(|s| {
            let same_told = s.notified.len() == notified.len()
                && s.notified.iter().zip(&notified).all(|(a, b)| a.id == b.id);
            let changed = s.waiting != waiting || !same_told;
            s.waiting = waiting;
            s.notified = notified;
            changed
        });
    }

    async fn relay(&mut self, message: &Message, key: String) -> Verdict {
        let now = Timestamp::now();
        self.relayed.retain(|_, at| since(now, *at) < RELAY_REMEMBERED);
        if self.relayed.contains_key(&key) {
            return Verdict::Delivered;
        }
        if !self.outbox.take_quota(now) {
            return Verdict::retry(
                FailureReason::RateLimited,
                Some(Duration::from_secs(5)),
                "the service's rate limit is reached",
            );
        }
        let started = Instant::now();
        let outbox = &mut self.outbox;
        let pause = |part: usize| {
            let now = Timestamp::now();
            if part == 0 { Duration::ZERO } else { since(outbox.another_part(now), now) }
        };
        let (verdict, _, said) = self.sender.send(message, 0, pause).await;
        let delivery = self.sender.delivery(&verdict, &said, Timestamp::now());
        self.account(&delivery, Fate::Later(now), started.elapsed().as_secs_f64());
        if verdict == Verdict::Delivered {
            self.relayed.insert(key, now);
        }
        match verdict {
            Verdict::Delivered => Verdict::Delivered,
            Verdict::Retry { reason, after, .. } => {
                Verdict::Retry { reason, after, message: delivery.message }
            }
            Verdict::Refused { reason, .. } => Verdict::Refused { reason, message: delivery.message },
        }
    }

    async fn finish(mut self, until: Instant) {
        while Instant::now() < until && self.deliver_one(Timestamp::now()).await {}
        self.report();
    }
}

/// How long to wait so as not to send with all the world at the full and the half hour.
fn rush_delay(now: Timestamp, jitter: Duration, salt: &str) -> Duration {
    if jitter.is_zero() {
        return Duration::ZERO;
    }
    let second = now.as_second().rem_euclid(1_800);
    if (5..1_795).contains(&second) {
        return Duration::ZERO;
    }
    let share = u32::from_str_radix(&sign::hash(salt)[..4], 16).map_or(0.5, |n| f64::from(n) / 65_535.0);
    since(after(now, jitter.mul_f64(share)), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stay_away_from_the_full_hour_only() {
        let jitter = Duration::from_secs(20);
        let at = |second: i64| Timestamp::from_second(1_700_000_000 / 3_600 * 3_600 + second).unwrap();
        assert!(rush_delay(at(2), jitter, "a") <= jitter);
        assert_eq!(rush_delay(at(60), jitter, "a"), Duration::ZERO);
        assert_eq!(rush_delay(at(2), Duration::ZERO, "a"), Duration::ZERO);
        let delays: Vec<Duration> = (0..50).map(|i| rush_delay(at(1_800), jitter, &i.to_string())).collect();
        assert!(delays.iter().max() > delays.iter().min());
    }
}
