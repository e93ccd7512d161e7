//! Load and replicas over time, coarse enough for a chart, and the moments in which two runs differed most.

use jiff::Timestamp;
use serde::Serialize;

use crate::load::{Load, RUN_IN};
use crate::replay::{Outcome, WINDOW};
use crate::row::FORESAIL;

/// Windows in one point of a curve: a minute.
const PER_POINT: usize = 60 / WINDOW;

/// Curves with one point a minute.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    /// When the first point begins.
    pub from: Timestamp,
    /// Seconds between two points.
    pub step: u64,
    /// Largest load of the minute; NaN in a gap of the recording.
    pub load: Vec<f32>,
    /// Largest need of the minute, in replicas.
    pub need: Vec<f32>,
    /// Fewest serving replicas of the minute: Foresail's.
    pub ours: Vec<f32>,
    /// The reference's.
    pub hpa: Vec<f32>,
    /// Whether the promise was broken in the minute: by Foresail, by the reference.
    pub broken: Vec<(bool, bool)>,
}

/// A stretch in which the two runs differed.
#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub to: Timestamp,
    /// Who broke the promise in it.
    pub broken_by: String,
    /// For how many seconds.
    pub seconds: f64,
    /// The largest shortfall of replicas.
    pub shortfall: u32,
}

impl Curves {
    pub(crate) fn new(load: &Load, ours: Option<&Outcome>, hpa: Option<&Outcome>) -> Self {
        let Some(ours) = ours else { return Self::default() };
        let points = ours.need.len() / PER_POINT;
        let supply = |o: &Outcome, i: usize| {
            o.supply[i * PER_POINT..(i + 1) * PER_POINT].iter().copied().fold(f32::INFINITY, f32::min)
        };
        let broke = |o: &Outcome, i: usize| o.violated[i * PER_POINT..(i + 1) * PER_POINT].iter().any(|v| *v);
        let mut curves = Self { from: load.time_of(RUN_IN as usize), step: 60, ..Self::default() };
        for i in 0..points {
            let span = i * PER_POINT..(i + 1) * PER_POINT;
            let need = ours.need[span.clone()].iter().copied().max().unwrap_or(0);
            let most = ours.arrived[span].iter().copied().fold(0.0, f32::max);
            curves.load.push(if need > 0 { most } else { f32::NAN });
            curves.need.push(need as f32);
            curves.ours.push(supply(ours, i));
            curves.hpa.push(hpa.map_or(f32::NAN, |o| supply(o, i)));
            curves.broken.push((broke(ours, i), hpa.is_some_and(|o| broke(o, i))));
        }
        curves
    }
}

/// The stretches in which one of two runs was broken for longer than the other, a dozen at most, the largest difference
/// first. Broken windows less than ten minutes apart are one stretch.
pub(crate) fn moments(load: &Load, ours: &Outcome, hpa: &Outcome, reference: &str) -> Vec<Moment> {
    let mut all = stretches(load, ours, hpa, FORESAIL);
    all.extend(stretches(load, hpa, ours, reference));
    all.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.from.cmp(&b.from)));
    all.into_iter().map(|(moment, _)| moment).take(12).collect()
}

/// The broken stretches of `outcome`, and by how many windows it was broken more often in them than `other`.
fn stretches(load: &Load, outcome: &Outcome, other: &Outcome, who: &str) -> Vec<(Moment, usize)> {
    let join = 600 / WINDOW;
    let mut found: Vec<(usize, usize, usize)> = Vec::new();
    for (i, _) in outcome.violated.iter().enumerate().filter(|(_, v)| **v) {
        match found.last_mut() {
            Some((_, end, n)) if i - *end <= join => (*end, *n) = (i, *n + 1),
            _ => found.push((i, i, 1)),
        }
    }
    let time = |i: usize| load.time_of(RUN_IN as usize + i * WINDOW);
    let moment = |(a, b, n): (usize, usize, usize)| {
        let moment = Moment {
            from: time(a),
            to: time(b + 1),
            broken_by: who.to_owned(),
            seconds: (n * WINDOW) as f64,
            shortfall: (a..=b)
                .map(|i| (f64::from(outcome.need[i]) - f64::from(outcome.supply[i])).ceil().max(0.0) as u32)
                .max()
                .unwrap_or(0),
        };
        let others = other.violated[a..=b].iter().filter(|v| **v).count();
        (moment, n.saturating_sub(others))
    };
    found.into_iter().map(moment).filter(|(_, more)| *more > 0).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use series::Series;

    use super::*;
    use crate::load::Shape;

    #[test]
    fn broken_stretches_close_together_are_one_moment() {
        let series = Series::new(Timestamp::UNIX_EPOCH, Duration::from_secs(300), vec![100.0; 200]).unwrap();
        let shape = Shape {
            scored: Duration::from_secs(6 * 3_600),
            warm_up: Duration::ZERO,
            peak_replicas: None,
            per_replica: 80.0,
            capacity: 100.0,
            dispersion: 0.0,
            seed: 1,
        };
        let load = Load::new(&series, &shape).unwrap();
        let mut violated = vec![false; 400];
        for i in [10, 11, 40, 300] {
            violated[i] = true;
        }
        let broken = Outcome { violated, need: vec![2; 400], supply: vec![1.0; 400], ..Outcome::default() };
        let fine = Outcome { violated: vec![false; 400], ..broken.clone() };
        let found = moments(&load, &broken, &fine, "an HPA");
        let lengths: Vec<f64> = found.iter().map(|m| m.seconds).collect();
        assert_eq!(lengths, [30.0, 10.0]);
        assert_eq!((found[0].broken_by.as_str(), found[0].shortfall), ("Foresail", 1));
        assert!(moments(&load, &broken, &broken, "an HPA").is_empty(), "what befell both doesn't differ");
    }
}
