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

/// The mean of as many `coming` days, after `days` that were seen: it lies within in nine cases of ten where days are independent
/// and alike. The prediction interval for a future mean: Hahn and Meeker, Statistical Intervals, 1991, section 4.8. `None`
/// for fewer than two days.
pub fn mean_to_come(days: &[f64], coming: f64) -> Option<Range> {
    let n = days.len() as f64;
    let student = STUDENT.get(days.len().checked_sub(2)?.min(STUDENT.len() - 1))?;
    let mean = days.iter().sum::<f64>() / n;
    let variance = days.iter().map(|day| (day - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let reach = student * (variance * (1.0 / n + 1.0 / coming)).sqrt();
    Some(Range { low: mean - reach, high: mean + reach })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_textbook() {
        // Mean 3, standard deviation 1.5811, t(4) = 2.132; with 5 more days: 2.132 x 1.5811 x sqrt(2/5) = 2.132.
        let range = mean_to_come(&[1.0, 2.0, 3.0, 4.0, 5.0], 5.0).unwrap();
        assert!((range.low - 0.868).abs() < 1e-3 && (range.high - 5.132).abs() < 1e-3, "{range:?}");
    }

    #[test]
    fn days_that_are_alike_leave_no_doubt_and_one_day_says_nothing() {
        assert_eq!(mean_to_come(&[2.0; 7], 7.0), Some(Range { low: 2.0, high: 2.0 }));
        assert_eq!(mean_to_come(&[2.0], 7.0), None);
    }

    #[test]
    fn nine_of_ten_weeks_lie_within() {
        // Days from a linear congruential generator; two weeks each, the first foretells the second.
        let mut state = 1_u64;
        let mut day = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (0..4).map(|i| f64::from((state >> (8 * i + 16)) as u8)).sum::<f64>()
        };
        let within = (0..2_000)
            .filter(|_| {
                let week: Vec<f64> = (0..7).map(|_| day()).collect();
                let next = (0..7).map(|_| day()).sum::<f64>() / 7.0;
                let range = mean_to_come(&week, 7.0).unwrap();
                (range.low..=range.high).contains(&next)
            })
            .count();
        assert!((1_740..1_860).contains(&within), "{within}");
    }
}
