//! What one receiver has been told and what it is to be told next: a pure function of time. The alerts that stand come
//! in as state, never as events, so nothing can be missed and nothing counted twice; messages come out one at a time,
//! grouped, paced and retried.
//!
//! A message is sent where what a group's alerts *are* differs from what the receiver was *told*. Delivery is what
//! makes it told, so a message that was given up is not forgotten: its group is due again after `interval`.

use std::collections::BTreeMap;
use std::time::Duration;

use health::alert::{Alert, AlertPhase};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time::{after, since};

use crate::limit::Quota;
use crate::message::{Group, Message, Verdict};
use crate::sign;

/// Which alerts are told together, and when. The names are Alertmanager's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grouping {
    /// Labels whose values make a group; `alertname` is the alert's name, `...` puts everything into one.
    pub by: Vec<String>,
    /// From a group's first alert to its first message.
    pub wait: Duration,
    /// From one message of a group to the next about changes.
    pub interval: Duration,
    /// From one message of a group to the next without any.
    pub repeat: Duration,
    /// Resolved alerts are told again at each repeat for so long; for receivers that forget (Alertmanager).
    pub keep_resolved: Duration,
}

impl Default for Grouping {
    fn default() -> Self {
        Self {
            by: vec!["alertname".into(), "namespace".into()],
            wait: Duration::from_secs(30),
            interval: Duration::from_secs(300),
            repeat: Duration::from_secs(4 * 3_600),
            keep_resolved: Duration::ZERO,
        }
    }
}

/// With more groups due than this, they are told in one message.
pub const DIGEST_ABOVE: usize = 20;
/// A message is given up after so long.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(15 * 60);
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Firing,
    Resolved(Timestamp),
}

#[derive(Clone, Debug, PartialEq)]
struct Member {
    alert: Alert,
    told: Told,
}

impl Member {
    /// What it is differs from what was told.
    fn is_news(&self, send_resolved: bool) -> bool {
        match (self.alert.phase, self.told) {
            (AlertPhase::Firing, Told::Firing) => false,
            (AlertPhase::Firing, _) => true,
            (_, Told::Firing) => send_resolved,
            (_, _) => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Batch {
    labels: BTreeMap<String, String>,
    members: BTreeMap<String, Member>,
    /// When changes may be told.
    flush_at: Timestamp,
    last_sent: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
struct Current {
    message: Message,
    /// Group key, alert id, and the phase it is told in.
    covers: Vec<(String, String, AlertPhase)>,
    attempts: u32,
    parts_done: usize,
    first_try: Timestamp,
    not_before: Timestamp,
    in_flight: bool,
}

/// One attempt to make now.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// What to tell.
    pub message: Message,
    /// How many of its requests were taken at earlier attempts and aren't to be sent again.
    pub parts_done: usize,
    /// Which attempt this is, from 1.
    pub number: u32,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Taken.
    Delivered,
    /// To be tried again at this time.
    Later(Timestamp),
    /// Given up; a dead letter.
    Dead,
}

/// The state of one receiver's messages.
#[derive(Clone, Debug)]
pub struct Outbox {
    grouping: Grouping,
    send_resolved: bool,
    quota: Quota,
    batches: BTreeMap<String, Batch>,
    current: Option<Current>,
    salt: String,
}

impl Outbox {
    /// Nothing told yet. `salt` is the receiver's name: it makes message ids and jitter differ between receivers.
    pub fn new(grouping: Grouping, send_resolved: bool, quota: Quota, salt: impl Into<String>) -> Self {
        Self { grouping, send_resolved, quota, batches: BTreeMap::new(), current: None, salt: salt.into() }
    }

    /// Takes over what was told before a restart, so that it isn't told again.
    pub fn restore(&mut self, told: impl IntoIterator<Item = Alert>, now: Timestamp) {
        for alert in told {
            let (key, labels) = self.group_of(&alert);
            let batch = self.batches.entry(key).or_insert_with(|| Batch {
                labels,
                members: BTreeMap::new(),
                flush_at: now,
                last_sent: Some(now),
            });
            batch.members.insert(alert.id.clone(), Member { alert, told: Told::Firing });
        }
    }

    /// What the receiver believes to be firing.
    pub fn told_firing(&self) -> Vec<&Alert> {
        let members = self.batches.values().flat_map(|b| b.members.values());
        members.filter(|m| m.told == Told::Firing).map(|m| &m.alert).collect()
    }

    /// Takes in the alerts that stand at `now`, firing and resolved, already filtered for this receiver. One that was
    /// firing and isn't there any more counts as resolved.
    pub fn sync<'a>(&mut self, alerts: impl IntoIterator<Item = &'a Alert>, now: Timestamp) {
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for alert in alerts.into_iter().filter(|a| a.phase != AlertPhase::Pending) {
            let (key, labels) = self.group_of(alert);
            seen.entry(key.clone()).or_default().push(alert.id.clone());
            let firing = alert.phase == AlertPhase::Firing;
            let known = self.batches.get(&key).is_some_and(|b| b.members.contains_key(&alert.id));
            if !firing && !known {
                continue;
            }
            let wait_until = after(now, self.grouping.wait);
            let batch = self.batches.entry(key).or_insert_with(|| Batch {
                labels,
                members: BTreeMap::new(),
                flush_at: wait_until,
                last_sent: None,
            });
            batch
                .members
                .entry(alert.id.clone())
                .and_modify(|m| m.alert = alert.clone())
                .or_insert_with(|| Member { alert: alert.clone(), told: Told::Nothing });
        }
        for (key, batch) in &mut self.batches {
            let here = seen.get(key).map_or(&[][..], Vec::as_slice);
            for (id, member) in &mut batch.members {
                if member.alert.phase == AlertPhase::Firing && !here.contains(id) {
                    member.alert.phase = AlertPhase::Resolved;
                    member.alert.resolved = Some(now);
                }
            }
        }
        self.forget(now);
    }

    /// The next attempt to make at `now`, if there is one; its outcome must be given to [`Outbox::report`].
    pub fn due(&mut self, now: Timestamp) -> Option<Attempt> {
        if self.current.is_none() {
            self.current = self.compose(now);
        }
        let current = self.current.as_mut()?;
        if current.in_flight || now < current.not_before || !self.quota.take(now) {
            return None;
        }
        current.in_flight = true;
        current.attempts += 1;
        Some(Attempt {
            message: current.message.clone(),
            parts_done: current.parts_done,
            number: current.attempts,
        })
    }

    /// When [`Outbox::due`] may have something next; `None` while there is nothing to wait for.
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let ready = self.quota.ready_at(now);
        if let Some(current) = &self.current {
            return (!current.in_flight).then(|| current.not_before.max(ready));
        }
        let due = self.batches.values().filter_map(|b| self.due_at(b)).min();
        let kept = self.batches.values().filter_map(forget_at).min();
        match (due.map(|d| d.max(ready)), kept) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Another request of the same message is to be sent: takes it from the quota. Gives when it may go.
    pub fn another_part(&mut self, now: Timestamp) -> Timestamp {
        let at = self.quota.ready_at(now);
        self.quota.take(at);
        at
    }

    /// Takes one message's worth from the quota for something that isn't an alert of ours (a relayed message).
    pub fn take_quota(&mut self, now: Timestamp) -> bool {
        self.quota.take(now)
    }

    /// What came of the attempt: `parts_done` requests of the message were taken so far.
    pub fn report(&mut self, verdict: &Verdict, parts_done: usize, now: Timestamp) -> Fate {
        let Some(mut current) = self.current.take() else { return Fate::Dead };
        current.in_flight = false;
        current.parts_done = parts_done;
        match verdict {
            Verdict::Delivered => {
                self.mark_told(&current, now);
                Fate::Delivered
            }
            Verdict::Retry { reason, after: wait, .. } => {
                if *reason == crate::FailureReason::RateLimited {
                    self.quota.exhaust(now);
                }
                let backoff = backoff(&current);
                let at = after(now, wait.map_or(backoff, |w| w.max(backoff)));
                if since(at, current.first_try) > GIVE_UP_AFTER {
                    self.put_off(&current, now);
                    return Fate::Dead;
                }
                current.not_before = at;
                self.current = Some(current);
                Fate::Later(at)
            }
            Verdict::Refused { .. } => {
                self.put_off(&current, now);
                Fate::Dead
            }
        }
    }

    /// How many groups have something to tell.
    pub fn waiting(&self) -> usize {
        self.batches.values().filter(|b| b.members.values().any(|m| m.is_news(self.send_resolved))).count()
    }

    fn group_of(&self, alert: &Alert) -> (String, BTreeMap<String, String>) {
        let mut labels = BTreeMap::new();
        for name in self.grouping.by.iter().filter(|n| *n != "...") {
            let value = if name == "alertname" { Some(&alert.name) } else { alert.labels.get(name) };
            if let Some(value) = value {
                labels.insert(name.clone(), value.clone());
            }
        }
        let parts: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
        (format!("{{{}}}", parts.join(",")), labels)
    }

    /// When a group is due, if it has something to tell.
    fn due_at(&self, batch: &Batch) -> Option<Timestamp> {
        let news = batch.members.values().any(|m| m.is_news(self.send_resolved));
        let repeats = batch.members.values().any(|m| self.repeats(m));
        match (news, batch.last_sent) {
            (true, _) => Some(batch.flush_at),
            (false, Some(last)) if repeats => Some(after(last, self.grouping.repeat).max(batch.flush_at)),
            _ => None,
        }
    }

    fn repeats(&self, member: &Member) -> bool {
        let firing = member.alert.phase == AlertPhase::Firing && member.told == Told::Firing;
        firing || matches!(member.told, Told::Resolved(_)) && !self.grouping.keep_resolved.is_zero()
    }

    fn compose(&self, now: Timestamp) -> Option<Current> {
        let mut due: Vec<(&String, &Batch)> =
            self.batches.iter().filter(|(_, b)| self.due_at(b).is_some_and(|at| at <= now)).collect();
        due.sort_by_key(|(_, b)| b.flush_at);
        if due.len() <= DIGEST_ABOVE {
            due.truncate(1);
        }
        let groups: Vec<Group> = due
            .into_iter()
            .map(|(key, batch)| Group {
                key: key.clone(),
                labels: batch.labels.clone(),
                alerts: batch
                    .members
                    .values()
                    .filter(|m| {
                        m.alert.phase == AlertPhase::Firing
                            || m.is_news(self.send_resolved)
                            || self.repeats(m)
                    })
                    .map(|m| m.alert.clone())
                    .collect(),
            })
            .filter(|g| !g.alerts.is_empty())
            .collect();
        if groups.is_empty() {
            return None;
        }
        let covers: Vec<(String, String, AlertPhase)> = groups
            .iter()
            .flat_map(|g| g.alerts.iter().map(|a| (g.key.clone(), a.id.clone(), a.phase)))
            .collect();
        let phases: Vec<String> = covers.iter().map(|(_, id, phase)| format!("{id}{phase:?}")).collect();
        let identity = format!("{}|{}|{}", self.salt, now.as_millisecond(), phases.join(","));
        let id = format!("msg_{}", &sign::hash(&identity)[..24]);
        Some(Current {
            message: Message { id, at: now, groups },
            covers,
            attempts: 0,
            parts_done: 0,
            first_try: now,
            not_before: now,
            in_flight: false,
        })
    }

    fn mark_told(&mut self, current: &Current, now: Timestamp) {
        for (key, id, phase) in &current.covers {
            let Some(batch) = self.batches.get_mut(key) else { continue };
            batch.last_sent = Some(now);
            batch.flush_at = after(now, self.grouping.interval);
            if let Some(member) = batch.members.get_mut(id) {
                member.told = match (phase, member.told) {
                    (AlertPhase::Firing, _) => Told::Firing,
                    (_, Told::Resolved(first)) => Told::Resolved(first),
                    _ => Told::Resolved(now),
                };
            }
        }
        self.forget(now);
    }

    fn put_off(&mut self, current: &Current, now: Timestamp) {
        for (key, _, _) in &current.covers {
            if let Some(batch) = self.batches.get_mut(key) {
                batch.flush_at = after(now, self.grouping.interval.max(Duration::from_secs(60)));
            }
        }
    }

    /// Leaves out members that need no telling any more, and groups without members once their pace doesn't matter.
    fn forget(&mut self, now: Timestamp) {
        let (send_resolved, keep) = (self.send_resolved, self.grouping.keep_resolved);
        let in_message: Vec<(String, String)> = self
            .current
            .iter()
            .flat_map(|c| c.covers.iter().map(|(key, id, _)| (key.clone(), id.clone())))
            .collect();
        for (key, batch) in &mut self.batches {
            batch.members.retain(|id, m| {
                let covered = in_message.iter().any(|(k, i)| k == key && i == id);
                let over = match (m.alert.phase, m.told) {
                    (AlertPhase::Firing, _) => false,
                    (_, Told::Nothing) => true,
                    (_, Told::Firing) => !send_resolved,
                    (_, Told::Resolved(at)) => since(now, at) >= keep,
                };
                !over || covered
            });
        }
        self.batches.retain(|_, b| !b.members.is_empty() || (b.last_sent.is_some() && now < b.flush_at));
    }
}

fn forget_at(batch: &Batch) -> Option<Timestamp> {
    (batch.members.is_empty() && batch.last_sent.is_some()).then_some(batch.flush_at)
}

/// Doubling from half a second to a minute, and of that between half and all: full jitter would now and then retry at
/// once. The randomness is a hash of message and attempt, so a run can be replayed.
fn backoff(current: &Current) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << current.attempts.saturating_sub(1).min(10));
    let hash = sign::hash(&format!("{}{}", current.message.id, current.attempts));
    let share = u32::from_str_radix(&hash[..4], 16).map_or(0.5, |n| f64::from(n) / 65_535.0);
    doubled.min(BACKOFF_MAX).mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use health::alert::{Evidence, Severity, fingerprint};
    use proptest::prelude::*;

    use super::*;
    use crate::message::FailureReason;

    pub(crate) fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
    }

    pub(crate) fn alert(name: &str, namespace: &str, component: &str) -> Alert {
        let labels = BTreeMap::from([
            ("namespace".to_owned(), namespace.to_owned()),
            ("component".to_owned(), component.to_owned()),
        ]);
        Alert {
            id: fingerprint(name, &labels),
            name: name.into(),
            severity: Severity::Critical,
            labels,
            summary: format!("{namespace}/{component} is down: connection refused"),
            facts: BTreeMap::from([
                ("output".to_owned(), "connection refused".to_owned()),
                ("consequences".to_owned(), "shop/web, shop/orders".to_owned()),
            ]),
            evidence: Evidence {
                check: Some(format!("{namespace}/{component}")),
                trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
                ..Evidence::default()
            },
            runbook_url: format!("https://example.com/runbooks/{name}.md"),
            phase: AlertPhase::Firing,
            since: at(0),
            fired: Some(at(0)),
            resolved: None,
            muted: false,
        }
    }

    pub(crate) fn resolved(mut alert: Alert, when: Timestamp) -> Alert {
        alert.phase = AlertPhase::Resolved;
        alert.resolved = Some(when);
        alert
    }

    fn outbox() -> Outbox {
        Outbox::new(Grouping::default(), true, Quota::unlimited(), "chat")
    }

    fn deliver(outbox: &mut Outbox, now: Timestamp) -> Option<Message> {
        let attempt = outbox.due(now)?;
        outbox.report(&Verdict::Delivered, 1, now);
        Some(attempt.message)
    }

    #[test]
    fn a_group_waits_is_told_once_repeats_and_is_resolved_once() {
        let mut outbox = outbox();
        let db = alert("ComponentDown", "shop", "db");
        let web = alert("ComponentDown", "shop", "web");
        outbox.sync([&db], at(0));
        assert_eq!(outbox.next_wake(at(0)), Some(at(30_000)));
        outbox.sync([&db, &web], at(10_000));
        assert!(deliver(&mut outbox, at(29_999)).is_none());
        let first = deliver(&mut outbox, at(30_000)).unwrap();
        assert_eq!(first.alerts().len(), 2, "both in one message");
        assert!(deliver(&mut outbox, at(31_000)).is_none());
        assert!(deliver(&mut outbox, at(4 * 3_600_000)).is_none());
        assert_eq!(deliver(&mut outbox, at(4 * 3_600_000 + 30_000)).unwrap().alerts().len(), 2);
        let t = 5 * 3_600_000;
        outbox.sync([&db, &resolved(web, at(t))], at(t));
        let message = deliver(&mut outbox, at(t)).unwrap();
        assert_eq!(message.counts(), (1, 1));
        outbox.sync([&resolved(db, at(t + 1_000))], at(t + 1_000));
        assert!(deliver(&mut outbox, at(t + 2_000)).is_none(), "not sooner than the interval");
        assert_eq!(deliver(&mut outbox, at(t + 300_000)).unwrap().counts(), (0, 1));
        assert!(deliver(&mut outbox, at(t + 9_999_999)).is_none());
        outbox.sync([], at(t + 10_000_000));
        assert!(outbox.batches.is_empty());
    }

    #[test]
    fn what_fires_and_ends_while_waiting_is_not_told() {
        let mut outbox = outbox();
        outbox.sync([&alert("ComponentDown", "shop", "db")], at(0));
        outbox.sync([], at(10_000));
        assert!(deliver(&mut outbox, at(40_000)).is_none());
        assert_eq!(outbox.next_wake(at(40_000)), None);
    }

    #[test]
    fn a_message_that_was_given_up_is_told_after_all() {
        let mut outbox = outbox();
        let db = alert("ComponentDown", "shop", "db");
        outbox.sync([&db], at(0));
        let mut now = at(30_000);
        let mut dead = 0;
        for _ in 0..200 {
            if outbox.due(now).is_some() {
                let verdict = Verdict::retry(FailureReason::ServerError, None, "500");
                if outbox.report(&verdict, 0, now) == Fate::Dead {
                    dead += 1;
                    break;
                }
            }
            now = outbox.next_wake(now).unwrap();
        }
        assert_eq!(dead, 1);
        assert!(since(now, at(30_000)) <= GIVE_UP_AFTER);
        now = outbox.next_wake(now).unwrap();
        assert_eq!(deliver(&mut outbox, now).unwrap().alerts().len(), 1);
    }

    #[test]
    fn retry_after_is_honoured_and_parts_are_not_sent_twice() {
        let mut outbox = outbox();
        outbox.sync([&alert("ComponentDown", "shop", "db")], at(0));
        assert_eq!(outbox.due(at(30_000)).unwrap().parts_done, 0);
        let verdict = Verdict::retry(FailureReason::RateLimited, Some(Duration::from_secs(60)), "slow down");
        assert_eq!(outbox.report(&verdict, 1, at(30_000)), Fate::Later(at(90_000)));
        assert!(outbox.due(at(89_999)).is_none());
        let again = outbox.due(at(90_000)).unwrap();
        assert_eq!((again.parts_done, again.number), (1, 2));
    }

    #[test]
    fn a_storm_becomes_one_message() {
        let mut outbox = Outbox::new(
            Grouping { by: vec!["component".into()], ..Grouping::default() },
            true,
            Quota::unlimited().and(18, Duration::from_secs(60)),
            "chat",
        );
        let storm: Vec<Alert> = (0..500).map(|i| alert("ComponentDown", "shop", &format!("c{i}"))).collect();
        outbox.sync(&storm, at(0));
        let message = deliver(&mut outbox, at(30_000)).unwrap();
        assert_eq!(message.alerts().len(), 500);
        assert!(deliver(&mut outbox, at(31_000)).is_none());
    }

    #[test]
    fn a_restart_repeats_nothing() {
        let mut before = outbox();
        let db = alert("ComponentDown", "shop", "db");
        before.sync([&db], at(0));
        deliver(&mut before, at(30_000));
        let told: Vec<Alert> = before.told_firing().into_iter().cloned().collect();
        let mut after = outbox();
        after.restore(told, at(60_000));
        after.sync([&db], at(60_000));
        assert!(deliver(&mut after, at(100_000)).is_none());
        after.sync([], at(400_000));
        assert_eq!(deliver(&mut after, at(400_000)).unwrap().counts(), (0, 1));
    }

    #[test]
    fn alertmanager_is_reminded_of_what_is_over() {
        let grouping = Grouping {
            by: vec!["...".into()],
            wait: Duration::ZERO,
            interval: Duration::from_secs(1),
            repeat: Duration::from_secs(60),
            keep_resolved: Duration::from_secs(900),
        };
        let mut outbox = Outbox::new(grouping, true, Quota::unlimited(), "am");
        let db = alert("ComponentDown", "shop", "db");
        outbox.sync([&db], at(0));
        assert!(deliver(&mut outbox, at(0)).is_some());
        assert!(deliver(&mut outbox, at(59_999)).is_none());
        assert!(deliver(&mut outbox, at(60_000)).is_some());
        outbox.sync([&resolved(db, at(70_000))], at(70_000));
        let mut told = 0;
        for s in 70..2_000 {
            outbox.sync([], at(s * 1_000));
            told += usize::from(deliver(&mut outbox, at(s * 1_000)).is_some());
        }
        assert_eq!(told, 15, "once a minute for 15 minutes");
    }

    /// A receiver that believes what it is told, and a world that goes its way.
    fn play(seed: &[(u16, u8, bool)], failing: &[u8]) -> (usize, usize, usize) {
        let grouping = Grouping {
            by: vec!["component".into()],
            wait: Duration::from_secs(1),
            interval: Duration::from_secs(5),
            ..Grouping::default()
        };
        let mut outbox =
            Outbox::new(grouping, true, Quota::unlimited().and(60, Duration::from_secs(60)), "chat");
        let mut firing: BTreeMap<String, Alert> = BTreeMap::new();
        let mut believed: BTreeMap<String, AlertPhase> = BTreeMap::new();
        let (mut duplicates, mut attempts) = (0, 0);
        let mut now = 0_i64;
        let take =
            |outbox: &mut Outbox, believed: &mut BTreeMap<String, AlertPhase>, now: i64, n: &mut usize| {
                let mut duplicates = 0;
                while let Some(attempt) = outbox.due(at(now)) {
                    *n += 1;
                    if failing[*n % failing.len()] < 77 {
                        outbox.report(&Verdict::retry(FailureReason::ServerError, None, "500"), 0, at(now));
                        break;
                    }
                    for alert in attempt.message.alerts() {
                        let news = believed.insert(alert.id.clone(), alert.phase) != Some(alert.phase);
                        duplicates += usize::from(!news);
                    }
                    outbox.report(&Verdict::Delivered, 1, at(now));
                }
                duplicates
            };
        for (gap, which, up) in seed {
            now += i64::from(*gap % 5_000);
            let one = alert("ComponentDown", "shop", &format!("c{}", which % 30));
            if *up {
                firing.remove(&one.id);
            } else {
                firing.insert(one.id.clone(), one);
            }
            outbox.sync(firing.values(), at(now));
            duplicates += take(&mut outbox, &mut believed, now, &mut attempts);
        }
        // The world stands still; everything outstanding arrives.
        for _ in 0..3_000 {
            now += 1_000;
            outbox.sync(firing.values(), at(now));
            duplicates += take(&mut outbox, &mut believed, now, &mut attempts);
        }
        let lost = firing.keys().filter(|id| believed.get(*id) != Some(&AlertPhase::Firing)).count()
            + believed
                .iter()
                .filter(|(id, p)| **p == AlertPhase::Firing && !firing.contains_key(*id))
                .count();
        (duplicates, lost, attempts)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn in_the_end_the_receiver_knows_how_it_is_and_was_told_nothing_twice(
            seed in prop::collection::vec((any::<u16>(), any::<u8>(), any::<bool>()), 1..300),
            failing in prop::collection::vec(any::<u8>(), 50),
        ) {
            prop_assume!(failing.iter().any(|f| *f >= 77));
            let (duplicates, lost, _) = play(&seed, &failing);
            // In a group of one, the only repetition would be a failed delivery told twice.
            prop_assert_eq!((duplicates, lost), (0, 0));
        }
    }
}
