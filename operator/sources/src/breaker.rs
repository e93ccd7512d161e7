//! Stops asking a server that keeps failing. Outcomes and times come in, permission goes out; the clock is the
//! caller's.

use std::time::Duration;

use jiff::Timestamp;
use series::time;

/// How many failures open a breaker, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Failures in a row until the server is left alone.
    pub failures: u32,
    /// How long it is left alone the first time. Doubles with each failed probe.
    pub pause: Duration,
    /// The longest pause: after an outage, however long, a server is asked again within this time.
    pub longest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(5), longest: Duration::from_secs(30) }
    }
}

/// What a breaker says to somebody who wants to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Ask.
    Free,
    /// Ask, on behalf of all: the outcome, or that there will be none, has to be told to the breaker.
    Probe,
    /// Somebody is probing right now: come again when that has come to its end.
    Wait,
    /// The server is being left alone.
    Refused,
}

/// The state of one server: closed, open until a time, or probing with a single request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    limits: Limits,
    failures: u32,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Timestamp, pause: Duration },
    Probing { since: Timestamp, pause: Duration },
}

impl Breaker {
    /// A closed breaker.
    pub fn new(limits: Limits) -> Self {
        Self { limits, failures: 0, state: State::Closed }
    }

    /// Whether the server may be asked at `now`. While open: no, until the pause is over; then one request probes,
    /// and the others wait for what comes of it (or for one more pause, should that never be told).
    pub fn admit(&mut self, now: Timestamp) -> Admission {
        match self.state {
            State::Closed => Admission::Free,
            State::Open { until, pause } if now >= until => {
                self.state = State::Probing { since: now, pause };
                Admission::Probe
            }
            State::Probing { since, pause } if now >= time::after(since, pause) => {
                self.state = State::Probing { since: now, pause };
                Admission::Probe
            }
            State::Probing { .. } => Admission::Wait,
            State::Open { .. } => Admission::Refused,
        }
    }

    /// The probe was called off before it had an outcome: the next one who asks probes instead.
    pub fn abandoned(&mut self) {
        if let State::Probing { since, pause } = self.state {
            self.state = State::Open { until: since, pause };
        }
    }

    /// The server answered, even if with a refusal of this one request.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.state = State::Closed;
    }

    /// The server didn't answer, or failed.
    pub fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.state = match self.state {
            State::Closed if self.failures < self.limits.failures => State::Closed,
            State::Closed => Self::open(now, self.limits.pause),
            State::Probing { pause, .. } => Self::open(now, (pause * 2).min(self.limits.longest)),
            // A late failure of a request that was admitted before: the pause is already running.
            State::Open { until, pause } => State::Open { until, pause },
        };
    }

    /// Whether the server is being left alone, or just probed.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// When the server will be asked again, if it is being left alone.
    pub fn opens_again_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Closed => None,
            State::Open { until, .. } => Some(until),
            State::Probing { since, pause } => Some(time::after(since, pause)),
        }
    }

    fn open(now: Timestamp, pause: Duration) -> State {
        State::Open { until: time::after(now, pause), pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn broken() -> Breaker {
        let mut breaker = Breaker::new(Limits::default());
        for _ in 0..5 {
            assert_eq!(breaker.admit(at(0)), Admission::Free);
            breaker.failed(at(0));
        }
        breaker
    }

    #[test]
    fn four_failures_keep_it_closed_and_one_success_forgets_them() {
        let mut breaker = Breaker::new(Limits::default());
        for _ in 0..4 {
            breaker.failed(at(0));
        }
        breaker.succeeded();
        breaker.failed(at(1));
        assert_eq!(breaker.admit(at(1)), Admission::Free);
        assert_eq!(breaker.opens_again_at(), None);
    }

    #[test]
    fn five_failures_open_it_until_the_pause_is_over() {
        let mut breaker = broken();
        assert_eq!(breaker.opens_again_at(), Some(at(5)));
        assert_eq!(breaker.admit(at(4)), Admission::Refused);
        assert_eq!(breaker.admit(at(5)), Admission::Probe);
    }

    #[test]
    fn a_single_request_probes() {
        let mut breaker = broken();
        assert_eq!(breaker.admit(at(5)), Admission::Probe);
        assert_eq!(breaker.admit(at(6)), Admission::Wait);
        breaker.succeeded();
        assert_eq!(breaker.admit(at(6)), Admission::Free);
        assert_eq!(breaker.admit(at(6)), Admission::Free);
    }

    #[test]
    fn a_failed_probe_doubles_the_pause_up_to_the_longest() {
        let mut breaker = broken();
        let mut now = 0;
        for pause in [5, 10, 20, 30, 30] {
            now += pause;
            assert_eq!(breaker.admit(at(now - 1)), Admission::Refused);
            assert_eq!(breaker.admit(at(now)), Admission::Probe);
            breaker.failed(at(now));
        }
    }

    #[test]
    fn a_probe_that_never_reports_does_not_block_for_ever() {
        let mut breaker = broken();
        assert_eq!(breaker.admit(at(5)), Admission::Probe);
        assert_eq!(breaker.admit(at(9)), Admission::Wait);
        assert_eq!(breaker.admit(at(10)), Admission::Probe);
    }

    #[test]
    fn a_probe_that_is_called_off_is_made_by_the_next() {
        let mut breaker = broken();
        assert_eq!(breaker.admit(at(5)), Admission::Probe);
        breaker.abandoned();
        assert_eq!(breaker.admit(at(5)), Admission::Probe);
        breaker.failed(at(5));
        assert_eq!(breaker.opens_again_at(), Some(at(15)));
    }
}
