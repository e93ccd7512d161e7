//! The same number of replicas over several decisions. Stored as one flat list of numbers, since hours of them are part of
//! a status: for each run the milliseconds from the end of the run before (the first: since the epoch), those from its first
//! decision to its last, and its replicas.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The same number of replicas from one decision to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The first decision.
    pub from: Timestamp,
    /// When the last decision with these replicas was made.
    pub to: Timestamp,
    /// The replicas.
    pub replicas: u32,
}

/// Adds one decision to runs: the last run grows where the number is the same.
pub(crate) fn note(runs: &mut Vec<Run>, at: Timestamp, replicas: u32) {
    match runs.last_mut() {
        Some(last) if last.replicas == replicas => last.to = at.max(last.to),
        _ => runs.push(Run { from: at, to: at, replicas }),
    }
}

/// Largest and smallest of the runs that reach into the time after `cutoff`.
pub(crate) fn extremes(runs: &[Run], cutoff: Timestamp) -> Option<(u32, u32)> {
    runs.iter().filter(|run| run.to > cutoff).fold(None, |seen, run| {
        let (low, high) = seen.unwrap_or((run.replicas, run.replicas));
        Some((low.min(run.replicas), high.max(run.replicas)))
    })
}

pub(crate) fn serialize<S: Serializer>(runs: &[Run], serializer: S) -> Result<S::Ok, S::Error> {
    let mut end = 0;
    serializer.collect_seq(runs.iter().flat_map(|run| {
        let (from, to) = (run.from.as_millisecond(), run.to.as_millisecond());
        let numbers = [from - end, to - from, i64::from(run.replicas)];
        end = to;
        numbers
    }))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Run>, D::Error> {
    let numbers = Vec::<i64>::deserialize(deserializer)?;
    let mut end = 0i64;
    let wrong = || D::Error::custom("no runs: three numbers each, times within range, replicas from 0");
    numbers
        .chunks(3)
        .map(|three| {
            let &[gap, length, replicas] = three else { return Err(wrong()) };
            let from = end.checked_add(gap).ok_or_else(wrong)?;
            end = from.checked_add(length).ok_or_else(wrong)?;
            Ok(Run {
                from: Timestamp::from_millisecond(from).map_err(D::Error::custom)?,
                to: Timestamp::from_millisecond(end).map_err(D::Error::custom)?,
                replicas: u32::try_from(replicas).map_err(|_| wrong())?,
            })
        })
        .collect()
}
