//! How long pods take from creation to Ready: the last measurements, and what 95 of 100 stay below.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use api::v1alpha1::Startup;

/// As many measurements are kept; they live in the status too, so few are enough to stay small and to follow change.
const KEEP: usize = 50;
/// Pods that were counted already; a workload that replaces more at once counts some of them again, harmlessly.
const REMEMBER: usize = 2_000;

/// The last start-up times of one workload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Startups {
    seconds: VecDeque<i32>,
    counted: HashSet<String>,
}

impl Startups {
    /// What an earlier life measured. The pods that are there at the first look are in it already.
    pub(crate) fn restore(status: Option<&Startup>) -> Self {
        let seconds =
            status.map(|s| s.samples.iter().copied().filter(|s| *s >= 0).collect()).unwrap_or_default();
        Self { seconds, counted: HashSet::new() }
    }

    /// Whether nothing was measured yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.seconds.is_empty()
    }

    /// Marks pods as counted without measuring them.
    pub(crate) fn skip(&mut self, pods: &[(String, Duration)]) {
        self.counted.extend(pods.iter().map(|(uid, _)| uid.clone()));
    }

    /// Counts pods that weren't counted before.
    pub(crate) fn note(&mut self, pods: &[(String, Duration)]) {
        for (uid, took) in pods {
            if !self.counted.contains(uid) {
                if self.counted.len() >= REMEMBER {
                    self.counted.clear();
                }
                self.counted.insert(uid.clone());
                self.seconds.push_back(took.as_secs().min(3_600) as i32);
            }
        }
        while self.seconds.len() > KEEP {
            self.seconds.pop_front();
        }
    }

    /// For the decision.
    pub(crate) fn observed(&self) -> decide::Startup {
        let count = self.seconds.len();
        let mean = self.seconds.iter().map(|s| f64::from(*s)).sum::<f64>() / count.max(1) as f64;
        decide::Startup {
            p95: self.p95().map(|s| Duration::from_secs(s.max(0) as u64)),
            mean: (count > 0).then(|| Duration::from_secs_f64(mean)),
            samples: count as u32,
        }
    }

    /// For the status.
    pub(crate) fn status(&self) -> Option<Startup> {
        (!self.is_empty())
            .then(|| Startup { p95_seconds: self.p95(), samples: self.seconds.iter().copied().collect() })
    }

    /// The smallest measurement that 95 % don't exceed (the nearest-rank method).
    fn p95(&self) -> Option<i32> {
        let mut sorted: Vec<i32> = self.seconds.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * 0.95).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, seconds: u64) -> (String, Duration) {
        (uid.to_owned(), Duration::from_secs(seconds))
    }

    #[test]
    fn each_pod_is_measured_once() {
        let mut startups = Startups::default();
        startups.note(&[pod("a", 10), pod("b", 20)]);
        startups.note(&[pod("a", 10), pod("c", 60)]);
        assert_eq!(startups.status().unwrap().samples, [10, 20, 60]);
        assert_eq!(startups.observed().p95, Some(Duration::from_mins(1)));
        assert_eq!(startups.observed().mean, Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_restart_forgets_nothing_and_counts_nothing_twice() {
        let mut before = Startups::default();
        before.note(&[pod("a", 10), pod("b", 20)]);
        let mut after = Startups::restore(before.status().as_ref());
        after.skip(&[pod("a", 10), pod("b", 20)]);
        after.note(&[pod("a", 10), pod("b", 20), pod("c", 30)]);
        assert_eq!(after.status().unwrap().samples, [10, 20, 30]);
    }

    #[test]
    fn only_the_last_fifty_count() {
        let mut startups = Startups::default();
        let pods: Vec<_> = (0..200).map(|i| pod(&i.to_string(), i)).collect();
        startups.note(&pods);
        assert_eq!(startups.status().unwrap().samples.len(), 50);
        assert_eq!(startups.status().unwrap().samples[0], 150);
        assert_eq!(startups.observed().p95, Some(Duration::from_secs(197)));
    }
}
