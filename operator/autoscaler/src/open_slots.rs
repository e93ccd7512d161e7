//! The slots of a metric that are under way: measurements come in, and what a slot was goes out when it has ended. That is its
//! mean, but for slots of a minute and less: there it is the last measurement, as in Prometheus' answer for the past. A
//! measurement is the mean of a minute itself, mostly, and a mean of such would hide how fast a load climbs from the simulation.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::{Sample, time};

use crate::fit::Slot;

/// Measurements up to this far apart come from a slow scrape, whose slots without one are no gaps: five minutes, and as
/// much as a scrape may be late.
const SLOWEST_SCRAPE: Duration = Duration::from_secs(330);

/// Slots up to this long are their last measurement.
const INSTANT: Duration = Duration::from_mins(1);

/// The slots that are under way: that of the forecast, and the minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenSlots {
    pub(crate) slot: Open,
    pub(crate) minute: Open,
}

/// A slot that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Open {
    begin: Option<Timestamp>,
    sum: f64,
    n: u32,
}

impl Open {
    /// Takes in a sample; the slot before, where that ended with it.
    pub(crate) fn add(&mut self, sample: Sample, step: Duration) -> Option<Slot> {
        let slot = time::align(sample.time(), step);
        let ended = match self.begin {
            Some(begin) if begin == slot => None,
            Some(begin) if begin > slot => return None,
            Some(begin) => Some((begin, Some(self.sum / f64::from(self.n.max(1))))),
            None => None,
        };
        if self.begin != Some(slot) || step <= INSTANT {
            *self = Self { begin: Some(slot), sum: 0.0, n: 0 };
        }
        self.sum += sample.value();
        self.n = self.n.saturating_add(1);
        ended
    }
}

/// One value for each slot between two measurements of a slow scrape, on the line from one to the other. Prometheus says
/// the same of the past, where a value stands until the next: without them, what was filled in would have no gaps, and
/// what is measured since would have nothing else.
pub(crate) fn between(last: Sample, next: Sample, step: Duration) -> Vec<Sample> {
    let apart = time::since(next.time(), last.time());
    if apart <= step || apart > SLOWEST_SCRAPE {
        return Vec::new();
    }
    let end = time::align(next.time(), step);
    let first = time::after(time::align(last.time(), step), step);
    std::iter::successors(Some(first), |begin| Some(time::after(*begin, step)))
        .take_while(|begin| *begin < end)
        .filter_map(|begin| {
            let middle = time::after(begin, step / 2);
            let share = time::since(middle, last.time()).as_secs_f64() / apart.as_secs_f64();
            Sample::new(middle, last.value() + share * (next.value() - last.value()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_minute_is_its_last_reading(60, 40.0)]
    #[case::a_longer_slot_is_the_mean(120, 45.0)]
    fn what_a_slot_was(#[case] step: u64, #[case] was: f64) {
        let mut open = Open::default();
        let mut ended = (0i64..9).map(|i| {
            let at = Timestamp::from_second(i * 15).unwrap();
            open.add(Sample::new(at, 10.0 * (i + 1) as f64).unwrap(), Duration::from_secs(step))
        });
        assert_eq!(ended.find_map(|slot| slot).and_then(|(_, value)| value), Some(was));
    }
}
