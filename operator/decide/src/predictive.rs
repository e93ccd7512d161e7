//! The load to come, out of a forecast: its largest quantile on the way to a time, and its level moved to what was
//! measured.

use jiff::Timestamp;
use series::{Forecast, time};

use crate::reactive::need;

/// The load at `at` and `level` on the straight line between the middles of steps: a step holds a mean, and a ramp
/// doesn't stand still for five minutes. Before the first and after the last middle the line goes on for half a step.
/// `None` beyond the forecast by more than a step.
pub(crate) fn line(forecast: &Forecast, at: Timestamp, level: f64) -> Option<f64> {
    let step = forecast.step().as_secs_f64().max(1.0);
    let from_origin = at.duration_since(forecast.origin()).as_secs_f64() / step - 0.5;
    let last = forecast.steps() as f64 - 1.0;
    if from_origin < -1.5 || from_origin > last + 1.5 {
        return None;
    }
    if last < 1.0 {
        return forecast.quantile(0, level);
    }
    let place = from_origin.clamp(-0.5, last + 0.5);
    let left = place.floor().clamp(0.0, last - 1.0);
    let (a, b) = (forecast.quantile(left as usize, level)?, forecast.quantile(left as usize + 1, level)?);
    Some((a + (b - a) * (place - left)).max(0.0))
}

/// The largest value of [`line`] from `from` to `to`.
pub(crate) fn peak(forecast: &Forecast, from: Timestamp, to: Timestamp, level: f64) -> Option<f64> {
    corners(forecast, from, to, level).reduce(f64::max)
}

/// The smallest value of [`line`] within a step before and after `at`. A load that changes may do so a step earlier or later
/// than was foreseen.
pub(crate) fn least_around(forecast: &Forecast, at: Timestamp, level: f64) -> Option<f64> {
    let step = forecast.step();
    corners(forecast, time::before(at, step), time::after(at, step), level).reduce(f64::min)
}

/// The values of [`line`] at either end, and at the middles between: the largest and the smallest are among them.
fn corners(
    forecast: &Forecast,
    from: Timestamp,
    to: Timestamp,
    level: f64,
) -> impl Iterator<Item = f64> + '_ {
    let ends = line(forecast, from, level).into_iter().chain(line(forecast, to, level));
    ends.chain(middles(forecast, from, to).filter_map(move |i| forecast.quantile(i, level)))
}

/// The steps whose middle lies between `from` and `to`.
fn middles(forecast: &Forecast, from: Timestamp, to: Timestamp) -> impl Iterator<Item = usize> + use<> {
    let step = forecast.step().as_secs_f64().max(1.0);
    let place = |at: Timestamp| at.duration_since(forecast.origin()).as_secs_f64() / step - 0.5;
    let (first, last) = (place(from).ceil().max(0.0), place(to).floor().min(forecast.steps() as f64 - 1.0));
    (first as usize..).take((last - first + 1.0).max(0.0) as usize)
}

/// The factor that moves a forecast to a measurement of `value` at `at`, `share` of the way: at most four times up or
/// down. A step holds a mean and doesn't say when within it the load changes, so a value between those of half a step
/// before and half a step after is where it was foreseen, and moves nothing. 1 too where the forecast says nothing of
/// that moment.
pub(crate) fn level_correction(forecast: &Forecast, at: Timestamp, value: f64, share: f64) -> f64 {
    let half = forecast.step() / 2;
    let (before, after) = (time::before(at, half), time::after(at, half));
    let about = [before, at, after].into_iter().filter_map(|t| line(forecast, t, 0.5));
    let middles = middles(forecast, before, after).filter_map(|i| forecast.quantile(i, 0.5));
    let range = about.chain(middles).fold(None, |range: Option<(f64, f64)>, v| {
        Some(range.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
    });
    let Some((low, high)) = range.filter(|_| share > 0.0) else { return 1.0 };
    let expected = value.clamp(low, high);
    if expected <= 0.0 {
        return 1.0;
    }
    (value / expected).clamp(0.25, 4.0).powf(share.min(1.0))
}

/// While a metric is away the forecast's upper quantile may add a quarter to what was asked for when it went away: the spread of
/// an ordinary hour.
const BLIND_GROWTH: f64 = 1.25;

/// The most that a forecast may ask for while its metric is away: [`BLIND_GROWTH`] times the replicas asked for when it went away
/// (`lost_at`), or what the forecast's `median` within the lead time needs, whichever is more. The upper quantile opens with the distance from the last
/// measurement, so that it would double the fleet within the hour; the median is what such hours usually bring.
pub(crate) fn blind_cap(lost_at: u32, median: f64, per_replica: f64) -> u32 {
    let grown = (f64::from(lost_at) * BLIND_GROWTH).ceil() as u32;
    grown.max(need(median, per_replica))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_ramp_is_a_line_between_the_middles_of_steps() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let rows = vec![vec![10.0], vec![20.0], vec![30.0], vec![15.0]];
        let f = Forecast::new(at(0), Duration::from_secs(60), vec![0.5], rows, "x").unwrap();
        let on = |s| line(&f, at(s), 0.5);
        assert_eq!((on(30), on(60), on(90), on(0)), (Some(10.0), Some(15.0), Some(20.0), Some(5.0)));
        assert_eq!((on(-90), on(400)), (None, None));
        assert_eq!(peak(&f, at(40), at(70), 0.5), on(70));
        assert_eq!(peak(&f, at(100), at(200), 0.5), Some(30.0));
        assert_eq!((least_around(&f, at(90), 0.5), least_around(&f, at(150), 0.5)), (Some(10.0), Some(15.0)));
        // Half a step around the middle of the first step, the line goes from 5 to 15.
        assert_eq!(level_correction(&f, at(30), 30.0, 1.0), 2.0);
        assert_eq!(level_correction(&f, at(30), 2.5, 1.0), 0.5);
        assert_eq!(level_correction(&f, at(30), 30.0, 0.0), 1.0);
        assert_eq!(level_correction(&f, at(30), 9_000.0, 1.0), 4.0);
        // Before the edge of a step, what was measured is where the step before has it.
        assert_eq!(level_correction(&f, at(119), 20.0, 1.0), 1.0);
        assert_eq!(level_correction(&f, at(-9_000), 20.0, 1.0), 1.0);
    }
}
