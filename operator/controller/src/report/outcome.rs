//! What came of one evaluation of a policy: the value that everything that reports is made from.

use crate::actuate::Actuation;
use crate::error::Refusal;

/// What came of one evaluation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Nothing was decided.
    Refused(Refusal),
    /// Something was decided, and carried out or not.
    Decided(Box<Decided>),
}

/// A decision and what came of it.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The decision with everything it was made of.
    pub record: decide::Record,
    /// What was to be done.
    pub plan: decide::Plan,
    /// How each metric's forecast stands, in the policy's order.
    pub forecasts: Vec<autoscaler::ForecastState>,
    /// What was done.
    pub actuation: Actuation,
    /// The decision in one sentence.
    pub sentence: String,
    /// What a person should know besides, such as fields that don't exist.
    pub notes: Vec<Note>,
}

/// What a person should know though nothing fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The word to search for.
    pub reason: &'static str,
    /// What is wrong and what to do, in a sentence or two.
    pub message: String,
}

impl Note {
    /// A note.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl Decided {
    /// The replicas that the target asks for after this evaluation.
    pub fn replicas(&self) -> u32 {
        match &self.actuation {
            Actuation::Applied(applied) => applied.to(),
            Actuation::Skipped(crate::actuate::Skip::Overtaken { now }) => *now,
            _ => self.record.recommendation.current,
        }
    }
}

/// What drove a decision, as `rps (Predictive)` or `PolicyMinimum`.
pub fn driver(driver: &decide::Driver) -> String {
    match &driver.metric {
        Some(metric) => format!("{metric} ({})", driver.source),
        None => driver.source.to_string(),
    }
}

/// A recommendation in one sentence.
pub fn sentence(recommendation: &decide::Recommendation) -> String {
    let winner = recommendation.candidates.iter().find(|c| {
        c.source == recommendation.driver.source
            && c.metric == recommendation.driver.metric
            && c.replicas.is_some()
    });
    let why = winner.map_or(String::new(), |c| format!(": {}", c.message));
    let bent = recommendation
        .last_limit()
        .map_or(String::new(), |l| format!(", limited by {}: {}", l.reason, l.message));
    format!("{} replicas for {}{why}{bent}", recommendation.target, driver(&recommendation.driver))
}
