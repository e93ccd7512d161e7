//! How far ahead capacity must be ordered, and is kept.

use std::time::Duration;

use crate::observation::Startup;
use crate::policy::{LeadTime, Policy};

/// How far ahead capacity must be ordered: the start-up that 95 % of pods beat, how late we see and act, and the time
/// to the next decision.
pub fn lead(policy: &Policy, startup: &Startup, lag: Duration) -> Duration {
    match policy.lead_time {
        LeadTime::Fixed(lead) => lead,
        LeadTime::Measured { until_known } => {
            startup.known_p95().unwrap_or(until_known) + lag + policy.timing.interval
        }
    }
}

/// How far ahead replicas are kept because they would be wanted again: a replica that is removed and started again
/// within its own start-up, and the stabilization window on top, saves nothing.
pub fn keep_span(policy: &Policy, startup: &Startup, lead: Duration) -> Duration {
    startup.mean.unwrap_or(lead) + policy.timing.keep
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lead_is_measured_once_enough_start_ups_were_seen() {
        let policy = Policy::simple(1, 10, 100.0);
        let seconds = Duration::from_secs;
        let of = |policy: &Policy, startup: Startup| lead(policy, &startup, seconds(20));
        assert_eq!(of(&policy, Startup::default()), seconds(120 + 20 + 15));
        let p95 = Some(seconds(40));
        assert_eq!(of(&policy, Startup { p95, mean: p95, samples: 2 }), seconds(120 + 20 + 15));
        assert_eq!(of(&policy, Startup { p95, mean: p95, samples: 3 }), seconds(40 + 20 + 15));
        let fixed = Policy { lead_time: LeadTime::Fixed(seconds(600)), ..policy };
        assert_eq!(of(&fixed, Startup::default()), seconds(600));
    }
}
