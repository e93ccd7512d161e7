//! How many consumers a queue needs so that no message waits longer than promised: the smallest number that drains
//! what waits, through the arrivals to come, once it is running.
//!
//! A message is served in time when, at every moment, no more waits than arrived within the promise (the age of the
//! oldest waiting message is what waits over what arrives). Consumers ordered now help only after their start-up, and
//! every change of their number pauses consumption for a while.

use std::time::Duration;

use jiff::Timestamp;
use series::{Forecast, time};

use crate::policy::BacklogPolicy;
use crate::predictive::{line, peak};

/// Points of the promise's span that are looked at.
const POINTS: u32 = 16;

/// What the sizing of a queue is made of.
pub(crate) struct Queue<'a> {
    /// Messages waiting.
    pub(crate) backlog: f64,
    /// Messages arriving per second now.
    pub(crate) arrivals: f64,
    /// Arrivals to come, with the level to provision for; `None` where they aren't known or trusted.
    pub(crate) coming: Option<(&'a Forecast, f64)>,
    /// Messages one consumer finishes per second.
    pub(crate) per_consumer: f64,
    /// Consumers at work.
    pub(crate) ready: u32,
    /// Consumers asked for.
    pub(crate) spec: u32,
    /// Until consumers ordered now are at work.
    pub(crate) lead: Duration,
    pub(crate) now: Timestamp,
    /// No more consumers than this may be asked for.
    pub(crate) most: u32,
    /// Partitions, where the queue has any: no more consumers than that can work at once.
    pub(crate) partitions: Option<u32>,
}

/// The answer, and which of its two parts made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sized {
    /// Consumers for steady arrivals.
    pub(crate) steady: u32,
    /// Consumers to drain in time; `most` where even those can't.
    pub(crate) drain: u32,
    /// Whether the consumers there are would break the promise.
    pub(crate) urgent: bool,
    /// Whether even the most can't keep it.
    pub(crate) out_of_reach: bool,
}

impl Queue<'_> {
    pub(crate) fn size(&self, policy: &BacklogPolicy) -> Sized {
        let most = self.most.max(1);
        let steady = self.steady(policy, most);
        let keeps = |n: u32| self.keeps(policy, n);
        let out_of_reach = !keeps(most.min(self.partitions.unwrap_or(most)));
        let (mut low, mut high) = (0, most);
        // Drained-by-then is monotone in the number of consumers, but for the pause of a change.
        while low < high {
            let middle = low + (high - low) / 2;
            if keeps(middle) { high = middle } else { low = middle + 1 }
        }
        // The pause makes "no change" better than its neighbors.
        let drain = if self.spec <= high && keeps(self.spec) { self.spec.min(high) } else { high };
        Sized { steady, drain: drain.min(most), urgent: !keeps(self.spec), out_of_reach }
    }

    /// Whether `n` consumers keep the promise from the moment they are at work.
    fn keeps(&self, policy: &BacklogPolicy, n: u32) -> bool {
        let promise = policy.drain_within.as_secs_f64();
        let lead = if n > self.ready { self.lead.as_secs_f64() } else { 0.0 };
        let (at_work, ordered) = (at_work(self.ready, self.partitions), at_work(n, self.partitions));
        let pause = if n == self.spec { 0.0 } else { policy.rebalance_pause.as_secs_f64() };
        let mut arrived = 0.0;
        let (mut previous, span) = (0.0, promise.max(lead) + promise);
        for point in 1..=POINTS {
            let second = span * f64::from(point) / f64::from(POINTS);
            let rate = self.rate(second);
            arrived += rate * (second - previous);
            previous = second;
            let before = second.min(lead);
            let after = (second - lead - pause).max(0.0);
            let served = self.per_consumer * (at_work * before + ordered * after);
            // Before the promise is due, and before the new ones work, nothing can be held against `n`.
            if second < lead + pause || second < promise {
                continue;
            }
            if self.backlog + arrived - served > rate * promise + 1e-9 {
                return false;
            }
        }
        true
    }

    fn rate(&self, second: f64) -> f64 {
        let at = time::after(self.now, Duration::from_secs_f64(second));
        let foreseen = self.coming.and_then(|(forecast, level)| line(forecast, at, level));
        foreseen.unwrap_or(self.arrivals)
    }

    /// The fewest consumers that carry what arrives until those ordered now are at work. Half of what is foreseen for then
    /// is enough to go by: what comes on top waits for a moment, and how long it waits is the promise's business.
    fn steady(&self, policy: &BacklogPolicy, most: u32) -> u32 {
        let to = time::after(self.now, self.lead);
        let foreseen = self.coming.and_then(|(forecast, _)| peak(forecast, self.now, to, 0.5));
        let arrivals = foreseen.unwrap_or(0.0).max(self.arrivals);
        let need = arrivals / (self.per_consumer * policy.utilization);
        let least = crate::reactive::need(arrivals, self.per_consumer * policy.utilization).min(most);
        let Some(partitions) = self.partitions.filter(|p| *p > 0) else { return least };
        // One more consumer helps only where the fullest one gets rid of a partition.
        (least..=most.min(partitions)).find(|n| at_work(*n, Some(partitions)) >= need).unwrap_or(least)
    }
}

/// How many evenly loaded consumers `n` are worth: of partitions that are dealt out, the consumer with the most of them
/// sets the pace. Seven partitions on three consumers are worked off as fast as by 7/3 of a consumer.
pub(crate) fn at_work(n: u32, partitions: Option<u32>) -> f64 {
    match partitions.filter(|p| *p > 0) {
        Some(partitions) if n > 0 => f64::from(partitions) / f64::from(partitions.div_ceil(n)),
        _ => f64::from(n),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn queue(backlog: f64, arrivals: f64, spec: u32) -> Queue<'static> {
        Queue {
            backlog,
            arrivals,
            coming: None,
            per_consumer: 100.0,
            ready: spec,
            spec,
            lead: Duration::from_secs(30),
            now: Timestamp::UNIX_EPOCH,
            most: 48,
            partitions: None,
        }
    }

    fn policy() -> BacklogPolicy {
        BacklogPolicy::within(Duration::from_secs(120))
    }

    #[rstest]
    // 850 a second at 100 each and 98 %: 9 consumers.
    #[case::steady(0.0, 850.0, 10, 9)]
    #[case::idle(0.0, 0.0, 3, 0)]
    // In two minutes 10 finish 300 x 100 in the first 30 s, then n finish 85 x 100 each: 170,000 / 8,500 = 20.
    #[case::behind(200_000.0, 850.0, 10, 20)]
    fn enough_consumers_for_arrivals_and_backlog(
        #[case] backlog: f64,
        #[case] arrivals: f64,
        #[case] spec: u32,
        #[case] at_least: u32,
    ) {
        let sized = queue(backlog, arrivals, spec).size(&policy());
        let answer = if backlog == 0.0 { sized.steady } else { sized.drain };
        assert!(answer >= at_least, "{sized:?}");
        assert!(answer <= at_least + at_least / 2, "{sized:?}");
    }

    #[test]
    fn what_even_all_partitions_cannot_drain_is_said() {
        let sized = Queue { most: 4, partitions: Some(4), ..queue(1e6, 500.0, 4) }.size(&policy());
        assert!(sized.out_of_reach && sized.drain == 4, "{sized:?}");
    }

    #[test]
    fn a_small_backlog_within_the_promise_changes_nothing() {
        let sized = queue(10_000.0, 850.0, 10).size(&policy());
        assert!(!sized.urgent, "{sized:?}");
        assert!(sized.drain <= 10, "{sized:?}");
    }

    #[test]
    fn consumers_that_take_no_partition_off_the_fullest_one_are_not_asked_for() {
        // 15 partitions: 8 consumers to 14 have two each at the most, as good as 7.5 consumers.
        assert_eq!((at_work(8, Some(15)), at_work(14, Some(15)), at_work(20, Some(15))), (7.5, 7.5, 15.0));
        let sized = Queue { partitions: Some(15), ..queue(0.0, 700.0, 8) }.size(&policy());
        assert_eq!(sized.steady, 8);
        let sized = Queue { partitions: Some(15), ..queue(0.0, 800.0, 8) }.size(&policy());
        assert_eq!(sized.steady, 15);
    }
}
