//! Members without anything to fit: last value, the mean of three, the same time yesterday and a week ago, as they
//! were and moved to the present level, and the usual day moved to the present level.

use crate::clean_history::CleanHistory;

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

/// What is the same for all horizons: the present level, and the usual one at this time.
pub(crate) struct Now {
    level: f32,
    mean3: f32,
    floor: f32,
    /// The usual load now, without and with regard to weekends.
    usual: Option<(f32, f32)>,
}

impl Now {
    pub(crate) fn new(past: &CleanHistory) -> Self {
        let i = past.newest();
        let v = past.lin.values();
        let before = |k: usize| i.saturating_sub(k);
        let usual = || {
            let [a, b, c] = [past.profile(i, 0)?, past.profile(before(1), 0)?, past.profile(before(2), 0)?];
            Some((0.6 * a.0 + 0.25 * b.0 + 0.15 * c.0, 0.6 * a.1 + 0.25 * b.1 + 0.15 * c.1))
        };
        Self {
            level: 0.6 * v[i] + 0.25 * v[before(1)] + 0.15 * v[before(2)],
            mean3: past.recent(i, 3),
            floor: 0.05 * past.recent(i, past.day()) + 1e-6,
            usual: usual(),
        }
    }
}

/// Fills `out` with the forecasts of slot `newest + h`; `ahead` is the usual load then.
pub(crate) fn predict(past: &CleanHistory, now: &Now, h: usize, ahead: Option<(f32, f32)>, out: &mut [f32]) {
    let i = past.newest();
    let target = i + h;
    let last = past.lin.values()[i];
    let day = past.earlier(target, h, 1);
    let week = past.earlier(target, h, 7).or(day);
    let level_back = |days: usize| {
        let back = past.calendar.days_back(past.first + i as i64, days);
        i.checked_sub(back).map(|j| past.recent(j, 3))
    };
    out[0] = last;
    out[1] = now.mean3;
    out[2] = day.unwrap_or(last);
    out[3] = week.unwrap_or(last);
    out[4] = day.zip(level_back(1)).map_or(last, |(d, l)| d + now.mean3 - l);
    out[5] = week.zip(level_back(7)).map_or(out[4], |(w, l)| w + now.mean3 - l);
    out[6..9].fill(last);
    if let Some((ahead, at)) = ahead.zip(now.usual) {
        let ratio = ((now.level + now.floor) / (at.0 + now.floor)).clamp(0.1, 10.0);
        out[6] = now.level + ahead.0 - at.0;
        out[7] = (ahead.0 + now.floor) * ratio - now.floor;
        out[8] = now.level + ahead.1 - at.1;
    }
    (out[9], out[10]) = (out[2], out[6]);
    if past.extra > 0 {
        let season = past.lin.back(target, past.extra * (1 + (h - 1) / past.extra));
        let then = i.checked_sub(past.extra).map(|j| past.recent(j, 3));
        out[9] = season.unwrap_or(last);
        out[10] = season.zip(then).map_or(last, |(s, t)| s + now.mean3 - t);
    }
}
