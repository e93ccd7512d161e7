//! Periods in the load, from an hour to a week, by autocorrelation: the strongest period is found, its profile taken
//! off, and what remains is searched again (in the spirit of AutoPeriod: Vlachos, Yu & Castelli, 2005). A peak is refined
//! to what explains most nearby, the periods of clocks and calendars among it.

use crate::calendar::DAY;
use crate::clean_history::CleanHistory;

/// A period in slots of the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Period {
    pub(crate) slots: usize,
    /// Share of variance it explains, 0 to 1.
    pub(crate) strength: f32,
}

/// Correlation below which a period isn't believed.
const LEAST: f32 = 0.2;
/// Of two periods the shorter counts as the real one if it correlates this well in comparison.
const AS_GOOD: f32 = 0.85;

/// Seasons of the past, strongest first; at most three.
pub(crate) fn find(past: &CleanHistory) -> Vec<Period> {
    let day = past.day();
    let factor = (day / 288).max(1);
    let rows = past.len() / factor;
    let offset = past.len() - rows * factor;
    let mut x: Vec<f32> = (0..rows).map(|r| past.log.mean(offset + (r + 1) * factor - 1, factor)).collect();
    let step = past.calendar.step_seconds() * factor as i64;
    let hour = (3600 / step).max(2) as usize;
    if x.len() < 4 * hour {
        return Vec::new();
    }
    flatten(&mut x);
    let mut found: Vec<Period> = Vec::new();
    let mut variance = power(&x);
    for _ in 0..3 {
        if variance < 1e-9 {
            break;
        }
        let Some(period) = strongest(&x, hour, (7 * DAY / step) as usize) else { break };
        let period = refine(&x, period, step, hour);
        remove(&mut x, period);
        let rest = power(&x);
        let strength = (1.0 - rest / variance).clamp(0.0, 1.0);
        // A profile of few periods explains some of any noise.
        let chance = period as f32 / x.len() as f32;
        if strength > 0.08 + chance && found.iter().all(|f| f.slots != period * factor) {
            found.push(Period { slots: period * factor, strength });
        }
        variance = rest;
    }
    found
}

/// Centers, takes a straight line off, and bounds what is left to a few deviations.
fn flatten(x: &mut [f32]) {
    let n = x.len() as f32;
    let middle = (n - 1.0) / 2.0;
    let mean = x.iter().sum::<f32>() / n;
    let (mut xy, mut xx) = (0.0, 1e-9);
    for (t, v) in x.iter().enumerate() {
        let d = t as f32 - middle;
        xy += d * (v - mean);
        xx += d * d;
    }
    let slope = xy / xx;
    x.iter_mut().enumerate().for_each(|(t, v)| *v -= mean + slope * (t as f32 - middle));
    let bound = 4.0 * x.iter().map(|v| v.abs()).sum::<f32>() / n;
    for v in x {
        *v = v.clamp(-bound, bound);
    }
}

fn power(x: &[f32]) -> f32 {
    x.iter().map(|v| v * v).sum::<f32>() / x.len().max(1) as f32
}

fn strongest(x: &[f32], least: usize, most: usize) -> Option<usize> {
    let n = x.len();
    let most = most.min(n / 2);
    let whole = power(x) * n as f32;
    let correlation: Vec<f32> = (0..=most + 1)
        .map(|lag| {
            let lag = lag.min(n - 1);
            let (a, b) = (&x[..n - lag], &x[lag..]);
            let mut parts = [0.0_f32; 8];
            for (p, q) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
                for k in 0..8 {
                    parts[k] += p[k] * q[k];
                }
            }
            parts.iter().sum::<f32>() / whole * n as f32 / (n - lag) as f32
        })
        .collect();
    let reach = (least / 4).max(1);
    let mut lowest = 1.0_f32;
    let mut peaks: Vec<(usize, f32)> = Vec::new();
    for lag in 1..=most {
        let c = correlation[lag];
        lowest = lowest.min(c);
        let near = &correlation[lag.saturating_sub(reach)..=(lag + reach).min(most + 1)];
        // A peak stands out from the lowest correlation on the way to it.
        if lag >= least && c >= LEAST && c - lowest > 0.1 && near.iter().all(|o| *o <= c) {
            peaks.push((lag, c));
        }
    }
    let top = peaks.iter().map(|p| p.1).fold(0.0, f32::max);
    peaks.iter().find(|p| p.1 >= AS_GOOD * top).map(|p| p.0)
}

/// The period near `period` that explains most: of the calendar's, where one is within a tenth, and of the slots around.
/// A longer profile explains more by chance, which is allowed for.
fn refine(x: &[f32], period: usize, step: i64, least: usize) -> usize {
    let calendar =
        [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0, 48.0, 168.0].map(|h| h * 3600.0 / step as f64);
    let near =
        calendar.into_iter().filter(|c| (period as f64 - c).abs() <= 0.1 * c).map(|c| c.round() as usize);
    let around = period.saturating_sub(3).max(least)..=period + 3;
    let whole = power(x).max(1e-12);
    let explained = |period: usize| {
        let mut rest = x.to_vec();
        remove(&mut rest, period);
        1.0 - power(&rest) / whole / (1.0 - period as f32 / x.len() as f32).max(0.1)
    };
    // The calendar's come last: of equals, the last is taken.
    let candidates = around.chain(near).filter(|p| *p >= least && 2 * p <= x.len());
    candidates.map(|p| (p, explained(p))).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(period, |c| c.0)
}

fn remove(x: &mut [f32], period: usize) {
    let mut sum = vec![0.0_f32; period];
    let mut n = vec![0.0_f32; period];
    for (t, v) in x.iter().enumerate() {
        sum[t % period] += v;
        n[t % period] += 1.0;
    }
    x.iter_mut().enumerate().for_each(|(t, v)| *v -= sum[t % period] / n[t % period]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testdata::past_of;

    fn hours(past: &CleanHistory) -> Vec<f64> {
        find(past).iter().map(|p| p.slots as f64 * 300.0 / 3600.0).collect()
    }

    fn wave(period: f64) -> impl Fn(usize) -> f64 {
        move |t| 100.0 + 40.0 * (std::f64::consts::TAU * t as f64 * 300.0 / 3600.0 / period).sin()
    }

    #[test]
    fn periods_from_an_hour_to_a_week_are_found() {
        for period in [1.0, 1.5, 2.0, 5.0, 7.0, 7.5, 12.0, 24.0, 36.0, 100.0, 168.0] {
            let f = wave(period);
            let found = hours(&past_of(14 * 288, 7, 0.1, f));
            assert!((found[0] - period).abs() <= 0.02 * period + 0.05, "{period} h: {found:?}");
        }
    }

    #[test]
    fn several_periods_at_once_are_found() {
        let (a, b) = (wave(24.0), wave(5.0));
        let found = hours(&past_of(14 * 288, 7, 0.05, move |t| a(t) + 0.6 * b(t)));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!((found[0] - 24.0).abs() < 0.1 && (found[1] - 5.0).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn noise_and_constants_have_no_season() {
        assert!(hours(&past_of(14 * 288, 3, 0.3, |_| 50.0)).is_empty());
        assert!(hours(&past_of(14 * 288, 3, 0.0, |_| 50.0)).is_empty());
        assert!(hours(&past_of(10, 3, 0.0, |_| 0.0)).is_empty());
    }
}
