//! Members without anything to fit: last value, the mean of three, the same time yesterday and a week ago, as they
//! were and moved to the present level, and the usual day moved to the present level.

use crate::past::Past;

/// How many members there are here.
pub(crate) const COUNT: usize = 11;

/// Their names, in the order of [`predict`].
pub(crate) const NAMES: [&str; COUNT] = [
    "last",
    "mean3",
    "day",
    "week",
    "day-level",
    "week-level",
    "profile-add",
    "profile-mult",
    "profile-kind",
    "season",
    "season-level",
];
/// Where the last value and the same time yesterday are.
pub(crate) const LAST: usize = 0;
pub(crate) const YESTERDAY: usize = 2;
pub(crate) const PROFILE: usize = 6;

/// Fills `out` with the forecasts of slot `newest + h`.
pub(crate) fn predict(past: &Past, h: usize, out: &mut [f32]) {
    let i = past.newest();
    let v = past.lin.values();
    let target = i + h;
    let last = v[i];
    let mean3 = past.recent(i, 3);
    let day = past.earlier(target, h, 1);
    let week = past.earlier(target, h, 7).or(day);
    let level_back = |days: usize| {
        let back = past.calendar.days_back(past.first + i as i64, days);
        i.checked_sub(back).map(|j| past.recent(j, 3))
    };
    out[0] = last;
    out[1] = mean3;
    out[2] = day.unwrap_or(last);
    out[3] = week.unwrap_or(last);
    out[4] = day.zip(level_back(1)).map_or(last, |(d, l)| d + mean3 - l);
    out[5] = week.zip(level_back(7)).map_or(out[4], |(w, l)| w + mean3 - l);
    let now = 0.6 * last + 0.25 * v[i.saturating_sub(1)] + 0.15 * v[i.saturating_sub(2)];
    let usual = |other: f32| {
        let p = |t: usize, h: usize| past.profile(t, h, 0.75, other);
        let ahead = p(target, h)?;
        let at = 0.6 * p(i, 0)? + 0.25 * p(i.saturating_sub(1), 0)? + 0.15 * p(i.saturating_sub(2), 0)?;
        Some((ahead, at))
    };
    let plain = usual(1.0);
    let floor = 0.05 * past.recent(i, past.day()) + 1e-6;
    out[6] = plain.map_or(last, |(ahead, at)| now + ahead - at);
    out[7] =
        plain.map_or(last, |(ahead, at)| (ahead + floor) * ((now + floor) / (at + floor)).clamp(0.1, 10.0) - floor);
    out[8] = usual(0.15).map_or(last, |(ahead, at)| now + ahead - at);
    (out[9], out[10]) = (out[2], out[6]);
    if past.extra > 0 {
        let season = past.lin.back(target, past.extra * (1 + (h - 1) / past.extra));
        let then = i.checked_sub(past.extra).map(|j| past.recent(j, 3));
        out[9] = season.unwrap_or(last);
        out[10] = season.zip(then).map_or(last, |(s, t)| s + mean3 - t);
    }
}
