//! Wall-clock time of slots: what time of day and which weekday a slot begins at, and which slot of an earlier day
//! has the same wall-clock time. Offsets from UTC come in once per refit, so asking is a few additions; the rules of
//! the zone stay with `jiff`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Seconds in a day of 24 hours.
pub(crate) const DAY: i64 = 86_400;

/// The offsets of one zone over one span of slots.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    step: i64,
    day: usize,
    /// From which slot on which offset in seconds holds; never empty, rising.
    offsets: Vec<(i64, i32)>,
}

impl Calendar {
    /// The calendar of `zone` for slots `[from, to)`, numbered from the Unix epoch in units of `step` seconds.
    pub(crate) fn new(zone: &TimeZone, step: i64, from: i64, to: i64) -> Self {
        let at =
            |slot: i64| Timestamp::from_second(slot.saturating_mul(step)).unwrap_or(Timestamp::UNIX_EPOCH);
        let begin = at(from);
        let mut offsets = vec![(i64::MIN, zone.to_offset(begin).seconds())];
        let end = at(to);
        // A zone changes a few times a year; the limit guards against a span of centuries.
        for transition in zone.following(begin).take(64) {
            if transition.timestamp() >= end {
                break;
            }
            let slot = transition.timestamp().as_second().div_euclid(step);
            offsets.push((slot, transition.offset().seconds()));
        }
        Self { step, day: ((DAY + step / 2) / step).max(1) as usize, offsets }
    }

    /// Seconds in a slot.
    pub(crate) fn step_seconds(&self) -> i64 {
        self.step
    }

    /// Slots in a day of 24 hours.
    pub(crate) fn day(&self) -> usize {
        self.day
    }

    fn offset(&self, slot: i64) -> i64 {
        let mut found = self.offsets[0].1;
        for (from, seconds) in &self.offsets[1..] {
            if slot < *from {
                break;
            }
            found = *seconds;
        }
        i64::from(found)
    }

    fn local(&self, slot: i64) -> i64 {
        slot.saturating_mul(self.step).saturating_add(self.offset(slot))
    }

    /// Seconds since local midnight.
    pub(crate) fn second_of_day(&self, slot: i64) -> i64 {
        self.local(slot).rem_euclid(DAY)
    }

    /// Seconds since local midnight of Monday.
    pub(crate) fn second_of_week(&self, slot: i64) -> i64 {
        // 1970-01-01 was a Thursday.
        (self.local(slot) + 3 * DAY).rem_euclid(7 * DAY)
    }

    /// Whether the slot falls on a Saturday or Sunday.
    pub(crate) fn is_weekend(&self, slot: i64) -> bool {
        self.second_of_week(slot) >= 5 * DAY
    }

    /// How many slots before `slot` the same wall-clock time `days` days earlier is.
    pub(crate) fn days_back(&self, slot: i64, days: usize) -> usize {
        let plain = days * self.day;
        if self.offsets.len() == 1 {
            return plain;
        }
        let earlier = slot - plain as i64;
        let moved = (self.offset(slot) - self.offset(earlier)) / self.step;
        (plain as i64 - moved).max(1) as usize
    }

    /// How many days back the latest day of the same kind (workday or weekend) is, at least `least`.
    pub(crate) fn same_kind_back(&self, slot: i64, least: usize) -> usize {
        let weekday = self.second_of_week(slot) / DAY;
        (least.max(1)..least.max(1) + 7)
            .find(|back| {
                let other = (weekday - *back as i64).rem_euclid(7);
                (other >= 5) == (weekday >= 5)
            })
            .unwrap_or(7)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second() / 300
    }

    fn berlin() -> Calendar {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        Calendar::new(&zone, 300, slot("2026-03-20T00:00:00Z"), slot("2026-04-05T00:00:00Z"))
    }

    #[test]
    fn wall_clock_time_follows_daylight_saving() {
        let c = berlin();
        assert_eq!(c.second_of_day(slot("2026-03-28T08:00:00Z")), 9 * 3600);
        assert_eq!(c.second_of_day(slot("2026-03-30T07:00:00Z")), 9 * 3600);
        // Nine o'clock on the Monday after the change is 23 hours after nine o'clock on the Sunday before it...
        assert_eq!(c.days_back(slot("2026-03-29T07:00:00Z"), 1), 288 - 12);
        // ... and weeks across the change are an hour short as well.
        assert_eq!(c.days_back(slot("2026-03-30T07:00:00Z"), 7), 7 * 288 - 12);
        assert_eq!(c.days_back(slot("2026-03-31T07:00:00Z"), 1), 288);
    }

    #[test]
    fn the_latest_day_of_the_same_kind_skips_the_weekend() {
        let c = berlin();
        assert_eq!(c.same_kind_back(slot("2026-03-23T12:00:00Z"), 1), 3); // Monday -> Friday
        assert_eq!(c.same_kind_back(slot("2026-03-24T12:00:00Z"), 1), 1); // Tuesday -> Monday
        assert_eq!(c.same_kind_back(slot("2026-03-28T12:00:00Z"), 1), 6); // Saturday -> Sunday
        assert!(c.is_weekend(slot("2026-03-28T12:00:00Z")));
        assert_eq!(c.second_of_week(slot("2026-03-22T23:00:00Z")), 0); // local midnight of Monday
    }
}
