//! A decision on the page's time line. Pure.

use health::snapshot::{DecisionEntry, LimitEntry, Outcome};

use super::outcome::{Decided, driver};
use crate::actuate::{Actuation, Skip};

/// The line of a decision on the time line, where it did or said something new.
pub(super) fn entry(
    decided: &Decided,
    last: Option<&DecisionEntry>,
    trace_id: Option<String>,
) -> Option<DecisionEntry> {
    let recommendation = &decided.record.recommendation;
    let (outcome, from, to) = match &decided.actuation {
        Actuation::Applied(applied) => (Outcome::Scaled, applied.from(), applied.to()),
        Actuation::Refused(_) => (Outcome::Refused, recommendation.current, recommendation.target),
        Actuation::Skipped(Skip::Suggested(to)) => (Outcome::Suggested, recommendation.current, *to),
        Actuation::Skipped(_) if recommendation.uncapped != recommendation.target => {
            (Outcome::Held, recommendation.current, recommendation.target)
        }
        Actuation::Skipped(_) => return None,
    };
    let limits: Vec<LimitEntry> = recommendation
        .limits
        .iter()
        .map(|l| LimitEntry { reason: l.reason.to_string(), message: l.message.clone() })
        .collect();
    // A limit that no longer bites is no news, nor is one that bites again: only a reason that wasn't told yet.
    let same = |e: &DecisionEntry| {
        let told = |limit: &LimitEntry| e.limits.iter().any(|l| l.reason == limit.reason);
        e.outcome == outcome && e.to == to && limits.iter().all(told)
    };
    if outcome != Outcome::Scaled && last.is_some_and(same) {
        return None;
    }
    Some(DecisionEntry {
        at: decided.record.now,
        outcome,
        from,
        to,
        driver: driver(&recommendation.driver),
        message: decided.sentence.clone(),
        limits,
        trace_id,
    })
}
