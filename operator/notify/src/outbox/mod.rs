//! What one receiver has been told and what it is to be told next: a pure function of time. The alerts that stand come
//! in as state, never as events, so nothing can be missed and nothing counted twice; messages come out one at a time,
//! grouped, paced and retried.
//!
//! A message is sent where what a group's alerts *are* differs from what the receiver was *told*. Delivery is what
//! makes it told, so a message that was given up is not forgotten: its group is due again after `interval`.

mod grouping;

use std::collections::BTreeMap;
use std::time::Duration;

use health::alert::{Alert, AlertPhase};
use jiff::Timestamp;
use series::time::{after, since};

pub use self::grouping::Grouping;
use crate::limit::Quota;
use crate::message::{Group, Message, Verdict};
use crate::sign;

/// With more groups due than this, they are told in one message.
pub const DIGEST_ABOVE: usize = 20;
/// A message is given up after so long.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(15 * 60);
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notified {
    Nothing,
    Firing,
    Resolved(Timestamp),
}

#[derive(Clone, Debug, PartialEq)]
struct Member {
    alert: Alert,
    notified: Notified,
}

impl Member {
    /// What it is differs from what was told.
    fn is_news(&self, send_resolved: bool) -> bool {
        match (self.alert.phase, self.notified) {
            (AlertPhase::Firing, Notified::Firing) => false,
            (AlertPhase::Firing, _) => true,
            (_, Notified::Firing) => send_resolved,
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
    pub fn restore(&mut self, notified: impl IntoIterator<Item = Alert>, now: Timestamp) {
        for alert in notified {
            let (key, labels) = self.group_of(&alert);
            let batch = self.batches.entry(key).or_insert_with(|| Batch {
                labels,
                members: BTreeMap::new(),
                flush_at: now,
                last_sent: Some(now),
            });
            batch.members.insert(alert.id.clone(), Member { alert, notified: Notified::Firing });
        }
    }

    /// What the receiver believes to be firing.
    pub fn notified_firing(&self) -> Vec<&Alert> {
        let members = self.batches.values().flat_map(|b| b.members.values());
        members.filter(|m| m.notified == Notified::Firing).map(|m| &m.alert).collect()
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
                .or_insert_with(|| Member { alert: alert.clone(), notified: Notified::Nothing });
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
        let firing = member.alert.phase == AlertPhase::Firing && member.notified == Notified::Firing;
        firing || matches!(member.notified, Notified::Resolved(_)) && !self.grouping.keep_resolved.is_zero()
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
                member.notified = match (phase, member.notified) {
                    (AlertPhase::Firing, _) => Notified::Firing,
                    (_, Notified::Resolved(first)) => Notified::Resolved(first),
                    _ => Notified::Resolved(now),
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
                let over = match (m.alert.phase, m.notified) {
                    (AlertPhase::Firing, _) => false,
                    (_, Notified::Nothing) => true,
                    (_, Notified::Firing) => !send_resolved,
                    (_, Notified::Resolved(at)) => since(now, at) >= keep,
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
pub(crate) mod tests;
