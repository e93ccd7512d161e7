//! Planned ends of service: what is announced, and the phases of a graceful shutdown with their deadlines. Times come
//! in; an announcement and the phase that is due go out. Who closes what is unknown here.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time::{after, since};

/// A planned outage, as `/health` and the stream announce it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// Planned ahead, rather than begun by a signal.
    pub scheduled: bool,
    /// When service ends.
    pub shutdown_time: Timestamp,
    /// How long work in flight may take after that.
    pub grace_period_seconds: u32,
    /// When service is expected back, where that is known.
    pub end_time: Option<Timestamp>,
    /// Why, for people.
    pub reason: String,
}

impl Announcement {
    /// A window that was planned.
    pub fn window(
        start: Timestamp,
        end: Timestamp,
        grace_period_seconds: u32,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            scheduled: true,
            shutdown_time: start,
            grace_period_seconds,
            end_time: Some(end),
            reason: reason.into(),
        }
    }

    /// A shutdown that a signal began at `now`.
    pub fn signal(now: Timestamp, grace: Duration) -> Self {
        Self {
            scheduled: false,
            shutdown_time: now,
            grace_period_seconds: u32::try_from(grace.as_secs()).unwrap_or(u32::MAX),
            end_time: None,
            reason: "this replica is shutting down".into(),
        }
    }

    /// Whether service has ended and isn't expected back yet.
    pub fn begun(&self, now: Timestamp) -> bool {
        self.shutdown_time <= now && self.end_time.is_none_or(|end| now < end)
    }
}

/// The phases of a graceful end, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Serving.
    Running,
    /// Readiness is gone and the end is announced, while proxies learn of it; requests are still served.
    Announced,
    /// Streams are told and closed; nothing new is accepted; work in flight ends.
    Draining,
    /// The lease is given back, telemetry and notifications are sent off.
    Flushing,
    /// Over.
    Stopped,
}

impl Phase {
    /// The word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Announced => "announced",
            Self::Draining => "draining",
            Self::Flushing => "flushing",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long each phase may take. Their sum must stay below the pod's `terminationGracePeriodSeconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    /// From the signal to closing the door: until proxies have taken this replica out.
    pub announce: Duration,
    /// For work in flight.
    pub drain: Duration,
    /// For telemetry and notifications.
    pub flush: Duration,
}

impl Default for Phases {
    /// 5 + 15 + 5 s, below the usual 30.
    fn default() -> Self {
        Self {
            announce: Duration::from_secs(5),
            drain: Duration::from_secs(15),
            flush: Duration::from_secs(5),
        }
    }
}

impl Phases {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.announce + self.drain + self.flush
    }

    /// The phase that is due `now` where the signal came at `signal`, were each phase to take all its time.
    pub fn due(&self, signal: Timestamp, now: Timestamp) -> Phase {
        let elapsed = since(now, signal);
        if elapsed < self.announce {
            Phase::Announced
        } else if elapsed < self.announce + self.drain {
            Phase::Draining
        } else if elapsed < self.total() {
            Phase::Flushing
        } else {
            Phase::Stopped
        }
    }

    /// When `phase` must be over.
    pub fn deadline(&self, signal: Timestamp, phase: Phase) -> Timestamp {
        let spent = match phase {
            Phase::Running => Duration::ZERO,
            Phase::Announced => self.announce,
            Phase::Draining => self.announce + self.drain,
            Phase::Flushing | Phase::Stopped => self.total(),
        };
        after(signal, spent)
    }

    /// What to announce at the signal: the door closes after `announce`, and work in flight has `drain`.
    pub fn announcement(&self, signal: Timestamp) -> Announcement {
        Announcement {
            shutdown_time: after(signal, self.announce),
            ..Announcement::signal(signal, self.drain)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_phases_follow_one_another_and_end() {
        let phases = Phases::default();
        let due: Vec<Phase> = [0, 4, 5, 19, 20, 24, 25].map(|s| phases.due(at(0), at(s))).into();
        use Phase::{Announced, Draining, Flushing, Stopped};
        assert_eq!(due, [Announced, Announced, Draining, Draining, Flushing, Flushing, Stopped]);
        assert!(phases.total() < Duration::from_secs(30), "the default of Kubernetes");
        assert_eq!(phases.deadline(at(0), Draining), at(20));
    }

    #[test]
    fn the_announcement_names_when_the_door_closes() {
        let announced = Phases::default().announcement(at(100));
        assert_eq!((announced.shutdown_time, announced.grace_period_seconds), (at(105), 15));
        assert!(!announced.begun(at(104)) && announced.begun(at(105)));
        let window = Announcement::window(at(10), at(20), 30, "patch");
        assert!(window.begun(at(10)) && !window.begun(at(20)));
    }
}
