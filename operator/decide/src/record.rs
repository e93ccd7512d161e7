//! A decision with everything it was made of, so that anybody can make it again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::observation::Observation;
use crate::policy::Policy;
use crate::recommend::{Decision, reach, recommend};
use crate::recommendation::Recommendation;

/// A decision with everything it was made of. Goes to the status, to traces and to `foresail explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When it was made.
    pub now: Timestamp,
    /// What was decided.
    pub recommendation: Recommendation,
    /// What the user wanted.
    pub policy: Policy,
    /// What was observed.
    pub observation: Observation,
    /// What was remembered.
    pub history: History,
}

impl Record {
    /// Decides, and keeps what the decision was made of, with forecasts cut to what it could look at. The second
    /// value is the history for the next decision.
    pub fn make(
        policy: &Policy,
        observation: &Observation,
        history: &History,
        now: Timestamp,
    ) -> (Self, History) {
        let observation = observation.trimmed(now, reach(policy, observation));
        let Decision { recommendation, history: next } = recommend(policy, &observation, history, now);
        let record =
            Self { now, recommendation, policy: policy.clone(), observation, history: history.clone() };
        (record, next)
    }

    /// The quantile of forecasts that the decision looked at, 0 to 1: its strategy's, or that of the policy's protection.
    pub fn forecast_level(&self) -> f64 {
        self.recommendation.strategy.forecast.map_or(self.policy.protection.quantile(), |f| f.quantile)
    }

    /// Makes the recorded decision again from its recorded inputs.
    pub fn replay(&self) -> Recommendation {
        recommend(&self.policy, &self.observation, &self.history, self.now).recommendation
    }

    /// Whether the same inputs still give the same answer: in its numbers and reasons, and in its words.
    pub fn holds(&self) -> bool {
        self.replay() == self.recommendation
    }
}
