//! How often a service may be asked: token buckets as a function of time.

use std::time::Duration;

use jiff::Timestamp;
use series::time::{after, since};

/// One bucket: `capacity` messages at once, one more each `refill`.
#[derive(Clone, Debug, PartialEq)]
struct Bucket {
    capacity: f64,
    refill: Duration,
    tokens: f64,
    at: Option<Timestamp>,
}

/// Several buckets that must all agree: five a second and a hundred a minute, say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quota {
    buckets: Vec<Bucket>,
}

impl Quota {
    /// No limit.
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// At most `messages` in any `window`.
    ///
    /// A bucket that holds n and refills n per window would let 2n pass in the window after a rest. So it holds half
    /// and refills the other half: n pass in any window, and n/2 at once.
    pub fn and(mut self, messages: u32, window: Duration) -> Self {
        let burst = f64::from(messages / 2).max(1.0);
        let rest = (f64::from(messages) - burst).max(1.0);
        let refill = window.div_f64(rest);
        self.buckets.push(Bucket { capacity: burst, refill, tokens: burst, at: None });
        self
    }

    /// When the next message may be sent: `now` or later.
    pub fn ready_at(&self, now: Timestamp) -> Timestamp {
        self.buckets.iter().map(|b| b.ready_at(now)).max().unwrap_or(now)
    }

    /// Takes one message's worth, if there is one.
    pub fn take(&mut self, now: Timestamp) -> bool {
        if self.ready_at(now) > now {
            return false;
        }
        for bucket in &mut self.buckets {
            bucket.tokens = bucket.tokens_at(now) - 1.0;
            bucket.at = Some(now);
        }
        true
    }

    /// The service says it is too much: nothing more before `until`.
    pub fn exhaust(&mut self, now: Timestamp) {
        for bucket in &mut self.buckets {
            bucket.tokens = 0.0;
            bucket.at = Some(now);
        }
    }
}

impl Bucket {
    fn tokens_at(&self, now: Timestamp) -> f64 {
        let passed = self.at.map_or(Duration::ZERO, |at| since(now, at));
        (self.tokens + passed.as_secs_f64() / self.refill.as_secs_f64()).min(self.capacity)
    }

    fn ready_at(&self, now: Timestamp) -> Timestamp {
        let missing = 1.0 - self.tokens_at(now);
        // Rounded up to the millisecond, so that waiting exactly so long is enough.
        if missing <= 1e-9 {
            now
        } else {
            after(now, self.refill.mul_f64(missing) + Duration::from_millis(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_allowed(
            limit in 2_u32..120, gaps in prop::collection::vec(0_i64..3_000, 1..600),
        ) {
            let window = Duration::from_secs(60);
            let mut quota = Quota::unlimited().and(limit, window);
            let mut now = 0;
            let mut sent: Vec<i64> = Vec::new();
            for gap in gaps {
                now += gap;
                if quota.take(at(now)) { sent.push(now); }
            }
            for (i, first) in sent.iter().enumerate() {
                let within = sent[i..].iter().take_while(|t| **t - first < 60_000).count();
                prop_assert!(within <= limit as usize, "{} of {}", within, limit);
            }
        }

        #[test]
        fn waiting_until_ready_is_enough(limit in 1_u32..30, n in 1_usize..50) {
            let mut quota = Quota::unlimited().and(limit, Duration::from_secs(60));
            let mut now = at(0);
            for _ in 0..n {
                now = quota.ready_at(now);
                prop_assert!(quota.take(now));
            }
        }
    }

    #[test]
    fn no_limit_is_no_limit() {
        let mut quota = Quota::unlimited();
        assert!((0..1_000).all(|_| quota.take(at(0))));
    }
}
