//! Foresail in the plant: the forecaster, the rehearsal and the decision of production, fed with what a replay shows.
//! [`observation`] is the one place where measurements and pods become a [`decide::Observation`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use decide::capacity::Learnt;
use decide::{
    Capacity, History, MetricObservation, Observation, Outlook, Plan, Policy, Record, Rehearsal, Replicas,
    Stage, Startup, Utilization, plan, portfolio, recommend, shortlist,
};
use jiff::Timestamp;
use series::{Absence, AbsenceReason, Reading, Sample, Series, time};

use crate::issued::{Issue, Issued, LAG};
use crate::load::Load;
use crate::scaler::{Answer, Scaler, View, Why};
use crate::spent::Spent;

/// Start-ups remembered for the measured lead time.
const STARTUPS: usize = 200;
/// Scrape, ingest and write delay together.
const SEEN_LATE: Duration = Duration::from_secs(21);
/// At this share of the usual number of series or below, the source speaks of vanished series.
const VANISHED_SHARE: f64 = 0.5;
/// How often scores of the rehearsal are handed to the decision, in ticks.
const SCORES_EVERY: u64 = 240;

/// Foresail.
pub struct Foresail {
    policy: Policy,
    metric: String,
    issued: Arc<Issued>,
    history: History,
    rehearsal: Rehearsal,
    scores: Vec<decide::Score>,
    stage: Stage,
    ticks: u64,
    readings: Readings,
    spent: Spent,
}

impl Foresail {
    /// Foresail with a policy whose first metric is the load. The rehearsal practises on the history before the replay.
    pub fn new(load: &Load, policy: Policy, issued: Arc<Issued>) -> Self {
        let target = policy.metrics.first().map_or(1.0, |m| m.target);
        let metric = policy.metrics.first().map_or_else(String::new, |m| m.name.clone());
        let lead = match policy.lead_time {
            decide::LeadTime::Fixed(lead) | decide::LeadTime::Measured { until_known: lead } => lead,
        };
        let stage = Stage {
            per_replica: target,
            min_replicas: policy.min_replicas.max(1),
            max_replicas: policy.max_replicas,
            lead: lead + SEEN_LATE,
            startup: lead,
            keep: lead + policy.timing.keep,
        };
        let mut foresail = Self {
            policy,
            metric,
            issued,
            history: History::default(),
            rehearsal: Rehearsal::new(portfolio()),
            scores: Vec::new(),
            stage,
            ticks: 0,
            readings: Readings::default(),
            spent: Spent::default(),
        };
        foresail.practise(load.history());
        foresail
    }

    /// The stance in place, if there is one yet.
    pub fn stance(&self) -> Option<decide::Stance> {
        self.history.gate.stance
    }

    /// Where the replica-hours of its decisions went, from the first one on.
    pub fn spent(&self) -> &Spent {
        &self.spent
    }

    /// What one replica carries, as far as it's known: declared, or learnt by now.
    pub fn per_replica(&self) -> f64 {
        let learnt = self.history.metric(&self.metric).map(|m| m.capacity.learnt());
        match (self.policy.metrics.first().map(|m| m.capacity), learnt) {
            (Some(Capacity::Learnt), Some(Learnt::Known { per_replica, .. }))
            | (Some(Capacity::Declared(per_replica)), _) => per_replica,
            _ => self.policy.metrics.first().map_or(1.0, |m| m.target),
        }
    }

    /// What the rehearsal says of every stance by now.
    pub fn rehearsed(&self) -> Vec<decide::Score> {
        self.rehearsal.scores()
    }

    /// Rehearses the issues made over the known history.
    fn practise(&mut self, history: &Series) {
        let Some(first) = self.issued.before.first().map(|i| i.at) else { return };
        let issued = Arc::clone(&self.issued);
        let mut now = first;
        let mut next = 0;
        while now < history.end() {
            while issued.before.get(next + 1).is_some_and(|i| i.at <= now) {
                next += 1;
            }
            let forecast = issued.before.get(next).and_then(|i| i.forecast.as_deref().ok());
            let load = between_slots(history, time::before(now, LAG)).and_then(|v| Sample::new(now, v));
            self.rehearsal.tick(now, load, forecast, &self.stage);
            now = time::after(now, Duration::from_secs(15));
        }
        self.scores = shortlist(&self.rehearsal.scores(), self.policy.protection, self.history.gate.stance);
    }

    fn rehearse(&mut self, view: &View<'_>, issue: Option<&Issue>) {
        self.stage.per_replica = self.per_replica();
        if view.startups.len() >= 5 {
            let seen = startup(view.startups);
            let p95 = seen.p95.unwrap_or(self.stage.startup);
            self.stage.startup = seen.mean.unwrap_or(p95);
            self.stage.lead = p95 + SEEN_LATE;
            self.stage.keep = seen.mean.unwrap_or(p95) + self.policy.timing.keep;
        }
        let forecast = issue.and_then(|i| i.forecast.as_deref().ok());
        let load = match &view.signal.reading {
            Reading::Fresh(sample) => Some(*sample),
            Reading::Stale { .. } | Reading::Absent(_) => None,
        };
        self.rehearsal.tick(view.now, load, forecast, &self.stage);
        self.ticks += 1;
        if self.ticks.is_multiple_of(SCORES_EVERY) {
            self.scores =
                shortlist(&self.rehearsal.scores(), self.policy.protection, self.history.gate.stance);
        }
    }
}

impl Scaler for Foresail {
    fn decide(&mut self, view: &View<'_>, explain: bool) -> Answer {
        let issued = Arc::clone(&self.issued);
        let issue = issued.at(view.now);
        self.rehearse(view, issue);
        let seen = self.readings.take(view);
        let observation = observation(view, &self.metric, seen, issue, &self.scores);
        let (recommendation, next, why) = if explain {
            let (record, next) = Record::make(&self.policy, &observation, &self.history, view.now);
            let why = explained(&record);
            (record.recommendation, next, Some(why))
        } else {
            let decision = recommend(&self.policy, &observation, &self.history, view.now);
            (decision.recommendation, decision.history, None)
        };
        self.history = next;
        let needed = view
            .signal
            .reading
            .fresh()
            .map_or(view.spec, |load| (load / self.stage.per_replica).ceil() as u32);
        self.spent.note(&recommendation, needed);
        let replicas = match plan(self.policy.mode, None, &recommendation, view.now) {
            Plan::Scale { from, to } | Plan::Suggest { from, to } => {
                self.history.scaled(view.now, from, to);
                to
            }
            Plan::Hold { .. } => view.spec,
        };
        Answer { replicas, why: why.map(Box::new) }
    }
}

/// What a decision is told: pods as the cluster shows them, the load as measured, the forecast as issued.
pub fn observation(
    view: &View<'_>,
    metric: &str,
    seen: Seen,
    issue: Option<&Issue>,
    scores: &[decide::Score],
) -> Observation {
    let outlook = match issue.map(|i| &i.forecast) {
        Some(Ok(forecast)) => Outlook::Forecast(forecast.as_ref().clone()),
        Some(Err(refusal)) => {
            Outlook::Unknown { reason: refusal.reason.as_str().to_owned(), message: refusal.message.clone() }
        }
        None => {
            Outlook::Unknown { reason: "NoData".to_owned(), message: "nothing was forecast yet".to_owned() }
        }
    };
    Observation {
        replicas: Replicas {
            spec: view.spec,
            ready: view.ready,
            pending: view.pending - view.crash_looping,
            crash_looping: view.crash_looping,
            ..Replicas::default()
        },
        startup: startup(view.startups),
        lag: SEEN_LATE,
        scores: scores.to_vec(),
        metrics: vec![MetricObservation {
            coverage: view.signal.coverage,
            outlook,
            standing: issue.and_then(standing),
            short: seen.short,
            long: seen.long,
            utilization: utilization(view, &seen.reading),
            ..MetricObservation::fresh(metric, seen.reading.clone())
        }],
        ..Observation::of(view.spec)
    }
}

/// How busy the ready pods are, beside the load that each of them has: what capacity is learnt from.
fn utilization(view: &View<'_>, reading: &Reading) -> Option<Utilization> {
    let load = reading.fresh()?;
    (view.pods.available && view.pods.missing == 0 && view.ready > 0)
        .then(|| Utilization { load: load / f64::from(view.ready), used: view.pods.utilization })
}

/// The last five minutes of readings, and how many series there usually are.
#[derive(Clone, Debug, Default)]
struct Readings {
    last: VecDeque<f64>,
    series: VecDeque<u32>,
}

/// A reading as a source of production would give it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The reading; absent where far fewer series feed it than in the last hour.
    pub reading: Reading,
    /// The newest value.
    pub short: Option<f64>,
    /// The mean over five minutes.
    pub long: Option<f64>,
}

impl Readings {
    fn take(&mut self, view: &View<'_>) -> Seen {
        let mut reading = view.signal.reading.clone();
        if let Reading::Fresh(sample) = reading {
            let usual = self.series.iter().copied().max().unwrap_or(0);
            if f64::from(view.signal.series) <= VANISHED_SHARE * f64::from(usual) {
                let message = format!("{} series instead of {usual}", view.signal.series);
                reading = Reading::Absent(Absence::new(AbsenceReason::SeriesVanished, message));
            } else {
                self.last.push_back(sample.value());
                self.series.push_back(view.signal.series);
            }
        }
        if self.last.len() > 20 {
            self.last.pop_front();
        }
        if self.series.len() > 240 {
            self.series.pop_front();
        }
        let mean = self.last.iter().sum::<f64>() / self.last.len().max(1) as f64;
        let enough = self.last.len() >= 8;
        Seen { reading, short: self.last.back().copied().filter(|_| enough), long: enough.then_some(mean) }
    }
}

/// The forecaster's standing in the words of a decision: at the shortest horizon it keeps track of.
pub(crate) fn standing(issue: &Issue) -> Option<decide::Standing> {
    let score = issue.standing.horizons.iter().find(|h| h.scored > 0)?;
    Some(decide::Standing {
        versus_last: score.versus_last_value,
        versus_yesterday: score.versus_yesterday,
        coverage: score.coverage_95,
        level: 0.95,
    })
}

/// Mean and 95th percentile of the last start-ups.
pub(crate) fn startup(seconds: &[u32]) -> Startup {
    let last = &seconds[seconds.len().saturating_sub(STARTUPS)..];
    if last.is_empty() {
        return Startup::default();
    }
    let mut sorted = last.to_vec();
    sorted.sort_unstable();
    let p95 = sorted[((sorted.len() - 1) as f64 * 0.95).round() as usize];
    let mean = sorted.iter().map(|s| u64::from(*s)).sum::<u64>() / sorted.len() as u64;
    Startup {
        p95: Some(Duration::from_secs(u64::from(p95))),
        mean: Some(Duration::from_secs(mean)),
        samples: sorted.len() as u32,
    }
}

/// The straight line between the middles of two slots of history.
fn between_slots(history: &Series, at: Timestamp) -> Option<f64> {
    let step = history.step();
    let left = time::before(at, step / 2);
    let index = history.index_of(left)?;
    let (a, b) = (history.get(index)?, history.get(index + 1)?);
    let share = time::since(left, history.time_of(index)).as_secs_f64() / step.as_secs_f64();
    Some(a + (b - a) * share)
}

fn explained(record: &Record) -> Why {
    let r = &record.recommendation;
    Why {
        candidates: r
            .candidates
            .iter()
            .filter_map(|c| Some((c.source.as_str().to_owned(), c.replicas?)))
            .collect(),
        limits: r.limits.iter().map(|l| (l.reason.as_str().to_owned(), l.message.clone())).collect(),
        record: serde_json::to_value(record).unwrap_or_default(),
    }
}
