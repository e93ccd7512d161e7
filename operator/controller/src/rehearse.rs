//! The rehearsal of every way to size a workload, carried along beside the real one, so that the decision can choose
//! the cheapest that keeps its promise here. What comes in: what was observed. What goes out: scores, renewed once an
//! hour; none for the first hours of a life.

use decide::{MetricKind, Observation, Outlook, Policy, Rehearsal, Score, Stage, portfolio};
use jiff::Timestamp;
use series::Reading;

/// How often scores are taken anew, in ticks.
const SCORES_EVERY: u64 = 240;

/// A rehearsal of the policy's first forecast metric.
#[derive(Default)]
pub(crate) struct Stagehand {
    rehearsal: Option<Rehearsal>,
    metric: String,
    ticks: u64,
    scores: Vec<Score>,
}

impl Stagehand {
    /// Takes in one tick, and says what is known of each stance by now.
    pub(crate) fn tick(&mut self, policy: &Policy, observation: &Observation, now: Timestamp) -> Vec<Score> {
        let load = policy.metrics.iter().find(|m| m.forecast && m.kind == MetricKind::AverageValue);
        let Some((metric, seen)) = load.and_then(|m| Some((m, observation.metric(&m.name)?))) else {
            *self = Self::default();
            return Vec::new();
        };
        if metric.name != self.metric {
            *self = Self { metric: metric.name.clone(), ..Self::default() };
        }
        let forecast = match &seen.outlook {
            Outlook::Forecast(forecast) => Some(forecast),
            Outlook::Unknown { .. } => None,
        };
        // Without any forecast there is nothing to choose between, and memory to save.
        if self.rehearsal.is_none() && forecast.is_none() {
            return Vec::new();
        }
        let sample = match &seen.reading {
            Reading::Fresh(sample) => Some(*sample),
            Reading::Stale { .. } | Reading::Absent(_) => None,
        };
        let rehearsal = self.rehearsal.get_or_insert_with(|| Rehearsal::new(portfolio()));
        rehearsal.tick(now, sample, forecast, &stage(policy, observation, metric.target));
        self.ticks += 1;
        if self.ticks.is_multiple_of(SCORES_EVERY) {
            self.scores = rehearsal.scores();
        }
        self.scores.clone()
    }
}

fn stage(policy: &Policy, observation: &Observation, target: f64) -> Stage {
    let until_known = match policy.lead_time {
        decide::LeadTime::Fixed(lead) | decide::LeadTime::Measured { until_known: lead } => lead,
    };
    let p95 = observation.startup.p95.unwrap_or(until_known);
    let startup = observation.startup.mean.unwrap_or(p95);
    let lead = match policy.lead_time {
        decide::LeadTime::Fixed(lead) => lead,
        decide::LeadTime::Measured { .. } => p95 + observation.lag,
    };
    Stage {
        per_replica: target,
        min_replicas: policy.min_replicas.max(1),
        max_replicas: policy.max_replicas,
        lead,
        startup,
        keep: startup + policy.timing.keep,
    }
}
