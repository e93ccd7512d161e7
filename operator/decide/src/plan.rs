//! From a recommendation to what is to be done. A plan is a wish: only whoever writes to the API server knows
//! whether it came true.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::Mode;
use crate::recommendation::Recommendation;
use crate::words::words;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Plan {
    /// Nothing.
    Hold {
        /// Why, as a word for programs.
        reason: HoldReason,
        /// Why, as a sentence for people.
        message: String,
    },
    /// Write `to` where `from` was observed.
    Scale {
        /// Replicas observed.
        from: u32,
        /// Replicas wanted.
        to: u32,
    },
    /// Say that `to` would be right; write nothing.
    Suggest {
        /// Replicas observed.
        from: u32,
        /// Replicas that would be right.
        to: u32,
    },
}

words! {
    /// Why nothing is done.
    HoldReason {
        /// The replicas are right.
        AsRecommended,
        /// Somebody paused the policy.
        Paused,
    }
}

/// A pause: who reads it must know why, and it ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// When it ends; `None` for one that somebody has to lift.
    pub until: Option<Timestamp>,
    /// What the person who paused it wrote.
    pub reason: String,
}

/// What to do about `recommendation`, given the mode and a pause that may be over by `now`.
pub fn plan(mode: Mode, pause: Option<&Pause>, recommendation: &Recommendation, now: Timestamp) -> Plan {
    let (from, to) = (recommendation.current, recommendation.target);
    if let Some(pause) = pause
        && pause.until.is_none_or(|until| now < until)
    {
        let until = pause.until.map_or_else(|| "somebody lifts it".to_owned(), |until| until.to_string());
        return Plan::Hold {
            reason: HoldReason::Paused,
            message: format!("paused until {until}: {}; {to} replicas would be right", pause.reason),
        };
    }
    if from == to {
        return Plan::Hold {
            reason: HoldReason::AsRecommended,
            message: format!("{from} replicas are right"),
        };
    }
    match mode {
        Mode::Auto => Plan::Scale { from, to },
        Mode::Recommend => Plan::Suggest { from, to },
    }
}
