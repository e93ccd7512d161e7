//! What the regressions look at: lags, rolling means, the same time on earlier days and weeks, differences,
//! and the calendar, for one origin and one number of steps ahead. The list follows the direct-forecast designs that
//! did best in forecasting competitions on electricity and web load (Hyndman & Fan, "Density forecasting for
//! long-term peak electricity demand", 2010; Makridakis et al., "M5 accuracy competition", 2022).

use std::f32::consts::TAU;
use std::sync::LazyLock;

use crate::calendar::{Calendar, DAY};
use crate::prefix_sums::PrefixSums;

/// How many features there are; padded so that a row is a whole number of SIMD registers.
pub(crate) const WIDTH: usize = 48;

/// One row of features.
pub(crate) type Row = [f32; WIDTH];

/// Where a forecast is made: the newest known slot, and the calendar around it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) calendar: &'a Calendar,
    /// The number of slot 0 since the epoch.
    pub(crate) first: i64,
    /// A period besides day and week, in slots; 0 for none.
    pub(crate) extra: usize,
    /// Slots of known events, `[from, to)`, by name.
    pub(crate) events: &'a [Vec<(i64, i64)>],
    /// Further series on the slots of the past.
    pub(crate) regressors: &'a [PrefixSums],
}

/// How many names of events, and how many further series, the features have room for.
pub(crate) const SIDE: usize = 2;

impl Place<'_> {
    /// The value at the wall-clock time of `target`, `days` days earlier (never later than `known`).
    pub(crate) fn days_earlier(&self, plane: &PrefixSums, target: usize, days: usize) -> Option<f32> {
        let back = self.calendar.days_back(self.first + target as i64, days);
        target.checked_sub(back).and_then(|i| plane.values().get(i)).copied()
    }
}

/// Slots for 5 minutes, 15 minutes and so on at this step, at least one.
fn slots(minutes: usize, day: usize) -> usize {
    (minutes * day / 1440).max(1)
}

/// Fills `row` with the features of origin `i`, `h` steps ahead.
pub(crate) fn fill(place: &Place<'_>, plane: &PrefixSums, i: usize, h: usize, row: &mut Row) {
    let day = place.calendar.day();
    let v = plane.values();
    let lag = |k: usize| v[i.saturating_sub(k)];
    let base = plane.mean(i, day);
    let m15 = slots(15, day).max(3);
    let hour = slots(60, day).max(m15 + 1);
    let [y0, y1, y2, y3] = [lag(0), lag(1), lag(2), lag(3)];
    let target = i + h;
    let ahead = (h - 1) / day; // whole days that the horizon itself covers
    let earlier = |t: usize, k: usize| place.days_earlier(plane, t, k).unwrap_or(base);
    let d1 = earlier(target, 1 + ahead);
    let d2 = earlier(target, 2 + ahead);
    let w1 = earlier(target, 7 + 7 * (ahead / 7));
    let w1_now = earlier(i, 7);
    let d1_now = earlier(i, 1);
    let near = [earlier(target + 1, 1 + ahead), earlier(target - 1, 1 + ahead)];
    let far = [earlier(target + 2, 1 + ahead), earlier(target.saturating_sub(2), 1 + ahead)];
    let smooth = (d1 + near[0] + near[1] + far[0] + far[1]) / 5.0;
    let kind = place.calendar.same_kind_back(place.first + target as i64, 1 + ahead);
    let k1 = earlier(target, kind);
    let k1_now = earlier(i, kind);
    let mut five =
        [d1, d2, earlier(target, 3 + ahead), earlier(target, 4 + ahead), earlier(target, 5 + ahead)];
    let mean5 = five.iter().sum::<f32>() / 5.0;
    five.sort_unstable_by(f32::total_cmp);
    let week_second = place.calendar.second_of_week(place.first + target as i64);
    let now = [
        y0,
        y1,
        y2,
        y3,
        lag(5),
        lag(hour - 1),
        plane.mean(i, m15),
        plane.mean(i, hour),
        plane.mean(i, 3 * hour),
        base,
        y0 - y3,
        y0 - lag(hour - 1),
    ];
    row[..12].copy_from_slice(&now);
    let season = [
        d1,
        d2,
        w1,
        smooth,
        d1 - d1_now,
        w1 - w1_now,
        five[2],
        mean5,
        k1,
        k1 - k1_now,
        smooth - plane.mean(i, m15),
        far[0].max(far[1]).max(near[0]).max(near[1]).max(d1),
    ];
    row[12..24].copy_from_slice(&season);
    calendar_terms(week_second, row);
    row[40] = plane.mean(i, 12 * hour);
    row[41] = lag(2 * hour) - lag(hour);
    other_terms(place, plane, i, h, row);
}

/// Another season, events and further series.
fn other_terms(place: &Place<'_>, plane: &PrefixSums, i: usize, h: usize, row: &mut Row) {
    row[42..].fill(0.0);
    if place.extra > 0 {
        let back = place.extra * (1 + (h - 1) / place.extra);
        let y0 = plane.values()[i];
        row[42] = plane.back(i + h, back).unwrap_or(y0);
        row[43] = row[42] - plane.back(i, place.extra).unwrap_or(y0);
    }
    let target = place.first + (i + h) as i64;
    for (name, windows) in place.events.iter().take(SIDE).enumerate() {
        row[44 + name] =
            if windows.iter().any(|(from, to)| (*from..*to).contains(&target)) { 1.0 } else { 0.0 };
    }
    for (which, regressor) in place.regressors.iter().take(SIDE).enumerate() {
        // One that comes late counts with its newest value.
        row[46 + which] = regressor.values().get(i).or(regressor.values().last()).copied().unwrap_or(0.0);
    }
}

/// Sines and cosines of the week on a grid of five minutes: the day four times, the week twice, the hour once.
type Turns = [f32; 14];

static TURNS: LazyLock<Vec<Turns>> = LazyLock::new(|| {
    let turns = |second: usize| {
        let of_day = (second % 86_400) as f32 / 86_400.0;
        let of_week = second as f32 / 604_800.0;
        let of_hour = (second % 3600) as f32 / 3600.0;
        let mut out = [0.0; 14];
        let angles = [of_day, 2.0 * of_day, 3.0 * of_day, 4.0 * of_day, of_week, 2.0 * of_week, of_hour];
        for (cell, angle) in out.chunks_exact_mut(2).zip(angles) {
            let (s, c) = (TAU * angle).sin_cos();
            cell.copy_from_slice(&[s, c]);
        }
        out
    };
    (0..2016).map(|slot| turns(slot * 300)).collect()
});

fn calendar_terms(week_second: i64, row: &mut Row) {
    let at = (week_second / 300) as usize;
    if let Some(turns) = TURNS.get(at) {
        row[24..38].copy_from_slice(turns);
    }
    row[38] = if week_second >= 5 * DAY { 1.0 } else { 0.0 };
    row[39] = (week_second % DAY) as f32 / DAY as f32;
}
