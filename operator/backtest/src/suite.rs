//! Many recordings at several start-up times, and the bars they are held against: geometric means over series, the
//! worst one, and how many are dominated. Per class of series, since a mean over all hides who pays.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use series::Series;

use crate::baselines::{Contender, Kind};
use crate::compare::{Comparison, Setup, compare};
use crate::frontier::{Point, cost_at, violation_at};
use crate::load::Load;
use crate::row::FORESAIL;
use autoscaler::Prepared;
use decide::Protection;

/// What a series looks like; told from its values alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// Days resemble each other.
    Seasonal,
    /// Days resemble each other, and hold steep climbs.
    Spikes,
    /// Growth, single events, or little of anything.
    Event,
    /// The level moved for good.
    Shift,
    /// Neighboring values tell little of each other.
    Noise,
}

impl Class {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seasonal => "seasonal",
            Self::Spikes => "spikes",
            Self::Event => "event",
            Self::Shift => "shift",
            Self::Noise => "noise",
        }
    }

    /// Tells the class of a recording. On means of five minutes: *noise* where neighbors correlate below 0.85;
    /// *shift* where the medians of three days are all above, or all below, those of the three before by half; *spikes* where the load of days is
    /// alike (correlation 0.4 with yesterday or last week) and one climb in two hundred is by half within 15 minutes;
    /// *seasonal* where it's alike without such climbs; *event* otherwise.
    pub fn of(recording: &Series) -> Self {
        let factor = (300 / recording.step().as_secs().max(1)).max(1) as usize;
        let coarse = recording.coarsen(factor);
        let per_day = (86_400 / coarse.step().as_secs()).max(1) as usize;
        let values = coarse.raw();
        let alike = correlation(values, per_day).max(correlation(values, 7 * per_day));
        if correlation(values, 1) < 0.85 {
            return Self::Noise;
        }
        if shifted(values, per_day) {
            return Self::Shift;
        }
        match (alike >= 0.4, steep(values)) {
            (true, true) => Self::Spikes,
            (true, false) => Self::Seasonal,
            (false, _) => Self::Event,
        }
    }
}

fn correlation(values: &[f64], lag: usize) -> f64 {
    if values.len() < 2 * lag {
        return 0.0;
    }
    let pairs: Vec<(f64, f64)> = values
        .iter()
        .zip(&values[lag..])
        .filter(|(a, b)| !a.is_nan() && !b.is_nan())
        .map(|(a, b)| (*a, *b))
        .collect();
    let n = pairs.len().max(1) as f64;
    let (ma, mb) = pairs.iter().fold((0.0, 0.0), |(x, y), (a, b)| (x + a / n, y + b / n));
    let (mut cov, mut va, mut vb) = (0.0, 0.0, 0.0);
    for (a, b) in &pairs {
        cov += (a - ma) * (b - mb);
        va += (a - ma).powi(2);
        vb += (b - mb).powi(2);
    }
    if va > 0.0 && vb > 0.0 { cov / (va * vb).sqrt() } else { 0.0 }
}

fn steep(values: &[f64]) -> bool {
    let mean = values.iter().filter(|v| !v.is_nan()).sum::<f64>() / values.len().max(1) as f64;
    let climbs = values.windows(4).filter(|w| w[3] > 1.5 * w[0].max(0.2 * mean)).count();
    climbs * 200 > values.len()
}

fn shifted(values: &[f64], per_day: usize) -> bool {
    let median = |day: &[f64]| {
        let mut known: Vec<f64> = day.iter().copied().filter(|v| !v.is_nan()).collect();
        known.sort_by(f64::total_cmp);
        known.get(known.len() / 2).copied()
    };
    let days: Vec<f64> = values.chunks_exact(per_day).filter_map(median).collect();
    // Three days on either side, so that a weekend is no shift.
    days.windows(6).any(|w| {
        let most = |d: &[f64]| d.iter().copied().fold(0.0, f64::max);
        let least = |d: &[f64]| d.iter().copied().fold(f64::INFINITY, f64::min);
        least(&w[3..]) > 1.5 * most(&w[..3]) || most(&w[3..]) < least(&w[..3]) / 1.5
    })
}

/// One series at one start-up time.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The series.
    pub series: String,
    /// Its class.
    pub class: Class,
    /// Median start-up in seconds.
    pub startup_seconds: f64,
    /// Days scored.
    pub days: f64,
    /// Share of broken time in percent.
    pub violation_percent: f64,
    /// Replica-hours over the tuned HPA's at equal violation.
    pub over_tuned_hpa: f64,
    /// Replica-hours over the oracle's at equal violation.
    pub over_oracle: f64,
    /// Replica-hours of the perfect forecast over the tuned HPA's at the perfect forecast's violation.
    pub perfect_over_tuned_hpa: f64,
    /// Broken time over that of the HPA at 70 %; a scoring window counts where there is none.
    pub broken_over_hpa70: f64,
    /// Replica-hours over those of the HPA at 70 %.
    pub hours_over_hpa70: f64,
    /// Broken time over that of the HPA at 70 % where Foresail's protection is chosen so that it costs just as much;
    /// `None` where none of those replayed says what that would be.
    pub broken_at_equal_cost: Option<f64>,
    /// Changes over those of the HPA at 70 %.
    pub actions_over_hpa70: f64,
    /// Reversals a day.
    pub reversals_per_day: f64,
    /// A swept HPA or KEDA that is better in both respects.
    pub dominated_by: Option<String>,
    /// Pods removed on missing or wrong data.
    pub removed_on_bad_data: u32,
}

/// Protections replayed besides the policy's own, to find the one that costs what the HPA at 70 % does.
const EQUAL_COST_PROTECTIONS: [f64; 7] = [0.98, 0.97, 0.95, 0.9, 0.8, 0.7, 0.5];

/// What a suite found.
#[derive(Clone, Debug, Serialize)]
pub struct Suite {
    /// One for each series and start-up time.
    pub cells: Vec<Cell>,
}

/// Replays one recording at each start-up time with the `forecasts` made for its `load`. `done` is called after each
/// cell.
pub fn replay_series(
    name: &str,
    recording: &Series,
    setup: &Setup,
    startups: &[Duration],
    (load, forecasts): (&Load, &[Arc<Prepared>]),
    done: &(dyn Fn(&str) + Sync),
) -> Vec<Cell> {
    let shares = EQUAL_COST_PROTECTIONS.map(Protection::Share);
    let protections = std::iter::once(Protection::SameCost).chain(shares).collect();
    let mut setup = Setup { contenders: Contender::swept(), variants: true, protections, ..setup.clone() };
    let class = Class::of(recording);
    let mut cells = Vec::new();
    for startup in startups {
        setup.world.startup = crate::world::Startup::around(*startup);
        let comparison = compare(&setup, load, forecasts, &|_| {});
        cells.extend(cell(name, class, &comparison));
        done(name);
    }
    cells
}

/// The cell of one comparison.
fn cell(name: &str, class: Class, c: &Comparison) -> Option<Cell> {
    let ours = c.row(FORESAIL)?;
    let hpa = c.row("HPA 70%")?;
    let perfect = c.row("perfect forecast")?;
    let tuned = |row: &crate::row::Row| {
        let least = 10.0 / (c.days * 86_400.0);
        let hours = cost_at(&c.sweep(Kind::Hpa), row.score.violation_percent / 100.0, least)?;
        Some(row.score.replica_hours / hours)
    };
    let least = 10.0 / (c.days * 86_400.0);
    let frontier: Vec<Point> = std::iter::once(ours)
        .chain(c.variants.iter().filter(|v| v.name.starts_with("protection")))
        .map(|row| Point {
            name: row.name.clone(),
            violation: row.score.violation_percent / 100.0,
            replica_hours: row.score.replica_hours,
        })
        .collect();
    let broken_over_hpa70 = ours.score.violation_seconds.max(10.0) / hpa.score.violation_seconds.max(10.0);
    let broken_at_equal_cost = violation_at(&frontier, hpa.score.replica_hours, least)
        .map(|v| v / (hpa.score.violation_percent / 100.0).max(least));
    Some(Cell {
        series: name.to_owned(),
        class,
        startup_seconds: c.startup_seconds,
        days: c.days,
        violation_percent: ours.score.violation_percent,
        over_tuned_hpa: tuned(ours)?,
        over_oracle: ours.score.over_oracle_alike,
        perfect_over_tuned_hpa: tuned(perfect)?,
        broken_over_hpa70,
        broken_at_equal_cost,
        hours_over_hpa70: ours.score.replica_hours / hpa.score.replica_hours,
        actions_over_hpa70: ours.score.actions_per_day / hpa.score.actions_per_day.max(0.1),
        reversals_per_day: ours.score.reversals_per_day,
        dominated_by: ours.dominated_by.clone(),
        removed_on_bad_data: ours.score.removed_on_bad_data,
    })
}

impl Suite {
    /// The suite as a table: every cell, then the summary by class and over all.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let mut startups: Vec<f64> = self.cells.iter().map(|c| c.startup_seconds).collect();
        startups.sort_by(f64::total_cmp);
        startups.dedup();
        for startup in startups {
            let mut cells: Vec<&Cell> = self.cells.iter().filter(|c| c.startup_seconds == startup).collect();
            cells.sort_by(|a, b| a.class.cmp(&b.class).then(a.series.cmp(&b.series)));
            let _ = writeln!(out, "pods start in {startup:.0} s");
            let _ = writeln!(
                out,
                "  {:<22} {:<9} {:>9} {:>8} {:>8} {:>8} {:>10} {:>9} {:>9} {:>8} {:>7}  dominated by",
                "series",
                "class",
                "too few",
                "R/HPA*",
                "perfect",
                "oracle",
                "broken/70",
                "hours/70",
                "at equal",
                "acts/70",
                "rev/d"
            );
            for c in &cells {
                let _ = writeln!(
                    out,
                    "  {:<22} {:<9} {:>8.3}% {:>8.3} {:>8.3} {:>8.3} {:>10.2} {:>9.3} {:>9} {:>8.2} {:>7.1}  {}",
                    c.series,
                    c.class.name(),
                    c.violation_percent,
                    c.over_tuned_hpa,
                    c.perfect_over_tuned_hpa,
                    c.over_oracle,
                    c.broken_over_hpa70,
                    c.hours_over_hpa70,
                    c.broken_at_equal_cost.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}")),
                    c.actions_over_hpa70,
                    c.reversals_per_day,
                    c.dominated_by.as_deref().unwrap_or("")
                );
            }
            for class in [Class::Seasonal, Class::Spikes, Class::Event, Class::Shift, Class::Noise] {
                let of: Vec<&Cell> = cells.iter().copied().filter(|c| c.class == class).collect();
                if !of.is_empty() {
                    summary(&mut out, class.name(), &of);
                }
            }
            summary(&mut out, "all", &cells);
            out.push('\n');
        }
        out
    }
}

fn summary(out: &mut String, name: &str, cells: &[&Cell]) {
    let mean = |f: fn(&Cell) -> f64| geometric_mean(cells.iter().map(|c| f(c))).unwrap_or(f64::NAN);
    let at_equal: Vec<f64> = cells.iter().filter_map(|c| c.broken_at_equal_cost).collect();
    let at_equal = geometric_mean(at_equal.iter().copied()).map_or_else(
        || "-".to_owned(),
        |value| match cells.len() - at_equal.len() {
            0 => format!("{value:.2}"),
            unknown => format!("{value:.2} ({unknown} unknown)"),
        },
    );
    let worst = cells.iter().map(|c| c.over_tuned_hpa).fold(0.0, f64::max);
    let dominated = cells.iter().filter(|c| c.dominated_by.is_some()).count();
    // Of what a perfect forecast would save, in logarithms.
    let gained = 100.0 * mean(|c| c.over_tuned_hpa).ln() / mean(|c| c.perfect_over_tuned_hpa).ln();
    let removed: u32 = cells.iter().map(|c| c.removed_on_bad_data).sum();
    let _ = writeln!(
        out,
        "  = {name} ({}): R/HPA* {:.3} ({gained:.0} % of what a perfect forecast saves), worst {worst:.3}, dominated {dominated}; oracle x {:.3}; against HPA 70 %: broken {:.2}, hours {:.3}, broken at equal cost {at_equal}, actions {:.2}; reversals/d {:.1}; removed on bad data {removed}",
        cells.len(),
        mean(|c| c.over_tuned_hpa),
        mean(|c| c.over_oracle),
        mean(|c| c.broken_over_hpa70),
        mean(|c| c.hours_over_hpa70),
        mean(|c| c.actions_over_hpa70),
        cells.iter().map(|c| c.reversals_per_day).sum::<f64>() / cells.len().max(1) as f64,
    );
}

/// `None` of nothing.
fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0, 0.0), |(n, sum), v| (n + 1, sum + v.max(1e-9).ln()));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn series(f: impl Fn(f64) -> f64) -> Series {
        let values = (0..10 * 288).map(|i| f(f64::from(i) / 288.0)).collect();
        Series::new(Timestamp::UNIX_EPOCH, Duration::from_secs(300), values).unwrap()
    }

    #[test]
    fn classes_are_told_from_the_values() {
        let day = |t: f64| 100.0 + 60.0 * (std::f64::consts::TAU * t).sin();
        assert_eq!(Class::of(&series(day)), Class::Seasonal);
        let steps = |t: f64| if (t * 4.0).fract() < 0.25 { 300.0 } else { 60.0 };
        assert_eq!(Class::of(&series(|t| steps(t) * (1.0 + 0.001 * t) * day(t) / 100.0)), Class::Spikes);
        let shift = |t: f64| if t < 5.0 { 100.0 + (t * 9.0).sin() } else { 250.0 + (t * 7.0).sin() };
        assert_eq!(Class::of(&series(shift)), Class::Shift);
        let noise = |t: f64| crate::random::uniform(1, 2, (t * 288.0).round() as u64);
        assert_eq!(Class::of(&series(noise)), Class::Noise);
    }

    #[test]
    fn what_equal_cost_would_buy_is_not_guessed() {
        let cell = |broken_at_equal_cost| Cell {
            series: "shop".to_owned(),
            class: Class::Noise,
            startup_seconds: 60.0,
            days: 1.0,
            violation_percent: 0.1,
            over_tuned_hpa: 1.0,
            over_oracle: 1.0,
            perfect_over_tuned_hpa: 1.0,
            broken_over_hpa70: 0.01,
            hours_over_hpa70: 2.0,
            broken_at_equal_cost,
            actions_over_hpa70: 1.0,
            reversals_per_day: 0.0,
            dominated_by: None,
            removed_on_bad_data: 0,
        };
        let told = |cells: &[Option<f64>]| {
            let table = Suite { cells: cells.iter().copied().map(cell).collect() }.table();
            let summary = table.lines().rfind(|line| line.contains("= all")).unwrap();
            let (_, rest) = summary.split_once("at equal cost ").unwrap();
            rest.split_once(", actions").unwrap().0.to_owned()
        };
        assert_eq!(told(&[Some(0.5), Some(2.0)]), "1.00");
        assert_eq!(told(&[Some(0.5), None]), "0.50 (1 unknown)");
        assert_eq!(told(&[None]), "-");
    }
}
