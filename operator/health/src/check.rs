//! One component as one prober sees it: probe outcomes come in with their time, and a status that doesn't twitch goes
//! out, with what it was before, for how long, and how often it changed. It knows nothing of other components.
//!
//! A status worsens after `failure_threshold` results in a row that are worse, and improves after `success_threshold`
//! that are better; in between the status stands and says `pending`. With the defaults (5 s, timeout 3 s, 2 and 1) a
//! fault is known at most 2 × 5 + 3 = 13 s after it began, and at most 2 × 5 s after it where the fault is noticed at
//! once, as a refused connection is.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time::{after, since};

use crate::uptime::{Uptime, UptimeRatios};
use crate::{Reason, Status, Verdict};

/// How many results and transitions are remembered for a component; longer history is Prometheus's.
pub const RESULTS_KEPT: usize = 100;
/// See [`RESULTS_KEPT`].
pub const TRANSITIONS_KEPT: usize = 50;
const OUTPUT_MAX: usize = 500;

/// When and how a component is probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// From one probe to the next.
    pub interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// So many results in a row that are worse make the status worse. At least 1.
    pub failure_threshold: u32,
    /// So many results in a row that are better make the status better. At least 1.
    pub success_threshold: u32,
    /// After the check was created, failures don't count for so long, or until the first success.
    pub start_up_grace: Duration,
    /// When a component counts as flapping.
    pub flapping: Flapping,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            failure_threshold: 2,
            success_threshold: 1,
            start_up_grace: Duration::ZERO,
            flapping: Flapping::default(),
        }
    }
}

/// Flapping begins with so many changes of status within a window, and ends when one status has held that long: two
/// different thresholds, so that the mark itself doesn't flap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flapping {
    /// Changes within `window` that begin it.
    pub transitions: usize,
    /// The window, and how long one status must hold to end it.
    pub window: Duration,
}

impl Default for Flapping {
    fn default() -> Self {
        Self { transitions: 4, window: Duration::from_secs(15 * 60) }
    }
}

/// A measured number with its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The number.
    pub value: f64,
    /// Its unit as health JSON writes it: `s`, `ms`, `%`, or empty.
    pub unit: String,
}

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Pass, warn or fail.
    pub verdict: Verdict,
    /// Why it didn't pass.
    pub reason: Reason,
    /// One sentence for people, never with a secret in it; empty where it passed and there is nothing to say.
    pub output: String,
    /// How long the probe took.
    pub latency: Duration,
    /// The number it measured, for a check that measures one.
    pub observed: Option<Observed>,
    /// When the certificate it met expires.
    pub expires: Option<Timestamp>,
    /// The trace that the probe was a span of.
    pub trace_id: Option<String>,
}

impl Outcome {
    /// A probe that passed after `latency`.
    pub fn pass(latency: Duration) -> Self {
        Self {
            verdict: Verdict::Pass,
            reason: Reason::Ok,
            output: String::new(),
            latency,
            observed: None,
            expires: None,
            trace_id: None,
        }
    }

    /// A probe that failed.
    pub fn fail(reason: Reason, output: impl Into<String>, latency: Duration) -> Self {
        Self { verdict: Verdict::Fail, reason, output: output.into(), ..Self::pass(latency) }
    }

    /// A probe that passed beyond a bound set for warnings.
    pub fn warn(reason: Reason, output: impl Into<String>, latency: Duration) -> Self {
        Self { verdict: Verdict::Warn, reason, output: output.into(), ..Self::pass(latency) }
    }
}

/// A change of status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When the status changed.
    pub at: Timestamp,
    /// From which status.
    pub from: Status,
    /// To which.
    pub to: Status,
}

/// One remembered result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// When the probe ended.
    pub at: Timestamp,
    /// What it found.
    pub verdict: Verdict,
    /// How long it took.
    pub latency_ms: u32,
}

/// A component as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// The status, thresholds and damping applied.
    pub status: Status,
    /// Since when it holds.
    pub since: Timestamp,
    /// The status that the newest results point to, where they aren't enough yet.
    pub pending: Option<Status>,
    /// Whether it changed too often lately.
    pub flapping: bool,
    /// Failed probes in a row.
    pub consecutive_failures: u32,
    /// When the last probe ended.
    pub last_probe: Option<Timestamp>,
    /// What the last probe found.
    pub last: Option<Outcome>,
}

/// The state of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    settings: Settings,
    created: Timestamp,
    status: Status,
    since: Timestamp,
    passed_once: bool,
    fails: u32,
    troubles: u32,
    goods: u32,
    usable: u32,
    flapping: bool,
    accounted: Timestamp,
    last: Option<(Timestamp, Outcome)>,
    beats: VecDeque<Beat>,
    transitions: VecDeque<Transition>,
    uptime: Uptime,
}

impl Check {
    /// A check that has never been run.
    pub fn new(settings: Settings, now: Timestamp) -> Self {
        Self {
            settings,
            created: now,
            status: Status::Unknown,
            since: now,
            passed_once: false,
            fails: 0,
            troubles: 0,
            goods: 0,
            usable: 0,
            flapping: false,
            accounted: now,
            last: None,
            beats: VecDeque::new(),
            transitions: VecDeque::new(),
            uptime: Uptime::default(),
        }
    }

    /// Takes changed settings over and keeps what is known.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// How it is probed.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes in what a probe found at `now`. Gives the change of status, if it brought one. Results that are older
    /// than the last one are ignored. `maintenance` keeps the time out of the uptime.
    pub fn observe(&mut self, mut outcome: Outcome, now: Timestamp, maintenance: bool) -> Option<Transition> {
        if self.last.as_ref().is_some_and(|(at, _)| *at > now) {
            return None;
        }
        self.account(now, maintenance);
        truncate(&mut outcome.output, OUTPUT_MAX);
        self.beats.push_back(Beat {
            at: now,
            verdict: outcome.verdict,
            latency_ms: u32::try_from(outcome.latency.as_millis()).unwrap_or(u32::MAX),
        });
        while self.beats.len() > RESULTS_KEPT {
            self.beats.pop_front();
        }
        let verdict = outcome.verdict;
        self.last = Some((now, outcome));
        if verdict == Verdict::Fail && self.in_grace(now) {
            return None;
        }
        self.count(verdict);
        let next = self.next_status();
        let change = (next != self.status).then(|| self.turn(next, now));
        self.settle_flapping(now);
        change
    }

    /// Lets time pass without a result: uptime is accounted and flapping may end. Gives whether flapping ended.
    pub fn tick(&mut self, now: Timestamp, maintenance: bool) -> bool {
        let was = self.flapping;
        self.account(now, maintenance);
        self.settle_flapping(now);
        was && !self.flapping
    }

    /// How it stands. A flapping component is never shown better than degraded.
    pub fn view(&self) -> View {
        let status = if self.flapping && self.status == Status::Pass { Status::Warn } else { self.status };
        View {
            status,
            since: self.since,
            pending: self.pending(),
            flapping: self.flapping,
            consecutive_failures: self.fails,
            last_probe: self.last.as_ref().map(|(at, _)| *at),
            last: self.last.as_ref().map(|(_, outcome)| outcome.clone()),
        }
    }

    /// The last results, oldest first.
    pub fn beats(&self) -> impl DoubleEndedIterator<Item = &Beat> + ExactSizeIterator {
        self.beats.iter()
    }

    /// The last changes of status, oldest first.
    pub fn transitions(&self) -> impl DoubleEndedIterator<Item = &Transition> {
        self.transitions.iter()
    }

    /// Shares of time up.
    pub fn uptime(&self, now: Timestamp) -> UptimeRatios {
        self.uptime.ratios(now)
    }

    fn in_grace(&self, now: Timestamp) -> bool {
        !self.passed_once && now < after(self.created, self.settings.start_up_grace)
    }

    fn count(&mut self, verdict: Verdict) {
        let next = |count: u32, holds: bool| if holds { count.saturating_add(1) } else { 0 };
        self.fails = next(self.fails, verdict == Verdict::Fail);
        self.troubles = next(self.troubles, verdict != Verdict::Pass);
        self.goods = next(self.goods, verdict == Verdict::Pass);
        self.usable = next(self.usable, verdict != Verdict::Fail);
        self.passed_once |= verdict != Verdict::Fail;
    }

    /// The table of thresholds. Worse needs `failure_threshold` results that are all at least that bad, better needs
    /// `success_threshold` that are all at least that good; from unknown, the first good result is believed.
    fn next_status(&self) -> Status {
        let worse = self.settings.failure_threshold.max(1);
        let better = self.settings.success_threshold.max(1);
        match self.status {
            _ if self.fails >= worse => Status::Fail,
            Status::Pass | Status::Unknown | Status::Maintenance if self.troubles >= worse => Status::Warn,
            Status::Unknown | Status::Maintenance if self.goods >= 1 => Status::Pass,
            Status::Warn | Status::Fail if self.goods >= better => Status::Pass,
            Status::Fail if self.usable >= better => Status::Warn,
            standing => standing,
        }
    }

    fn pending(&self) -> Option<Status> {
        let (_, last) = self.last.as_ref()?;
        let points_to = Status::from(last.verdict);
        (points_to != self.status).then_some(points_to)
    }

    fn turn(&mut self, to: Status, now: Timestamp) -> Transition {
        let transition = Transition { at: now, from: self.status, to };
        self.status = to;
        self.since = now;
        self.transitions.push_back(transition.clone());
        while self.transitions.len() > TRANSITIONS_KEPT {
            self.transitions.pop_front();
        }
        transition
    }

    fn settle_flapping(&mut self, now: Timestamp) {
        let Flapping { transitions, window } = self.settings.flapping;
        let recent = self
            .transitions
            .iter()
            .rev()
            .take_while(|t| since(now, t.at) < window)
            .filter(|t| t.from != Status::Unknown)
            .count();
        self.flapping = if self.flapping { recent > 0 } else { transitions > 0 && recent >= transitions };
    }

    fn account(&mut self, now: Timestamp, maintenance: bool) {
        let status = if maintenance { Status::Maintenance } else { self.status };
        if now > self.accounted {
            self.uptime.add(self.accounted, now, status);
            self.accounted = now;
        }
    }
}

fn truncate(text: &mut String, max: usize) {
    if text.len() > max {
        let cut = (0..=max).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn outcome(verdict: Verdict) -> Outcome {
        Outcome { verdict, ..Outcome::pass(Duration::from_millis(3)) }
    }

    fn run(check: &mut Check, verdicts: &[Verdict]) -> Vec<Status> {
        let from = check.last.as_ref().map_or(0, |(t, _)| t.as_second() - 1_700_000_000);
        verdicts
            .iter()
            .enumerate()
            .map(|(i, v)| {
                check.observe(outcome(*v), at(from + 5 * (i as i64 + 1)), false);
                check.view().status
            })
            .collect()
    }

    use Verdict::{Fail, Pass, Warn};

    #[test]
    fn one_failure_is_pending_and_two_are_down() {
        let mut check = Check::new(Settings::default(), at(0));
        assert_eq!(run(&mut check, &[Pass, Fail]), [Status::Pass, Status::Pass]);
        assert_eq!(check.view().pending, Some(Status::Fail));
        assert_eq!(run(&mut check, &[Fail]), [Status::Fail]);
        assert_eq!(check.view().pending, None);
        assert_eq!(run(&mut check, &[Pass]), [Status::Pass]);
    }

    #[test]
    fn degraded_is_not_down() {
        let mut check = Check::new(Settings::default(), at(0));
        assert_eq!(run(&mut check, &[Pass, Warn, Warn, Warn, Warn]).last(), Some(&Status::Warn));
        assert_eq!(run(&mut check, &[Fail, Warn, Fail, Fail]).last(), Some(&Status::Fail));
        assert_eq!(
            run(&mut check, &[Warn]),
            [Status::Warn],
            "a usable answer ends down, but it isn't well yet"
        );
    }

    #[test]
    fn failures_during_start_up_do_not_count_until_the_first_success() {
        let settings = Settings { start_up_grace: Duration::from_secs(60), ..Settings::default() };
        let mut check = Check::new(settings, at(0));
        assert_eq!(run(&mut check, &[Fail; 11]), [Status::Unknown; 11]);
        assert_eq!(run(&mut check, &[Fail, Fail]), [Status::Unknown, Status::Fail]);

        let settings = Settings { start_up_grace: Duration::from_secs(600), ..Settings::default() };
        let mut check = Check::new(settings, at(0));
        assert_eq!(run(&mut check, &[Pass, Fail, Fail]).last(), Some(&Status::Fail));
    }

    #[test]
    fn flapping_begins_after_four_changes_and_ends_after_a_calm_quarter_of_an_hour() {
        let mut check = Check::new(Settings::default(), at(0));
        run(&mut check, &[Pass, Fail, Fail, Pass, Fail, Fail, Pass]);
        let view = check.view();
        assert!(view.flapping);
        assert_eq!(view.status, Status::Warn, "well between two failures isn't well");
        run(&mut check, &[Pass; 178]);
        assert!(check.view().flapping, "14:50 of calm");
        run(&mut check, &[Pass; 3]);
        assert!(!check.view().flapping);
        assert_eq!(check.view().status, Status::Pass);
    }

    #[test]
    fn a_result_from_the_past_changes_nothing() {
        let mut check = Check::new(Settings::default(), at(0));
        run(&mut check, &[Pass, Pass]);
        let before = check.clone();
        assert_eq!(check.observe(outcome(Fail), at(1), false), None);
        assert_eq!(check, before);
    }

    #[test]
    fn maintenance_does_not_lower_the_uptime() {
        let mut check = Check::new(Settings { failure_threshold: 1, ..Settings::default() }, at(0));
        run(&mut check, &[Pass, Pass]);
        for i in 3..40 {
            check.observe(outcome(Fail), at(i * 5), true);
        }
        assert_eq!(check.uptime(at(200)).hour, Some(1.0));
    }

    fn verdicts() -> impl Strategy<Value = Vec<Verdict>> {
        prop::collection::vec(prop_oneof![Just(Pass), Just(Warn), Just(Fail)], 0..200)
    }

    proptest! {
        #[test]
        fn down_needs_the_threshold_and_always_comes_with_it(
            results in verdicts(), worse in 1_u32..5, better in 1_u32..5,
        ) {
            let settings = Settings { failure_threshold: worse, success_threshold: better, ..Settings::default() };
            let mut check = Check::new(settings, at(0));
            let mut streak = 0_u32;
            let mut was_down = false;
            for (i, verdict) in results.iter().enumerate() {
                check.observe(outcome(*verdict), at(5 * i as i64), false);
                streak = if *verdict == Fail { streak + 1 } else { 0 };
                let down = check.status == Status::Fail;
                if streak >= worse { prop_assert!(down); }
                if down && !was_down { prop_assert_eq!(streak, worse); }
                was_down = down;
                prop_assert!(check.beats.len() <= RESULTS_KEPT);
                prop_assert!(check.transitions.len() <= TRANSITIONS_KEPT);
                if let Some(last) = check.transitions.back() {
                    prop_assert_eq!(last.to, check.status);
                    prop_assert_eq!(last.at, check.since);
                }
            }
        }

        #[test]
        fn transitions_chain_without_gaps(results in verdicts()) {
            let mut check = Check::new(Settings::default(), at(0));
            run(&mut check, &results);
            let all: Vec<_> = check.transitions.iter().collect();
            for pair in all.windows(2) {
                prop_assert_eq!(pair[0].to, pair[1].from);
                prop_assert!(pair[0].at < pair[1].at);
            }
        }
    }
}
