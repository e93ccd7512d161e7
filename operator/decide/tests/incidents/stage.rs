//! The stage of the stories: a workload that is told decision by decision, and a transcript of what was said.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use decide::{
    History, MetricObservation, Observation, Policy, Record, Selected, Startup, Strategy, StrategyReason,
    line,
};
use jiff::Timestamp;
use series::{AbsenceReason, Forecast, Reading, Sample, time};

const TICK: Duration = Duration::from_secs(15);

/// A scene: a workload under a policy, told decision by decision.
pub(crate) struct Scene {
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    pub(crate) spec: u32,
    pub(crate) history: History,
    pub(crate) text: String,
    last: Option<(String, u32)>,
    pub(crate) startup: Startup,
    pub(crate) records: Vec<Record>,
}

impl Scene {
    pub(crate) fn open(title: &str, story: &str, policy: Policy, spec: u32) -> Self {
        let mut text = String::new();
        writeln!(text, "# {title}\n").unwrap();
        for line in story.trim().lines() {
            writeln!(text, "# {}", line.trim()).unwrap();
        }
        let startup =
            Startup { p95: Some(Duration::from_secs(60)), mean: Some(Duration::from_secs(45)), samples: 40 };
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        Self {
            policy,
            now,
            spec,
            history: History::default(),
            text,
            last: None,
            startup,
            records: Vec::new(),
        }
    }

    pub(crate) fn say(&mut self, words: &str) {
        writeln!(self.text, "\n-- {words}").unwrap();
        self.last = None;
    }

    pub(crate) fn load(&self, value: f64) -> MetricObservation {
        let name = self.policy.metrics[0].name.clone();
        MetricObservation::fresh(name, Reading::Fresh(Sample::new(self.now, value).unwrap()))
    }

    pub(crate) fn seen(&self, metrics: Vec<MetricObservation>) -> Observation {
        Observation { metrics, startup: self.startup, ..Observation::of(self.spec) }
    }

    /// One decision, carried out. A line is written where something is said that wasn't a moment ago.
    pub(crate) fn decide(&mut self, observation: &Observation) -> u32 {
        let (record, next) = Record::make(&self.policy, observation, &self.history, self.now);
        self.history = next;
        let target = record.recommendation.target;
        self.history.scaled(self.now, self.spec, target);
        let said = line(&record);
        let words: Vec<_> = record.recommendation.limits.iter().map(|l| l.reason.to_string()).collect();
        let key = (words.join(","), target);
        if self.last.as_ref() != Some(&key) {
            let clock = self.now.strftime("%H:%M:%S");
            writeln!(self.text, "{clock}  {said}").unwrap();
            for limit in &record.recommendation.limits {
                writeln!(self.text, "          {}", limit.message).unwrap();
            }
        }
        self.last = Some(key);
        assert!(record.holds(), "a record must replay to the same answer");
        self.records.push(record);
        self.spec = target;
        self.now = time::after(self.now, TICK);
        target
    }

    /// Decides for `minutes` with the same load.
    pub(crate) fn steady(&mut self, minutes: u32, value: f64) {
        for _ in 0..minutes * 4 {
            let observation = self.seen(vec![self.load(value)]);
            self.decide(&observation);
        }
    }

    /// Decides for `minutes` on whatever `look` shows.
    pub(crate) fn watch(&mut self, minutes: u32, look: impl Fn(&Self) -> Observation) {
        for _ in 0..minutes * 4 {
            let observation = look(self);
            self.decide(&observation);
        }
    }

    /// Decides for `minutes` while "requests" can't be read.
    pub(crate) fn blind(&mut self, minutes: u32, reason: AbsenceReason, message: &str) {
        self.watch(minutes, |s| s.seen(vec![MetricObservation::absent("requests", reason, message)]));
    }

    pub(crate) fn close(self, name: &str) {
        let path = Path::new("tests/golden").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &self.text).unwrap();
            return;
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(self.text, golden, "{name} reads differently; UPDATE_GOLDEN=1 accepts the new text");
    }
}

/// Requests at 100 a second and replica of which a tenth is kept spare, 2 to 40 replicas, no forecasts unless a scene brings
/// one.
pub(crate) fn web() -> Policy {
    let mut policy = Policy::simple(2, 40, 100.0);
    policy.metrics[0].spare = 0.1;
    "requests".clone_into(&mut policy.metrics[0].name);
    policy
}

pub(crate) fn flat_forecast(now: Timestamp, low: f64, middle: f64, high: f64) -> Forecast {
    let step = Duration::from_secs(300);
    let rows = vec![vec![low, middle, high]; 24];
    Forecast::new(time::align(now, step), step, vec![0.01, 0.5, 0.99], rows, "seasonal").unwrap()
}

/// The forecast was selected here.
pub(crate) fn trusted() -> Selected {
    Selected { strategy: Strategy::at_quantile(0.99), reason: StrategyReason::SelectedByReplay }
}
