//! How long pods take from creation to Ready: the last measurements, their mean and what 95 of 100 stay below.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

use crate::inputs::StartUp;

/// As many measurements are kept: few enough to live in a status and to follow change, enough for a 95 % quantile.
const KEEP: usize = 50;
/// A pod that became ready so long ago has been told by every watch: counted earlier, one that is told a little later
/// would be lost.
const SETTLED: Duration = Duration::from_secs(5);
/// No pod takes longer that counts.
const LONGEST: u64 = 3_600;

/// The last start-up times of one workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StartUps {
    /// Seconds, oldest first.
    seconds: VecDeque<u32>,
    /// When the newest pod that was counted became ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

impl StartUps {
    /// Counts the pods that became ready since the last time.
    pub(crate) fn note(&mut self, startups: &[StartUp], now: Timestamp) {
        let settled = time::before(now, SETTLED);
        let mut new: Vec<&StartUp> = startups
            .iter()
            .filter(|s| s.ready <= settled && self.until.is_none_or(|until| s.ready > until))
            .collect();
        new.sort_by_key(|s| (s.ready, s.took));
        for startup in new {
            self.until = Some(startup.ready);
            self.seconds.push_back(u32::try_from(startup.took.as_secs().min(LONGEST)).unwrap_or(u32::MAX));
        }
        while self.seconds.len() > KEEP {
            self.seconds.pop_front();
        }
    }

    /// The measurements in seconds, oldest first.
    pub fn seconds(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.seconds.iter().copied()
    }

    /// For the decision: mean, and the smallest measurement that 95 % don't exceed (the nearest-rank method).
    pub fn observed(&self) -> decide::Startup {
        let count = self.seconds.len();
        let mut sorted: Vec<u32> = self.seconds().collect();
        sorted.sort_unstable();
        let rank = (count as f64 * 0.95).ceil() as usize;
        let p95 = sorted.get(rank.saturating_sub(1)).map(|s| Duration::from_secs(u64::from(*s)));
        let mean = sorted.iter().map(|s| f64::from(*s)).sum::<f64>() / count.max(1) as f64;
        decide::Startup {
            p95,
            mean: (count > 0).then(|| Duration::from_secs_f64(mean)),
            samples: count as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(ready: i64, took: u64) -> StartUp {
        StartUp { ready: at(ready), took: Duration::from_secs(took) }
    }

    #[test]
    fn each_pod_is_counted_once_and_not_before_every_watch_has_told_it() {
        let mut startups = StartUps::default();
        startups.note(&[pod(100, 10), pod(90, 20), pod(118, 60)], at(120));
        assert_eq!(startups.seconds().collect::<Vec<_>>(), [20, 10]);
        startups.note(&[pod(100, 10), pod(117, 50), pod(118, 60)], at(135));
        assert_eq!(startups.seconds().collect::<Vec<_>>(), [20, 10, 50, 60]);
        let observed = startups.observed();
        assert_eq!(
            (observed.p95, observed.mean),
            (Some(Duration::from_mins(1)), Some(Duration::from_secs(35)))
        );
    }

    #[test]
    fn a_restart_forgets_nothing_and_counts_nothing_twice() {
        let mut before = StartUps::default();
        before.note(&[pod(100, 10), pod(101, 20)], at(200));
        let stored = serde_json::to_string(&before).unwrap();
        let mut after: StartUps = serde_json::from_str(&stored).unwrap();
        after.note(&[pod(100, 10), pod(101, 20), pod(150, 30)], at(300));
        assert_eq!(after.seconds().collect::<Vec<_>>(), [10, 20, 30]);
    }

    #[test]
    fn only_the_last_fifty_count() {
        let mut startups = StartUps::default();
        let pods: Vec<_> = (0..200).map(|i| pod(i, i as u64)).collect();
        startups.note(&pods, at(1_000));
        assert_eq!(startups.seconds().collect::<Vec<_>>(), (150..200).collect::<Vec<_>>());
        assert_eq!(startups.observed().p95, Some(Duration::from_secs(197)));
    }
}
