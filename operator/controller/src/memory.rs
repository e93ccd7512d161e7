//! What is remembered of each policy between two looks at it. Bounded per policy; lost when the process ends, and then
//! rebuilt from the resource's status and from Prometheus.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use api::v1alpha1::{AutoscalePolicyStatus, Saved};
use health::snapshot::{DecisionEntry, PolicyKey};
use jiff::Timestamp;
use series::{Reading, time};
use telemetry::metrics::Metrics;

use crate::charts::Chart;
use crate::foresee::Foresight;
use crate::signals::Sources;
use crate::startups::Startups;
use crate::validate::{Intent, Invalid, Target};

/// Decisions that are kept for the page.
const DECISIONS: usize = 40;
/// Readings that are kept for short and long means: five minutes at 15 s, and some more.
const READINGS: usize = 24;

/// What the spec of a generation means, or all that is wrong with it.
pub(crate) type Checked = (Option<i64>, Result<Arc<Intent>, Vec<Invalid>>);

/// One policy between two looks.
pub(crate) struct PolicyMemory {
    pub(crate) key: PolicyKey,
    /// What the spec of a generation means.
    pub(crate) checked: Option<Checked>,
    pub(crate) sources: Option<Sources>,
    pub(crate) signals: HashMap<String, SignalMemory>,
    pub(crate) history: Option<decide::History>,
    /// Stances rehearsed on what the first metric's load does, and what came of it.
    pub(crate) rehearsal: Option<decide::Rehearsal>,
    pub(crate) scores: (Timestamp, Vec<decide::Score>),
    pub(crate) startups: Option<Startups>,
    /// Replicas as the last look left them.
    pub(crate) expected: Option<u32>,
    pub(crate) foreign: Option<decide::ForeignWrite>,
    /// The status as the API server has it from us, and when that was written.
    pub(crate) written: Option<(AutoscalePolicyStatus, Timestamp)>,
    /// The word of the last Ready event, so that each change is told once.
    pub(crate) told: HashMap<&'static str, String>,
    pub(crate) metrics: telemetry::metrics::PolicyMetrics,
    pub(crate) ready_chart: Chart,
    pub(crate) desired_chart: Chart,
    pub(crate) decisions: VecDeque<DecisionEntry>,
    pub(crate) ledger: Ledger,
    pub(crate) target: Option<Target>,
}

/// What is expected for a moment, in the signal's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Promise {
    /// As likely to be above as below.
    pub(crate) median: f64,
    /// The bound that a decision was made for.
    pub(crate) upper: Option<f64>,
}

/// One signal between two looks.
pub(crate) struct SignalMemory {
    pub(crate) foresight: Foresight,
    /// How messages move, where the signal is a queue.
    pub(crate) meter: sources::queue::Meter,
    /// The forecast settings it was made with, to notice a change.
    pub(crate) made_for: String,
    readings: VecDeque<(Timestamp, f64)>,
    pub(crate) chart: Chart,
    pub(crate) capacity: Chart,
    pub(crate) hindcast: Chart,
    /// Forecasts for later, so that what was expected can be shown beside what came.
    promised: VecDeque<(Timestamp, Promise)>,
    /// What had been expected for now.
    pub(crate) due: Option<Promise>,
}

impl SignalMemory {
    pub(crate) fn new(settings: &forecast::Settings, made_for: String) -> Self {
        Self {
            foresight: Foresight::new(settings.clone()),
            meter: sources::queue::Meter::default(),
            made_for,
            readings: VecDeque::new(),
            chart: Chart::default(),
            capacity: Chart::default(),
            hindcast: Chart::default(),
            promised: VecDeque::new(),
            due: None,
        }
    }

    /// Takes in a reading; only fresh ones say something. What is forecast goes to the foresight apart, because for a
    /// queue it isn't the reading.
    pub(crate) fn note(&mut self, now: Timestamp, reading: &Reading) {
        let Reading::Fresh(sample) = reading else { return };
        self.chart.note(sample.time(), sample.value());
        if self.readings.back().is_none_or(|(at, _)| *at < sample.time()) {
            self.readings.push_back((sample.time(), sample.value()));
        }
        let cutoff = time::before(now, std::time::Duration::from_mins(5));
        while self.readings.len() > READINGS || self.readings.front().is_some_and(|(at, _)| *at < cutoff) {
            self.readings.pop_front();
        }
    }

    /// The newest value and the mean over five minutes, once most of these were seen.
    pub(crate) fn short_and_long(&self) -> (Option<f64>, Option<f64>) {
        let newest = self.readings.back().map(|(_, v)| *v);
        let mean = self.readings.iter().map(|(_, v)| v).sum::<f64>() / self.readings.len().max(1) as f64;
        if self.readings.len() >= 8 { (newest, Some(mean)) } else { (None, None) }
    }

    /// Remembers what is expected for `at`, and shows what had been expected for now.
    pub(crate) fn promise(&mut self, now: Timestamp, at: Timestamp, promise: Option<Promise>) {
        if let Some(promise) = promise {
            self.promised.push_back((at, promise));
        }
        while let Some((due, promise)) = self.promised.front().copied().filter(|(due, _)| *due <= now) {
            self.hindcast.note(due, promise.median);
            self.due = Some(promise);
            self.promised.pop_front();
        }
        // A lead time of hours at 15 s would grow long; every slot of the chart needs one value only.
        while self.promised.len() > 1_600 {
            self.promised.pop_front();
        }
    }
}

/// What following the load saved against running the peak of the last week all the time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Replica-seconds, may be below zero.
    pub(crate) seconds: f64,
    pub(crate) since: Option<Timestamp>,
    last: Option<Timestamp>,
    /// The most replicas that the load asked for on each of the last days, newest last.
    peaks: VecDeque<(i64, u32)>,
}

impl Ledger {
    pub(crate) fn restore(saved: Option<&Saved>) -> Self {
        Self {
            seconds: saved.map_or(0.0, |s| s.replica_hours as f64 * 3_600.0),
            since: saved.and_then(|s| s.since.as_ref()).map(|t| t.0),
            ..Self::default()
        }
    }

    /// The replicas that the load of a moment asked for.
    pub(crate) fn needed(&mut self, at: Timestamp, replicas: u32) {
        let day = at.as_second().div_euclid(86_400);
        match self.peaks.iter_mut().find(|(d, _)| *d == day) {
            Some((_, peak)) => *peak = (*peak).max(replicas),
            None => self.peaks.push_back((day, replicas)),
        }
        self.peaks.retain(|(d, _)| *d > day - 8);
    }

    /// The peak of the last week.
    pub(crate) fn peak(&self) -> Option<u32> {
        self.peaks.iter().map(|(_, peak)| *peak).max()
    }

    /// Accounts for the time since the last call, in which `replicas` ran.
    pub(crate) fn account(&mut self, now: Timestamp, replicas: u32) {
        let Some(peak) = self.peak() else { return };
        // A long silence is nobody's saving.
        let passed = self.last.map_or(0.0, |last| time::since(now, last).as_secs_f64().min(120.0));
        self.seconds += (f64::from(peak) - f64::from(replicas)) * passed;
        self.since.get_or_insert(now);
        self.last = Some(now);
    }
}

impl PolicyMemory {
    fn new(key: PolicyKey, metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.policy(key.namespace.clone(), key.name.clone()),
            key,
            checked: None,
            sources: None,
            signals: HashMap::new(),
            history: None,
            rehearsal: None,
            scores: (Timestamp::MIN, Vec::new()),
            startups: None,
            expected: None,
            foreign: None,
            written: None,
            told: HashMap::new(),
            ready_chart: Chart::default(),
            desired_chart: Chart::default(),
            decisions: VecDeque::new(),
            ledger: Ledger::default(),
            target: None,
        }
    }

    /// Whether `text` is new on its `subject`; from now on it isn't.
    pub(crate) fn is_news(&mut self, subject: &'static str, text: &str) -> bool {
        if self.told.get(subject).is_some_and(|told| told == text) {
            return false;
        }
        self.told.insert(subject, text.to_owned());
        true
    }

    /// Puts a decision on the page's time line, newest first.
    pub(crate) fn remember(&mut self, entry: DecisionEntry) {
        self.decisions.push_front(entry);
        self.decisions.truncate(DECISIONS);
    }
}

type Shared = Arc<tokio::sync::Mutex<PolicyMemory>>;

/// All policies, by UID.
#[derive(Default)]
pub(crate) struct Memory {
    all: RwLock<HashMap<String, Shared>>,
    /// Records of decisions as they were found in the status of policies that weren't looked at yet, by UID.
    found: Mutex<HashMap<String, serde_json::Value>>,
}

impl Memory {
    /// The memory of one policy, empty at first. A policy is looked at by one task at a time.
    pub(crate) fn of(&self, uid: &str, key: &PolicyKey, metrics: &Metrics) -> Shared {
        if let Some(known) = self.all.read().unwrap_or_else(PoisonError::into_inner).get(uid) {
            return Arc::clone(known);
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(tokio::sync::Mutex::new(PolicyMemory::new(key.clone(), metrics)));
        Arc::clone(all.entry(uid.to_owned()).or_insert_with(fresh))
    }

    /// Keeps the record of a policy's last decision for its first look; later ones are known already.
    pub(crate) fn found(&self, uid: String, record: serde_json::Value) {
        if !self.all.read().unwrap_or_else(PoisonError::into_inner).contains_key(&uid) {
            self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, record);
        }
    }

    /// Forgets what was found in policies that are gone.
    pub(crate) fn retain_found(&self, alive: &HashSet<String>) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive.contains(uid));
    }

    /// The record that was found in the status, for the first look.
    pub(crate) fn take_found(&self, uid: &str) -> Option<serde_json::Value> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(uid)
    }

    /// Takes out the policies that are gone: those for whose UID `alive` says no.
    pub(crate) fn sweep(&self, alive: impl Fn(&str) -> bool) -> Vec<Shared> {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<String> = all.keys().filter(|uid| !alive(uid)).cloned().collect();
        gone.iter().filter_map(|uid| all.remove(uid)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn savings_are_counted_against_the_peak_of_the_week() {
        let mut ledger = Ledger::default();
        ledger.needed(at(0), 10);
        ledger.account(at(0), 4);
        for tick in 1..=240 {
            ledger.account(at(tick * 15), 4);
        }
        assert!((ledger.seconds - 6.0 * 3_600.0).abs() < 1e-6);
        assert_eq!(ledger.since, Some(at(0)));
    }

    #[test]
    fn a_peak_is_forgotten_after_a_week() {
        let mut ledger = Ledger::default();
        ledger.needed(at(0), 50);
        ledger.needed(at(9 * 86_400), 5);
        assert_eq!(ledger.peak(), Some(5));
    }

    #[test]
    fn what_was_promised_is_shown_when_it_is_due() {
        let mut signal = SignalMemory::new(&forecast::Settings::default(), String::new());
        let promise = Promise { median: 7.0, upper: Some(9.0) };
        signal.promise(at(0), at(600), Some(promise));
        assert!(signal.hindcast.series().is_none());
        signal.promise(at(600), at(1_200), None);
        assert_eq!(signal.hindcast.series().unwrap().last().map(|(_, v)| v), Some(7.0));
        assert_eq!(signal.due, Some(promise));
    }

    #[test]
    fn a_surge_shows_in_the_newest_value_against_the_mean() {
        let mut signal = SignalMemory::new(&forecast::Settings::default(), String::new());
        for i in 0..10 {
            let sample = series::Sample::new(at(i * 15), if i == 9 { 100.0 } else { 10.0 }).unwrap();
            signal.note(
                at(i * 15),
                &Reading::judge(sample, at(i * 15), Duration::from_mins(1), Duration::ZERO),
            );
        }
        assert_eq!(signal.short_and_long(), (Some(100.0), Some(19.0)));
    }
}
