//! How many pods a whole fleet may add per minute, as a token bucket: the guard against everything growing at once
//! when everything is in trouble at once. Time is an argument; whoever holds the bucket shares it between policies.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::time;

/// A token bucket of pods.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodBudget {
    per_minute: f64,
    tokens: f64,
    at: Timestamp,
}

impl PodBudget {
    /// A full bucket of one minute's pods.
    pub fn per_minute(pods: u32, now: Timestamp) -> Self {
        Self { per_minute: f64::from(pods), tokens: f64::from(pods), at: now }
    }

    /// Pods that may be added now.
    pub fn available(&self, now: Timestamp) -> u32 {
        self.filled(now) as u32
    }

    /// Takes `pods` out; what isn't there is owed, so that a burst that got through delays the next one.
    pub fn take(&mut self, pods: u32, now: Timestamp) {
        self.tokens = (self.filled(now) - f64::from(pods)).max(-self.per_minute);
        self.at = self.at.max(now);
    }

    fn filled(&self, now: Timestamp) -> f64 {
        let elapsed: Duration = time::since(now, self.at);
        (self.tokens + elapsed.as_secs_f64() / 60.0 * self.per_minute).min(self.per_minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_refills_over_a_minute_and_never_overflows() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let mut budget = PodBudget::per_minute(60, at(0));
        assert_eq!(budget.available(at(3_600)), 60);
        budget.take(60, at(0));
        assert_eq!(budget.available(at(0)), 0);
        assert_eq!(budget.available(at(30)), 30);
        budget.take(90, at(30));
        assert_eq!(budget.available(at(60)), 0, "what was overdrawn is owed");
        assert_eq!(budget.available(at(120)), 30);
    }
}
