//! What a recommendation says, as series. The operator counts with it, and so does the demo: what is on a dashboard
//! means the same in both.

use decide::{Recommendation, Source};
use telemetry::metrics::{CandidateKind, PolicyMetrics};

/// The label of what a candidate, or the winner, came from.
pub fn candidate_kind(source: Source) -> CandidateKind {
    match source {
        Source::Predictive | Source::Keep => CandidateKind::Predictive,
        Source::Calendar => CandidateKind::Calendar,
        Source::Backlog => CandidateKind::Backlog,
        Source::Fallback => CandidateKind::Fallback,
        _ => CandidateKind::Reactive,
    }
}

/// Counts the limits that bit, and sets the replicas of every candidate.
pub fn recommended(metrics: &PolicyMetrics, recommendation: &Recommendation) {
    for limit in recommendation.limits.iter().filter(|l| l.from != l.to) {
        metrics.limited(limit.reason.as_str());
    }
    for candidate in &recommendation.candidates {
        let name = candidate.metric.clone().unwrap_or_else(|| "policy".to_owned());
        metrics.candidate(name, candidate_kind(candidate.source), candidate.replicas.map(f64::from));
    }
}
