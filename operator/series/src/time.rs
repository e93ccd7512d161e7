//! Arithmetic between timestamps and whole-second durations that saturates instead of panicking.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// `time + duration`, saturating at the end of representable time.
pub fn after(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|d| time.checked_add(d).ok()).unwrap_or(Timestamp::MAX)
}

/// `time - duration`, saturating at the beginning of representable time.
pub fn before(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|d| time.checked_sub(d).ok()).unwrap_or(Timestamp::MIN)
}

/// How long `later` is after `earlier`; zero where it isn't.
pub fn since(later: Timestamp, earlier: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// The largest multiple of `step` since the Unix epoch that isn't after `time`. `step` below a second counts as one
/// second.
pub fn align(time: Timestamp, step: Duration) -> Timestamp {
    let step = i64::try_from(step.as_secs().max(1)).unwrap_or(i64::MAX);
    Timestamp::from_second(time.as_second().div_euclid(step) * step).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn differences_never_go_below_zero() {
        assert_eq!(since(at(10), at(4)), Duration::from_secs(6));
        assert_eq!(since(at(4), at(10)), Duration::ZERO);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(after(Timestamp::MAX, Duration::MAX), Timestamp::MAX);
        assert_eq!(before(Timestamp::MIN, Duration::MAX), Timestamp::MIN);
    }

    #[test]
    fn alignment_floors_also_before_the_epoch() {
        assert_eq!(align(at(61), Duration::from_secs(60)), at(60));
        assert_eq!(align(at(-1), Duration::from_secs(60)), at(-60));
    }
}
