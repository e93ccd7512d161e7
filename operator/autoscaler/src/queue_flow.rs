//! From what a broker has counted so far to messages per second. Successive readings come in; rates and an age go
//! out. Pure: the times are those of the readings.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use series::{Count, time};

/// Rates are taken over about this long: short enough to follow a ramp, long enough to even out single scrapes.
const WINDOW: Duration = Duration::from_mins(2);
/// What is worked off shows over less whether consumers that have just come help, and what each of them does.
const SERVED_WINDOW: Duration = Duration::from_mins(1);
/// Differences over less than this tell nothing.
const LEAST: Duration = Duration::from_secs(5);
/// Readings kept for the age of the oldest message.
const MEMORY: usize = 480;

/// One look at a queue.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueInput {
    /// When the broker was asked.
    pub time: Timestamp,
    /// Messages that aren't worked off: waiting, or handed to a consumer.
    pub backlog: u64,
    /// Messages that came in: a counter or a rate, as the broker tells; `None` where it tells neither.
    pub arrivals: Option<Count>,
    /// What has been worked off.
    pub served: Option<Count>,
    /// Age of the oldest message that isn't worked off.
    pub oldest: Option<Duration>,
    /// How many consumers can work at once, where the queue has partitions.
    pub partitions: Option<u32>,
}

/// How messages move.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Flow {
    /// Messages that arrive per second; `None` where the broker can't tell, or not yet.
    pub(crate) arrivals: Option<f64>,
    /// Messages that all consumers together finish per second.
    pub(crate) served: Option<f64>,
    /// Age of the oldest message that isn't worked off: what the broker says, or else when as many messages had
    /// arrived as are worked off now (exact where they are worked off in order).
    pub(crate) oldest_age: Option<Duration>,
}

/// The readings of one queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueFlow {
    readings: VecDeque<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    time: Timestamp,
    arrivals: Option<u64>,
    served: Option<u64>,
    backlog: u64,
}

impl QueueFlow {
    /// Takes a reading in and says how messages move by now. Readings that aren't newer than the last are only
    /// answered from.
    pub(crate) fn observe(&mut self, reading: &QueueInput) -> Flow {
        let point = Point {
            time: reading.time,
            arrivals: total(reading.arrivals),
            served: total(reading.served),
            backlog: reading.backlog,
        };
        if self.readings.back().is_none_or(|last| last.time < point.time) {
            self.forget_before_restart(&point);
            self.readings.push_back(point);
            if self.readings.len() > MEMORY {
                self.readings.pop_front();
            }
        }
        let arrivals = rate(reading.arrivals, || self.difference(&point, WINDOW, |p| p.arrivals));
        Flow {
            arrivals,
            served: rate(reading.served, || self.difference(&point, SERVED_WINDOW, |p| p.served))
                .or_else(|| self.left_over(&point, arrivals?)),
            oldest_age: reading.oldest.or_else(|| self.oldest(reading, &point)),
        }
    }

    /// A counter that fell was started anew; what was before it can't be compared.
    fn forget_before_restart(&mut self, point: &Point) {
        let fell =
            |before: Option<u64>, after: Option<u64>| matches!((before, after), (Some(b), Some(a)) if a < b);
        if let Some(last) = self.readings.back()
            && (fell(last.arrivals, point.arrivals) || fell(last.served, point.served))
        {
            self.readings.clear();
        }
    }

    fn difference(&self, now: &Point, window: Duration, of: impl Fn(&Point) -> Option<u64>) -> Option<f64> {
        let begin = time::before(now.time, window);
        let first = self.readings.iter().find(|p| p.time >= begin && of(p).is_some())?;
        let elapsed = time::since(now.time, first.time);
        if elapsed < LEAST {
            return None;
        }
        Some((of(now)?.saturating_sub(of(first)?)) as f64 / elapsed.as_secs_f64())
    }

    /// What must have been worked off, where that isn't counted: arrivals that didn't add to the backlog.
    fn left_over(&self, now: &Point, arrivals: f64) -> Option<f64> {
        let begin = time::before(now.time, WINDOW);
        let first = self.readings.iter().find(|p| p.time >= begin)?;
        let elapsed = time::since(now.time, first.time);
        let growth = (now.backlog as f64 - first.backlog as f64) / elapsed.as_secs_f64();
        (elapsed >= LEAST).then_some((arrivals - growth).max(0.0))
    }

    /// The time since as many messages had arrived as are worked off now, between the two readings around it.
    fn oldest(&self, reading: &QueueInput, now: &Point) -> Option<Duration> {
        if reading.backlog == 0 {
            return Some(Duration::ZERO);
        }
        let arrived = now.arrivals?;
        // Totals of different beginnings can't be compared; the backlog says how far apart they stand now.
        let mark = arrived.checked_sub(reading.backlog)?;
        let mut later: Option<&Point> = None;
        for point in self.readings.iter().rev() {
            let count = point.arrivals?;
            if count <= mark {
                let at = later.map_or(point.time, |later| between(point, later, mark));
                return Some(time::since(now.time, at));
            }
            later = Some(point);
        }
        None
    }
}

fn between(earlier: &Point, later: &Point, mark: u64) -> Timestamp {
    let (Some(from), Some(to)) = (earlier.arrivals, later.arrivals) else { return earlier.time };
    let share = mark.saturating_sub(from) as f64 / to.saturating_sub(from).max(1) as f64;
    time::after(earlier.time, time::since(later.time, earlier.time).mul_f64(share.clamp(0.0, 1.0)))
}

fn total(count: Option<Count>) -> Option<u64> {
    match count {
        Some(Count::Total(total)) => Some(total),
        Some(Count::PerSecond(_)) | None => None,
    }
}

fn rate(count: Option<Count>, measured: impl FnOnce() -> Option<f64>) -> Option<f64> {
    match count {
        Some(Count::PerSecond(rate)) => Some(rate),
        Some(Count::Total(_)) => measured(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(second: i64, backlog: u64) -> QueueInput {
        let time = Timestamp::from_second(second).unwrap();
        QueueInput { time, backlog, arrivals: None, served: None, oldest: None, partitions: None }
    }

    fn reading(second: i64, arrivals: u64, served: u64) -> QueueInput {
        QueueInput {
            arrivals: Some(Count::Total(arrivals)),
            served: Some(Count::Total(served)),
            ..waiting(second, arrivals - served)
        }
    }

    #[test]
    fn totals_become_rates_over_the_last_two_minutes() {
        let mut flow_of = QueueFlow::default();
        assert_eq!(flow_of.observe(&reading(0, 1_000, 900)).arrivals, None);
        let mut flow = Flow::default();
        for tick in 1..=40 {
            flow = flow_of.observe(&reading(tick * 15, 1_000 + 150 * tick as u64, 900 + 75 * tick as u64));
        }
        assert_eq!(flow.arrivals, Some(10.0));
        assert_eq!(flow.served, Some(5.0));
    }

    #[test]
    fn the_oldest_message_is_as_old_as_the_time_its_number_arrived() {
        let mut flow_of = QueueFlow::default();
        for tick in 0..=20 {
            flow_of.observe(&reading(tick * 15, 150 * tick as u64, 0));
        }
        let flow = flow_of.observe(&reading(301, 3_000, 2_000));
        let age = flow.oldest_age.unwrap().as_secs_f64();
        assert!((age - 101.0).abs() < 1.0, "{age}");
        assert_eq!(flow_of.observe(&reading(302, 3_000, 3_000)).oldest_age, Some(Duration::ZERO));
    }

    #[test]
    fn an_age_beyond_memory_is_not_guessed() {
        let mut flow_of = QueueFlow::default();
        flow_of.observe(&reading(0, 1_000, 0));
        assert_eq!(flow_of.observe(&reading(15, 1_100, 0)).oldest_age, None);
    }

    #[test]
    fn a_counter_that_starts_anew_gives_no_rate_until_it_has_moved_again() {
        let mut flow_of = QueueFlow::default();
        flow_of.observe(&reading(0, 10_000, 10_000));
        flow_of.observe(&reading(15, 11_000, 11_000));
        assert_eq!(flow_of.observe(&reading(30, 50, 40)).arrivals, None);
        assert_eq!(flow_of.observe(&reading(45, 200, 40)).arrivals, Some(10.0));
    }

    #[test]
    fn what_is_worked_off_follows_from_arrivals_and_backlog_where_it_is_not_counted() {
        let mut flow_of = QueueFlow::default();
        let look = |second: i64, backlog: u64| QueueInput {
            arrivals: Some(Count::PerSecond(10.0)),
            ..waiting(second, backlog)
        };
        assert_eq!(flow_of.observe(&look(0, 1_000)).served, None);
        assert_eq!(flow_of.observe(&look(60, 400)).served, Some(20.0));
        assert_eq!(flow_of.observe(&look(119, 5_000)).served, Some(0.0));
    }

    #[test]
    fn a_rate_of_the_broker_is_taken_as_it_is() {
        let mut flow_of = QueueFlow::default();
        let told = QueueInput { arrivals: Some(Count::PerSecond(7.5)), ..reading(0, 10, 0) };
        assert_eq!(flow_of.observe(&told).arrivals, Some(7.5));
    }
}
