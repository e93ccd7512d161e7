//! What days that were seen say of those to come.

use serde::{Deserialize, Serialize};

/// From the lowest to the highest that is to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Range {
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

/// Student's t at .95 for 1, 2, ... degrees of freedom, so that a tenth lies outside in all; the last one for more.
const STUDENT: [f64; 13] =
    [6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771];

/// Days that follow each other are more alike than days of different weeks, so they say less than as many independent ones: as
/// much as a quarter of them.
const DAYS_ALIKE: f64 = 2.0;
/// A normal deviate at .95.
const NORMAL: f64 = 1.645;

/// The mean of as many `coming` days, after `days` that were seen: it lies within in nine cases of ten. `between` is by how much
/// the means of such spans differ on other workloads however little their days do, as a standard deviation. `None` for
/// fewer than two days.
///
/// It is the prediction interval for a future mean of independent days (Hahn and Meeker, Statistical Intervals, 1991, section
/// 4.8), twice as wide, and the prior spread added in squares. The factor and the priors were found on recorded series,
/// where the interval of the textbook held for 6 weeks of 10; `lab --select` tells how often this one holds.
pub(crate) fn mean_to_come(days: &[f64], coming: f64, between: f64) -> Option<Range> {
    let n = days.len() as f64;
    let student = STUDENT.get(days.len().checked_sub(2)?.min(STUDENT.len() - 1))?;
    let mean = days.iter().sum::<f64>() / n;
    let variance = days.iter().map(|day| (day - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let within = DAYS_ALIKE * student * (variance * (1.0 / n + 1.0 / coming)).sqrt();
    let reach = within.hypot(NORMAL * between);
    Some(Range { low: mean - reach, high: mean + reach })
}

/// A share of replicas to come, over those of another autoscaler.
pub fn cost_to_come(days: &[f64], coming: f64) -> Option<Range> {
    const BETWEEN: f64 = 0.03;
    mean_to_come(days, coming, BETWEEN)
}

/// A share of time to come with too few replicas. What is often short is short by more in one week and by less in another.
pub(crate) fn violation_to_come(days: &[f64], coming: f64) -> Option<Range> {
    const OF_MEAN: f64 = 0.5;
    const LEAST: f64 = 0.002;
    let mean = days.iter().sum::<f64>() / days.len().max(1) as f64;
    let range = mean_to_come(days, coming, LEAST + OF_MEAN * mean)?;
    Some(Range { low: range.low.max(0.0), high: range.high.min(1.0) })
}

/// By how much two shares of time with too few replicas are to differ.
pub fn violations_apart(days: &[f64], coming: f64) -> Option<Range> {
    const OF_MEAN: f64 = 0.25;
    const LEAST: f64 = 0.001;
    let mean = days.iter().sum::<f64>() / days.len().max(1) as f64;
    mean_to_come(days, coming, LEAST + OF_MEAN * mean.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_twice_that_of_the_textbook() {
        // Mean 3, standard deviation 1.5811, t(4) = 2.132; with 5 more days: 2.132 x 1.5811 x sqrt(2/5) = 2.132.
        let range = mean_to_come(&[1.0, 2.0, 3.0, 4.0, 5.0], 5.0, 0.0).unwrap();
        assert!((range.low - (3.0 - 2.0 * 2.132)).abs() < 1e-3, "{range:?}");
        assert!((range.high - (3.0 + 2.0 * 2.132)).abs() < 1e-3, "{range:?}");
    }

    #[test]
    fn days_that_are_alike_leave_the_doubt_that_weeks_leave_and_one_day_says_nothing() {
        assert_eq!(mean_to_come(&[2.0; 7], 7.0, 0.0), Some(Range { low: 2.0, high: 2.0 }));
        assert_eq!(mean_to_come(&[2.0; 7], 7.0, 1.0), Some(Range { low: 0.355, high: 3.645 }));
        assert_eq!(mean_to_come(&[2.0], 7.0, 1.0), None);
        let never = violation_to_come(&[0.0; 7], 7.0).unwrap();
        assert!(never.low == 0.0 && (0.002..0.004).contains(&never.high), "{never:?}");
    }

    #[test]
    fn nine_of_ten_weeks_lie_within_where_days_hang_together() {
        // Days from a linear congruential generator, each half like the one before; the first week foretells the second.
        let mut state = 1_u64;
        let mut last = 0.0;
        let mut day = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let fresh = (0..4).map(|i| f64::from((state >> (8 * i + 16)) as u8) - 127.5).sum::<f64>();
            last = 0.5 * last + fresh;
            last
        };
        let within = (0..2_000)
            .filter(|_| {
                let week: Vec<f64> = (0..7).map(|_| day()).collect();
                let next = (0..7).map(|_| day()).sum::<f64>() / 7.0;
                let range = mean_to_come(&week, 7.0, 0.0).unwrap();
                (range.low..=range.high).contains(&next)
            })
            .count();
        assert!((1_800..1_980).contains(&within), "{within}");
    }
}
