//! Where the replica-hours went: what the measured load needed, what the winning candidate asked for on top, and what
//! each limit added or took away. Recommendations come in; replica-hours by word go out. The words are those of the
//! decision record, so a large number leads straight to the rule behind it.

use std::collections::BTreeMap;

use decide::Recommendation;

/// Hours between two decisions.
const TICK_HOURS: f64 = 15.0 / 3_600.0;

/// Replica-hours by what they were spent on.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    by_word: BTreeMap<&'static str, f64>,
}

impl Attribution {
    /// Adds a decision that stands for one interval; `needed` replicas would carry the load as it was measured.
    pub(crate) fn note(&mut self, decision: &Recommendation, needed: u32) {
        self.add("load", f64::from(needed));
        self.add(decision.driver.source.as_str(), f64::from(decision.uncapped) - f64::from(needed));
        for limit in &decision.limits {
            self.add(limit.reason.as_str(), f64::from(limit.to) - f64::from(limit.from));
        }
    }

    fn add(&mut self, word: &'static str, replicas: f64) {
        *self.by_word.entry(word).or_default() += replicas * TICK_HOURS;
    }

    /// Replica-hours by word: `load` for what the load as measured needs, a candidate's word for what it asked for on
    /// top of that, a limit's word for what it added (or, below zero, took away).
    pub fn hours(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        self.by_word.iter().map(|(word, hours)| (*word, *hours))
    }
}
