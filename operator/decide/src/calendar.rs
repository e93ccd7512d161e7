//! Floors and ceilings from calendars: a floor is ordered one lead time before its window opens, a ceiling holds while
//! its window is open and wins over every floor.

use std::time::Duration;

use jiff::Timestamp;
use series::time;

use crate::normalize::Bounds;
use crate::policy::{CalendarWindow, Policy};

/// The bounds in force at `now`, and the windows that made them.
pub(crate) struct InForce<'a> {
    pub(crate) bounds: Bounds,
    pub(crate) floor: Option<&'a CalendarWindow>,
    pub(crate) ceiling: Option<&'a CalendarWindow>,
}

pub(crate) fn in_force(policy: &Policy, now: Timestamp, lead: Duration) -> InForce<'_> {
    let open = |w: &&CalendarWindow| w.from <= now && now < w.to;
    let ordered = |w: &&CalendarWindow| time::before(w.from, lead) <= now && now < w.to;
    let floor = policy
        .calendar
        .iter()
        .filter(ordered)
        .filter(|w| w.min_replicas.is_some())
        .max_by_key(|w| w.min_replicas);
    let ceiling = policy
        .calendar
        .iter()
        .filter(open)
        .filter(|w| w.max_replicas.is_some())
        .min_by_key(|w| w.max_replicas);
    let max = ceiling.and_then(|w| w.max_replicas).unwrap_or(policy.max_replicas);
    let min = floor.and_then(|w| w.min_replicas).unwrap_or(0).max(policy.min_replicas).min(max);
    InForce { bounds: Bounds { min, max }, floor, ceiling }
}
